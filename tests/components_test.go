package tests

import (
	"encoding/json"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/infra"
	"openhands-gcp/rehearsal/providers"
)

const project, region = "my-project", "us-central1"

// deploy runs a program on mocks, with the APIs enabled before anything of it.
func deploy(t *testing.T, program func(ctx *pulumi.Context, ready pulumi.ResourceOption) error) (*providers.Mocks, error) {
	t.Helper()
	mocks, err := providers.NewMocks("test", project, region)
	require.NoError(t, err)
	return mocks, pulumi.RunErr(func(ctx *pulumi.Context) error {
		services, err := infra.NewProjectServices(ctx, "apis", &infra.ProjectServicesArgs{})
		if err != nil {
			return err
		}
		return program(ctx, services.Enabled())
	}, mocks.Option())
}

// one returns the only resource of a type.
func one(t *testing.T, mocks *providers.Mocks, typ string) providers.Registered {
	t.Helper()
	found := all(mocks, typ)
	require.Len(t, found, 1, typ)
	return found[0]
}

func all(mocks *providers.Mocks, typ string) []providers.Registered {
	var found []providers.Registered
	for _, r := range mocks.Resources() {
		if r.Custom && strings.HasSuffix(r.Type, ":"+typ) {
			found = append(found, r)
		}
	}
	return found
}

// at returns what is at a path of a resource's inputs.
func at(t *testing.T, r providers.Registered, path string) any {
	t.Helper()
	var value any = r.Inputs
	for _, step := range strings.Split(path, ".") {
		object, ok := value.(map[string]any)
		require.Truef(t, ok, "%s of %s", path, r.URN)
		value = object[step]
	}
	return value
}

// resolved collects the values of outputs. It may be read once the program has ended.
type resolved struct {
	mu     sync.Mutex // protects values
	values map[string]string
}

func (r *resolved) add(name string, output pulumi.StringOutput) {
	output.ApplyT(func(value string) string {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.values == nil {
			r.values = map[string]string{}
		}
		r.values[name] = value
		return value
	})
}

func newNetwork(ctx *pulumi.Context, opts ...pulumi.ResourceOption) (*infra.Network, error) {
	return infra.NewNetwork(ctx, "net", &infra.NetworkArgs{
		Region:           region,
		NodesCIDR:        netip.MustParsePrefix("10.0.0.0/22"),
		PodsCIDR:         netip.MustParsePrefix("10.16.0.0/16"),
		ServicesCIDR:     netip.MustParsePrefix("10.32.0.0/20"),
		PeeringCIDR:      netip.MustParsePrefix("10.64.0.0/20"),
		FlowLogSampling:  0.25,
		NodeTag:          "node",
		LoadBalancerPort: 3000,
	}, opts...)
}

func TestNetworkLetsInOnlyIAPAndTheLoadBalancer(t *testing.T) {
	mocks, err := deploy(t, func(ctx *pulumi.Context, ready pulumi.ResourceOption) error {
		_, err := newNetwork(ctx, ready)
		return err
	})
	require.NoError(t, err)
	assert.Equal(t, false, at(t, one(t, mocks, "Network"), "autoCreateSubnetworks"))

	type rule struct{ sources, allows, denies, tags any }
	rules := map[string]rule{}
	for _, r := range all(mocks, "Firewall") {
		rules[r.Name()] = rule{r.Inputs["sourceRanges"], r.Inputs["allows"], r.Inputs["denies"], r.Inputs["targetTags"]}
		assert.NotNil(t, r.Inputs["logConfig"], "%s is logged", r.Name())
		assert.Equal(t, "INGRESS", r.Inputs["direction"])
	}
	node := []any{"node"}
	tcp := func(port string) any { return []any{map[string]any{"protocol": "tcp", "ports": []any{port}}} }
	assert.Equal(t, map[string]rule{
		"net-deny-ingress":        {sources: []any{"0.0.0.0/0"}, denies: []any{map[string]any{"protocol": "all"}}},
		"net-allow-iap-ssh":       {sources: []any{"35.235.240.0/20"}, allows: tcp("22"), tags: node},
		"net-allow-load-balancer": {sources: []any{"35.191.0.0/16", "130.211.0.0/22"}, allows: tcp("3000"), tags: node},
	}, rules)
}

func TestNetworkGivesPrivateNodesTheirWaysOut(t *testing.T) {
	mocks, err := deploy(t, func(ctx *pulumi.Context, ready pulumi.ResourceOption) error {
		_, err := newNetwork(ctx, ready)
		return err
	})
	require.NoError(t, err)
	subnet := one(t, mocks, "Subnetwork")
	assert.Equal(t, true, at(t, subnet, "privateIpGoogleAccess"))
	assert.Equal(t, 0.25, at(t, subnet, "logConfig.flowSampling"))
	nat := one(t, mocks, "RouterNat")
	assert.Equal(t, true, at(t, nat, "enableDynamicPortAllocation"))
	assert.Equal(t, "ALL_SUBNETWORKS_ALL_IP_RANGES", at(t, nat, "sourceSubnetworkIpRangesToNat"))
	assert.Equal(t, "ERRORS_ONLY", at(t, nat, "logConfig.filter"))
	assert.Equal(t, "ABANDON", at(t, one(t, mocks, "Connection"), "deletionPolicy"), "or no destroy ends")
	assert.Equal(t, true, at(t, one(t, mocks, "Connection"), "updateOnCreationFail"))
	assert.True(t, subnet.DeleteBeforeReplace, "the ranges of its replacement would overlap")
	assert.True(t, one(t, mocks, "GlobalAddress").DeleteBeforeReplace)
}

func postgres(ctx *pulumi.Context, network pulumi.StringInput, change func(*infra.CloudSqlPostgresArgs), opts ...pulumi.ResourceOption) (*infra.CloudSqlPostgres, error) {
	args := &infra.CloudSqlPostgresArgs{
		Region: region, Version: "POSTGRES_15", Tier: "db-g1-small", Database: "app", User: "app",
		MaxConnections: 100, DiskSizeGB: 10, DiskLimitGB: 50, RetainedBackups: 3, BackupStartTime: "01:00", MaintenanceDay: 7, MaintenanceHour: 3,
		PrivateNetwork: network,
	}
	if change != nil {
		change(args)
	}
	return infra.NewCloudSqlPostgres(ctx, "db", args, opts...)
}

func TestDatabaseIsPrivateEncryptedAndCanBeDestroyed(t *testing.T) {
	var got resolved
	mocks, err := deploy(t, func(ctx *pulumi.Context, ready pulumi.ResourceOption) error {
		network, err := newNetwork(ctx, ready)
		if err != nil {
			return err
		}
		db, err := postgres(ctx, network.PrivateServicesNetworkID, nil, ready)
		if err != nil {
			return err
		}
		got.add("host", db.Host)
		got.add("database", db.Database)
		got.add("user", db.User)
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"host": "10.64.0.3", "database": "app", "user": "app"}, got.values)

	instance := one(t, mocks, "DatabaseInstance")
	assert.Equal(t, false, at(t, instance, "settings.ipConfiguration.ipv4Enabled"))
	assert.Equal(t, "ENCRYPTED_ONLY", at(t, instance, "settings.ipConfiguration.sslMode"))
	assert.Equal(t, "ZONAL", at(t, instance, "settings.availabilityType"))
	assert.Equal(t, []any{map[string]any{"name": "max_connections", "value": "100"}}, at(t, instance, "settings.databaseFlags"))
	assert.Equal(t, true, at(t, instance, "settings.backupConfiguration.enabled"))
	assert.Equal(t, map[string]any{"retainedBackups": 3.0, "retentionUnit": "COUNT"}, at(t, instance, "settings.backupConfiguration.backupRetentionSettings"))
	assert.Equal(t, true, at(t, instance, "settings.insightsConfig.queryInsightsEnabled"))
	assert.Equal(t, true, at(t, instance, "settings.diskAutoresize"))
	assert.Equal(t, 50.0, at(t, instance, "settings.diskAutoresizeLimit"))
	assert.Equal(t, map[string]any{"day": 7.0, "hour": 3.0, "updateTrack": "stable"}, at(t, instance, "settings.maintenanceWindow"))
	assert.Equal(t, false, at(t, instance, "settings.backupConfiguration.pointInTimeRecoveryEnabled"))
	assert.Equal(t, []string{"settings.diskSize"}, instance.IgnoreChanges, "a disk that has grown must not replace the database")
	assert.Equal(t, "ABANDON", at(t, one(t, mocks, "User"), "deletionPolicy"))
	assert.Equal(t, "ABANDON", at(t, one(t, mocks, "Database"), "deletionPolicy"))
}

func TestPasswordIsGeneratedAndSecret(t *testing.T) {
	mocks, err := deploy(t, func(ctx *pulumi.Context, ready pulumi.ResourceOption) error {
		network, err := newNetwork(ctx, ready)
		if err != nil {
			return err
		}
		db, err := postgres(ctx, network.PrivateServicesNetworkID, nil, ready)
		if err != nil {
			return err
		}
		assert.True(t, pulumi.IsSecret(db.Password))
		return nil
	})
	require.NoError(t, err)
	assert.Empty(t, all(mocks, "RandomString"), "its result is its id, in clear in the state")
	assert.Equal(t, 32.0, at(t, one(t, mocks, "RandomPassword"), "length"))
	assert.Contains(t, at(t, one(t, mocks, "User"), "password"), "ciphertext", "sealed in the state")
}

func TestHighAvailabilityAndPointInTimeRecovery(t *testing.T) {
	mocks, err := deploy(t, func(ctx *pulumi.Context, ready pulumi.ResourceOption) error {
		network, err := newNetwork(ctx, ready)
		if err != nil {
			return err
		}
		_, err = postgres(ctx, network.PrivateServicesNetworkID, func(args *infra.CloudSqlPostgresArgs) {
			args.HighAvailability, args.PointInTimeDays, args.Protect = true, 7, true
		}, ready)
		return err
	})
	require.NoError(t, err)
	instance := one(t, mocks, "DatabaseInstance")
	assert.True(t, instance.Protect)
	assert.Equal(t, "REGIONAL", at(t, instance, "settings.availabilityType"))
	assert.Equal(t, true, at(t, instance, "settings.backupConfiguration.pointInTimeRecoveryEnabled"))
	assert.Equal(t, 7.0, at(t, instance, "settings.backupConfiguration.transactionLogRetentionDays"))
}

func TestBucketIsPrivateAndHasOneWriter(t *testing.T) {
	for _, protect := range []bool{false, true} {
		mocks, err := deploy(t, func(ctx *pulumi.Context, ready pulumi.ResourceOption) error {
			_, err := infra.NewStorageBucket(ctx, "data", &infra.StorageBucketArgs{
				Location: region, SoftDeleteDays: 7, OldVersionDays: 30, Protect: protect, Writer: pulumi.String("user:somebody@example.com"),
			}, ready)
			return err
		})
		require.NoError(t, err)
		bucket := one(t, mocks, "Bucket")
		assert.Equal(t, protect, bucket.Protect)
		assert.Equal(t, !protect, at(t, bucket, "forceDestroy"))
		assert.Equal(t, "enforced", at(t, bucket, "publicAccessPrevention"))
		assert.Equal(t, true, at(t, bucket, "uniformBucketLevelAccess"))
		assert.Equal(t, true, at(t, bucket, "versioning.enabled"))
		assert.Equal(t, 7.0*24*3600, at(t, bucket, "softDeletePolicy.retentionDurationSeconds"))
		grant := one(t, mocks, "BucketIAMMember")
		assert.Equal(t, "roles/storage.objectUser", at(t, grant, "role"))
		assert.Equal(t, "user:somebody@example.com", at(t, grant, "member"))
	}
}

func TestRegistryPrefixesAreReadyToUse(t *testing.T) {
	var got resolved
	mocks, err := deploy(t, func(ctx *pulumi.Context, ready pulumi.ResourceOption) error {
		registry, err := infra.NewRegistry(ctx, "reg", &infra.RegistryArgs{
			Location: region, RepositoryPrefix: "team", KeepNewest: 5, DeleteUntaggedAfterDays: 3, ImmutableTags: true, Protect: true, Reader: pulumi.String("user:node@example.com"),
		}, ready)
		if err != nil {
			return err
		}
		got.add("own", registry.ImagePrefix)
		got.add("ghcr", registry.GHCRPrefix)
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		"own":  "us-central1-docker.pkg.dev/my-project/team-images",
		"ghcr": "us-central1-docker.pkg.dev/my-project/team-ghcr",
	}, got.values)
	for _, grant := range all(mocks, "RepositoryIamMember") {
		assert.Equal(t, "roles/artifactregistry.reader", at(t, grant, "role"))
	}
	assert.Len(t, all(mocks, "RepositoryIamMember"), 2, "one a repository, none on the project")
	for _, repository := range all(mocks, "Repository") {
		assert.True(t, repository.DeleteBeforeReplace, "the id stays")
		assert.Equal(t, repository.Name() == "reg-images", repository.Protect)
		if repository.Name() != "reg-images" {
			continue
		}
		assert.Equal(t, true, at(t, repository, "dockerConfig.immutableTags"))
		policies, err := json.Marshal(repository.Inputs["cleanupPolicies"])
		require.NoError(t, err)
		assert.JSONEq(t, `[{"id":"keep-newest","action":"KEEP","mostRecentVersions":{"keepCount":5}},
			{"id":"delete-untagged","action":"DELETE","condition":{"tagState":"UNTAGGED","olderThan":"259200s"}}]`, string(policies))
	}
}

func newCluster(ctx *pulumi.Context, ready pulumi.ResourceOption, change func(*infra.GkeClusterArgs)) (*infra.GkeCluster, error) {
	network, err := newNetwork(ctx, ready)
	if err != nil {
		return nil, err
	}
	args := &infra.GkeClusterArgs{
		Project: project, Location: "us-central1-a", MinVersion: "1.36", ReleaseChannel: "REGULAR",
		Maintenance:    infra.Maintenance{Days: []string{"SA", "SU"}, StartHour: 20, Hours: 8},
		ConnectGateway: &infra.ConnectGateway{ProjectNumber: pulumi.String("123456789012")},
		AppPool:        infra.AppPool{MachineType: "e2-standard-2", MinNodes: 1, MaxNodes: 2},
		SandboxPool:    &infra.SandboxPool{MachineType: "e2-standard-4", MaxNodes: 4, Spot: true},
		NodeAccountID:  "test-nodes", NodeTag: "node",
		ControlPlaneCIDR: netip.MustParsePrefix("172.16.0.0/28"),
		Network:          network.NetworkID, Subnetwork: network.SubnetworkID, PodsRangeName: network.PodsRangeName, ServicesRangeName: network.ServicesRangeName,
	}
	if change != nil {
		change(args)
	}
	return infra.NewGkeCluster(ctx, "gke", args, ready)
}

func deployCluster(t *testing.T, change func(*infra.GkeClusterArgs)) (*providers.Mocks, map[string]string, error) {
	t.Helper()
	var got resolved
	mocks, err := deploy(t, func(ctx *pulumi.Context, ready pulumi.ResourceOption) error {
		cluster, err := newCluster(ctx, ready, change)
		if err != nil {
			return err
		}
		assert.True(t, pulumi.IsSecret(cluster.Kubeconfig))
		got.add("kubeconfig", cluster.Kubeconfig)
		got.add("credentials", cluster.CredentialsCommand)
		return nil
	})
	return mocks, got.values, err
}

func TestClusterIsPrivateWithItsOwnLeastPrivilegedNodes(t *testing.T) {
	mocks, _, err := deployCluster(t, nil)
	require.NoError(t, err)
	cluster := one(t, mocks, "Cluster")
	for path, want := range map[string]any{
		"privateClusterConfig.enablePrivateNodes":                    true,
		"privateClusterConfig.enablePrivateEndpoint":                 true,
		"privateClusterConfig.masterIpv4CidrBlock":                   "172.16.0.0/28",
		"masterAuthorizedNetworksConfig.gcpPublicCidrsAccessEnabled": false,
		"datapathProvider":                             "ADVANCED_DATAPATH",
		"enableShieldedNodes":                          true,
		"workloadIdentityConfig.workloadPool":          "my-project.svc.id.goog",
		"releaseChannel.channel":                       "REGULAR",
		"minMasterVersion":                             "1.36",
		"monitoringConfig.managedPrometheus":           map[string]any{"enabled": true},
		"gatewayApiConfig.channel":                     "CHANNEL_STANDARD",
		"addonsConfig.dnsCacheConfig":                  map[string]any{"enabled": true},
		"verticalPodAutoscaling.enabled":               true,
		"costManagementConfig.enabled":                 true,
		"removeDefaultNodePool":                        true,
		"nodeConfig.serviceAccount":                    "test-nodes@my-project.iam.gserviceaccount.com",
		"maintenancePolicy.recurringWindow":            map[string]any{"startTime": "2026-01-01T20:00:00Z", "endTime": "2026-01-02T04:00:00Z", "recurrence": "FREQ=WEEKLY;BYDAY=SA,SU"},
		"nodeConfig.diskType":                          "pd-standard",
		"securityPostureConfig.mode":                   "BASIC",
		"ipAllocationPolicy.clusterSecondaryRangeName": "pods",
	} {
		assert.Equal(t, want, at(t, cluster, path), path)
	}
	assert.Nil(t, cluster.Inputs["networkPolicy"], "the API refuses it with Dataplane V2")
	assert.Equal(t, []string{"nodeConfig"}, cluster.IgnoreChanges)
	assert.True(t, cluster.DeleteBeforeReplace, "two clusters cannot share the control plane's range")
	assert.ElementsMatch(t, []any{"SYSTEM_COMPONENTS", "STORAGE", "POD", "DEPLOYMENT", "STATEFULSET", "DAEMONSET", "HPA", "CADVISOR", "KUBELET"}, at(t, cluster, "monitoringConfig.enableComponents"))
	grant := one(t, mocks, "IAMMember")
	assert.Equal(t, "roles/container.defaultNodeServiceAccount", at(t, grant, "role"))
	assert.Equal(t, "serviceAccount:test-nodes@my-project.iam.gserviceaccount.com", at(t, grant, "member"))
}

func TestNodePools(t *testing.T) {
	mocks, _, err := deployCluster(t, nil)
	require.NoError(t, err)
	pools := map[string]providers.Registered{}
	for _, pool := range all(mocks, "NodePool") {
		pools[pool.Name()] = pool
		assert.ElementsMatch(t, []string{"nodeConfig.kubeletConfig", "nodeConfig.resourceLabels", "initialNodeCount"}, pool.IgnoreChanges, "or every preview is dirty, or replaces the pool")
		assert.Equal(t, map[string]any{"autoRepair": true, "autoUpgrade": true}, pool.Inputs["management"])
		assert.Equal(t, true, at(t, pool, "nodeConfig.gcfsConfig.enabled"))
		assert.Equal(t, true, at(t, pool, "nodeConfig.shieldedInstanceConfig.enableSecureBoot"))
		assert.Equal(t, "GKE_METADATA", at(t, pool, "nodeConfig.workloadMetadataConfig.mode"))
		assert.Equal(t, "test-nodes@my-project.iam.gserviceaccount.com", at(t, pool, "nodeConfig.serviceAccount"))
		assert.Equal(t, []any{"node"}, at(t, pool, "nodeConfig.tags"))
		assert.Nil(t, pool.Inputs["nodeCount"])
	}
	require.Len(t, pools, 2)

	app := pools["gke-app"]
	assert.Equal(t, map[string]any{"totalMinNodeCount": 1.0, "totalMaxNodeCount": 2.0, "locationPolicy": "BALANCED"}, at(t, app, "autoscaling"))
	assert.Equal(t, map[string]any{infra.PoolLabel: "app"}, at(t, app, "nodeConfig.labels"))
	assert.Nil(t, at(t, app, "nodeConfig.taints"))
	assert.Equal(t, false, at(t, app, "nodeConfig.spot"))

	sandbox := pools["gke-sandbox"]
	assert.Equal(t, map[string]any{"totalMinNodeCount": 0.0, "totalMaxNodeCount": 4.0, "locationPolicy": "ANY"}, at(t, sandbox, "autoscaling"))
	assert.Equal(t, 0.0, sandbox.Inputs["initialNodeCount"])
	assert.Equal(t, map[string]any{infra.PoolLabel: "sandbox"}, at(t, sandbox, "nodeConfig.labels"))
	assert.Equal(t, []any{map[string]any{"key": infra.SandboxTaint.Key, "value": infra.SandboxTaint.Value, "effect": infra.SandboxTaint.Effect}}, at(t, sandbox, "nodeConfig.taints"))
	assert.Equal(t, "gvisor", at(t, sandbox, "nodeConfig.sandboxConfig.sandboxType"))
	assert.Equal(t, true, at(t, sandbox, "nodeConfig.spot"))
}

// kubeconfig is the part of a kubeconfig that the tests read.
type kubeconfig struct {
	Clusters []struct {
		Cluster struct {
			Server string `json:"server"`
			CA     string `json:"certificate-authority-data"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		User map[string]map[string]any `json:"user"`
	} `json:"users"`
}

func parse(t *testing.T, text string) kubeconfig {
	t.Helper()
	var k kubeconfig
	require.NoError(t, json.Unmarshal([]byte(text), &k))
	require.Len(t, k.Clusters, 1)
	require.Len(t, k.Users, 1)
	assert.Equal(t, "gke-gcloud-auth-plugin", k.Users[0].User["exec"]["command"], "no token: it would change at every run")
	return k
}

func TestConnectGatewayIsTheWayInByDefault(t *testing.T) {
	mocks, got, err := deployCluster(t, func(args *infra.GkeClusterArgs) {
		args.ConnectGateway.Members = []string{"group:platform@example.com"}
		args.PublicEndpoint = &infra.PublicEndpoint{AuthorizedRanges: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}} // with both, the gateway is used
	})
	require.NoError(t, err)
	name := one(t, mocks, "Membership").Inputs["membershipId"].(string)
	k := parse(t, got["kubeconfig"])
	assert.Equal(t, "https://connectgateway.googleapis.com/v1/projects/123456789012/locations/global/gkeMemberships/"+name, k.Clusters[0].Cluster.Server)
	assert.Empty(t, k.Clusters[0].Cluster.CA)
	assert.Equal(t, "gcloud container fleet memberships get-credentials "+name+" --location=global --project=my-project", got["credentials"])

	var roles []any
	for _, grant := range all(mocks, "IAMMember") {
		if grant.Inputs["member"] == "group:platform@example.com" {
			roles = append(roles, grant.Inputs["role"])
		}
	}
	assert.ElementsMatch(t, []any{"roles/gkehub.gatewayEditor", "roles/gkehub.viewer", "roles/container.developer"}, roles)
}

func TestPublicEndpointIsReachedFromListedRangesOnly(t *testing.T) {
	mocks, got, err := deployCluster(t, func(args *infra.GkeClusterArgs) {
		args.ConnectGateway = nil
		args.PublicEndpoint = &infra.PublicEndpoint{AuthorizedRanges: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}}
	})
	require.NoError(t, err)
	assert.Empty(t, all(mocks, "Membership"))
	cluster := one(t, mocks, "Cluster")
	assert.Equal(t, false, at(t, cluster, "privateClusterConfig.enablePrivateEndpoint"))
	assert.Equal(t, []any{map[string]any{"cidrBlock": "203.0.113.7/32"}}, at(t, cluster, "masterAuthorizedNetworksConfig.cidrBlocks"))
	k := parse(t, got["kubeconfig"])
	assert.Equal(t, "https://203.0.113.10", k.Clusters[0].Cluster.Server)
	assert.NotEmpty(t, k.Clusters[0].Cluster.CA)
	assert.Contains(t, got["credentials"], "gcloud container clusters get-credentials gke-cluster-")
}

func TestWorkloadIdentityIsReusable(t *testing.T) {
	mocks, err := deploy(t, func(ctx *pulumi.Context, ready pulumi.ResourceOption) error {
		cluster, err := newCluster(ctx, ready, nil)
		if err != nil {
			return err
		}
		for _, workload := range []string{"app", "cleanup"} {
			_, err := infra.NewWorkloadIdentity(ctx, workload, &infra.WorkloadIdentityArgs{
				AccountID: "test-" + workload, Namespace: "ns", ServiceAccountName: workload, WorkloadPool: cluster.WorkloadPool,
			}, ready)
			if err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	bindings := map[any]any{}
	for _, grant := range all(mocks, "IAMMember") {
		if grant.Inputs["role"] == "roles/iam.workloadIdentityUser" {
			bindings[grant.Inputs["serviceAccountId"]] = grant.Inputs["member"]
		}
	}
	assert.Equal(t, map[any]any{
		"projects/my-project/serviceAccounts/test-app@my-project.iam.gserviceaccount.com":     "serviceAccount:my-project.svc.id.goog[ns/app]",
		"projects/my-project/serviceAccounts/test-cleanup@my-project.iam.gserviceaccount.com": "serviceAccount:my-project.svc.id.goog[ns/cleanup]",
	}, bindings)
}

func TestAPIsStayEnabled(t *testing.T) {
	var got resolved
	mocks, err := providers.NewMocks("test", project, region)
	require.NoError(t, err)
	require.NoError(t, pulumi.RunErr(func(ctx *pulumi.Context) error {
		services, err := infra.NewProjectServices(ctx, "apis", &infra.ProjectServicesArgs{})
		if err != nil {
			return err
		}
		got.add("number", services.ProjectNumber)
		return nil
	}, mocks.Option()))
	assert.Equal(t, "123456789012", got.values["number"])
	for _, service := range all(mocks, "Service") {
		assert.Equal(t, false, service.Inputs["disableOnDestroy"], service.Name())
	}
}

// TestArgumentsAreChecked: a component reports everything that is wrong with its arguments, and registers nothing.
func TestArgumentsAreChecked(t *testing.T) {
	cases := map[string]struct {
		program func(*pulumi.Context) error
		says    []string
	}{
		"network": {func(ctx *pulumi.Context) error {
			_, err := infra.NewNetwork(ctx, "x", &infra.NetworkArgs{FlowLogSampling: 2})
			return err
		}, []string{`network "x": region is required`, "podsCidr is required", "flowLogSampling is 2", "nodeTag is required"}},
		"registry": {func(ctx *pulumi.Context) error {
			_, err := infra.NewRegistry(ctx, "x", &infra.RegistryArgs{})
			return err
		}, []string{`registry "x": location is required`, "repositoryPrefix", "keepNewest is 0", "deleteUntaggedAfterDays is 0", "reader is required"}},
		"cluster": {func(ctx *pulumi.Context) error {
			_, err := infra.NewGkeCluster(ctx, "x", &infra.GkeClusterArgs{PublicEndpoint: &infra.PublicEndpoint{}, SandboxPool: &infra.SandboxPool{}})
			return err
		}, []string{`gke cluster "x": `, "location is required", "controlPlaneCidr is", "at least one authorized range", "appPool.machineType", "sandboxPool.maxNodes is 0"}},
		"cluster without access": {func(ctx *pulumi.Context) error {
			_, err := infra.NewGkeCluster(ctx, "x", &infra.GkeClusterArgs{})
			return err
		}, []string{"no way to reach the control plane"}},
		"open cluster": {func(ctx *pulumi.Context) error {
			_, err := infra.NewGkeCluster(ctx, "x", &infra.GkeClusterArgs{PublicEndpoint: &infra.PublicEndpoint{AuthorizedRanges: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}})
			return err
		}, []string{"must not be open to 0.0.0.0/0"}},
		"database": {func(ctx *pulumi.Context) error {
			_, err := infra.NewCloudSqlPostgres(ctx, "x", &infra.CloudSqlPostgresArgs{PointInTimeDays: 9})
			return err
		}, []string{`cloud sql postgres "x": `, "tier is required", "diskSizeGb is 0", "retainedBackups is 0", "pointInTimeDays is 9", "privateNetwork is required"}},
		"bucket": {func(ctx *pulumi.Context) error {
			_, err := infra.NewStorageBucket(ctx, "x", &infra.StorageBucketArgs{SoftDeleteDays: 2})
			return err
		}, []string{`storage bucket "x": location is required`, "softDeleteDays is 2", "oldVersionDays is 0", "writer is required"}},
		"app": {func(ctx *pulumi.Context) error {
			_, err := infra.NewOpenHandsApp(ctx, "x", &infra.OpenHandsAppArgs{
				Sandboxes: &infra.Sandboxes{Namespace: "x"}, Exposure: &infra.Exposure{Login: &infra.Login{ClientID: "id"}}, ExtraEnv: map[string]string{"FILE_STORE": "gcs"},
			})
			return err
		}, []string{`openhands app "x": `, "bucket is required", "release is required", "sandboxes.max is 0", "notPublic is required", "sandboxes.imagePrefixes is required", "exposure.host is required",
			"nobody could log in", "needs both of clientId and clientSecret", "requestsPerMinute is required", "publicControlPlane is required", "FILE_STORE is set by the program"}},
		"identity": {func(ctx *pulumi.Context) error {
			_, err := infra.NewWorkloadIdentity(ctx, "x", &infra.WorkloadIdentityArgs{})
			return err
		}, []string{`workload identity "x": accountId is required`, "namespace is required", "workloadPool is required"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			mocks, err := providers.NewMocks("test", project, region)
			require.NoError(t, err)
			err = pulumi.RunErr(c.program, mocks.Option())
			require.Error(t, err)
			for _, says := range c.says {
				assert.Contains(t, err.Error(), says)
			}
			assert.Empty(t, mocks.Resources())
		})
	}
}

func TestAlertsTellWhoIsListed(t *testing.T) {
	mocks, err := deploy(t, func(ctx *pulumi.Context, ready pulumi.ResourceOption) error {
		_, err := infra.NewObservability(ctx, "obs", &infra.ObservabilityArgs{
			Title: "OpenHands test", Emails: []string{"ops@example.com"}, Project: project,
			Cluster: pulumi.String("c"), Namespace: pulumi.String("ns"), Deployment: pulumi.String("d"), DatabaseInstance: pulumi.String("db"),
		}, ready)
		return err
	})
	require.NoError(t, err)
	channel := one(t, mocks, "NotificationChannel")
	assert.Equal(t, "ops@example.com", at(t, channel, "labels.email_address"))
	queries := map[string]any{}
	for _, alert := range all(mocks, "AlertPolicy") {
		assert.Equal(t, []any{channel.ID}, alert.Inputs["notificationChannels"])
		assert.NotEmpty(t, at(t, alert, "documentation.content"), "what to do")
		conditions := alert.Inputs["conditions"].([]any)
		require.Len(t, conditions, 1)
		queries[alert.Name()] = conditions[0].(map[string]any)["conditionPrometheusQueryLanguage"].(map[string]any)["query"]
	}
	assert.Equal(t, map[string]any{
		"obs-availability":  `(max(kube_deployment_status_replicas_available{cluster="c",namespace="ns",deployment="d"}) or vector(0)) < 1`,
		"obs-database-cpu":  `max(cloudsql_googleapis_com:database_cpu_utilization{monitored_resource="cloudsql_database",database_id="my-project:db"}) > 0.9`,
		"obs-database-disk": `max(cloudsql_googleapis_com:database_disk_utilization{monitored_resource="cloudsql_database",database_id="my-project:db"}) > 0.85`,
	}, queries)
	var dashboard struct {
		MosaicLayout struct {
			Tiles []any `json:"tiles"`
		} `json:"mosaicLayout"`
	}
	require.NoError(t, json.Unmarshal([]byte(one(t, mocks, "Dashboard").Inputs["dashboardJson"].(string)), &dashboard))
	assert.Len(t, dashboard.MosaicLayout.Tiles, 3)
}
