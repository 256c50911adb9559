package infra_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/infra"
	"openhands-gcp/infra/boot"
	"openhands-gcp/rehearsal/providers"
)

const project, region = "my-project", "us-central1"

// TestArgumentsAreChecked: everything that is wrong comes in one error that names the component, and nothing is registered.
func TestArgumentsAreChecked(t *testing.T) {
	everyone := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	for name, c := range map[string]struct {
		create func(*pulumi.Context) error
		says   []string
	}{
		"project services without arguments": {func(ctx *pulumi.Context) error {
			_, err := infra.NewProjectServices(ctx, "x", nil)
			return err
		}, []string{`ProjectServices "x": its arguments are nil`}},
		"network without arguments": {func(ctx *pulumi.Context) error {
			_, err := infra.NewNetwork(ctx, "x", nil)
			return err
		}, []string{`Network "x": its arguments are nil`}},
		"network": {func(ctx *pulumi.Context) error {
			_, err := infra.NewNetwork(ctx, "x", &infra.NetworkArgs{FlowLogSampling: 2})
			return err
		}, []string{`Network "x": `, "region is required", "nodesCidr is required", "flowLogSampling is 2", "nodeTag is required"}},
		"network of half a cluster": {func(ctx *pulumi.Context) error {
			_, err := infra.NewNetwork(ctx, "x", &infra.NetworkArgs{PodsCIDR: everyone[0]})
			return err
		}, []string{`Network "x": `, "podsCidr and servicesCidr go together"}},
		"machine": {func(ctx *pulumi.Context) error {
			_, err := infra.NewComputeInstance(ctx, "x", &infra.ComputeInstanceArgs{NightStop: &infra.NightStop{}})
			return err
		}, []string{
			`ComputeInstance "x": `, "zone is required", "account is required", "bootDiskGb is 0", "access.port is 0", "access.memberRoleId is required",
			"nightStop.timeZone is required", "nightStop.projectNumber is required", "userData is required", "dataDisk is required",
		}},
		"machine's account": {func(ctx *pulumi.Context) error {
			_, err := infra.NewMachineAccount(ctx, "x", &infra.MachineAccountArgs{})
			return err
		}, []string{`MachineAccount "x": `, "accountId is required"}},
		"data disk": {func(ctx *pulumi.Context) error {
			_, err := infra.NewDataDisk(ctx, "x", &infra.DataDiskArgs{SnapshotHour: 24})
			return err
		}, []string{`DataDisk "x": `, "zone is required", "sizeGiB is 0", "snapshotHour is 24", "keepSnapshotDays is 0"}},
		"registry": {func(ctx *pulumi.Context) error {
			_, err := infra.NewRegistry(ctx, "x", &infra.RegistryArgs{})
			return err
		}, []string{
			`Registry "x": `, "location is required", "repositoryPrefix is required", "keepNewest is 0", "deleteUntaggedAfterDays is 0", "reader is required",
		}},
		"cluster": {func(ctx *pulumi.Context) error {
			_, err := infra.NewGkeCluster(ctx, "x", &infra.GkeClusterArgs{
				PublicEndpoint: &infra.PublicEndpoint{}, Pools: []infra.NodePool{{Name: "p", Taint: &infra.Taint{Effect: "NO_SCHEDULE"}}},
				SecurityGroup: "ops@example.com",
			})
			return err
		}, []string{
			`GkeCluster "x": `, "location is required", "controlPlaneCidr is", `securityGroup is "ops@example.com"`, "at least one authorized range",
			`pool "p": name and machineType are required`,
			`pool "p" has 0 to 0 nodes`, `pool "p": diskGb is 0`, "the taint's effect is NoSchedule", "no pool carries GKE's own pods",
		}},
		"cluster that nobody reaches": {func(ctx *pulumi.Context) error {
			_, err := infra.NewGkeCluster(ctx, "x", &infra.GkeClusterArgs{})
			return err
		}, []string{"no way to reach the control plane"}},
		"cluster that everyone reaches": {func(ctx *pulumi.Context) error {
			_, err := infra.NewGkeCluster(ctx, "x", &infra.GkeClusterArgs{PublicEndpoint: &infra.PublicEndpoint{AuthorizedRanges: everyone}})
			return err
		}, []string{"must not be open to 0.0.0.0/0"}},
		"database": {func(ctx *pulumi.Context) error {
			_, err := infra.NewCloudSqlPostgres(ctx, "x", &infra.CloudSqlPostgresArgs{PointInTimeDays: 9})
			return err
		}, []string{
			`CloudSqlPostgres "x": `, "tier is required", "diskSizeGiB is 0", "retainedBackups is 0", "pointInTimeDays is 9", "privateNetwork is required",
		}},
		"bucket": {func(ctx *pulumi.Context) error {
			_, err := infra.NewStorageBucket(ctx, "x", &infra.StorageBucketArgs{SoftDeleteDays: 2})
			return err
		}, []string{`StorageBucket "x": `, "location is required", "softDeleteDays is 2", "oldVersionDays is 0", "writer is required"}},
		"identity": {func(ctx *pulumi.Context) error {
			_, err := infra.NewWorkloadIdentity(ctx, "x", &infra.WorkloadIdentityArgs{})
			return err
		}, []string{`WorkloadIdentity "x": `, "accountId is required", "namespace is required", "workloadPool is required"}},
		"entrance": {func(ctx *pulumi.Context) error {
			_, err := infra.NewEntrance(ctx, "x", &infra.EntranceArgs{})
			return err
		}, []string{`Entrance "x": `, "host is required", "armor.requestsPerMinute is required"}},
		"observability": {func(ctx *pulumi.Context) error {
			_, err := infra.NewObservability(ctx, "x", &infra.ObservabilityArgs{})
			return err
		}, []string{`Observability "x": `, "title is required", "cluster is required", "door is required"}},
	} {
		t.Run(name, func(t *testing.T) {
			mocks, err := providers.NewMocks("test", project, region)
			require.NoError(t, err)
			err = pulumi.RunErr(c.create, mocks.Option())
			require.Error(t, err)
			for _, says := range c.says {
				assert.Contains(t, err.Error(), says)
			}
			assert.Empty(t, mocks.Resources())
		})
	}
}

// TestComponentsWorkForSomebodyElse creates two of everything in one project, with other names. The simulated cloud refuses names and ranges that collide,
// and nothing may carry the name of this program.
func TestComponentsWorkForSomebodyElse(t *testing.T) {
	mocks, err := providers.NewMocks("test", project, region)
	require.NoError(t, err)
	err = pulumi.RunErr(func(ctx *pulumi.Context) error {
		services, err := infra.NewProjectServices(ctx, "apis", &infra.ProjectServicesArgs{
			Cluster: true, LoadBalancer: true, DNS: true, Database: true, Bucket: true, Tunnels: true,
		})
		if err != nil {
			return err
		}
		for i, name := range []string{"blue", "green"} {
			if err := createAll(ctx, name, i, services); err != nil {
				return err
			}
		}
		return nil
	}, mocks.Option())
	require.NoError(t, err)
	for _, r := range mocks.Resources() {
		if r.Custom {
			assert.NotContains(t, strings.ToLower(fmt.Sprint(r.Inputs)), "openhands", r.URN)
		}
	}
}

// createAll creates one of each component. The number sets its address ranges apart from those of others.
func createAll(ctx *pulumi.Context, name string, number int, services *infra.ProjectServices) error {
	ready := services.Ready()
	prefix := func(format string) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf(format, number)) }
	network, err := infra.NewNetwork(ctx, name, &infra.NetworkArgs{
		Region: region, NodeTag: "node", FlowLogSampling: 0.25, LoadBalancerPort: 8080,
		NodesCIDR: prefix("10.%d.0.0/22"), PodsCIDR: prefix("10.10%d.0.0/16"), ServicesCIDR: prefix("10.20%d.0.0/20"), PeeringCIDR: prefix("192.168.%d.0/24"),
	}, ready)
	if err != nil {
		return err
	}
	cluster, err := infra.NewGkeCluster(ctx, name, &infra.GkeClusterArgs{
		Location: region + "-b", MinVersion: "1.36", ReleaseChannel: "REGULAR", Maintenance: infra.Maintenance{Days: []string{"SA"}, StartHour: 20, Hours: 12},
		ConnectGateway: &infra.ConnectGateway{Members: []string{"group:" + name + "@example.com"}, ProjectNumber: services.ProjectNumber},
		SecurityGroup:  "gke-security-groups@example.com",
		Pools:          []infra.NodePool{{Name: "default", MachineType: "e2-standard-4", MinNodes: 1, MaxNodes: 3, DiskGB: 40}},
		NodeAccountID:  name + "-nodes", NodeTag: "node", ControlPlaneCIDR: prefix("172.16.%d.0/28"),
		Network: network.NetworkID, Subnetwork: network.SubnetworkID, PodsRangeName: network.PodsRangeName, ServicesRangeName: network.ServicesRangeName,
	}, ready)
	if err != nil {
		return err
	}
	if _, err := infra.NewRegistry(ctx, name, &infra.RegistryArgs{
		Location: region, RepositoryPrefix: name, KeepNewest: 1, DeleteUntaggedAfterDays: 1, Reader: cluster.NodeMember,
	}, ready); err != nil {
		return err
	}
	identity, err := infra.NewWorkloadIdentity(ctx, name, &infra.WorkloadIdentityArgs{
		AccountID: name + "-web", Namespace: "web", ServiceAccountName: "web", WorkloadPool: cluster.WorkloadPool,
	}, ready)
	if err != nil {
		return err
	}
	database, err := infra.NewCloudSqlPostgres(ctx, name, &infra.CloudSqlPostgresArgs{
		Region: region, Version: "POSTGRES_15", Tier: "db-g1-small", Database: "web", User: "web", MaxConnections: 100, DiskSizeGiB: 10,
		RetainedBackups: 3, BackupStartTime: "01:00", MaintenanceDay: 7, MaintenanceHour: 3, PrivateNetwork: network.PrivateServicesNetworkID,
	}, ready)
	if err != nil {
		return err
	}
	if _, err := infra.NewStorageBucket(ctx, name, &infra.StorageBucketArgs{
		Location: region, SoftDeleteDays: 7, OldVersionDays: 30, Writer: identity.Member,
	}, ready); err != nil {
		return err
	}
	if _, err := infra.NewEntrance(ctx, name, &infra.EntranceArgs{
		Host: name + ".example.com", DNSZone: "example", Armor: infra.Armor{RequestsPerMinute: 60},
		Members: map[string][]string{name + ".example.com": {"group:web@example.com"}},
	}, ready); err != nil {
		return err
	}
	if err := createMachine(ctx, name, network, services); err != nil {
		return err
	}
	_, err = infra.NewObservability(ctx, name, &infra.ObservabilityArgs{
		Title: name, DatabaseSettings: "the settings",
		Cluster: cluster.Name, Namespace: pulumi.String("web"), Deployment: pulumi.String("web"), Door: pulumi.String("door"), Database: database.MonitoringID,
	}, ready)
	return err
}

// createMachine creates a machine beside the cluster.
func createMachine(ctx *pulumi.Context, name string, network *infra.Network, services *infra.ProjectServices) error {
	ready, zone := services.Ready(), region+"-a"
	account, err := infra.NewMachineAccount(ctx, name+"-vm", &infra.MachineAccountArgs{AccountID: name + "-machine", DisplayName: name}, ready)
	if err != nil {
		return err
	}
	disk, err := infra.NewDataDisk(ctx, name, &infra.DataDiskArgs{Zone: zone, SizeGiB: 20, SnapshotHour: 1, KeepSnapshotDays: 2}, ready)
	if err != nil {
		return err
	}
	userData, err := boot.Config{
		Name: "web", Image: "example.com/web:1", Port: 8080, UserID: 1000, Home: "/home/web", Kept: []string{"files"}, Keys: []string{"KEY"},
		Environment: map[string]string{"A": "b"}, AlivePath: "/", MemoryMiB: 1024, StopSeconds: 10, Closed: infra.LoadBalancerRanges,
	}.UserData()
	if err != nil {
		return err
	}
	_, err = infra.NewComputeInstance(ctx, name, &infra.ComputeInstanceArgs{
		Zone: zone, MachineType: "e2-standard-2", NetworkTag: "node", BootDiskGB: 20, Spot: true, Subnetwork: network.SubnetworkID, DataDisk: disk.SelfLink,
		UserData: pulumi.String(userData), Account: account,
		NightStop: &infra.NightStop{Stop: "0 20 * * *", Start: "0 7 * * *", TimeZone: "UTC", RoleID: name + "_night", ProjectNumber: services.ProjectNumber},
		Access: infra.Access{
			Port: 8080, Members: []string{"user:a@example.com"}, Operators: []string{"user:b@example.com"}, MemberRoleID: name + "_member",
			OperatorRoleID: name + "_operator",
		},
	}, ready, network.Ready(), account.Ready(), disk.Ready())
	return err
}
