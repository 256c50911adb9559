package cloud

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// GVisorLabel is the label and the taint of GKE Sandbox's nodes, which GKE sets by itself.
const GVisorLabel = "sandbox.gke.io/runtime"

// hyperdiskOnly are the machines that take no persistent disks. https://cloud.google.com/compute/docs/disks/hyperdisks
var hyperdiskOnly = regexp.MustCompile(`^(n4|n4d|n4a|c4|c4d|c4a|h4d|m4|x4|a4)-`)

func checkNodePool(r *Request) error {
	in := r.Inputs
	if err := named("name", in.Str("name"), rfc1035, clusterNameLimit); err != nil {
		return err
	}
	cluster, err := r.Need(types.Cluster, "cluster", in.Str("cluster"))
	if err != nil {
		return err
	}
	if in.Str("location") != cluster.Inputs.Str("location") {
		return fmt.Errorf("location: %q is not the cluster's (%s)", in.Str("location"), cluster.Inputs.Str("location"))
	}
	if err := r.checkNodeAccount("nodeConfig.serviceAccount"); err != nil {
		return err
	}
	if in.Is("nodeConfig.gcfsConfig.enabled") {
		if err := r.Enabled("containerfilesystem"); err != nil {
			return err
		}
	}
	if err := checkAutoscaling(in); err != nil {
		return err
	}
	if machine, disk := in.Str("nodeConfig.machineType"), in.Str("nodeConfig.diskType"); hyperdiskOnly.MatchString(machine) && strings.HasPrefix(disk, "pd-") {
		return fmt.Errorf("nodeConfig.diskType: %s cannot be used with machine type %s", disk, machine)
	}
	if in.At("nodeConfig.kubeletConfig") != nil && in.Str("nodeConfig.kubeletConfig.cpuManagerPolicy") == "" {
		return errors.New("nodeConfig.kubeletConfig.cpuManagerPolicy: is required")
	}
	// https://cloud.google.com/kubernetes-engine/docs/how-to/node-system-config
	if pids := in.Num("nodeConfig.kubeletConfig.podPidsLimit"); pids != 0 && (pids < 1024 || pids > 4194304) {
		return fmt.Errorf("nodeConfig.kubeletConfig.podPidsLimit: %g is not 1024 to 4194304", pids)
	}
	if in.Str("nodeConfig.sandboxConfig.sandboxType") != "" && in.Str("nodeConfig.imageType") != "COS_CONTAINERD" {
		return errors.New("nodeConfig.imageType: GKE Sandbox needs COS_CONTAINERD")
	}
	for _, taint := range in.Maps("nodeConfig.taints") {
		if taint.Str("key") == GVisorLabel {
			return fmt.Errorf("nodeConfig.taints: %s is GKE's own", GVisorLabel)
		}
	}
	if in.At("nodeConfig.labels."+GVisorLabel) != nil {
		return fmt.Errorf("nodeConfig.labels: %s is GKE's own", GVisorLabel)
	}
	return nil
}

// checkAutoscaling checks how many nodes a pool may have.
func checkAutoscaling(pool values.Map) error {
	if pool.At("autoscaling") == nil {
		return nil
	}
	perZone := pool.Num("autoscaling.minNodeCount") + pool.Num("autoscaling.maxNodeCount")
	total := pool.Num("autoscaling.totalMaxNodeCount")
	switch {
	case pool.At("nodeCount") != nil:
		return errors.New("nodeCount: must not be set with autoscaling")
	case perZone > 0 && total > 0:
		return errors.New("autoscaling: set counts for a zone or in total, not both")
	case pool.Num("autoscaling.totalMinNodeCount") > total:
		return errors.New("autoscaling: totalMinNodeCount is above totalMaxNodeCount")
	}
	return nil
}

func createNodePool(r *Request) error {
	cluster := r.Find(types.Cluster, r.Inputs.Str("cluster"))
	r.ID = cluster.ID + "/nodePools/" + r.Inputs.Str("name")
	r.Outputs["project"] = r.Project
	r.Outputs["version"] = cluster.Outputs.Str("masterVersion")
	// What GKE adds by itself. Neither field is computed in the provider's schema, so a program that does not ignore them sees a change for ever
	// (seen with the real provider 7.38.0).
	model := "on-demand"
	if r.Inputs.Is("nodeConfig.spot") {
		model = "spot"
	}
	if r.Inputs.At("nodeConfig.resourceLabels") == nil {
		r.Outputs.Set("nodeConfig.resourceLabels", map[string]any{"goog-gke-node-pool-provisioning-model": model})
	}
	if r.Inputs.At("nodeConfig.kubeletConfig") == nil {
		r.Outputs.Set("nodeConfig.kubeletConfig", map[string]any{"cpuManagerPolicy": "", "cpuCfsQuota": false, "cpuCfsQuotaPeriod": "", "podPidsLimit": 0.0})
	}
	return nil
}

// updateNodePool refuses a change of what GKE fills in: its own labels cannot be taken away, so the program must leave the fields alone.
func updateNodePool(r *Request) error {
	for _, path := range []string{"nodeConfig.resourceLabels", "nodeConfig.kubeletConfig"} {
		if fmt.Sprint(r.Inputs.At(path)) != fmt.Sprint(r.Old.Inputs.At(path)) {
			return fmt.Errorf("googleapi: Error 400: %s of a node pool cannot be changed", path)
		}
	}
	return nil
}
