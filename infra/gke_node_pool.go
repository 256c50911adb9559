package infra

import (
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/container"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const cloudPlatformScope = "https://www.googleapis.com/auth/cloud-platform"

// NodePool is a node pool that grows and shrinks with its pods.
type NodePool struct {
	Name               string // ends the name of the pool, e.g. app
	MachineType        string // e.g. e2-standard-4
	MinNodes, MaxNodes int    // for the whole cluster, not per zone
	DiskGB             int    // of a node's boot disk, a balanced persistent disk; at least 12
	Spot               bool   // cheaper nodes that Google may take back within seconds
	Labels             map[string]string
	Taint              *Taint // keeps away every pod that does not tolerate it; none where nil
	GVisor             bool   // GKE Sandbox; GKE adds its own taint and label
	PodPidsLimit       int    // processes and threads of a pod on the node, 1024 to 4194304; GKE's own limit where 0. It counts at the pool's creation only
}

// Taint is a node taint as Kubernetes writes it, with effect NoSchedule, PreferNoSchedule or NoExecute.
type Taint struct{ Key, Value, Effect string }

// taintEffects are Kubernetes' effects as GKE's API writes them.
var taintEffects = map[string]string{"NoSchedule": "NO_SCHEDULE", "PreferNoSchedule": "PREFER_NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}

func (p NodePool) validate(check *component.Check) {
	check.Require(p.Name != "" && p.MachineType != "", "pool %q: name and machineType are required", p.Name)
	check.Require(p.MinNodes >= 0 && p.MaxNodes >= max(p.MinNodes, 1),
		"pool %q has %d to %d nodes: at least 1, and the maximum not below the minimum", p.Name, p.MinNodes, p.MaxNodes)
	check.Require(p.DiskGB >= 12, "pool %q: diskGb is %d: at least 12, which the nodes' image takes", p.Name, p.DiskGB)
	check.Require(
		p.PodPidsLimit == 0 || (p.PodPidsLimit >= 1024 && p.PodPidsLimit <= 4194304), "pool %q: podPidsLimit is %d: 1024 to 4194304", p.Name,
		p.PodPidsLimit,
	)
	check.Require(p.Taint == nil || taintEffects[p.Taint.Effect] != "", "pool %q: the taint's effect is NoSchedule, PreferNoSchedule or NoExecute", p.Name)
}

// carriesSystemPods says whether GKE's own pods always find a node in the pool.
func (p NodePool) carriesSystemPods() bool { return p.MinNodes >= 1 && p.Taint == nil && !p.GVisor }

func (c *GkeCluster) newNodePool(
	ctx *pulumi.Context, name string, args *GkeClusterArgs, cluster *container.Cluster, nodes *serviceaccount.Account, p NodePool,
) error {
	pool, err := container.NewNodePool(ctx, name+"-"+p.Name, &container.NodePoolArgs{
		Cluster:          cluster.Name,
		Location:         cluster.Location,
		InitialNodeCount: pulumi.Int(min(p.MinNodes, 1)), // for each zone
		// The total fields: minNodeCount and maxNodeCount are per zone.
		Autoscaling: &container.NodePoolAutoscalingArgs{
			TotalMinNodeCount: pulumi.Int(p.MinNodes),
			TotalMaxNodeCount: pulumi.Int(p.MaxNodes),
			LocationPolicy:    pulumi.String(p.locationPolicy()),
		},
		Management:      &container.NodePoolManagementArgs{AutoRepair: pulumi.Bool(true), AutoUpgrade: pulumi.Bool(true)},
		UpgradeSettings: &container.NodePoolUpgradeSettingsArgs{Strategy: pulumi.String("SURGE"), MaxSurge: pulumi.Int(1), MaxUnavailable: pulumi.Int(0)},
		NodeConfig:      p.nodeConfig(args.NodeTag, nodes),
	}, component.Child(c, pulumi.IgnoreChanges([]string{
		// GKE fills in both, and without this every preview wants to take them out again; the update can fail with HTTP 400.
		"nodeConfig.kubeletConfig", "nodeConfig.resourceLabels",
		// It counts at creation only. A pool that somebody resized by hand reports another number, and a difference would replace the pool.
		"initialNodeCount",
	}))...)
	c.Awaits(pool)
	return err
}

func (p NodePool) nodeConfig(tag string, nodes *serviceaccount.Account) *container.NodePoolNodeConfigArgs {
	config := &container.NodePoolNodeConfigArgs{
		MachineType:    pulumi.String(p.MachineType),
		ImageType:      pulumi.String("COS_CONTAINERD"), // the only one that GKE Sandbox runs on
		DiskType:       pulumi.String("pd-balanced"),
		DiskSizeGb:     pulumi.Int(p.DiskGB),
		Spot:           pulumi.Bool(p.Spot),
		ServiceAccount: nodes.Email,
		OauthScopes:    pulumi.ToStringArray([]string{cloudPlatformScope}), // IAM decides, not scopes
		Tags:           pulumi.ToStringArray([]string{tag}),
		Labels:         pulumi.ToStringMap(p.Labels),
		Metadata:       pulumi.StringMap{"disable-legacy-endpoints": pulumi.String("true")},
		// Image streaming: a node starts a container before its image is here. Set from the start, because a later change replaces the pool.
		GcfsConfig: &container.NodePoolNodeConfigGcfsConfigArgs{Enabled: pulumi.Bool(true)},
		ShieldedInstanceConfig: &container.NodePoolNodeConfigShieldedInstanceConfigArgs{
			EnableSecureBoot: pulumi.Bool(true), EnableIntegrityMonitoring: pulumi.Bool(true),
		},
		WorkloadMetadataConfig: &container.NodePoolNodeConfigWorkloadMetadataConfigArgs{Mode: pulumi.String("GKE_METADATA")},
	}
	if t := p.Taint; t != nil {
		config.Taints = container.NodePoolNodeConfigTaintArray{
			&container.NodePoolNodeConfigTaintArgs{Key: pulumi.String(t.Key), Value: pulumi.String(t.Value), Effect: pulumi.String(taintEffects[t.Effect])},
		}
	}
	if p.PodPidsLimit > 0 {
		config.KubeletConfig = &container.NodePoolNodeConfigKubeletConfigArgs{CpuManagerPolicy: pulumi.String("none"), PodPidsLimit: pulumi.Int(p.PodPidsLimit)}
	}
	if p.GVisor {
		config.SandboxConfig = &container.NodePoolNodeConfigSandboxConfigArgs{SandboxType: pulumi.String("gvisor")}
	}
	return config
}

// locationPolicy spreads a pool over the zones; spot nodes are taken wherever there are any. Neither holds for a pod with a volume, which gets its node in the
// zone of that: the limit in total lets all nodes be in one zone.
func (p NodePool) locationPolicy() string {
	if p.Spot {
		return "ANY"
	}
	return "BALANCED"
}
