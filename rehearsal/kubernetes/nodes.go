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
		p := NodePool{Name: o.Outputs.Str("name"), Labels: o.Inputs.Labels("nodeConfig.labels"), Taints: taints(o)}
		p.Nodes = int(o.Inputs.Num("autoscaling.totalMaxNodeCount"))
		p.CPUs, p.MemoryGB = machineSize(o.Inputs.Str("nodeConfig.machineType"))
		if o.Inputs.Str("nodeConfig.sandboxConfig.sandboxType") == "gvisor" {
			p.Labels[cloud.GVisorLabel] = "gvisor"
			p.Taints = append(p.Taints, NodeTaint{cloud.GVisorLabel, "gvisor", "NoSchedule"})
		}
		pools = append(pools, p)
	}
	return pools
}

// taints are those that the program gives a pool's nodes.
func taints(pool *cloud.Object) []NodeTaint {
	var out []NodeTaint
	for _, taint := range pool.Inputs.Maps("nodeConfig.taints") {
		out = append(out, NodeTaint{taint.Str("key"), taint.Str("value"), taintEffects[taint.Str("effect")]})
	}
	return out
}

var machineShape = regexp.MustCompile(`-(standard|highmem|highcpu)-([0-9]+)$`)

// machineSize returns the size of a machine type such as e2-standard-4, and 2 CPUs with 8 GB for one of another form.
func machineSize(machineType string) (cpus, memoryGB int) {
	match := machineShape.FindStringSubmatch(machineType)
	if match == nil {
		return 2, 8
	}
	cpus, err := strconv.Atoi(match[2])
	if err != nil {
		return 2, 8
	}
	return cpus, cpus * map[string]int{"standard": 4, "highmem": 8, "highcpu": 1}[match[1]]
}

// Schedule returns a node pool whose nodes have the labels of a selector, and no taint that is not tolerated. The error says what is wrong with each
// pool.
func Schedule(inventory *cloud.Inventory, selector map[string]string, tolerations []corev1.Toleration) (*cloud.Object, error) {
	var why []string
	for _, pool := range inventory.All(types.NodePool) {
		labels := pool.Inputs.Labels("nodeConfig.labels")
		if len(selector) > 0 && !Selects(selector, labels) {
			why = append(why, fmt.Sprintf("pool %s has labels %v", pool.Outputs.Str("name"), labels))
			continue
		}
		if taint := untolerated(pool, tolerations); taint != "" {
			why = append(why, fmt.Sprintf("pool %s has the untolerated taint %s", pool.Outputs.Str("name"), taint))
			continue
		}
		return pool, nil
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
