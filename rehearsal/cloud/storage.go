package cloud

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var bucketName = regexp.MustCompile(`^[a-z0-9][-_.a-z0-9]*[a-z0-9]$`)

func checkRepository(r *Request) error {
	if err := named("repositoryId", r.Inputs.Str("repositoryId"), rfc1035, 63); err != nil {
		return err
	}
	remote := r.Inputs.At("remoteRepositoryConfig") != nil
	if r.Inputs.Str("mode") == "REMOTE_REPOSITORY" && !remote {
		return errors.New("remoteRepositoryConfig: is needed with mode REMOTE_REPOSITORY")
	}
	if remote && r.Inputs.Str("mode") != "REMOTE_REPOSITORY" {
		return errors.New("mode: remoteRepositoryConfig needs REMOTE_REPOSITORY")
	}
	const source = "remoteRepositoryConfig.dockerRepository."
	custom := r.Inputs.At(source+"customRepository") != nil || r.Inputs.Str(source+"publicRepository") != "DOCKER_HUB"
	if uri := r.Inputs.Str(source + "customRepository.uri"); remote && custom && !strings.HasPrefix(uri, "https://") {
		return fmt.Errorf("remoteRepositoryConfig.dockerRepository.customRepository.uri: %q is not an https address", uri)
	}
	for _, policy := range r.Inputs.Maps("cleanupPolicies") {
		if policy.At("mostRecentVersions") != nil && policy.Str("action") != "KEEP" {
			return fmt.Errorf("cleanupPolicies: %s: mostRecentVersions may only be used with action KEEP", policy.Str("id"))
		}
	}
	return nil
}

func createRepository(r *Request) error {
	location := r.Inputs.Str("location")
	if location == "" {
		location = r.Region
	}
	id := r.Inputs.Str("repositoryId")
	r.ID = fmt.Sprintf("projects/%s/locations/%s/repositories/%s", r.Project, location, id)
	r.Outputs["name"], r.Outputs["location"], r.Outputs["project"] = id, location, r.Project
	return nil
}

func checkBucket(r *Request) error {
	name := r.Inputs.Str("name")
	if len(name) < 3 {
		return fmt.Errorf("name: %q has %d characters, at least 3 are needed", name, len(name))
	}
	if err := named("name", name, bucketName, 63); err != nil {
		return err
	}
	if seconds := r.Inputs.Num("softDeletePolicy.retentionDurationSeconds"); seconds != 0 && (seconds < 7*86400 || seconds > 90*86400) {
		return fmt.Errorf("softDeletePolicy.retentionDurationSeconds: %g is not 0 or 7 to 90 days", seconds)
	}
	for _, rule := range r.Inputs.Maps("lifecycleRules") {
		// The provider sends age 0 for a condition without age, unless noAge says otherwise.
		if rule.At("condition.age") == nil && !rule.Is("condition.noAge") && rule.Str("action.type") == "Delete" {
			return errors.New("lifecycleRules: a Delete rule without age and noAge deletes every object at once")
		}
	}
	return nil
}

func createBucket(r *Request) error {
	r.ID = r.Inputs.Str("name")
	r.Outputs["url"], r.Outputs["project"] = "gs://"+r.ID, r.Project
	r.Outputs["location"] = strings.ToUpper(r.Inputs.Str("location")) // as the API answers
	r.Outputs["selfLink"] = "https://www.googleapis.com/storage/v1/b/" + r.ID
	return nil
}

// removeBucket assumes that the application has written to the bucket.
func removeBucket(r *Request) (string, error) {
	if !r.Inputs.Is("forceDestroy") {
		return "", fmt.Errorf("error trying to delete bucket %s containing objects without `forceDestroy` set to true", r.ID)
	}
	if seconds := r.Inputs.Num("softDeletePolicy.retentionDurationSeconds"); seconds > 0 {
		return fmt.Sprintf("soft-deleted: its objects can be restored, and are billed, for %g days", seconds/86400), nil
	}
	return "", nil
}
