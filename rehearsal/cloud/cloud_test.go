package cloud

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// cloud is a project with the APIs on, for tests that make objects by hand.
type cloud struct {
	*testing.T
	*Cloud
}

func newCloud(t *testing.T) cloud {
	t.Helper()
	c := cloud{t, New("my-project", "us-central1", Rules)}
	for _, api := range []string{"compute", "container", "sqladmin", "servicenetworking", "storage"} {
		c.make(types.Service, values.Map{"service": api + ".googleapis.com", "disableOnDestroy": false})
	}
	return c
}

func (c cloud) make(typ string, inputs values.Map) string {
	c.Helper()
	id, _, err := c.Create(typ, "urn:"+typ+inputs.Str("name")+inputs.Str("service"), inputs)
	require.NoError(c, err)
	return id
}

func (c cloud) refuses(typ, id, why string) {
	c.Helper()
	err := c.Delete(typ, "", id)
	require.Error(c, err)
	assert.Contains(c, err.Error(), why)
}

// withDatabase makes a network with a database in it.
func (c cloud) withDatabase(connectionPolicy string, instance values.Map) (network, connection, database string) {
	c.Helper()
	network = c.make(types.Network, values.Map{"name": "vpc"})
	c.make(types.Address, values.Map{
		"name": "range", "network": network, "purpose": "VPC_PEERING", "addressType": "INTERNAL", "address": "10.64.0.0", "prefixLength": 20.0,
	})
	connection = c.make(types.Connection, values.Map{
		"network": network, "service": "servicenetworking.googleapis.com", "reservedPeeringRanges": []any{"range"}, "deletionPolicy": connectionPolicy,
	})
	instance["name"] = "db"
	instance.Set("settings.tier", "db-g1-small")
	instance.Set("settings.ipConfiguration.ipv4Enabled", false)
	instance.Set("settings.ipConfiguration.privateNetwork", network)
	return network, connection, c.make(types.SQLInstance, instance)
}

func TestWhatIsInUseCannotBeDeleted(t *testing.T) {
	c := newCloud(t)
	network, _, _ := c.withDatabase("ABANDON", values.Map{})
	subnet := c.make(types.Subnetwork, values.Map{"name": "subnet", "network": network, "ipCidrRange": "10.0.0.0/22", "secondaryIpRanges": []any{
		map[string]any{"rangeName": "pods", "ipCidrRange": "10.16.0.0/16"}, map[string]any{"rangeName": "services", "ipCidrRange": "10.32.0.0/20"},
	}})
	c.refuses(types.Network, network, "is used by compute.Subnetwork")
	c.make(types.Cluster, values.Map{"name": "cluster", "location": "us-central1-a", "network": network, "subnetwork": subnet, "initialNodeCount": 1.0,
		"ipAllocationPolicy": map[string]any{"clusterSecondaryRangeName": "pods", "servicesSecondaryRangeName": "services"}})
	c.refuses(types.Subnetwork, subnet, "is used by cluster")
	router := c.make(types.Router, values.Map{"name": "router", "network": network})
	c.make(types.NAT, values.Map{"name": "nat", "router": "router"})
	c.refuses(types.Router, router, "has NAT")
}

// TestWhatGoogleRefusesToChange: the provider plans these changes, and the API refuses them.
func TestWhatGoogleRefusesToChange(t *testing.T) {
	c := newCloud(t)
	network, _, database := c.withDatabase("ABANDON", values.Map{"databaseVersion": "POSTGRES_16"})
	subnet := func(pods, own string) values.Map {
		return values.Map{"name": "subnet", "network": network, "ipCidrRange": "10.0.0.0/22", "secondaryIpRanges": []any{
			map[string]any{"rangeName": "pods", "ipCidrRange": pods}, map[string]any{"rangeName": "services", "ipCidrRange": "10.32.0.0/20"},
			map[string]any{"rangeName": "own", "ipCidrRange": own},
		}}
	}
	id := c.make(types.Subnetwork, subnet("10.16.0.0/16", "10.48.0.0/20"))
	c.make(types.Cluster, values.Map{"name": "cluster", "location": "us-central1-a", "network": network, "subnetwork": id, "initialNodeCount": 1.0,
		"ipAllocationPolicy": map[string]any{"clusterSecondaryRangeName": "pods", "servicesSecondaryRangeName": "services"}})
	const urn = "urn:" + types.Subnetwork + "subnet"
	_, err := c.Update(types.Subnetwork, urn, id, subnet("10.18.0.0/16", "10.48.0.0/20"))
	require.ErrorContains(t, err, "range pods (10.16.0.0/16) is used by cluster")
	_, err = c.Update(types.Subnetwork, urn, id, subnet("10.16.0.0/16", "10.50.0.0/20"))
	require.NoError(t, err, "a range that no cluster uses")

	_, older := c.Cloud.Read(types.SQLInstance, "", database)
	older["databaseVersion"] = "POSTGRES_15"
	_, err = c.Update(types.SQLInstance, "", database, older)
	require.ErrorContains(t, err, "POSTGRES_15 is below POSTGRES_16")
	older["databaseVersion"] = "POSTGRES_17"
	_, err = c.Update(types.SQLInstance, "", database, older)
	require.NoError(t, err)
}

func TestNetworkWaitsForItsDatabaseAndItsPeering(t *testing.T) {
	c := newCloud(t)
	network, connection, database := c.withDatabase("ABANDON", values.Map{})
	c.refuses(types.Network, network, "is used by Cloud SQL instance")
	require.NoError(t, c.Delete(types.SQLInstance, "", database))
	c.refuses(types.Network, network, "is used by peering")
	require.NoError(t, c.Delete(types.Connection, "", connection))
	require.NoError(t, c.Delete(types.Network, "", network))
	for _, o := range c.List() {
		assert.NotEqual(t, "servicenetworking.Connection", o.Type, "the peering goes with the VPC")
	}
}

func TestPeeringThatIsNotAbandonedBlocksItsDeletion(t *testing.T) {
	c := newCloud(t)
	_, connection, database := c.withDatabase("", values.Map{})
	require.NoError(t, c.Delete(types.SQLInstance, "", database))
	c.refuses(types.Connection, connection, "still using this connection")
}

func TestDeletionProtection(t *testing.T) {
	for field, why := range map[string]string{
		"deletionProtection":                 "deletionProtection is set to true",
		"settings.deletionProtectionEnabled": "protected in the API",
	} {
		c := newCloud(t)
		instance := values.Map{}
		instance.Set(field, true)
		_, _, database := c.withDatabase("ABANDON", instance)
		c.refuses(types.SQLInstance, database, why)
	}
	c := newCloud(t)
	bucket := c.make(types.Bucket, values.Map{"name": "files", "location": "us-central1"})
	c.refuses(types.Bucket, bucket, "containing objects")
}

// TestWhoMayUseABucket plays Google's policy of a new bucket, the one that is set in its place, and none after that was deleted.
func TestWhoMayUseABucket(t *testing.T) {
	c := newCloud(t)
	bucket := c.make(types.Bucket, values.Map{"name": "files", "location": "us-central1", "forceDestroy": true})
	readers := func() []string { return c.Inventory().BucketBindings(bucket)["roles/storage.legacyObjectReader"] }
	assert.Equal(t, []string{"projectViewer:my-project"}, readers())
	policy := c.make(
		types.BucketPolicy,
		values.Map{"bucket": bucket, "policyData": `{"bindings":[{"role":"roles/storage.objectUser","members":["user:a@example.com"]}]}`},
	)
	assert.Empty(t, readers())
	assert.Equal(t, map[string][]string{"roles/storage.objectUser": {"user:a@example.com"}}, c.Inventory().BucketBindings(bucket))
	require.NoError(t, c.Delete(types.BucketPolicy, "", policy))
	c.refuses(types.Bucket, bucket, "its policy is empty")
}

func TestDatabaseNamesStayReserved(t *testing.T) {
	c := newCloud(t)
	network, _, database := c.withDatabase("ABANDON", values.Map{})
	require.NoError(t, c.Delete(types.SQLInstance, "", database))
	again := values.Map{"name": "db"}
	again.Set("settings.tier", "db-g1-small")
	again.Set("settings.ipConfiguration.privateNetwork", network)
	_, _, err := c.Create(types.SQLInstance, "urn:again", again)
	assert.ErrorContains(t, err, "reserved for about a week")
}

func TestUserThatOwnsObjectsCannotBeDropped(t *testing.T) {
	c := newCloud(t)
	c.withDatabase("ABANDON", values.Map{})
	user := c.make(types.SQLUser, values.Map{"name": "app", "instance": "db"})
	c.refuses(types.SQLUser, user, "cannot be dropped")
	kept := c.make(types.SQLUser, values.Map{"name": "other", "instance": "db", "deletionPolicy": "ABANDON"})
	require.NoError(t, c.Delete(types.SQLUser, "", kept))
}

func TestAPIThatIsOffRefuses(t *testing.T) {
	c := New("my-project", "us-central1", Rules)
	_, _, err := c.Create(types.Network, "urn:x", values.Map{"name": "vpc"})
	assert.ErrorContains(t, err, "SERVICE_DISABLED: compute.googleapis.com")
	_, err = c.Invoke("gcp:organizations/getProject:getProject", values.Map{"projectId": "my-project"})
	assert.ErrorContains(t, err, "SERVICE_DISABLED: cloudresourcemanager.googleapis.com")
}

func TestNodePoolFieldsOfTheCloudCannotBeUpdated(t *testing.T) {
	r := &Request{Inputs: values.Map{}, Old: &Object{Inputs: values.Map{}}}
	r.Inputs.Set("nodeConfig.kubeletConfig.cpuManagerPolicy", "static")
	assert.ErrorContains(t, Rules[types.NodePool].Update(r), "Error 400")
}

func TestPrivateNodesNeedANAT(t *testing.T) {
	c := newCloud(t)
	network := c.make(types.Network, values.Map{"name": "vpc"})
	c.make(types.Router, values.Map{"name": "router", "network": network})
	r := &Request{Inventory: c.inventory, cloud: c.Cloud}
	require.ErrorContains(t, r.NeedInternet(network), "has no NAT")
	c.make(types.NAT, values.Map{"name": "nat", "router": "router"})
	require.NoError(t, r.NeedInternet(network))
}

// TestStacksOfOneProject: what one has by name, the other cannot take; what both stand for goes with the first; and each has its own cluster.
func TestStacksOfOneProject(t *testing.T) {
	c := newCloud(t)
	other := c.Beside()
	for _, api := range []string{"iam", "cloudresourcemanager"} {
		for _, stack := range []*Cloud{c.Cloud, other} { // an API may be enabled twice
			_, _, err := stack.Create(types.Service, "urn:"+api, values.Map{"service": api + ".googleapis.com"})
			require.NoError(t, err)
		}
	}
	c.make(types.Account, values.Map{"accountId": "openhands-nodes"})
	_, _, err := other.Create(types.Account, "urn:account", values.Map{"accountId": "openhands-nodes"})
	require.ErrorContains(t, err, "alreadyExists: serviceaccount.Account projects/my-project/serviceAccounts/openhands-nodes")

	grant := values.Map{"project": "my-project", "role": "roles/gkehub.viewer", "member": "user:a@example.com"}
	id := c.make(types.ProjectMember, grant)
	_, _, err = other.Create(types.ProjectMember, "urn:grant", grant)
	require.NoError(t, err)
	require.NoError(t, other.Delete(types.ProjectMember, "", id))
	inputs, _ := c.Read(types.ProjectMember, "", id)
	assert.Nil(t, inputs, "the grant is gone for both")

	assert.Nil(t, other.Inventory().Find(types.Account, "openhands-nodes"), "each sees its own objects")
}
