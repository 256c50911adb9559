package checks

import (
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
)

// gkeStorageClasses are those that GKE makes in every cluster.
var gkeStorageClasses = []string{"standard", "standard-rwo", "premium-rwo"}

// checkSandbox follows the pod that the runtime creates.
func (t *conversation) checkSandbox() {
	namespace := t.env["KUBERNETES_NAMESPACE"]
	o := t.Find(types.Namespace, namespace)
	if o == nil || namespace == t.Namespace {
		t.report("sandboxes have no namespace of their own (KUBERNETES_NAMESPACE %q)", namespace)
		return
	}
	if level := o.Inputs.Labels("metadata.labels")["pod-security.kubernetes.io/enforce"]; level != "baseline" {
		t.report("the namespace of the sandboxes enforces Pod Security %q, not baseline", level)
	}
	var tolerations []corev1.Toleration
	if err := yaml.Unmarshal([]byte(t.env["KUBERNETES_TOLERATIONS_YAML"]), &tolerations); err != nil {
		t.report("KUBERNETES_TOLERATIONS_YAML is not a list of tolerations: %v", err)
	}
	pool, err := kubernetes.Schedule(t.Inventory, map[string]string{t.env["KUBERNETES_NODE_SELECTOR_KEY"]: t.env["KUBERNETES_NODE_SELECTOR_VAL"]}, tolerations)
	switch {
	case err != nil:
		t.report("a sandbox stays pending: %v", err)
	case pool.Inputs.Str("nodeConfig.sandboxConfig.sandboxType") != "gvisor":
		t.report("a sandbox lands on pool %s, which has no gVisor", pool.Outputs.Str("name"))
	}
	if class := t.env["KUBERNETES_PVC_STORAGE_CLASS"]; !slices.Contains(gkeStorageClasses, class) {
		t.report("a sandbox's volume stays pending: there is no class %q", class)
	}
	t.checkAdmission(namespace)
	t.checkQuota(namespace)
	t.checkIngressClass()
	if image := t.env["SANDBOX_RUNTIME_CONTAINER_IMAGE"]; !strings.Contains(image, "@sha256:") && !strings.Contains(image, ":0.62") {
		t.report("SANDBOX_RUNTIME_CONTAINER_IMAGE is %q: it needs a tag of release 0.62, as the server is, or a digest", image)
	}
}

// checkQuota compares the quota of pods with the number of conversations.
func (t *conversation) checkQuota(namespace string) {
	quota := ""
	for _, o := range t.All(types.ResourceQuota) {
		if o.Inputs.Str("metadata.namespace") == namespace {
			quota = o.Inputs.Labels("spec.hard")["pods"]
		}
	}
	// Two more: a pod that is closed for a new conversation counts until it is gone.
	most, err := strconv.Atoi(t.env["MAX_CONCURRENT_CONVERSATIONS"])
	if err != nil || quota != strconv.Itoa(most+2+t.placeholders(namespace)) {
		t.report("the quota is of %q pods, and MAX_CONCURRENT_CONVERSATIONS is %q: two more are needed, and room for placeholders",
			quota, t.env["MAX_CONCURRENT_CONVERSATIONS"])
	}
}

// placeholders counts the pods that keep nodes warm.
func (t *conversation) placeholders(namespace string) int {
	count := 0
	for _, o := range t.All(types.Deployment) {
		if d := kubernetes.DecodeAs[*appsv1.Deployment](o); d.Namespace == namespace && d.Spec.Replicas != nil {
			count += int(*d.Spec.Replicas)
		}
	}
	return count
}

// checkIngressClass looks for the one default class, which GKE must not serve. With two, an Ingress gets the newer one, and the admission policy of the
// sandboxes refuses it where that is not their own.
func (t *conversation) checkIngressClass() {
	unserved, defaults := false, 0
	for _, o := range t.All(types.IngressClass) {
		if o.Inputs.Labels("metadata.annotations")["ingressclass.kubernetes.io/is-default-class"] == "true" {
			defaults++
			unserved = unserved || !strings.Contains(o.Inputs.Str("spec.controller"), "gce")
		}
	}
	if !unserved {
		t.report("GKE builds a public load balancer for every conversation: no default IngressClass takes their Ingresses away from it")
	}
	if defaults > 1 {
		t.report("the cluster has %d default IngressClasses, and an Ingress gets the newest: a cluster has room for one OpenHandsApp with sandboxes", defaults)
	}
}
