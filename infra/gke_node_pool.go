package infra

import (
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/container"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const cloudPlatformScope = "https://www.googleapis.com/auth/cloud-platform"

// PoolLabel is the node label that says which pool a node belongs to: "app" or "sandbox".
const PoolLabel = "openhands.dev/pool"

// Values of PoolLabel.
const (
	AppPoolName     = "app"
	SandboxPoolName = "sandbox"
)

// SandboxTaint keeps everything off the sandbox nodes that does not tolerate it. GKE adds the taint and the label of GKE Sandbox by itself.
var SandboxTaint = Taint{Key: "openhands.dev/sandbox", Value: "true", Effect: "NO_SCHEDULE"}

// Taint is a node taint, its effect as GKE's API writes it.
type Taint struct{ Key, Value, Effect string }

// AppPool is the size of the pool on which the application runs. Counts are for the whole cluster, not per zone.
type AppPool struct {
	MachineType        string
	MinNodes, MaxNodes int
}

// SandboxPool is the size of the pool on which sandboxes run. It shrinks to nothing while there are none.
type SandboxPool struct {
	MachineType string
	MaxNodes    int  // for the whole cluster, not per zone
	Spot        bool // cheaper nodes that Google may take back within seconds
}

func (p AppPool) validate(check *argErrors) {
	check.require(p.MachineType != "", "appPool.machineType is required")
	check.require(p.MinNodes >= 1 && p.MaxNodes >= p.MinNodes, "appPool has %d to %d nodes: at least 1, and the maximum not below the minimum", p.MinNodes, p.MaxNodes)
}

func (p SandboxPool) validate(check *argErrors) {
	check.require(p.MachineType != "", "sandboxPool.machineType is required")
	check.require(p.MaxNodes >= 1, "sandboxPool.maxNodes is %d: at least 1", p.MaxNodes)
}

// pool is what differs between the pools.
type pool struct {
	role               string
	machineType        string
	initial            int // nodes per zone at creation; a change replaces the pool
	minNodes, maxNodes int // for the whole cluster
	spot               bool
	taint              *Taint
	gvisor             bool
}

func (p AppPool) pool() pool {
	return pool{role: AppPoolName, machineType: p.MachineType, initial: 1, minNodes: p.MinNodes, maxNodes: p.MaxNodes}
}

func (p SandboxPool) pool() pool {
	return pool{role: SandboxPoolName, machineType: p.MachineType, minNodes: 0, maxNodes: p.MaxNodes, spot: p.Spot, taint: &SandboxTaint, gvisor: true}
}

func (c *GkeCluster) newNodePool(ctx *pulumi.Context, name string, args *GkeClusterArgs, cluster *container.Cluster, nodes *serviceaccount.Account, p pool) error {
	config := &container.NodePoolNodeConfigArgs{
		MachineType:    pulumi.String(p.machineType),
		ImageType:      pulumi.String("COS_CONTAINERD"), // the only one that GKE Sandbox runs on
		DiskType:       pulumi.String("pd-balanced"),
		DiskSizeGb:     pulumi.Int(100),
		Spot:           pulumi.Bool(p.spot),
		ServiceAccount: nodes.Email,
		OauthScopes:    pulumi.ToStringArray([]string{cloudPlatformScope}), // IAM decides, not scopes
		Tags:           pulumi.ToStringArray([]string{args.NodeTag}),
		Labels:         pulumi.StringMap{PoolLabel: pulumi.String(p.role)},
		Metadata:       pulumi.StringMap{"disable-legacy-endpoints": pulumi.String("true")},
		// Image streaming: a node starts a container before its image is here. Set from the start, because a later change replaces the pool.
		GcfsConfig:             &container.NodePoolNodeConfigGcfsConfigArgs{Enabled: pulumi.Bool(true)},
		ShieldedInstanceConfig: &container.NodePoolNodeConfigShieldedInstanceConfigArgs{EnableSecureBoot: pulumi.Bool(true), EnableIntegrityMonitoring: pulumi.Bool(true)},
		WorkloadMetadataConfig: &container.NodePoolNodeConfigWorkloadMetadataConfigArgs{Mode: pulumi.String("GKE_METADATA")},
	}
	if p.taint != nil {
		config.Taints = container.NodePoolNodeConfigTaintArray{
			&container.NodePoolNodeConfigTaintArgs{Key: pulumi.String(p.taint.Key), Value: pulumi.String(p.taint.Value), Effect: pulumi.String(p.taint.Effect)},
		}
	}
	if p.gvisor {
		config.SandboxConfig = &container.NodePoolNodeConfigSandboxConfigArgs{SandboxType: pulumi.String("gvisor")}
	}
	created, err := container.NewNodePool(ctx, name, &container.NodePoolArgs{
		Cluster:          cluster.Name,
		Location:         cluster.Location,
		InitialNodeCount: pulumi.Int(p.initial),
		// The total fields: minNodeCount and maxNodeCount are per zone.
		Autoscaling: &container.NodePoolAutoscalingArgs{
			TotalMinNodeCount: pulumi.Int(p.minNodes),
			TotalMaxNodeCount: pulumi.Int(p.maxNodes),
			LocationPolicy:    pulumi.String(p.locationPolicy()),
		},
		Management:      &container.NodePoolManagementArgs{AutoRepair: pulumi.Bool(true), AutoUpgrade: pulumi.Bool(true)},
		UpgradeSettings: &container.NodePoolUpgradeSettingsArgs{Strategy: pulumi.String("SURGE"), MaxSurge: pulumi.Int(1), MaxUnavailable: pulumi.Int(0)},
		NodeConfig:      config,
	}, child(c, pulumi.IgnoreChanges([]string{
		// GKE fills in both, and without this every preview wants to take them out again; the update can fail with HTTP 400.
		"nodeConfig.kubeletConfig", "nodeConfig.resourceLabels",
		// It counts at creation only. A pool that somebody resized by hand reports another number, and a difference would replace the pool.
		"initialNodeCount",
	}))...)
	c.pools = append(c.pools, created)
	return err
}

// locationPolicy spreads the app over the zones; spot nodes are taken wherever there are any.
func (p pool) locationPolicy() string {
	if p.spot {
		return "ANY"
	}
	return "BALANCED"
}
