package rehearsal

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// The types of identity, storage and registry.
const (
	accountType          = "gcp:serviceaccount/account:Account"
	accountMemberType    = "gcp:serviceaccount/iAMMember:IAMMember"
	projectMemberType    = "gcp:projects/iAMMember:IAMMember"
	repositoryType       = "gcp:artifactregistry/repository:Repository"
	repositoryMemberType = "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember"
	bucketType           = "gcp:storage/bucket:Bucket"
	bucketMemberType     = "gcp:storage/bucketIAMMember:BucketIAMMember"
)

var (
	accountID = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])$`)
	roleName  = regexp.MustCompile(`^(roles/[A-Za-z0-9.]+|projects/[^/]+/roles/[A-Za-z0-9_.]+)$`)
	workload  = regexp.MustCompile(`^serviceAccount:([^\[\]]+\.svc\.id\.goog)\[([a-z0-9-]+)/([a-z0-9-]+)\]$`)
)

func init() {
	kinds[accountType] = &kind{api: "iam", create: func(r *request) error {
		id := r.inputs.str("accountId")
		if len(id) < 6 {
			return fmt.Errorf("accountId: %q has %d characters, at least 6 are needed", id, len(id))
		}
		if err := named("accountId", id, accountID, 30); err != nil {
			return err
		}
		email := fmt.Sprintf("%s@%s.iam.gserviceaccount.com", id, r.cloud.project)
		r.id = fmt.Sprintf("projects/%s/serviceAccounts/%s", r.cloud.project, email)
		r.outputs["email"], r.outputs["member"], r.outputs["name"] = email, "serviceAccount:"+email, r.id
		r.outputs["project"], r.outputs["uniqueId"] = r.cloud.project, "100000000000000000000"
		return nil
	}}
	kinds[accountMemberType] = memberKind("iam", "serviceAccountId", accountType)
	kinds[projectMemberType] = memberKind("cloudresourcemanager", "project", "")
	kinds[repositoryMemberType] = memberKind("artifactregistry", "repository", repositoryType)
	kinds[bucketMemberType] = memberKind("storage", "bucket", bucketType)
	kinds[repositoryType] = &kind{api: "artifactregistry", check: checkRepository, create: func(r *request) error {
		location := r.inputs.str("location")
		if location == "" {
			location = r.cloud.region
		}
		id := r.inputs.str("repositoryId")
		if err := named("repositoryId", id, rfc1035, 63); err != nil {
			return err
		}
		r.id = fmt.Sprintf("projects/%s/locations/%s/repositories/%s", r.cloud.project, location, id)
		r.outputs["name"], r.outputs["location"], r.outputs["project"] = id, location, r.cloud.project
		return nil
	}}
	kinds[bucketType] = &kind{api: "storage", check: checkBucket, create: func(r *request) error {
		r.id = r.inputs.str("name")
		r.outputs["url"], r.outputs["project"] = "gs://"+r.id, r.cloud.project
		r.outputs["location"] = strings.ToUpper(r.inputs.str("location")) // as the API answers
		r.outputs["selfLink"] = "https://www.googleapis.com/storage/v1/b/" + r.id
		return nil
	}, remove: func(r *request) (string, error) {
		// The application has written to it by then.
		if !r.inputs.is("forceDestroy") {
			return "", fmt.Errorf("error trying to delete bucket %s containing objects without `forceDestroy` set to true", r.id)
		}
		if seconds := r.inputs.num("softDeletePolicy.retentionDurationSeconds"); seconds > 0 {
			return fmt.Sprintf("soft-deleted: its objects can be restored, and are billed, for %g days", seconds/86400), nil
		}
		return "", nil
	}}
}

// memberKind is the grant of a role to one member on something.
func memberKind(api, on, onType string) *kind {
	return &kind{api: api, check: func(r *request) error {
		if !roleName.MatchString(r.inputs.str("role")) {
			return fmt.Errorf("role: %q is not a role", r.inputs.str("role"))
		}
		if onType != "" {
			if _, err := r.need(onType, on, r.inputs.str(on)); err != nil {
				return err
			}
		} else if r.inputs.str(on) != r.cloud.project {
			return fmt.Errorf("%s: %q is not this project", on, r.inputs.str(on))
		}
		return r.member("member", r.inputs.str("member"))
	}, create: func(r *request) error {
		r.id = strings.Join([]string{r.inputs.str(on), r.inputs.str("role"), r.inputs.str("member")}, "/")
		r.outputs["etag"] = "BwYAAAAAAAA="
		return nil
	}}
}

// member checks an IAM member, which must exist where it is of this project.
func (r *request) member(path, member string) error {
	if match := workload.FindStringSubmatch(member); match != nil {
		for _, o := range r.cloud.all(clusterType) {
			if o.inputs.str("workloadIdentityConfig.workloadPool") == match[1] {
				r.needObject(o, "Workload Identity pool "+match[1])
				return nil
			}
		}
		// https://github.com/terraform-google-modules/terraform-google-kubernetes-engine/issues/916
		return fmt.Errorf("%s: Identity Pool does not exist (%s): no cluster has it yet", path, match[1])
	}
	kindOf, address, _ := strings.Cut(member, ":")
	switch kindOf {
	case "serviceAccount":
		if strings.HasSuffix(address, "@"+r.cloud.project+".iam.gserviceaccount.com") {
			_, err := r.need(accountType, path, address)
			return err
		}
		return nil
	case "user", "group", "domain", "principal", "principalSet":
		return nil
	}
	return fmt.Errorf("%s: %q is not an IAM member", path, member)
}

func checkRepository(r *request) error {
	remote := r.inputs.at("remoteRepositoryConfig") != nil
	if r.inputs.str("mode") == "REMOTE_REPOSITORY" && !remote {
		return errors.New("remoteRepositoryConfig: is needed with mode REMOTE_REPOSITORY")
	}
	if remote && r.inputs.str("mode") != "REMOTE_REPOSITORY" {
		return errors.New("mode: remoteRepositoryConfig needs REMOTE_REPOSITORY")
	}
	if uri := r.inputs.str("remoteRepositoryConfig.dockerRepository.customRepository.uri"); remote && !strings.HasPrefix(uri, "https://") {
		return fmt.Errorf("remoteRepositoryConfig.dockerRepository.customRepository.uri: %q is not an https address", uri)
	}
	for _, item := range r.inputs.list("cleanupPolicies") {
		policy, _ := item.(map[string]any)
		if v := values(policy); v.at("mostRecentVersions") != nil && v.str("action") != "KEEP" {
			return fmt.Errorf("cleanupPolicies: %s: mostRecentVersions may only be used with action KEEP", v.str("id"))
		}
	}
	return nil
}

func checkBucket(r *request) error {
	name := r.inputs.str("name")
	if len(name) < 3 {
		return fmt.Errorf("name: %q has %d characters, at least 3 are needed", name, len(name))
	}
	if err := named("name", name, bucketName, 63); err != nil {
		return err
	}
	if seconds := r.inputs.num("softDeletePolicy.retentionDurationSeconds"); seconds != 0 && (seconds < 7*86400 || seconds > 90*86400) {
		return fmt.Errorf("softDeletePolicy.retentionDurationSeconds: %g is not 0 or 7 to 90 days", seconds)
	}
	for _, item := range r.inputs.list("lifecycleRules") {
		rule, _ := item.(map[string]any)
		v := values(rule)
		// The provider sends age 0 for a condition without age, unless noAge says otherwise.
		if v.at("condition.age") == nil && !v.is("condition.noAge") && v.str("action.type") == "Delete" {
			return errors.New("lifecycleRules: a Delete rule without age and noAge deletes every object at once")
		}
	}
	return nil
}
