package checks

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/release"
)

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
	requests, err := t.requests()
	if err != nil {
		t.report("a sandbox cannot be created: %v", err)
		return
	}
	selector := map[string]string{t.env["KUBERNETES_NODE_SELECTOR_KEY"]: t.env["KUBERNETES_NODE_SELECTOR_VAL"]}
	pool, err := kubernetes.Schedule(t.Inventory, selector, tolerations, requests)
	switch {
	case err != nil:
		t.report("a sandbox stays pending: %v", err)
	case pool.Inputs.Str("nodeConfig.sandboxConfig.sandboxType") != "gvisor":
		t.report("a sandbox lands on pool %s, which has no gVisor", pool.Outputs.Str("name"))
	}
	if class := t.env["KUBERNETES_PVC_STORAGE_CLASS"]; !slices.Contains(kubernetes.StorageClasses, class) {
		t.report("a sandbox's volume stays pending: there is no class %q", class)
	}
	if err == nil && !t.fewNodes {
		t.checkZones(pool.Outputs.Str("name"), namespace, requests)
	}
	t.checkAdmission(namespace)
	t.checkQuota(namespace)
	t.checkIngressClass()
	of, known := release.Find(release.Server, t.Labels["app.kubernetes.io/version"])
	if !known {
		t.report("the server does not say which release it is: nothing could tell later whether there is a way back from it")
	} else if err := of.CheckSandboxImage(t.env["SANDBOX_RUNTIME_CONTAINER_IMAGE"]); err != nil {
		t.report("SANDBOX_RUNTIME_CONTAINER_IMAGE: %v", err)
	}
}

// requests are what the runtime asks for, for a sandbox.
func (t *conversation) requests() (corev1.ResourceList, error) {
	list := corev1.ResourceList{}
	for name, variable := range map[corev1.ResourceName]string{
		corev1.ResourceCPU: "KUBERNETES_RESOURCE_CPU_REQUEST", corev1.ResourceMemory: "KUBERNETES_RESOURCE_MEMORY_REQUEST",
	} {
		quantity, err := resource.ParseQuantity(t.env[variable])
		if err != nil {
			return nil, fmt.Errorf("%s is %q: %w", variable, t.env[variable], err)
		}
		list[name] = quantity
	}
	return list, nil
}

// checkZones looks for a node for every sandbox in the zone of its workspace, wherever the workspaces are: a persistent disk is in one zone, and its pod
// waits for a node there, however many others are free. A placeholder makes way on its own node, so that it is in nobody's way in a cluster of one zone
// only.
func (t *conversation) checkZones(name, namespace string, requests corev1.ResourceList) {
	most, err := strconv.Atoi(t.env["MAX_CONCURRENT_CONVERSATIONS"])
	if err != nil {
		return // checkQuota says so
	}
	for _, pool := range kubernetes.NodePools(t.Inventory) {
		if pool.Name != name {
			continue
		}
		if pool.Zones > 1 {
			most += t.placeholders(namespace)
		}
		perNode := pool.PerNode(requests)
		if needed := kubernetes.NodesAnywhere(most, perNode, pool.Zones); needed > pool.Nodes {
			t.report("a conversation that is continued finds no node in the zone of its workspace: %d pods at %d a node can need %d nodes in %d "+
				"zones, and pool %s may have %d",
				most, perNode, needed, pool.Zones, name, pool.Nodes)
		}
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
