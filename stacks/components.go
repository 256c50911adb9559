package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra"
	"openhands-gcp/infra/app"
	"openhands-gcp/infra/app/door"
	"openhands-gcp/release"
)

// What the components must agree on, and no stack decides.
const (
	nodeTag          = "openhands-node" // network tag of the nodes
	appNamespace     = "openhands"
	sandboxNamespace = "openhands-sandboxes"

	instanceNamespace = "openhands-instances"
	instancesPort     = 3000 // on the machine of whoever opens an instance by port-forward

	databaseName = "openhands"
	databaseUser = "openhands_server" // another name than the database, for the same reason

	poolLabel   = "openhands.dev/pool" // node label whose value is the pool's name
	appPool     = "app"
	sandboxPool = "sandbox"
)

// sandboxTaint keeps everything off the sandbox nodes that does not tolerate it.
var sandboxTaint = infra.Taint{Key: "openhands.dev/sandbox", Value: "true", Effect: "NoSchedule"}

// sandboxPids are the processes and threads of one sandbox, as its node counts them. Builds of large projects have hundreds; a fork bomb ends with its own
// sandbox.
const sandboxPids = 8192

// What a stack asks of each component: XArgs returns the arguments of NewX.

// ProjectServicesArgs enables the APIs that the stack's other components need.
func (c *Config) ProjectServicesArgs() *infra.ProjectServicesArgs {
	return &infra.ProjectServicesArgs{
		Cluster: c.onCluster(), LoadBalancer: c.Exposed(), DNS: c.Exposure.DNSZone != "", Database: c.ofServer(), Bucket: c.ofServer(), Tunnels: c.Single(),
	}
}

// NetworkArgs lets the load balancer reach the door where there is one.
func (c *Config) NetworkArgs() *infra.NetworkArgs {
	ranges := c.Ranges()
	args := &infra.NetworkArgs{
		Region:          c.Region,
		NodesCIDR:       ranges.Nodes,
		PodsCIDR:        ranges.Pods,
		ServicesCIDR:    ranges.Services,
		FlowLogSampling: c.Network.FlowLogSampling,
		NodeTag:         nodeTag,
	}
	if c.ofServer() {
		args.PeeringCIDR = ranges.Peering
	}
	if c.Exposed() {
		args.LoadBalancerPort = door.PublicPort
	}
	if c.Single() {
		args.PagePort = c.Release().Port
	}
	return args
}

// GkeClusterArgs has a pool for the server and GKE's own pods, and one for sandboxes where they run in this cluster.
func (c *Config) GkeClusterArgs(services *infra.ProjectServices, network *infra.Network) *infra.GkeClusterArgs {
	cluster := c.Cluster
	args := &infra.GkeClusterArgs{
		Location:       c.ClusterLocation(),
		MinVersion:     cluster.MinVersion,
		ReleaseChannel: cluster.ReleaseChannel,
		Maintenance:    infra.Maintenance(cluster.Maintenance),
		Pools: []infra.NodePool{{
			Name: appPool, MachineType: cluster.AppPool.MachineType, MinNodes: cluster.AppPool.MinNodes, MaxNodes: cluster.AppPool.MaxNodes,
			DiskGB: bootDiskGB(serverDiskGB), Labels: map[string]string{poolLabel: appPool},
		}},
		NodeAccountID:     c.NodeAccountID(),
		NodeTag:           nodeTag,
		Protect:           c.Protect(cluster.DeletionProtection),
		SecurityGroup:     cluster.Access.SecurityGroup,
		FQDNNetworkPolicy: cluster.FQDNNetworkPolicy,
		Labels:            pulumi.ToStringMap(c.AllLabels()),
		ControlPlaneCIDR:  c.Ranges().ControlPlane,
		Network:           network.NetworkID,
		Subnetwork:        network.SubnetworkID,
		PodsRangeName:     network.PodsRangeName,
		ServicesRangeName: network.ServicesRangeName,
	}
	if c.SandboxNodes() > 0 {
		args.Pools = append(args.Pools, infra.NodePool{
			Name: sandboxPool, MachineType: c.Sandboxes.Pool.MachineType, MaxNodes: c.SandboxNodes(), Spot: c.Sandboxes.Pool.Spot,
			DiskGB: c.SandboxDiskGB(), Labels: map[string]string{poolLabel: sandboxPool}, Taint: &sandboxTaint, GVisor: true, PodPidsLimit: sandboxPids,
		})
	}
	if gateway := cluster.Access.ConnectGateway; gateway.Enabled {
		args.ConnectGateway = &infra.ConnectGateway{Members: gateway.Members, ProjectNumber: services.ProjectNumber}
	}
	if cluster.Access.PublicEndpoint != nil {
		args.PublicEndpoint = &infra.PublicEndpoint{AuthorizedRanges: c.AuthorizedRanges()}
	}
	return args
}

// EntranceArgs lets in the members that the configuration lists.
func (c *Config) EntranceArgs() *infra.EntranceArgs {
	armor := c.Exposure.Armor
	return &infra.EntranceArgs{
		Host: c.Exposure.Host, Below: c.Line() == release.Canvas, DNSZone: c.Exposure.DNSZone, Members: c.logins(),
		Armor: infra.Armor{
			RequestsPerMinute: armor.RequestsPerMinute, AllowedRanges: armor.AllowedRanges, DeniedRanges: armor.DeniedRanges,
			AdaptiveProtection: armor.AdaptiveProtection, WAFRules: armor.WAFRules, EnforceWAF: armor.WAFEnforce,
		},
	}
}

// RegistryArgs lets the nodes, or the machine, pull.
func (c *Config) RegistryArgs(reader pulumi.StringInput) *infra.RegistryArgs {
	return &infra.RegistryArgs{
		Location:                c.Region,
		RepositoryPrefix:        c.RepositoryPrefix(),
		KeepNewest:              c.Registry.KeepNewest,
		DeleteUntaggedAfterDays: c.Registry.DeleteUntaggedAfterDays,
		ImmutableTags:           c.Registry.ImmutableTags,
		Protect:                 c.Protect(c.Registry.DeletionProtection),
		Reader:                  reader,
	}
}

// WorkloadIdentityArgs is the server's identity.
func (c *Config) WorkloadIdentityArgs(cluster *infra.GkeCluster) *infra.WorkloadIdentityArgs {
	return &infra.WorkloadIdentityArgs{
		AccountID:          c.AppAccountID(),
		DisplayName:        "OpenHands application",
		Namespace:          appNamespace,
		ServiceAccountName: c.serverAccount(),
		WorkloadPool:       cluster.WorkloadPool,
	}
}

// CloudSqlPostgresArgs places the database in the network that is peered with Google's.
func (c *Config) CloudSqlPostgresArgs(network *infra.Network) *infra.CloudSqlPostgresArgs {
	d := c.Database
	return &infra.CloudSqlPostgresArgs{
		Region:           c.Region,
		Version:          d.Version,
		Tier:             d.Tier,
		Database:         databaseName,
		User:             databaseUser,
		HighAvailability: d.HighAvailability,
		MaxConnections:   d.MaxConnections,
		DiskSizeGiB:      d.DiskSizeGiB,
		DiskLimitGiB:     d.DiskLimitGiB,
		RetainedBackups:  d.Backups.Retained,
		BackupStartTime:  d.Backups.StartTime,
		PointInTimeDays:  d.Backups.PointInTimeDays,
		MaintenanceDay:   d.Maintenance.Day,
		MaintenanceHour:  d.Maintenance.Hour,
		Protect:          c.Protect(d.DeletionProtection),
		Labels:           pulumi.ToStringMap(c.AllLabels()),
		PrivateNetwork:   network.PrivateServicesNetworkID,
	}
}

// StorageBucketArgs lets the server write.
func (c *Config) StorageBucketArgs(identity *infra.WorkloadIdentity) *infra.StorageBucketArgs {
	return &infra.StorageBucketArgs{
		Location:       c.BucketLocation(),
		SoftDeleteDays: c.Bucket.SoftDeleteDays,
		OldVersionDays: c.Bucket.OldVersionDays,
		Protect:        c.Protect(c.Bucket.DeletionProtection),
		Writer:         identity.Member,
	}
}

// ServerObservabilityArgs watches the server and the database.
func (c *Config) ServerObservabilityArgs(
	cluster *infra.GkeCluster, application *app.OpenHandsApp, database *infra.CloudSqlPostgres,
) *infra.ObservabilityArgs {
	args := c.observabilityArgs(cluster, application.Namespace, application.Door)
	args.Deployment, args.Database, args.DatabaseSettings = application.Deployment, database.MonitoringID, "`openhands:database` in the stack file"
	return args
}

// CanvasObservabilityArgs watches the instances.
func (c *Config) CanvasObservabilityArgs(cluster *infra.GkeCluster, canvas *app.AgentCanvas) *infra.ObservabilityArgs {
	args := c.observabilityArgs(cluster, canvas.Namespace, canvas.Door)
	args.Instances = canvas.InstanceNamespace
	return args
}

func (c *Config) observabilityArgs(cluster *infra.GkeCluster, namespace, door pulumi.StringInput) *infra.ObservabilityArgs {
	return &infra.ObservabilityArgs{
		Title: "OpenHands " + c.Stack, Emails: c.Observability.NotificationEmails, Labels: pulumi.ToStringMap(c.AllLabels()),
		Cluster: cluster.Name, Namespace: namespace, Door: door,
	}
}
