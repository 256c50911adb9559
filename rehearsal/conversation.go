package rehearsal

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// runtimeCalls are the calls that the Kubernetes runtime of OpenHands 0.62 makes in the namespace of the sandboxes, and no others
// (openhands/runtime/impl/kubernetes/kubernetes_runtime.py).
var runtimeCalls = map[string][]string{
	"pods":                        {"create", "delete", "get"},
	"services":                    {"create", "delete"},
	"persistentvolumeclaims":      {"create", "delete", "get"},
	"networking.k8s.io/ingresses": {"create", "delete"},
}

// CheckConversation plays through what happens when somebody starts a conversation, with the objects that are in the cloud: what the server reads from its
// environment, whom it reaches, and the pod that its Kubernetes runtime creates. It returns what would go wrong. With a remote runtime there is no pod
// to look at.
func (c *Cloud) CheckConversation() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &conversation{cloud: c}
	servers := c.servers()
	if len(servers) != 1 {
		return []string{fmt.Sprintf("there are %d servers, and conversations live in the memory of one", len(servers))}
	}
	t.readServer(servers[0])
	t.checkServer()
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

// servers are the Deployments of the application, which are those that say where its files are.
func (c *Cloud) servers() []*object {
	return slices.DeleteFunc(c.all(deploymentType), func(o *object) bool {
		t := &conversation{cloud: c}
		t.readServer(o)
		return t.env["FILE_STORE"] == ""
	})
}

type conversation struct {
	cloud    *Cloud
	server   *appsv1.Deployment
	env      map[string]string
	problems []string
}

func (t *conversation) report(format string, args ...any) {
	t.problems = append(t.problems, fmt.Sprintf(format, args...))
}

func decodeAs[T any](o *object) T {
	var zero T
	decoded, err := decodeObject(o.typ, o.inputs)
	if err != nil {
		return zero // it was decoded when it was created
	}
	typed, ok := decoded.(T)
	if !ok {
		return zero
	}
	return typed
}

// readServer reads the Deployment and its environment.
func (t *conversation) readServer(o *object) {
	t.server = decodeAs[*appsv1.Deployment](o)
	t.env = map[string]string{}
	for _, container := range t.server.Spec.Template.Spec.Containers {
		for _, from := range container.EnvFrom {
			if from.ConfigMapRef != nil {
				if m := t.cloud.find(configMapType, t.server.Namespace+"/"+from.ConfigMapRef.Name); m != nil {
					maps.Copy(t.env, labelsOf(m.inputs, "data"))
				}
			}
			if from.SecretRef != nil {
				if s := t.cloud.find(secretType, t.server.Namespace+"/"+from.SecretRef.Name); s != nil {
					maps.Copy(t.env, labelsOf(s.inputs, "stringData"))
				}
			}
		}
	}
}

func (t *conversation) checkServer() {
	spec := t.server.Spec
	if spec.Replicas == nil || *spec.Replicas != 1 || spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.report("the server must have one replica and the strategy Recreate: conversations live in the memory of one process")
	}
	mounted := map[string]bool{}
	for _, container := range spec.Template.Spec.Containers {
		if strings.HasSuffix(container.Image, ":latest") || !strings.ContainsAny(container.Image[strings.LastIndex(container.Image, "/")+1:], ":@") {
			t.report("the server's image %s may be another one tomorrow", container.Image)
		}
		for _, variable := range container.Env {
			t.report("variable %s is set beside the closed list", variable.Name)
		}
		for _, m := range container.VolumeMounts {
			for _, v := range spec.Template.Spec.Volumes {
				if v.Name == m.Name && v.EmptyDir != nil && !m.ReadOnly {
					mounted[m.MountPath] = true
				}
			}
		}
	}
	if state := t.env["OH_PERSISTENCE_DIR"]; !mounted[state] {
		t.report("the server cannot write to its directory %q, and does not start", state)
	}
	// Who the server is for Google: the binding names its Kubernetes service account.
	account := t.cloud.find(kubeAccountType, t.server.Namespace+"/"+spec.Template.Spec.ServiceAccountName)
	if account == nil {
		t.report("the server has no service account of its own")
		return
	}
	email := labelsOf(account.inputs, "metadata.annotations")["iam.gke.io/gcp-service-account"]
	suffix := fmt.Sprintf("[%s/%s]", t.server.Namespace, spec.Template.Spec.ServiceAccountName)
	bound := slices.ContainsFunc(t.cloud.all(accountMemberType), func(o *object) bool {
		return strings.HasSuffix(o.inputs.str("serviceAccountId"), "/"+email) && strings.HasSuffix(o.inputs.str("member"), suffix)
	})
	if email == "" || !bound {
		t.report("the server's service account %s may not act as %q: no binding names it", suffix, email)
	}
	if !slices.ContainsFunc(t.cloud.all(bucketMemberType), func(o *object) bool {
		return o.inputs.str("member") == "serviceAccount:"+email && o.inputs.str("bucket") == t.env["FILE_STORE_PATH"]
	}) {
		t.report("%q may not use the bucket %q of FILE_STORE_PATH", email, t.env["FILE_STORE_PATH"])
	}
}

// checkData looks for what the environment names.
func (t *conversation) checkData() {
	if t.env["FILE_STORE"] != "google_cloud" {
		t.report("FILE_STORE %q is memory, and every session is lost at the next restart", t.env["FILE_STORE"])
	}
	instance := ""
	for _, o := range t.cloud.all(sqlInstanceType) {
		if o.outputs.str("privateIpAddress") == t.env["DB_HOST"] {
			instance = o.id
		}
	}
	if instance == "" {
		t.report("DB_HOST %q is the private address of no database", t.env["DB_HOST"])
		return
	}
	if t.cloud.find(sqlDatabaseType, fmt.Sprintf("projects/%s/instances/%s/databases/%s", t.cloud.project, instance, t.env["DB_NAME"])) == nil {
		t.report("DB_NAME %q does not exist", t.env["DB_NAME"])
	}
	user := t.cloud.find(sqlUserType, t.env["DB_USER"]+"//"+instance)
	if user == nil || user.inputs.str("password") != t.env["DB_PASS"] {
		t.report("DB_USER %q does not exist, or has another password than DB_PASS", t.env["DB_USER"])
	}
}

// allowed returns what a service account may do, in the namespace of the sandboxes and nowhere else.
func (t *conversation) allowed(namespace, account string) map[string][]string {
	allowed := map[string][]string{}
	for _, o := range t.cloud.all(roleBindingType) {
		binding := decodeAs[*rbacv1.RoleBinding](o)
		for _, s := range binding.Subjects {
			if s.Namespace != namespace || s.Name != account {
				continue
			}
			if binding.Namespace != t.env["KUBERNETES_NAMESPACE"] {
				t.report("service account %s may do something in namespace %s", account, binding.Namespace)
				continue
			}
			role := decodeAs[*rbacv1.Role](t.cloud.find(roleType, binding.Namespace+"/"+binding.RoleRef.Name))
			for _, rule := range role.Rules {
				for _, resource := range rule.Resources {
					name := strings.TrimPrefix(strings.Join(rule.APIGroups, ",")+"/"+resource, "/")
					allowed[name] = slices.Sorted(slices.Values(append(allowed[name], rule.Verbs...)))
				}
			}
		}
	}
	return allowed
}

// checkRole compares what the server's service account may do with what the runtime does.
func (t *conversation) checkRole() {
	if allowed := t.allowed(t.server.Namespace, t.server.Spec.Template.Spec.ServiceAccountName); fmt.Sprint(allowed) != fmt.Sprint(runtimeCalls) {
		t.report("the server may do %v to sandboxes, and its runtime does %v", allowed, runtimeCalls)
	}
	if a := t.server.Spec.Template.Spec.AutomountServiceAccountToken; a != nil && !*a {
		t.report("the server has no token, and its runtime cannot call the API server")
	}
}

// checkSandbox follows the pod that the runtime creates.
func (t *conversation) checkSandbox() {
	namespace := t.env["KUBERNETES_NAMESPACE"]
	o := t.cloud.find(namespaceType, namespace)
	if o == nil || namespace == t.server.Namespace {
		t.report("sandboxes have no namespace of their own (KUBERNETES_NAMESPACE %q)", namespace)
		return
	}
	if level := labelsOf(o.inputs, "metadata.labels")["pod-security.kubernetes.io/enforce"]; level != "baseline" {
		t.report("the namespace of the sandboxes enforces Pod Security %q, not baseline", level)
	}
	var tolerations []corev1.Toleration
	if err := yaml.Unmarshal([]byte(t.env["KUBERNETES_TOLERATIONS_YAML"]), &tolerations); err != nil {
		t.report("KUBERNETES_TOLERATIONS_YAML is not a list of tolerations: %v", err)
	}
	pool, err := t.cloud.schedule(map[string]string{t.env["KUBERNETES_NODE_SELECTOR_KEY"]: t.env["KUBERNETES_NODE_SELECTOR_VAL"]}, tolerations)
	switch {
	case err != nil:
		t.report("a sandbox stays pending: %v", err)
	case pool.inputs.str("nodeConfig.sandboxConfig.sandboxType") != "gvisor":
		t.report("a sandbox lands on pool %s, which has no gVisor", pool.outputs.str("name"))
	}
	if class := t.env["KUBERNETES_PVC_STORAGE_CLASS"]; !slices.Contains(gkeStorageClasses, class) && t.cloud.find(storageClassType, class) == nil {
		t.report("a sandbox's volume stays pending: there is no class %q", class)
	}
	t.checkAdmission(namespace)
	quota := ""
	for _, o := range t.cloud.all(quotaType) {
		if o.inputs.str("metadata.namespace") == namespace {
			quota = labelsOf(o.inputs, "spec.hard")["pods"]
		}
	}
	// Two more: a pod that is closed for a new conversation counts until it is gone.
	most, err := strconv.Atoi(t.env["MAX_CONCURRENT_CONVERSATIONS"])
	if err != nil || quota != strconv.Itoa(most+2+t.placeholders(namespace)) {
		t.report("the quota is of %q pods, and MAX_CONCURRENT_CONVERSATIONS is %q: two more are needed, and room for placeholders", quota, t.env["MAX_CONCURRENT_CONVERSATIONS"])
	}
	unserved := slices.ContainsFunc(t.cloud.all(ingressClassType), func(o *object) bool {
		return labelsOf(o.inputs, "metadata.annotations")["ingressclass.kubernetes.io/is-default-class"] == "true" && !strings.Contains(o.inputs.str("spec.controller"), "gce")
	})
	if !unserved {
		t.report("GKE builds a public load balancer for every conversation: no default IngressClass takes their Ingresses away from it")
	}
	if image := t.env["SANDBOX_RUNTIME_CONTAINER_IMAGE"]; !strings.Contains(image, "@sha256:") && !strings.Contains(image, ":0.62") {
		t.report("SANDBOX_RUNTIME_CONTAINER_IMAGE %q is not of the server's line", t.env["SANDBOX_RUNTIME_CONTAINER_IMAGE"])
	}
}

// placeholders counts the pods that keep nodes warm.
func (t *conversation) placeholders(namespace string) int {
	count := 0
	for _, o := range t.cloud.all(deploymentType) {
		if d := decodeAs[*appsv1.Deployment](o); d.Namespace == namespace && d.Spec.Replicas != nil {
			count += int(*d.Spec.Replicas)
		}
	}
	return count
}

// checkCleanup looks for who removes what a crash leaves: it must reach the server, and may do no more than it does.
func (t *conversation) checkCleanup() {
	jobs := t.cloud.all(cronJobType)
	if len(jobs) != 1 {
		t.report("nothing removes the sandboxes that a crash leaves")
		return
	}
	job := decodeAs[*batchv1.CronJob](jobs[0])
	template := job.Spec.JobTemplate.Spec.Template
	env := map[string]string{}
	for _, container := range template.Spec.Containers {
		for _, v := range container.Env {
			env[v.Name] = v.Value
		}
	}
	if env["SANDBOX_NAMESPACE"] != t.env["KUBERNETES_NAMESPACE"] {
		t.report("the clean-up looks at namespace %q", env["SANDBOX_NAMESPACE"])
	}
	url := ""
	for _, o := range t.cloud.all(kubeServiceType) {
		if maps.Equal(labelsOf(o.inputs, "spec.selector"), t.server.Spec.Selector.MatchLabels) {
			url = fmt.Sprintf("http://%s.%s.svc.cluster.local:3000", o.inputs.str("metadata.name"), o.inputs.str("metadata.namespace"))
		}
	}
	if env["SERVER_URL"] != url {
		t.report("the clean-up asks %q, and the server is at %q", env["SERVER_URL"], url)
	}
	if allowed := t.allowed(job.Namespace, template.Spec.ServiceAccountName); fmt.Sprint(allowed) != fmt.Sprint(cleanupCalls) {
		t.report("the clean-up may do %v to sandboxes, and it does %v", allowed, cleanupCalls)
	}
}

// cleanupCalls are those of the clean-up.
var cleanupCalls = map[string][]string{
	"pods":                        {"delete", "get", "list", "patch"},
	"services":                    {"delete", "list", "patch"},
	"persistentvolumeclaims":      {"delete", "list", "patch"},
	"networking.k8s.io/ingresses": {"delete", "list", "patch"},
}

// checkAdmission looks for what the runtime cannot set itself: gVisor, no token, and a restart in place.
func (t *conversation) checkAdmission(namespace string) {
	tokenless := slices.ContainsFunc(t.cloud.all(accountPatchType), func(o *object) bool {
		return o.id == namespace+"/default" && o.inputs.at("automountServiceAccountToken") == false
	})
	if !tokenless {
		t.report("the default service account of %s hands its token to every sandbox", namespace)
	}
	gvisor := false
	for _, o := range t.cloud.all(mutationTargetType) {
		policy := t.cloud.find(mutationType, o.inputs.str("spec.policyName"))
		if policy == nil || labelsOf(o.inputs, "spec.matchResources.namespaceSelector.matchLabels")["kubernetes.io/metadata.name"] != namespace {
			continue
		}
		text := fmt.Sprint(policy.inputs.at("spec.mutations"))
		gvisor = gvisor || (strings.Contains(text, `runtimeClassName: "gvisor"`) && strings.Contains(text, "automountServiceAccountToken: false") &&
			strings.Contains(text, `restartPolicy: "Always"`))
	}
	for _, resource := range []string{"pods", "ingresses"} {
		if !t.validated(namespace, resource) {
			t.report("no policy refuses wrong %s in %s", resource, namespace)
		}
	}
	if !gvisor {
		t.report("no policy puts the pods of %s into gVisor, takes their token and lets them come back when they are killed", namespace)
	}
}

// validated reports whether a policy that denies is bound to a kind of object in a namespace.
func (t *conversation) validated(namespace, resource string) bool {
	for _, o := range t.cloud.all(validationTargetType) {
		binding := decodeAs[*admissionv1.ValidatingAdmissionPolicyBinding](o)
		policy := t.cloud.find(validationType, binding.Spec.PolicyName)
		if policy == nil || !slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny) ||
			labelsOf(o.inputs, "spec.matchResources.namespaceSelector.matchLabels")["kubernetes.io/metadata.name"] != namespace {
			continue
		}
		spec := decodeAs[*admissionv1.ValidatingAdmissionPolicy](policy).Spec
		if spec.FailurePolicy == nil || *spec.FailurePolicy != admissionv1.Fail || spec.MatchConstraints == nil {
			continue
		}
		for _, rule := range spec.MatchConstraints.ResourceRules {
			if slices.Contains(rule.Resources, resource) {
				return true
			}
		}
	}
	return false
}
