package checks

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"openhands-gcp/infra/app/cleanup"
	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// instance is a StatefulSet of Agent Canvas in what exists.
type instance struct {
	*appsv1.StatefulSet
	spec      *corev1.PodSpec
	container corev1.Container
}

// instances are the StatefulSets whose pod is told the worktrees' place, as only Agent Canvas is.
func instances(inventory *cloud.Inventory) []instance {
	var out []instance
	for _, o := range inventory.All(types.StatefulSet) {
		set := kubernetes.DecodeAs[*appsv1.StatefulSet](o)
		for _, container := range set.Spec.Template.Spec.Containers {
			if slices.ContainsFunc(container.Env, func(v corev1.EnvVar) bool { return v.Name == "OH_CONVERSATION_WORKTREE_ROOT" }) {
				out = append(out, instance{set, &set.Spec.Template.Spec, container})
			}
		}
	}
	return out
}

// Instances follows what a person does in an instance, with the objects that are in the cloud: the pod that starts, what it keeps, and whom it, and its agent,
// reach. It returns what would go wrong.
func Instances(inventory *cloud.Inventory) []string {
	t := &instanceCheck{Inventory: inventory, doors: doors(inventory)}
	for _, o := range inventory.All(types.NetworkPolicy) {
		t.policies = append(t.policies, kubernetes.DecodeAs[*networkingv1.NetworkPolicy](o))
	}
	all := instances(inventory)
	if len(all) == 0 {
		return []string{"there is no instance"}
	}
	volumes := map[string]string{}
	for _, i := range all {
		t.checkPod(i)
		t.checkFiles(i, volumes)
		t.checkSecrets(i)
		t.checkWays(i)
	}
	t.checkKeys(all)
	t.checkVolumeCleanup(all[0].Namespace)
	slices.Sort(t.problems)
	return t.problems
}

type instanceCheck struct {
	*cloud.Inventory
	doors    []door
	policies []*networkingv1.NetworkPolicy
	problems []string
}

func (t *instanceCheck) report(format string, args ...any) {
	t.problems = append(t.problems, fmt.Sprintf(format, args...))
}

// checkPod looks for what keeps the agent in its pod, and the pod whole.
func (t *instanceCheck) checkPod(i instance) {
	pod := i.spec
	pool, err := kubernetes.Schedule(t.Inventory, pod.NodeSelector, pod.Tolerations, i.container.Resources.Requests)
	switch {
	case err != nil:
		t.report("instance %s stays pending: %v", i.Name, err)
	case pod.RuntimeClassName == nil || *pod.RuntimeClassName != "gvisor" || pool.Inputs.Str("nodeConfig.sandboxConfig.sandboxType") != "gvisor":
		t.report("instance %s does not run in gVisor: whatever its agent runs is beside the node's kernel", i.Name)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.report("instance %s has a token of Kubernetes, and so has its agent", i.Name)
	}
	if account := t.Find(types.KubernetesAccount, i.Namespace+"/"+pod.ServiceAccountName); account != nil &&
		account.Inputs.Labels("metadata.annotations")["iam.gke.io/gcp-service-account"] != "" {
		t.report("instance %s has an identity of Google's, and so has its agent", i.Name)
	}
	if o := t.Find(types.Namespace, i.Namespace); o == nil || o.Inputs.Labels("metadata.labels")["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.report("the namespace of instance %s does not enforce the level restricted of Pod Security", i.Name)
	}
	if replicas := i.Spec.Replicas; replicas != nil && *replicas > 1 {
		t.report("instance %s has %d pods, which write to the same files", i.Name, *replicas)
	}
	if grace := pod.TerminationGracePeriodSeconds; grace == nil || *grace < 60 {
		t.report("instance %s is killed in less than 60 s, and takes 26 to stop while a command runs", i.Name)
	}
	if limits := i.container.Resources.Limits; limits.Memory().IsZero() || limits.StorageEphemeral().IsZero() || limits.Cpu().IsZero() {
		t.report("instance %s has no limit of memory, CPU or the node's disk: its neighbours suffer", i.Name)
	}
	if i.container.LivenessProbe == nil || i.container.StartupProbe == nil || i.container.ReadinessProbe == nil {
		t.report("instance %s lacks a probe: its container goes on when its agent's server has died", i.Name)
	}
	if !strings.ContainsAny(i.container.Image[strings.LastIndex(i.container.Image, "/")+1:], ":@") || strings.HasSuffix(i.container.Image, ":latest") {
		t.report("the image %s of instance %s may be another one tomorrow", i.container.Image, i.Name)
	}
}

// checkFiles looks for the directories that must be writable, and for those that must outlive the pod, on a volume of its own. volumes are those that other
// instances have.
func (t *instanceCheck) checkFiles(i instance, volumes map[string]string) {
	kept, writable := map[string]bool{}, map[string]bool{}
	for _, mount := range i.container.VolumeMounts {
		for _, v := range i.spec.Volumes {
			if v.Name != mount.Name || mount.ReadOnly {
				continue
			}
			writable[mount.MountPath] = true
			if v.PersistentVolumeClaim != nil {
				kept[mount.MountPath] = true
				claim := v.PersistentVolumeClaim.ClaimName
				if other, taken := volumes[claim]; taken && other != i.Name {
					t.report("instances %s and %s have the same volume %s", other, i.Name, claim)
				}
				volumes[claim] = i.Name
			}
		}
	}
	home := i.variable("HOME")
	for _, directory := range []string{"/tmp", home} {
		if !writable[directory] {
			t.report("instance %s cannot write to %q, and lacks tools", i.Name, directory)
		}
	}
	for _, directory := range []string{home + "/.openhands", home + "/workspace"} {
		if !kept[directory] {
			t.report("instance %s loses %s with its pod", i.Name, directory)
		}
	}
	if root := i.variable("OH_CONVERSATION_WORKTREE_ROOT"); !strings.HasPrefix(root, home+"/workspace/") {
		t.report("instance %s loses the work in %s with its pod", i.Name, root)
	}
}

func (i instance) variable(name string) string {
	for _, v := range i.container.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

// checkSecrets looks for secrets that are not the instance's own: its agent reads all that is in the pod.
func (t *instanceCheck) checkSecrets(i instance) {
	var names []string
	for _, from := range i.container.EnvFrom {
		if from.SecretRef == nil {
			continue
		}
		names = append(names, from.SecretRef.Name)
		if secret := t.Find(types.Secret, i.Namespace+"/"+from.SecretRef.Name); secret != nil {
			if keys := slices.Sorted(maps.Keys(secret.Inputs.Labels("stringData"))); !slices.Equal(keys, []string{"LOCAL_BACKEND_API_KEY"}) {
				t.report("instance %s has the secrets %v, and its agent reads them: it needs LOCAL_BACKEND_API_KEY", i.Name, keys)
			}
		}
	}
	for _, v := range i.spec.Volumes {
		if v.Secret != nil || v.Projected != nil {
			names = append(names, v.Name)
		}
	}
	if !slices.Equal(names, []string{i.Name}) {
		t.report("instance %s has secrets of %v, and must have its own", i.Name, names)
	}
}

// forbidden are addresses that no instance may reach: the metadata server, the control plane and private networks, on whatever port. Open are some that it
// needs.
var (
	forbidden = []string{"169.254.169.254", "172.16.0.2", "10.0.0.2", "10.16.0.9", "192.168.0.1"}
	neighbour = map[string]string{"app.kubernetes.io/component": "instance"}
)

// checkWays looks at who may call an instance, the door only, and at what it may call.
func (t *instanceCheck) checkWays(i instance) {
	denied, fromDoor := false, false
	for _, policy := range t.policies {
		if policy.Namespace != i.Namespace {
			continue
		}
		selector := policy.Spec.PodSelector.MatchLabels
		if len(selector) == 0 && len(policy.Spec.Ingress)+len(policy.Spec.Egress) == 0 && len(policy.Spec.PolicyTypes) == 2 {
			denied = true
		}
		if len(selector) > 0 && !kubernetes.Selects(selector, i.Spec.Template.Labels) {
			continue
		}
		for _, rule := range policy.Spec.Ingress {
			if len(rule.From) == 0 {
				t.report("everything may call instance %s", i.Name)
			}
			for _, peer := range rule.From {
				if !t.isDoor(peer) {
					t.report("others than the door may call instance %s (NetworkPolicy %s)", i.Name, policy.Name)
				}
				fromDoor = fromDoor || t.isDoor(peer)
			}
			for _, port := range rule.Ports {
				if port.Port == nil || port.Port.IntVal != i.port() {
					t.report("the door may call instance %s at other ports than %d: editor and agent listen there without asking for a key", i.Name, i.port())
				}
			}
		}
		for _, rule := range policy.Spec.Egress {
			t.checkEgress(i, rule)
		}
	}
	if !denied {
		t.report("namespace %s has no policy that denies everything", i.Namespace)
	}
	if !fromDoor {
		t.report("the door cannot reach instance %s", i.Name)
	}
}

// checkEgress reports what of the cluster, and of private networks, a rule lets an instance reach. DNS is another matter.
func (t *instanceCheck) checkEgress(i instance, rule networkingv1.NetworkPolicyEgressRule) {
	dns := len(rule.Ports) > 0 && !slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port == nil || p.Port.IntVal != 53 })
	if dns {
		return
	}
	if len(rule.To) == 0 {
		t.report("instance %s may call everything", i.Name)
	}
	for _, peer := range rule.To {
		if peer.IPBlock == nil {
			t.report("instance %s may call pods", i.Name)
			continue
		}
		for _, address := range forbidden {
			if contains(peer.IPBlock.CIDR, address) && !slices.ContainsFunc(peer.IPBlock.Except, func(cidr string) bool { return contains(cidr, address) }) {
				t.report("instance %s may call %s", i.Name, address)
			}
		}
	}
}

// contains says whether an address is in a range.
func contains(cidr, address string) bool {
	prefix, err := netip.ParsePrefix(cidr)
	return err == nil && prefix.Contains(netip.MustParseAddr(address))
}

// isDoor says whether a peer is the pods of the door, and of nothing else.
func (t *instanceCheck) isDoor(peer networkingv1.NetworkPolicyPeer) bool {
	return peer.IPBlock == nil && slices.ContainsFunc(t.doors, func(d door) bool {
		return names([]networkingv1.NetworkPolicyPeer{peer}, d.Namespace, d.Spec.Template.Labels) && !kubernetes.Selects(peer.PodSelector.MatchLabels, neighbour)
	})
}

func (i instance) port() int32 {
	for _, port := range i.container.Ports {
		return port.ContainerPort
	}
	return 0
}

// checkKeys follows the door to each instance: that it leads there, by a Service that is the instance's, and has its key.
func (t *instanceCheck) checkKeys(all []instance) {
	for _, d := range t.doors {
		keys, mount := t.keysOf(d)
		var clusters values.Map
		if json.Unmarshal([]byte(d.files["clusters.json"]), &clusters) != nil {
			t.report("the door leads nowhere")
			return
		}
		addresses := map[string]string{}
		for _, cluster := range clusters.Maps("resources") {
			for _, endpoints := range cluster.Maps("load_assignment.endpoints") {
				for _, endpoint := range endpoints.Maps("lb_endpoints") {
					addresses[cluster.Str("name")] = endpoint.Str("endpoint.address.socket_address.address")
				}
			}
		}
		files := map[string]string{}
		for _, l := range d.bootstrap.Maps("static_resources.listeners") {
			for host, route := range d.hosts(doorListener{l}) {
				settings, _ := route.At("metadata.filter_metadata").(map[string]any)
				key, _ := settings["key"].(map[string]any)
				files[route.Str("route.cluster")] = values.Map(key).Str("file")
				if name, _, _ := strings.Cut(host, "."); name != route.Str("route.cluster") {
					t.report("the door leads %s to instance %s", host, route.Str("route.cluster"))
				}
			}
		}
		for _, i := range all {
			if want := fmt.Sprintf("%s.%s.svc.cluster.local", i.Name, i.Namespace); addresses[i.Name] != want {
				t.report("the door finds instance %s at %q, and it is at %s", i.Name, addresses[i.Name], want)
			}
			own := t.Find(types.Secret, i.Namespace+"/"+i.Name)
			if file := files[i.Name]; own == nil || file != mount+"/"+i.Name || keys[i.Name] != own.Inputs.Labels("stringData")["LOCAL_BACKEND_API_KEY"] {
				t.report("the door has not the key of instance %s", i.Name)
			}
			var selector map[string]string
			if service := t.Find(types.KubernetesService, i.Namespace+"/"+i.Name); service != nil {
				selector = service.Inputs.Labels("spec.selector")
			}
			if !kubernetes.Selects(selector, i.Spec.Template.Labels) {
				t.report("Service %s/%s does not lead to instance %[2]s", i.Namespace, i.Name)
			}
			for _, other := range all {
				if other.Name != i.Name && kubernetes.Selects(selector, other.Spec.Template.Labels) {
					t.report("Service %s/%s leads to instance %s too", i.Namespace, i.Name, other.Name)
				}
			}
		}
	}
}

// keysOf are the keys that a door has, by file, and where it has them.
func (t *instanceCheck) keysOf(d door) (keys map[string]string, mount string) {
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.Secret == nil {
			continue
		}
		if o := t.Find(types.Secret, d.Namespace+"/"+v.Secret.SecretName); o != nil {
			keys = o.Inputs.Labels("stringData")
		}
		for _, container := range d.Spec.Template.Spec.Containers {
			for _, m := range container.VolumeMounts {
				if m.Name == v.Name {
					mount = m.MountPath
				}
			}
		}
	}
	return keys, mount
}

// checkVolumeCleanup looks for the job by which no volume is billed for ever unseen. It must have no more permissions than it uses.
func (t *instanceCheck) checkVolumeCleanup(namespace string) {
	jobs := t.All(types.CronJob)
	if len(jobs) != 1 {
		t.report("nothing looks after the volumes of instances that are gone")
		return
	}
	job := kubernetes.DecodeAs[*batchv1.CronJob](jobs[0])
	template := job.Spec.JobTemplate.Spec.Template
	for _, container := range template.Spec.Containers {
		for _, v := range container.Env {
			if v.Name == "SANDBOX_NAMESPACE" && v.Value != namespace {
				t.report("the clean-up looks at namespace %q", v.Value)
			}
		}
	}
	wanted := calls(cleanup.VolumeRules)
	if allowed := allowed(t.Inventory, job.Namespace, template.Spec.ServiceAccountName, namespace, t.report); fmt.Sprint(allowed) != fmt.Sprint(wanted) {
		t.report("the clean-up may do %v in the namespace of the instances, and it calls %v", allowed, wanted)
	}
}

// checkInstances looks at the last station of a browser's way.
func (e *exposure) checkInstances() {
	for _, i := range e.instances {
		e.hop("instance", "https://%s, Service %s/%s, from the door only", strings.Replace(e.host, "*", i.Name, 1), i.Namespace, i.Name)
	}
}
