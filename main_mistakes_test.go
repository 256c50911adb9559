package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/providers"
	"openhands-gcp/rehearsal/types"
)

// setInput returns a mistake: another value at a path of the inputs.
func setInput(path string, value any) func(resource.PropertyMap) {
	return func(inputs resource.PropertyMap) {
		v, ok := parsePath(path).Add(resource.NewProperty(inputs), resource.NewPropertyValue(value))
		if !ok {
			panic("no such path: " + path)
		}
		maps.Copy(inputs, v.ObjectValue())
	}
}

// removeInput returns a mistake: nothing at a path of the inputs.
func removeInput(path string) func(resource.PropertyMap) {
	return func(inputs resource.PropertyMap) {
		if !parsePath(path).Delete(resource.NewProperty(inputs)) {
			panic("no such path: " + path)
		}
	}
}

func parsePath(path string) resource.PropertyPath {
	p, err := resource.ParsePropertyPath(path)
	if err != nil {
		panic(err)
	}
	return p
}

// spoiled runs the dev stack with a mistake in one resource, found by the end of its type and its name.
func spoiled(t *testing.T, typ, name string, spoil func(resource.PropertyMap)) (*providers.Mocks, error) {
	t.Helper()
	return spoiledIn(t, "dev", stackFile(t, "dev"), typ, name, spoil)
}

// spoiledIn is spoiled for a stack with a configuration.
func spoiledIn(t *testing.T, stack string, config map[string]string, typ, name string, spoil func(resource.PropertyMap)) (*providers.Mocks, error) {
	t.Helper()
	hit := false
	mocks, err := deployed(t, stack, config, func(m *providers.Mocks, _ *pulumi.RunInfo) {
		m.Spoil = func(gotType, gotName string, inputs resource.PropertyMap) {
			component := strings.HasPrefix(gotType, "openhands:")
			if !component && gotName == name && strings.HasSuffix(gotType, ":"+typ) {
				hit = true
				spoil(inputs)
			}
		}
	})
	require.True(t, hit, "the program has no such resource")
	return mocks, err
}

// TestTheSimulatedCloudRefusesMistakes makes one mistake at a time in the inputs of one resource of the real program. Each is one that Google Cloud
// or its provider refuses, so each shows that a rule of the simulated cloud holds.
func TestTheSimulatedCloudRefusesMistakes(t *testing.T) {
	const iam = "serviceAccount:nobody@my-openhands-dev.iam.gserviceaccount.com"
	cases := []struct {
		mistake        string
		resource, name string // end of the type, and name
		spoil          func(resource.PropertyMap)
		refusal        string
	}{
		// What the provider's schema says.
		{"unknown field", "Network", "openhands-vpc", setInput("routingmode", "REGIONAL"), "the provider has no such field"},
		{
			"unknown field in a block", "Cluster", "openhands-cluster", setInput("releaseChannel.chanel", "REGULAR"),
			"releaseChannel.chanel: the provider has no such field",
		},
		{"required field missing", "Service", "openhands-compute.googleapis.com", removeInput("service"), "service: is required"},
		{"required field of a block missing", "Cluster", "openhands-cluster", removeInput("releaseChannel.channel"), "releaseChannel.channel: is required"},
		{"cleanup policy without an id", "Repository", "openhands-images", removeInput("cleanupPolicies[0].id"), "cleanupPolicies[0].id: is required"},
		{"wrong type", "RouterNat", "openhands-nat", setInput("minPortsPerVm", "64"), "minPortsPerVm: must be a int, is a string"},
		{"output set", "Network", "openhands-vpc", setInput("selfLink", "x"), "is an output"},
		{"conflicting fields", "Cluster", "openhands-cluster", setInput("clusterIpv4Cidr", "10.16.0.0/16"), "conflicts with"},
		{"two of which one is allowed", "Firewall", "openhands-deny-ingress", setInput("allows", []any{map[string]any{"protocol": "tcp"}}), "exactly one of"},
		{"none of which one is needed", "Firewall", "openhands-deny-ingress", removeInput("denies"), "exactly one of"},
		{"too many items", "Bucket", "openhands-files", setInput("customPlacementConfig", map[string]any{"dataLocations": []any{"a", "b", "c"}}), "at most 2"},

		// The network.
		{"name out of rule", "Network", "openhands-vpc", setInput("name", "Vpc_1"), "does not match"},
		{"range that is none", "Subnetwork", "openhands-subnet", setInput("ipCidrRange", "10.0.0.1/22"), "is not a network range"},
		{"overlapping secondary range", "Subnetwork", "openhands-subnet", setInput("secondaryIpRanges[0].ipCidrRange", "10.0.0.0/16"), "overlaps"},
		{"subnet in a missing network", "Subnetwork", "openhands-subnet", setInput("network", "projects/p/global/networks/other"), "does not exist"},
		{"subnet in an auto-mode network", "Network", "openhands-vpc", setInput("autoCreateSubnetworks", true), "auto mode"},
		{"ports that are no power of two", "RouterNat", "openhands-nat", setInput("minPortsPerVm", 100.0), "not a power of two"},
		{
			"dynamic ports with endpoint-independent mapping", "RouterNat", "openhands-nat", setInput("enableEndpointIndependentMapping", true),
			"cannot be used with",
		},
		{"NAT on a missing router", "RouterNat", "openhands-nat", setInput("router", "other"), "does not exist"},
		{"peering range in the subnet", "GlobalAddress", "openhands-private-services", setInput("address", "10.0.0.0"), "overlaps"},
		{"peering range too small", "GlobalAddress", "openhands-private-services", setInput("prefixLength", 28.0), "not within 8 to 24"},
		{"external peering range", "GlobalAddress", "openhands-private-services", setInput("addressType", "EXTERNAL"), "needs INTERNAL"},
		{"peering without a range", "Connection", "openhands-private-services", setInput("reservedPeeringRanges", []any{"other"}), "does not exist"},
		{"firewall without a source", "Firewall", "openhands-allow-iap-ssh", removeInput("sourceRanges"), "is needed for ingress"},
		{"firewall priority out of range", "Firewall", "openhands-deny-ingress", setInput("priority", 70000.0), "not within 0 to 65535"},

		// The cluster.
		{
			"private nodes without a range for the control plane", "Cluster", "openhands-cluster", removeInput("privateClusterConfig.masterIpv4CidrBlock"),
			"must be set with enablePrivateNodes",
		},
		{"control plane in the subnet", "Cluster", "openhands-cluster", setInput("privateClusterConfig.masterIpv4CidrBlock", "10.0.0.0/28"), "overlaps"},
		{
			"control plane range of the wrong size", "Cluster", "openhands-cluster", setInput("privateClusterConfig.masterIpv4CidrBlock", "172.16.0.0/27"),
			"is not a /28",
		},
		{
			"private endpoint without authorized networks", "Cluster", "openhands-cluster", removeInput("masterAuthorizedNetworksConfig"),
			"must be set with enablePrivateEndpoint",
		},
		{
			"Dataplane V2 with the old network policy", "Cluster", "openhands-cluster", setInput("networkPolicy", map[string]any{"enabled": true}),
			"must not be enabled",
		},
		{
			"secondary range that the subnet lacks", "Cluster", "openhands-cluster", setInput("ipAllocationPolicy.clusterSecondaryRangeName", "other"),
			"has no secondary range",
		},
		{"no initial node", "Cluster", "openhands-cluster", setInput("initialNodeCount", 0.0), "must be at least 1"},
		{
			"another project's workload pool", "Cluster", "openhands-cluster", setInput("workloadIdentityConfig.workloadPool", "other.svc.id.goog"),
			"is not the project's",
		},
		{"cluster name too long", "Cluster", "openhands-cluster", setInput("name", strings.Repeat("a", 41)), "the limit is 40"},
		{"cluster in a zone that does not exist", "Cluster", "openhands-cluster", setInput("location", "us-central1-d"), "is not a zone of region us-central1"},
		{"cluster in another region", "Cluster", "openhands-cluster", setInput("location", "europe-west4"), "not in the subnet's region"},
		{"version that is none", "Cluster", "openhands-cluster", setInput("minMasterVersion", "latest"), "is not a version"},
		{"node count with autoscaling", "NodePool", "openhands-app", setInput("nodeCount", 1.0), "must not be set with autoscaling"},
		{"both kinds of limits", "NodePool", "openhands-app", setInput("autoscaling.maxNodeCount", 3.0), "not both"},
		{"minimum above maximum", "NodePool", "openhands-app", setInput("autoscaling.totalMinNodeCount", 9.0), "is above"},
		{"gVisor on another image", "NodePool", "openhands-sandbox", setInput("nodeConfig.imageType", "UBUNTU_CONTAINERD"), "needs COS_CONTAINERD"},
		{
			"persistent disks on machines that take none", "NodePool", "openhands-app", setInput("nodeConfig.machineType", "c4-standard-4"),
			"pd-balanced cannot be used with machine type c4-standard-4",
		},
		{"GKE's own taint", "NodePool", "openhands-sandbox", setInput("nodeConfig.taints[0].key", "sandbox.gke.io/runtime"), "is GKE's own"},
		{
			"kubelet block without its required field", "NodePool", "openhands-app",
			setInput("nodeConfig.kubeletConfig", map[string]any{"podPidsLimit": 1024.0}), "cpuManagerPolicy: is required",
		},
		{
			"missing service account of the nodes", "NodePool", "openhands-app",
			setInput("nodeConfig.serviceAccount", "nobody@my-openhands-dev.iam.gserviceaccount.com"), "does not exist",
		},
		{"nodes without their role", "IAMMember", "openhands-nodes-role", setInput("role", "roles/logging.logWriter"), "its nodes write no logs"},
		{
			"nodes that may not pull the image", "RepositoryIamMember", "openhands-ghcr-reader", setInput("role", "roles/viewer"), "may not read repository",
		},
		{
			"fleet membership of a missing cluster", "Membership", "openhands-membership",
			setInput("endpoint.gkeCluster.resourceLink", "//container.googleapis.com/projects/p/locations/l/clusters/c"), "does not exist",
		},

		// The database.
		{
			"no address at all", "DatabaseInstance", "openhands-postgres", removeInput("settings.ipConfiguration.privateNetwork"),
			"at least one of public and private",
		},
		{"tier that is none", "DatabaseInstance", "openhands-postgres", setInput("settings.tier", "db-n1-standard-1"), "is not a PostgreSQL tier"},
		{"two contradicting TLS switches", "DatabaseInstance", "openhands-postgres", setInput("settings.ipConfiguration.requireSsl", true), "contradicts"},
		{"point-in-time recovery without backups", "DatabaseInstance", "openhands-postgres", func(in resource.PropertyMap) {
			setInput("settings.backupConfiguration.enabled", false)(in)
			setInput("settings.backupConfiguration.pointInTimeRecoveryEnabled", true)(in)
		}, "needs backups"},
		{"high availability without backups", "DatabaseInstance", "openhands-postgres", func(in resource.PropertyMap) {
			setInput("settings.backupConfiguration.enabled", false)(in)
			setInput("settings.availabilityType", "REGIONAL")(in)
		}, "REGIONAL needs backups"},
		{"deletion policy that a user does not have", "User", "openhands-user", setInput("deletionPolicy", "DELETE"), "is not allowed"},
		{"database on a missing instance", "Database", "openhands-database", setInput("instance", "other"), "does not exist"},

		// Identity, storage, registry.
		{"account id too long", "Account", "openhands-account", setInput("accountId", strings.Repeat("a", 31)), "the limit is 30"},
		{"account id too short", "Account", "openhands-account", setInput("accountId", "app"), "at least 6"},
		{"duplicate account", "Account", "openhands-account", setInput("accountId", "openhands-dev-nodes"), "alreadyExists"},
		{"role that is none", "RepositoryIamMember", "openhands-ghcr-reader", setInput("role", "artifactregistry.reader"), "is not a role"},
		{"member that does not exist", "RepositoryIamMember", "openhands-ghcr-reader", setInput("member", iam), "does not exist"},
		{"member that is none", "RepositoryIamMember", "openhands-ghcr-reader", setInput("member", "app"), "is not an IAM member"},
		{"policy that is none", "BucketIAMPolicy", "openhands-files", setInput("policyData", "roles/storage.objectUser"), "is not a policy"},
		{"policy of no bucket", "BucketIAMPolicy", "openhands-files", setInput("bucket", "other"), "does not exist"},
		{
			"policy with a role that is none", "BucketIAMPolicy", "openhands-files", setInput("policyData", `{"bindings":[{"role":"objectUser"}]}`),
			"is not a role",
		},
		{
			"policy for viewers of another project", "BucketIAMPolicy", "openhands-files",
			setInput("policyData", `{"bindings":[{"role":"roles/storage.objectUser","members":["projectViewer:other"]}]}`), "is not an IAM member",
		},
		{"pool of no cluster", "IAMMember", "openhands-binding", setInput("member", "serviceAccount:other.svc.id.goog[a/b]"), "Identity Pool does not exist"},
		{"grant in another project", "IAMMember", "openhands-nodes-role", setInput("project", "other"), "is not this project"},
		{"bucket name out of rule", "Bucket", "openhands-files", setInput("name", "Files"), "does not match"},
		{"soft delete for two days", "Bucket", "openhands-files", setInput("softDeletePolicy.retentionDurationSeconds", 172800.0), "0 or 7 to 90 days"},
		{"lifecycle rule that deletes everything", "Bucket", "openhands-files", removeInput("lifecycleRules[0].condition.noAge"), "deletes every object"},
		{"remote repository without its source", "Repository", "openhands-ghcr", removeInput("remoteRepositoryConfig"), "is needed with mode"},
		{"source on a standard repository", "Repository", "openhands-ghcr", removeInput("mode"), "needs REMOTE_REPOSITORY"},
		{"keep-newest that deletes", "Repository", "openhands-images", setInput("cleanupPolicies[0].action", "DELETE"), "only be used with action KEEP"},
		{"API that is none", "Service", "openhands-compute.googleapis.com", setInput("service", "compute"), "is not an API"},
		{"API left out", "Service", "openhands-sqladmin.googleapis.com", setInput("service", "other.googleapis.com"), "sqladmin.googleapis.com is not enabled"},
		{
			"gateway's API left out", "Service", "openhands-connectgateway.googleapis.com", setInput("service", "other.googleapis.com"),
			"connectgateway.googleapis.com is not enabled",
		},
		{
			"image streaming's API left out", "Service", "openhands-containerfilesystem.googleapis.com", setInput("service", "other.googleapis.com"),
			"containerfilesystem.googleapis.com is not enabled",
		},
		{
			"logging's API left out", "Service", "openhands-logging.googleapis.com", setInput("service", "other.googleapis.com"),
			"logging.googleapis.com is not enabled",
		},
		{
			"high availability without point-in-time recovery", "DatabaseInstance", "openhands-postgres", setInput("settings.availabilityType", "REGIONAL"),
			"REGIONAL needs point-in-time recovery",
		},
		{
			"alert on a metric that does not exist", "AlertPolicy", "openhands-availability",
			setInput("conditions[0].conditionPrometheusQueryLanguage.query", "openhands_conversations_total{} > 1"),
			"there is no metric openhands_conversations_total",
		},
		{
			"alert to a channel that does not exist", "AlertPolicy", "openhands-availability",
			setInput("notificationChannels", []any{"projects/p/notificationChannels/1"}), "does not exist",
		},
		{
			"dashboard with a zero", "Dashboard", "openhands-dashboard",
			setInput("dashboardJson", `{"displayName":"d","mosaicLayout":{"columns":48,"tiles":[{"xPos":0,"width":24,"height":16}]}}`),
			"the next preview would not be empty: [dashboardJson]",
		},
		{
			"dashboard with what is the default", "Dashboard", "openhands-dashboard",
			setInput("dashboardJson", `{"displayName":"d","mosaicLayout":{"tiles":[{"widget":{"xyChart":{"thresholds":[]}}}]}}`),
			"the next preview would not be empty: [dashboardJson]",
		},
		{
			"dashboard with too many charts", "Dashboard", "openhands-dashboard",
			setInput("dashboardJson", `{"displayName":"d","gridLayout":{"widgets":[`+strings.Repeat(`{"title":"t"},`, 50)+`{"title":"t"}]}}`),
			"has 51 widgets, at most 50",
		},
		{
			"block that the provider does not send", "Repository", "openhands-images", setInput("dockerConfig", map[string]any{"immutableTags": false}),
			"the next preview would not be empty: [dockerConfig]",
		},
		{"dashboard that is no JSON", "Dashboard", "openhands-dashboard", setInput("dashboardJson", "{"), "dashboardJson"},
		{"provider without a project", "gcp", "gcp", removeInput("project"), "project: is \"\""},
		{"provider of another region", "gcp", "gcp", setInput("region", "europe-west4"), "the stack's is \"us-central1\""},
		{"provider of a region that does not exist", "gcp", "gcp", setInput("region", "us-central9"), "is not a region that is known here"},
		{"provider without a zone", "gcp", "gcp", removeInput("zone"), "would come from the environment"},
		{"setting that the provider lacks", "gcp", "gcp", setInput("regoin", "x"), "no such setting"},
	}
	for _, c := range cases {
		t.Run(c.mistake, func(t *testing.T) {
			_, err := spoiled(t, c.resource, c.name, c.spoil)
			require.Error(t, err)
			assert.Contains(t, err.Error(), c.refusal)
		})
	}
}

// TestWhatGoogleKnowsIsLookedUp: a version that looks right is asked for before the cluster is created.
func TestWhatGoogleKnowsIsLookedUp(t *testing.T) {
	for _, c := range []struct {
		mistake string
		set     map[string]any
		refusal string
	}{
		{"none", map[string]any{"openhands:cluster.minVersion": "1.36.2", "gcp:zone": "us-central1-f"}, ""},
		{"newer minor in another channel", map[string]any{"openhands:cluster.minVersion": "1.37", "openhands:cluster.releaseChannel": "RAPID"}, ""},
		{
			"version that the channel lacks", map[string]any{"openhands:cluster.minVersion": "1.37"},
			"minVersion is 1.37, which release channel REGULAR does not have in us-central1-a yet. Write another one of the two: GKE has RAPID to 1.37",
		},
		{
			"patch that the channel lacks", map[string]any{"openhands:cluster.minVersion": "1.36.3"},
			"minVersion is 1.36.3, which release channel REGULAR does not have",
		},
		{
			"channel that is behind", map[string]any{"openhands:cluster.releaseChannel": "STABLE"},
			"minVersion is 1.36, which release channel STABLE does not have",
		},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			mocks, err := deployed(t, "dev", nested(t, stackFile(t, "dev"), c.set), nil)
			if c.refusal == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.refusal)
			for _, r := range mocks.Resources() {
				assert.NotEqual(t, types.Cluster, r.Type, "it is found out with the cluster only")
			}
		})
	}
}
