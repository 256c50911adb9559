package infra

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/container"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"golang.org/x/mod/semver"

	"openhands-gcp/infra/internal/component"
)

const gkeClusterType = "openhands:gcp:GkeCluster"

// Maintenance is the weekly window in which GKE may upgrade control plane and nodes. GKE wants at least 48 hours in any 32 days.
type Maintenance struct {
	Days      []string // MO, TU, WE, TH, FR, SA, SU
	StartHour int      // 0 to 23, UTC
	Hours     int      // length of the window on each day, 4 to 24
}

// ConnectGateway is access to the control plane through the fleet's Connect gateway, which IAM authorizes.
type ConnectGateway struct {
	Members       []string // IAM members that pass the gateway, e.g. group:platform@example.com. What they may do in the cluster is not said here
	ProjectNumber pulumi.StringInput
}

// PublicEndpoint is access to the control plane from listed address ranges.
type PublicEndpoint struct {
	AuthorizedRanges []netip.Prefix
}

// GkeClusterArgs are the arguments of NewGkeCluster. At least one of ConnectGateway and PublicEndpoint is needed.
type GkeClusterArgs struct {
	Location       string // a zone for a zonal cluster, a region for a regional one
	MinVersion     string // lowest Kubernetes version of the control plane, e.g. 1.36
	ReleaseChannel string // RAPID, REGULAR or STABLE
	Maintenance    Maintenance

	ConnectGateway *ConnectGateway
	PublicEndpoint *PublicEndpoint
	// SecurityGroup is a Google group, gke-security-groups@<domain>. Kubernetes is told which of the groups in it somebody is a member of, and of no others.
	SecurityGroup string // none where empty

	Pools         []NodePool
	NodeAccountID string // id of the nodes' service account: 6 to 30 characters, unique in the project
	NodeTag       string // network tag of the nodes
	Protect       bool   // refuse to delete the cluster
	// FQDNNetworkPolicy enforces network policies by domain name too. Turning it off replaces the cluster.
	FQDNNetworkPolicy bool
	Labels            pulumi.StringMapInput

	ControlPlaneCIDR  netip.Prefix // a /28 outside of all other ranges
	Network           pulumi.StringInput
	Subnetwork        pulumi.StringInput
	PodsRangeName     pulumi.StringInput
	ServicesRangeName pulumi.StringInput
}

// GkeCluster is a private, VPC-native GKE cluster with its node pools.
type GkeCluster struct {
	pulumi.ResourceState
	component.Readiness // the node pools are there: GKE installs its own types, classes and controllers some time after the cluster

	Name          pulumi.StringOutput `pulumi:"name"`
	Location      pulumi.StringOutput `pulumi:"location"`
	PublicAddress pulumi.StringOutput `pulumi:"publicAddress"` // of the control plane; empty where it has none
	WorkloadPool  pulumi.StringOutput `pulumi:"workloadPool"`  // known once the cluster, and with it the pool, exists

	// NodeMember is the nodes' service account as an IAM member. It does not wait for the cluster.
	NodeMember pulumi.StringOutput `pulumi:"nodeMember"`

	// Kubeconfig is a secret. It holds no credential: its user needs gke-gcloud-auth-plugin and a Google identity. A token in its place would be
	// another one at every run, and make every preview dirty.
	Kubeconfig pulumi.StringOutput `pulumi:"kubeconfig"`

	// CredentialsCommand makes kubectl use the cluster.
	CredentialsCommand pulumi.StringOutput `pulumi:"credentialsCommand"`
}

func (args *GkeClusterArgs) validate(check *component.Check) {
	check.Strings(map[string]string{
		"location": args.Location, "minVersion": args.MinVersion, "releaseChannel": args.ReleaseChannel, "nodeAccountId": args.NodeAccountID,
		"nodeTag": args.NodeTag,
	})
	check.Inputs(map[string]pulumi.StringInput{
		"network": args.Network, "subnetwork": args.Subnetwork, "podsRangeName": args.PodsRangeName, "servicesRangeName": args.ServicesRangeName,
	})
	// Without it the API refuses a private cluster, but only at its creation: no preview says so.
	check.Require(args.ControlPlaneCIDR.IsValid() && args.ControlPlaneCIDR.Bits() == 28, "controlPlaneCidr is %s: a /28", args.ControlPlaneCIDR)
	check.Require(args.ConnectGateway != nil || args.PublicEndpoint != nil, "no way to reach the control plane: set connectGateway or publicEndpoint")
	check.Require(args.ConnectGateway == nil || args.ConnectGateway.ProjectNumber != nil, "connectGateway.projectNumber is required")
	check.Require(args.SecurityGroup == "" || strings.HasPrefix(args.SecurityGroup, "gke-security-groups@"),
		"securityGroup is %q: GKE takes a group of the name gke-security-groups only", args.SecurityGroup)
	if args.PublicEndpoint != nil {
		check.Require(len(args.PublicEndpoint.AuthorizedRanges) > 0, "publicEndpoint needs at least one authorized range")
		for _, r := range args.PublicEndpoint.AuthorizedRanges {
			check.Require(r.Bits() > 0, "publicEndpoint must not be open to %s", r)
		}
	}
	check.Require(len(args.Maintenance.Days) > 0 && args.Maintenance.Hours >= 4, "maintenance needs at least one day and 4 hours")
	names := map[string]bool{}
	for _, p := range args.Pools {
		p.validate(check)
		check.Require(!names[p.Name], "pool %q is there twice", p.Name)
		names[p.Name] = true
	}
	check.Require(slices.ContainsFunc(args.Pools, NodePool.carriesSystemPods), "no pool carries GKE's own pods: one needs minNodes of 1 or more, no "+
		"taint and no gVisor")
}

// NewGkeCluster creates the cluster, its node pools and the nodes' own service account, and registers the cluster in the project's fleet where
// the Connect gateway is wanted.
func NewGkeCluster(ctx *pulumi.Context, name string, args *GkeClusterArgs, opts ...pulumi.ResourceOption) (_ *GkeCluster, err error) {
	defer component.Explain(&err, gkeClusterType, name)
	c := &GkeCluster{}
	if err := component.Register(ctx, gkeClusterType, name, c, args, (*GkeClusterArgs).validate, opts...); err != nil {
		return nil, err
	}
	nodes, role, err := c.newNodeAccount(ctx, name, args)
	if err != nil {
		return nil, err
	}
	cluster, err := c.newCluster(ctx, name, args, nodes, role)
	if err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	for _, p := range args.Pools {
		if err := c.newNodePool(ctx, name, args, cluster, nodes, p); err != nil {
			return nil, fmt.Errorf("create pool %s: %w", p.Name, err)
		}
	}

	c.Name, c.Location = cluster.Name, cluster.Location
	c.WorkloadPool = cluster.WorkloadIdentityConfig.WorkloadPool().Elem()
	c.NodeMember = nodes.Member
	c.PublicAddress = pulumi.String("").ToStringOutput()
	if args.PublicEndpoint != nil {
		c.PublicAddress = cluster.PrivateClusterConfig.PublicEndpoint().Elem()
	}
	if err := c.newAccess(ctx, name, args, cluster, nodes.Project); err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"name":               c.Name,
		"location":           c.Location,
		"publicAddress":      c.PublicAddress,
		"workloadPool":       c.WorkloadPool,
		"nodeMember":         c.NodeMember,
		"kubeconfig":         c.Kubeconfig,
		"credentialsCommand": c.CredentialsCommand,
	})
}

// newNodeAccount creates the identity of the nodes, and gives it the role that they need. The default one, which GKE would take, is an editor of the whole
// project.
func (c *GkeCluster) newNodeAccount(ctx *pulumi.Context, name string, args *GkeClusterArgs) (*serviceaccount.Account, *projects.IAMMember, error) {
	account, err := serviceaccount.NewAccount(ctx, name+"-nodes", &serviceaccount.AccountArgs{
		AccountId:   pulumi.String(args.NodeAccountID),
		DisplayName: pulumi.String("Nodes of " + name),
	}, component.Child(c)...)
	if err != nil {
		return nil, nil, fmt.Errorf("create the nodes' service account: %w", err)
	}
	// Writing logs and metrics, no more: https://cloud.google.com/kubernetes-engine/docs/how-to/hardening-your-cluster#use_least_privilege_sa
	role, err := projects.NewIAMMember(ctx, name+"-nodes-role", &projects.IAMMemberArgs{
		Project: account.Project,
		Role:    pulumi.String("roles/container.defaultNodeServiceAccount"),
		Member:  account.Member,
	}, component.Child(c)...)
	if err != nil {
		return nil, nil, fmt.Errorf("grant the nodes' role: %w", err)
	}
	return account, role, nil
}

// newCluster creates the cluster once its nodes, and with them those of every pool, have their role: without it they write neither logs nor metrics.
func (c *GkeCluster) newCluster(
	ctx *pulumi.Context, name string, args *GkeClusterArgs, nodes *serviceaccount.Account, role *projects.IAMMember,
) (*container.Cluster, error) {
	opts := append(component.ProtectIf(args.Protect),
		pulumi.DependsOn([]pulumi.Resource{role}),
		// Two clusters cannot share the control plane's range.
		pulumi.DeleteBeforeReplace(true),
		// The node configuration is the throwaway pool's, which is gone after creation; what is read back belongs to other pools.
		pulumi.IgnoreChanges([]string{"nodeConfig"}),
	)
	cluster := &container.ClusterArgs{
		Location:            pulumi.String(args.Location),
		DeletionProtection:  pulumi.Bool(args.Protect), // the provider's default is true
		MinMasterVersion:    c.checkedVersion(ctx, args, nodes),
		ReleaseChannel:      &container.ClusterReleaseChannelArgs{Channel: pulumi.String(args.ReleaseChannel)},
		MaintenancePolicy:   args.Maintenance.policy(),
		ResourceLabels:      args.Labels,
		EnableShieldedNodes: pulumi.Bool(true),
		WorkloadIdentityConfig: &container.ClusterWorkloadIdentityConfigArgs{
			WorkloadPool: pulumi.Sprintf("%s.svc.id.goog", nodes.Project),
		},
		SecurityPostureConfig: &container.ClusterSecurityPostureConfigArgs{
			Mode:              pulumi.String("BASIC"),
			VulnerabilityMode: pulumi.String("VULNERABILITY_DISABLED"), // Artifact Registry scans images where they are stored
		},
	}
	if args.SecurityGroup != "" {
		cluster.AuthenticatorGroupsConfig = &container.ClusterAuthenticatorGroupsConfigArgs{SecurityGroup: pulumi.String(args.SecurityGroup)}
	}
	args.connect(cluster)
	operate(cluster)
	giveFirstPool(cluster, nodes)
	return container.NewCluster(ctx, name+"-cluster", cluster, component.Child(c, opts...)...)
}

// checkedVersion is the lowest version, after GKE has said that there is such a location, and that the channel has this version or a newer one there. Otherwise
// the API says so after the cluster's turn has come, or not before the next upgrade. The argument comes out of the nodes' account, so that nothing is looked
// up before the API is enabled: the preview of a new stack shows the version as unknown.
func (c *GkeCluster) checkedVersion(ctx *pulumi.Context, args *GkeClusterArgs, nodes *serviceaccount.Account) pulumi.StringOutput {
	offered := container.GetEngineVersionsOutput(ctx, container.GetEngineVersionsOutputArgs{
		Location: pulumi.String(args.Location), Project: nodes.Project.ToStringPtrOutput(),
	}, pulumi.Parent(c))
	return offered.ReleaseChannelLatestVersion().ApplyT(func(latest map[string]string) (string, error) {
		if err := CheckVersion(args.MinVersion, args.ReleaseChannel, args.Location, latest); err != nil {
			return "", fmt.Errorf("GkeCluster: %w", err)
		}
		return args.MinVersion, nil
	}).(pulumi.StringOutput)
}

// CheckVersion compares the lowest version with the latest one of the channel, of which latest has all that a location has.
func CheckVersion(minVersion, releaseChannel, location string, latest map[string]string) error {
	newest, has := latest[releaseChannel]
	// Of 1.36.2-gke.100, both 1.36 and 1.36.2 are a part, and a version with a suffix is below the one without.
	if has && (strings.HasPrefix(newest, minVersion) || semver.Compare("v"+newest, "v"+minVersion) > 0) {
		return nil
	}
	var channels []string
	for _, channel := range slices.Sorted(maps.Keys(latest)) {
		channels = append(channels, fmt.Sprintf("%s to %s", channel, latest[channel]))
	}
	return fmt.Errorf("minVersion is %s, which release channel %s does not have in %s yet. Write another one of the two: GKE has %s",
		minVersion, releaseChannel, location, strings.Join(channels, ", "))
}

// connect sets the cluster's network. Dataplane V2 enforces NetworkPolicies by itself: the networkPolicy block must stay unset, the API refuses both.
func (args *GkeClusterArgs) connect(cluster *container.ClusterArgs) {
	cluster.Network, cluster.Subnetwork = args.Network, args.Subnetwork
	cluster.NetworkingMode = pulumi.String("VPC_NATIVE")
	cluster.DatapathProvider = pulumi.String("ADVANCED_DATAPATH")
	cluster.EnableFqdnNetworkPolicy = pulumi.Bool(args.FQDNNetworkPolicy)
	cluster.GatewayApiConfig = &container.ClusterGatewayApiConfigArgs{Channel: pulumi.String("CHANNEL_STANDARD")}
	cluster.IpAllocationPolicy = &container.ClusterIpAllocationPolicyArgs{
		ClusterSecondaryRangeName:  args.PodsRangeName,
		ServicesSecondaryRangeName: args.ServicesRangeName,
	}
	cluster.PrivateClusterConfig = &container.ClusterPrivateClusterConfigArgs{
		EnablePrivateNodes:    pulumi.Bool(true),
		EnablePrivateEndpoint: pulumi.Bool(args.PublicEndpoint == nil),
		MasterIpv4CidrBlock:   pulumi.String(args.ControlPlaneCIDR.String()),
	}
	cluster.MasterAuthorizedNetworksConfig = args.authorizedNetworks()
	// A Service with externalIPs takes the traffic to whatever address it names away from its owner (CVE-2020-8554).
	cluster.ServiceExternalIpsConfig = &container.ClusterServiceExternalIpsConfigArgs{Enabled: pulumi.Bool(false)}
}

// operate turns on what GKE brings to run the cluster: addons, logs, metrics and cost allocation.
func operate(cluster *container.ClusterArgs) {
	cluster.AddonsConfig = &container.ClusterAddonsConfigArgs{
		DnsCacheConfig:                   &container.ClusterAddonsConfigDnsCacheConfigArgs{Enabled: pulumi.Bool(true)},
		GcePersistentDiskCsiDriverConfig: &container.ClusterAddonsConfigGcePersistentDiskCsiDriverConfigArgs{Enabled: pulumi.Bool(true)},
		HttpLoadBalancing:                &container.ClusterAddonsConfigHttpLoadBalancingArgs{Disabled: pulumi.Bool(false)}, // a Gateway needs it
	}
	cluster.VerticalPodAutoscaling = &container.ClusterVerticalPodAutoscalingArgs{Enabled: pulumi.Bool(true)}
	// The scheduler fills nodes before it takes empty ones, and a node that is hardly used goes after minutes: sandboxes leave fewer half-empty nodes
	// behind. Not enabled is the creation of pools that the program knows nothing of; both are in one block.
	cluster.ClusterAutoscaling = &container.ClusterClusterAutoscalingArgs{
		Enabled: pulumi.Bool(false), AutoscalingProfile: pulumi.String("OPTIMIZE_UTILIZATION"),
	}
	cluster.CostManagementConfig = &container.ClusterCostManagementConfigArgs{Enabled: pulumi.Bool(true)}
	cluster.LoggingConfig = &container.ClusterLoggingConfigArgs{
		EnableComponents: pulumi.ToStringArray([]string{"SYSTEM_COMPONENTS", "WORKLOADS"}),
	}
	cluster.MonitoringConfig = &container.ClusterMonitoringConfigArgs{
		// Listed, because an omitted list is filled in by GKE and then differs by release. These are the components whose series alerts read.
		EnableComponents: pulumi.ToStringArray([]string{
			"SYSTEM_COMPONENTS", "STORAGE", "POD", "DEPLOYMENT", "STATEFULSET", "DAEMONSET", "HPA", "CADVISOR", "KUBELET",
		}),
		ManagedPrometheus: &container.ClusterMonitoringConfigManagedPrometheusArgs{Enabled: pulumi.Bool(true)},
	}
}

// giveFirstPool sets the pool without which a cluster cannot be created, and which is removed at once. It gets small disks (in a region it exists three
// times, and counts against the SSD quota) and the nodes' own identity.
func giveFirstPool(cluster *container.ClusterArgs, nodes *serviceaccount.Account) {
	cluster.RemoveDefaultNodePool = pulumi.Bool(true)
	cluster.InitialNodeCount = pulumi.Int(1)
	cluster.NodeConfig = &container.ClusterNodeConfigArgs{
		DiskType:       pulumi.String("pd-standard"),
		DiskSizeGb:     pulumi.Int(30),
		ServiceAccount: nodes.Email,
		OauthScopes:    pulumi.ToStringArray([]string{cloudPlatformScope}),
		ShieldedInstanceConfig: &container.ClusterNodeConfigShieldedInstanceConfigArgs{
			EnableSecureBoot: pulumi.Bool(true), EnableIntegrityMonitoring: pulumi.Bool(true),
		},
		WorkloadMetadataConfig: &container.ClusterNodeConfigWorkloadMetadataConfigArgs{Mode: pulumi.String("GKE_METADATA")},
	}
}

// authorizedNetworks lists who reaches the control plane's addresses. It is set without a public endpoint too: the API requires it, and an empty
// list admits nobody from outside the VPC.
func (args *GkeClusterArgs) authorizedNetworks() *container.ClusterMasterAuthorizedNetworksConfigArgs {
	config := &container.ClusterMasterAuthorizedNetworksConfigArgs{
		// Left out, GKE decides whether any address of Google Cloud, a stranger's machine included, may connect.
		GcpPublicCidrsAccessEnabled: pulumi.Bool(false),
	}
	if args.PublicEndpoint != nil {
		var blocks container.ClusterMasterAuthorizedNetworksConfigCidrBlockArray
		for _, r := range args.PublicEndpoint.AuthorizedRanges {
			blocks = append(blocks, &container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs{CidrBlock: pulumi.String(r.String())})
		}
		config.CidrBlocks = blocks
	}
	return config
}

// policy writes the window as a recurrence that began on some day in the past; only its time of day matters.
func (m Maintenance) policy() *container.ClusterMaintenancePolicyArgs {
	endDay, endHour := 1, m.StartHour+m.Hours
	if endHour >= 24 {
		endDay, endHour = 2, endHour-24
	}
	return &container.ClusterMaintenancePolicyArgs{
		RecurringWindow: &container.ClusterMaintenancePolicyRecurringWindowArgs{
			StartTime:  pulumi.Sprintf("2026-01-01T%02d:00:00Z", m.StartHour),
			EndTime:    pulumi.Sprintf("2026-01-%02dT%02d:00:00Z", endDay, endHour),
			Recurrence: pulumi.String("FREQ=WEEKLY;BYDAY=" + strings.Join(m.Days, ",")),
		},
	}
}
