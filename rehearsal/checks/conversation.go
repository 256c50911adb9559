package checks

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/types"
)

// Application follows what people do with the application that there is: a conversation with the server, or one in each instance of Agent Canvas. It returns
// what would go wrong. fewNodes is that of Conversation.
func Application(inventory *cloud.Inventory, fewNodes bool) []string {
	if len(instances(inventory)) > 0 {
		return Instances(inventory)
	}
	return Conversation(inventory, fewNodes)
}

// Conversation follows what happens when somebody starts a conversation, with the objects that are in the cloud: what the server reads from its
// environment, whom it reaches, and the pod that its Kubernetes runtime creates. It returns what would go wrong. With a remote runtime there is no pod
// to look at. fewNodes says that somebody gave the sandboxes fewer nodes than they may need, and was warned.
func Conversation(inventory *cloud.Inventory, fewNodes bool) []string {
	servers := servers(inventory)
	if len(servers) != 1 {
		return []string{fmt.Sprintf("there are %d servers, and conversations live in the memory of one", len(servers))}
	}
	t := &conversation{server: servers[0], fewNodes: fewNodes}
	t.checkServer()
	t.checkIdentity()
	t.checkLauncher()
	t.checkData()
	if t.env["RUNTIME"] == "kubernetes" {
		t.checkRole()
		t.checkSandbox()
		t.checkPolicies()
		t.checkCleanup()
	}
	slices.Sort(t.problems)
	return t.problems
}

// conversation is the check of one installation.
type conversation struct {
	server
	fewNodes bool
	problems []string
}

func (t *conversation) report(format string, args ...any) {
	t.problems = append(t.problems, fmt.Sprintf(format, args...))
}

// checkServer checks the Deployment by itself.
func (t *conversation) checkServer() {
	spec := t.Spec
	if spec.Replicas == nil || *spec.Replicas != 1 || spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.report("the server must have one replica and the strategy Recreate: conversations live in the memory of one process")
	}
	mounted := map[string]bool{}
	for _, container := range spec.Template.Spec.Containers {
		if strings.HasSuffix(container.Image, ":latest") || !strings.ContainsAny(container.Image[strings.LastIndex(container.Image, "/")+1:], ":@") {
			t.report("the server's image %s may be another one tomorrow: give it the tag of a version, or a digest", container.Image)
		}
		for _, variable := range container.Env {
			t.report("variable %s is set beside the closed list: it belongs into the ConfigMap or the Secret of the environment", variable.Name)
		}
		for _, m := range container.VolumeMounts {
			for _, v := range spec.Template.Spec.Volumes {
				if v.Name == m.Name && v.EmptyDir != nil && !m.ReadOnly {
					mounted[m.MountPath] = true
				}
			}
		}
	}
	if dir := t.env["OH_PERSISTENCE_DIR"]; !mounted[dir] {
		t.report("the server cannot write to its directory %q, and does not start", dir)
	}
}

// checkIdentity follows the server to its Google service account, by way of the binding that names its Kubernetes service account, and to the bucket.
func (t *conversation) checkIdentity() {
	account := t.Find(types.KubernetesAccount, t.Namespace+"/"+t.Spec.Template.Spec.ServiceAccountName)
	if account == nil {
		t.report("the server has no service account of its own")
		return
	}
	email := account.Inputs.Labels("metadata.annotations")["iam.gke.io/gcp-service-account"]
	suffix := fmt.Sprintf("[%s/%s]", t.Namespace, t.Spec.Template.Spec.ServiceAccountName)
	bound := slices.ContainsFunc(t.All(types.AccountMember), func(o *cloud.Object) bool {
		return strings.HasSuffix(o.Inputs.Str("serviceAccountId"), "/"+email) && strings.HasSuffix(o.Inputs.Str("member"), suffix)
	})
	if email == "" || !bound {
		t.report("the server's service account %s may not act as %q: no binding names it", suffix, email)
	}
	t.checkBucket("serviceAccount:" + email)
}

// checkBucket compares who may use the bucket with who should: the server, and the project's owners.
func (t *conversation) checkBucket(server string) {
	bucket := t.env["FILE_STORE_PATH"]
	policy := t.BucketBindings(bucket)
	if !slices.Contains(policy["roles/storage.objectUser"], server) {
		t.report("%s may not use the bucket %q of FILE_STORE_PATH", server, bucket)
	}
	for role, members := range policy {
		for _, member := range members {
			if member != server && member != "projectOwner:"+t.Project {
				t.report("%s may use the bucket %q, in which people's LLM keys and git tokens are in clear: it has %s", member, bucket, role)
			}
		}
	}
}

// checkData looks for the file store and the database that the environment names.
func (t *conversation) checkData() {
	if t.env["FILE_STORE"] != "google_cloud" {
		t.report("FILE_STORE is %q, and not google_cloud: every session is lost at the next restart", t.env["FILE_STORE"])
	}
	instance := ""
	for _, o := range t.All(types.SQLInstance) {
		if o.Outputs.Str("privateIpAddress") == t.env["DB_HOST"] {
			instance = o.ID
		}
	}
	if instance == "" {
		t.report("DB_HOST %q is the private address of no database", t.env["DB_HOST"])
		return
	}
	if t.Find(types.SQLDatabase, fmt.Sprintf("projects/%s/instances/%s/databases/%s", t.Project, instance, t.env["DB_NAME"])) == nil {
		t.report("DB_NAME %q does not exist", t.env["DB_NAME"])
	}
	user := t.Find(types.SQLUser, t.env["DB_USER"]+"//"+instance)
	if user == nil || user.Inputs.Str("password") != t.env["DB_PASS"] {
		t.report("DB_USER %q does not exist, or has another password than DB_PASS", t.env["DB_USER"])
	}
}
