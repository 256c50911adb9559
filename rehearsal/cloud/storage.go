package cloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/types"
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
	policy := r.Find(types.BucketPolicy, policyID(r.ID))
	if policy != nil && policy.Left != "" {
		return "", fmt.Errorf("googleapi: Error 403: storage.objects.delete is denied on bucket %s: its policy is empty", r.ID)
	}
	if !r.Inputs.Is("forceDestroy") {
		return "", fmt.Errorf("error trying to delete bucket %s containing objects without `forceDestroy` set to true", r.ID)
	}
	if policy != nil {
		r.Drop(policy)
	}
	if seconds := r.Inputs.Num("softDeletePolicy.retentionDurationSeconds"); seconds > 0 {
		return fmt.Sprintf("soft-deleted: its objects can be restored, and are billed, for %g days", seconds/86400), nil
	}
	return "", nil
}

// bindings are members by role.
type bindings map[string][]string

// newBucketBindings is what Google gives a new bucket, with uniform access: who views the project reads the objects.
// https://cloud.google.com/storage/docs/access-control/iam-roles#basic-roles-modifiable
func newBucketBindings(project string) bindings {
	owner, editor, viewer := "projectOwner:"+project, "projectEditor:"+project, "projectViewer:"+project
	return bindings{
		"roles/storage.legacyBucketOwner": {owner, editor}, "roles/storage.legacyBucketReader": {viewer},
		"roles/storage.legacyObjectOwner": {owner, editor}, "roles/storage.legacyObjectReader": {viewer},
	}
}

// BucketBindings returns who may do what with a bucket, by its own policy: Google's for a new bucket, or the one that was set in its place, and the members
// that were added to it.
func (i *Inventory) BucketBindings(bucket string) map[string][]string {
	policy := newBucketBindings(i.Project)
	if o := i.Find(types.BucketPolicy, policyID(bucket)); o != nil {
		policy, _ = parsePolicy(o.Inputs.Str("policyData")) // it was checked before it was created
	}
	for _, o := range i.All(types.BucketMember) {
		if role := o.Inputs.Str("role"); o.Inputs.Str("bucket") == bucket {
			policy[role] = append(policy[role], o.Inputs.Str("member"))
		}
	}
	return policy
}

func policyID(bucket string) string { return "b/" + bucket }

// parsePolicy reads a policy as IAM writes it.
func parsePolicy(document string) (bindings, error) {
	var policy struct {
		Bindings []struct {
			Role    string
			Members []string
		}
	}
	if err := json.Unmarshal([]byte(document), &policy); err != nil {
		return nil, fmt.Errorf("policyData: is not a policy: %w", err)
	}
	out := bindings{}
	for _, b := range policy.Bindings {
		out[b.Role] = append(out[b.Role], b.Members...)
	}
	return out, nil
}

func checkBucketPolicy(r *Request) error {
	if _, err := r.Need(types.Bucket, "bucket", r.Inputs.Str("bucket")); err != nil {
		return err
	}
	policy, err := parsePolicy(r.Inputs.Str("policyData"))
	if err != nil {
		return err
	}
	for role, members := range policy {
		if !roleName.MatchString(role) {
			return fmt.Errorf("policyData: %q is not a role", role)
		}
		for _, member := range members {
			if slices.Contains([]string{"projectOwner:" + r.Project, "projectEditor:" + r.Project, "projectViewer:" + r.Project}, member) {
				continue // of a bucket's policy only
			}
			if err := r.checkMember("policyData", member); err != nil {
				return err
			}
		}
	}
	return nil
}

func createBucketPolicy(r *Request) error {
	r.ID = policyID(r.Inputs.Str("bucket"))
	r.Outputs["etag"] = etag
	return nil
}

// removeBucketPolicy plays the provider, which cannot bring Google's own policy back.
func removeBucketPolicy(r *Request) (string, error) {
	return "an empty policy: without a role in the project that names objects, nobody may use or delete them any more, owners neither", nil
}
