package kubernetes

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/types"
)

// NodePool is a node pool as Kubernetes sees its nodes.
type NodePool struct {
	Name           string
	Labels         map[string]string
	Taints         []NodeTaint
	Nodes          int // as many as the pool may have
	Zones          int // that they are in
	CPUs, MemoryGB int // of a node
}

// NodeTaint is a taint, in Kubernetes' words.
type NodeTaint struct{ Key, Value, Effect string }

// taintEffects are Kubernetes' words for those of GKE's API.
var taintEffects = map[string]string{"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}

// NodePools returns the pools of the cluster, with what GKE adds to their nodes.
func NodePools(inventory *cloud.Inventory) []NodePool {
	var pools []NodePool
	for _, o := range inventory.All(types.NodePool) {
		pools = append(pools, nodePool(inventory, o))
	}
	return pools
}

func nodePool(inventory *cloud.Inventory, o *cloud.Object) NodePool {
	p := NodePool{Name: o.Outputs.Str("name"), Labels: o.Inputs.Labels("nodeConfig.labels"), Taints: taints(o)}
	p.Nodes, p.Zones = int(o.Inputs.Num("autoscaling.totalMaxNodeCount")), zones(inventory, o)
	p.CPUs, p.MemoryGB = machineSize(o.Inputs.Str("nodeConfig.machineType"))
	if o.Inputs.Str("nodeConfig.sandboxConfig.sandboxType") == "gvisor" {
		p.Labels[cloud.GVisorLabel] = "gvisor"
		p.Taints = append(p.Taints, NodeTaint{cloud.GVisorLabel, "gvisor", "NoSchedule"})
	}
	return p
}

// zones counts the zones of a pool: those that it names, else those that its cluster names, else one of a zonal cluster, and the three that GKE chooses in a
// region.
// https://cloud.google.com/kubernetes-engine/docs/concepts/regional-clusters
func zones(inventory *cloud.Inventory, pool *cloud.Object) int {
	if named := pool.Inputs.Strs("nodeLocations"); len(named) > 0 {
		return len(named)
	}
	cluster := inventory.Find(types.Cluster, pool.Inputs.Str("cluster"))
	if cluster != nil {
		if named := cluster.Inputs.Strs("nodeLocations"); len(named) > 0 {
			return len(named)
		}
	}
	if cloud.IsZone(pool.Inputs.Str("location")) {
		return 1
	}
	return 3
}

// armSeries are the machines whose nodes GKE taints by itself. https://cloud.google.com/kubernetes-engine/docs/concepts/arm-on-gke
var armSeries = regexp.MustCompile(`^(t2a|c4a|n4a|a4x)-`)

// taints are those that the program gives a pool's nodes, and that of Arm machines.
func taints(pool *cloud.Object) []NodeTaint {
	var out []NodeTaint
	for _, taint := range pool.Inputs.Maps("nodeConfig.taints") {
		out = append(out, NodeTaint{taint.Str("key"), taint.Str("value"), taintEffects[taint.Str("effect")]})
	}
	if armSeries.MatchString(pool.Inputs.Str("nodeConfig.machineType")) {
		out = append(out, NodeTaint{"kubernetes.io/arch", "arm64", "NoSchedule"})
	}
	return out
}

var machineShape = regexp.MustCompile(`^([a-z0-9]+)-(standard|highmem|highcpu)-([0-9]+)$`)

// machineSize returns the size of a machine type such as e2-standard-4, in whole GB; that of an e2-medium for one of another form.
func machineSize(machineType string) (cpus, memoryGB int) {
	match := machineShape.FindStringSubmatch(machineType)
	if match == nil {
		return 1, 4
	}
	cpus, err := strconv.Atoi(match[3])
	if err != nil {
		return 1, 4
	}
	perCPU := map[string]int{"standard": 4, "highmem": 8, "highcpu": 1}[match[2]]
	switch {
	case match[1] == "n1":
		perCPU = map[string]int{"standard": 3, "highmem": 6}[match[2]]
	case match[2] == "highcpu" && strings.HasPrefix(match[1], "c"):
		perCPU = 2
	}
	return cpus, cpus * perCPU
}

// Allocatable returns about what GKE leaves of a node to pods: nothing that fits in here is certain to fit, and nothing else does.
func (p NodePool) Allocatable() (milliCPU, memoryMB int) {
	return p.CPUs*1000 - 80, p.MemoryGB * 1024 * 4 / 5
}

// PerNode returns how many pods with such requests a node of the pool carries.
func (p NodePool) PerNode(requests corev1.ResourceList) int {
	cpu, memory := p.Allocatable()
	fit := 110 // GKE's limit of pods
	if wanted := requests.Cpu().MilliValue(); wanted > 0 {
		fit = min(fit, cpu/int(wanted))
	}
	if wanted := requests.Memory().Value(); wanted > 0 {
		fit = min(fit, int(int64(memory)<<20/wanted))
	}
	return fit
}

// NodesAnywhere returns the most nodes that a number of pods can need, at so many a node, in so many zones, where each pod has to run in a zone that it does
// not choose.
func NodesAnywhere(pods, perNode, zones int) int {
	if zones == 1 || pods == 0 {
		return (pods + perNode - 1) / perNode
	}
	most := 0
	for here := range pods + 1 {
		most = max(most, (here+perNode-1)/perNode+NodesAnywhere(pods-here, perNode, zones-1))
	}
	return most
}

// Schedule returns a node pool whose nodes have the labels of a selector, no taint that is not tolerated, and room for the requests. The error says what is
// wrong with each pool.
func Schedule(inventory *cloud.Inventory, selector map[string]string, tolerations []corev1.Toleration, requests corev1.ResourceList) (*cloud.Object, error) {
	var why []string
	for _, object := range inventory.All(types.NodePool) {
		pool := nodePool(inventory, object)
		labels := object.Inputs.Labels("nodeConfig.labels")
		if len(selector) > 0 && !Selects(selector, labels) {
			why = append(why, fmt.Sprintf("pool %s has labels %v", pool.Name, labels))
			continue
		}
		if taint := untolerated(object, tolerations); taint != "" {
			why = append(why, fmt.Sprintf("pool %s has the untolerated taint %s", pool.Name, taint))
			continue
		}
		if pool.PerNode(requests) < 1 {
			cpu, memory := pool.Allocatable()
			why = append(
				why,
				fmt.Sprintf(
					"a node of pool %s has %dm and %dMi for pods, and %s and %s are asked for", pool.Name, cpu, memory, requests.Cpu(),
					requests.Memory(),
				),
			)
			continue
		}
		return object, nil
	}
	return nil, fmt.Errorf("no node matches the selector %v: %s", selector, strings.Join(why, "; "))
}

// untolerated returns a taint of the pool's nodes that is not tolerated; empty where there is none. The RuntimeClass tolerates that of GKE Sandbox.
func untolerated(pool *cloud.Object, tolerations []corev1.Toleration) string {
	for _, taint := range taints(pool) {
		tolerated := slices.ContainsFunc(tolerations, func(t corev1.Toleration) bool {
			return t.Key == taint.Key && (t.Effect == "" || string(t.Effect) == taint.Effect) &&
				(t.Operator == corev1.TolerationOpExists || t.Value == taint.Value)
		})
		if !tolerated {
			return fmt.Sprintf("%s=%s:%s", taint.Key, taint.Value, taint.Effect)
		}
	}
	return ""
}
