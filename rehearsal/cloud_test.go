package rehearsal

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func google(t *testing.T) *Provider {
	t.Helper()
	c := NewProject("my-project", "us-central1")
	p, err := All(c, c)
	require.NoError(t, err)
	return p[0]
}

// cloud is a project with the APIs on, for tests that make objects by hand.
type cloud struct {
	*testing.T
	*Cloud
}

func newCloud(t *testing.T) cloud {
	t.Helper()
	c := cloud{t, NewProject("my-project", "us-central1")}
	for _, api := range []string{"compute", "container", "sqladmin", "servicenetworking", "storage"} {
		c.make(serviceType, values{"service": api + ".googleapis.com", "disableOnDestroy": false})
	}
	return c
}

func (c cloud) make(typ string, inputs values) string {
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
func (c cloud) withDatabase(connectionPolicy string, instance values) (network, connection, database string) {
	c.Helper()
	network = c.make(networkType, values{"name": "vpc"})
	c.make(addressType, values{"name": "range", "network": network, "purpose": "VPC_PEERING", "addressType": "INTERNAL", "address": "10.64.0.0", "prefixLength": 20.0})
	connection = c.make(connectionType, values{"network": network, "service": "servicenetworking.googleapis.com", "reservedPeeringRanges": []any{"range"}, "deletionPolicy": connectionPolicy})
	instance["name"] = "db"
	instance.Set("settings.tier", "db-g1-small")
	instance.Set("settings.ipConfiguration.ipv4Enabled", false)
	instance.Set("settings.ipConfiguration.privateNetwork", network)
	return network, connection, c.make(sqlInstanceType, instance)
}

func TestUnknownTypesAndFunctionsAreErrors(t *testing.T) {
	p := google(t)
	_, err := p.Check(context.Background(), plugin.CheckRequest{Type: "gcp:compute/instance:Instance"})
	assert.ErrorContains(t, err, "does not know type gcp:compute/instance:Instance")
	_, err = p.Invoke(context.Background(), plugin.InvokeRequest{Tok: "gcp:compute/getZones:getZones"})
	assert.ErrorContains(t, err, "does not know function")
}

// TestEveryKnownTypeIsComplete: a type has facts, a behaviour and a duration, or none of them.
func TestEveryKnownTypeIsComplete(t *testing.T) {
	for typ := range google(t).schema.(*Schema).types {
		assert.Contains(t, Rules, typ, "behaviour")
		_, ok := Creation(typ, values{})
		assert.True(t, ok, "duration of %s", typ)
	}
	for typ := range Rules {
		assert.Contains(t, google(t).schema.(*Schema).types, typ, "facts")
	}
}

func TestWhatIsInUseCannotBeDeleted(t *testing.T) {
	c := newCloud(t)
	network, _, _ := c.withDatabase("ABANDON", values{})
	subnet := c.make(subnetworkType, values{"name": "subnet", "network": network, "ipCidrRange": "10.0.0.0/22", "secondaryIpRanges": []any{
		map[string]any{"rangeName": "pods", "ipCidrRange": "10.16.0.0/16"}, map[string]any{"rangeName": "services", "ipCidrRange": "10.32.0.0/20"},
	}})
	c.refuses(networkType, network, "is used by compute.Subnetwork")
	c.make(clusterType, values{"name": "cluster", "location": "us-central1-a", "network": network, "subnetwork": subnet, "initialNodeCount": 1.0,
		"ipAllocationPolicy": map[string]any{"clusterSecondaryRangeName": "pods", "servicesSecondaryRangeName": "services"}})
	c.refuses(subnetworkType, subnet, "is used by cluster")
	router := c.make(routerType, values{"name": "router", "network": network})
	c.make(natType, values{"name": "nat", "router": "router"})
	c.refuses(routerType, router, "has NAT")
}

func TestNetworkWaitsForItsDatabaseAndItsPeering(t *testing.T) {
	c := newCloud(t)
	network, connection, database := c.withDatabase("ABANDON", values{})
	c.refuses(networkType, network, "is used by Cloud SQL instance")
	require.NoError(t, c.Delete(sqlInstanceType, "", database))
	c.refuses(networkType, network, "is used by peering")
	require.NoError(t, c.Delete(connectionType, "", connection))
	require.NoError(t, c.Delete(networkType, "", network))
	for _, o := range c.List() {
		assert.NotEqual(t, "servicenetworking.Connection", o.Type, "the peering goes with the VPC")
	}
}

func TestPeeringThatIsNotAbandonedBlocksItsDeletion(t *testing.T) {
	c := newCloud(t)
	_, connection, database := c.withDatabase("", values{})
	require.NoError(t, c.Delete(sqlInstanceType, "", database))
	c.refuses(connectionType, connection, "still using this connection")
}

func TestDeletionProtection(t *testing.T) {
	for field, why := range map[string]string{
		"deletionProtection":                 "deletionProtection is set to true",
		"settings.deletionProtectionEnabled": "protected in the API",
	} {
		c := newCloud(t)
		instance := values{}
		instance.Set(field, true)
		_, _, database := c.withDatabase("ABANDON", instance)
		c.refuses(sqlInstanceType, database, why)
	}
	c := newCloud(t)
	bucket := c.make(bucketType, values{"name": "files", "location": "us-central1"})
	c.refuses(bucketType, bucket, "containing objects")
}

func TestDatabaseNamesStayReserved(t *testing.T) {
	c := newCloud(t)
	network, _, database := c.withDatabase("ABANDON", values{})
	require.NoError(t, c.Delete(sqlInstanceType, "", database))
	again := values{"name": "db"}
	again.Set("settings.tier", "db-g1-small")
	again.Set("settings.ipConfiguration.privateNetwork", network)
	_, _, err := c.Create(sqlInstanceType, "urn:again", again)
	assert.ErrorContains(t, err, "reserved for about a week")
}

func TestUserThatOwnsObjectsCannotBeDropped(t *testing.T) {
	c := newCloud(t)
	c.withDatabase("ABANDON", values{})
	user := c.make(sqlUserType, values{"name": "app", "instance": "db"})
	c.refuses(sqlUserType, user, "cannot be dropped")
	kept := c.make(sqlUserType, values{"name": "other", "instance": "db", "deletionPolicy": "ABANDON"})
	require.NoError(t, c.Delete(sqlUserType, "", kept))
}

func TestAPIThatIsOffRefuses(t *testing.T) {
	c := NewProject("my-project", "us-central1")
	_, _, err := c.Create(networkType, "urn:x", values{"name": "vpc"})
	assert.ErrorContains(t, err, "SERVICE_DISABLED: compute.googleapis.com")
	_, err = c.Invoke("gcp:organizations/getProject:getProject", values{"projectId": "my-project"})
	assert.ErrorContains(t, err, "SERVICE_DISABLED: cloudresourcemanager.googleapis.com")
}

// diffs returns "path: kind" of what a provider finds between wanted inputs and the state.
func diffs(t *testing.T, typ string, wanted, state resource.PropertyMap, ignored ...string) []string {
	t.Helper()
	p := google(t)
	answer, err := p.Diff(context.Background(), plugin.DiffRequest{Type: tokens.Type(typ), NewInputs: wanted, OldOutputs: p.schema.Complete(typ, state), IgnoreChanges: ignored})
	require.NoError(t, err)
	var out []string
	for path, d := range answer.DetailedDiff {
		out = append(out, path+": "+d.Kind.String())
	}
	return out
}

func properties(m map[string]any) resource.PropertyMap { return resource.NewPropertyMapFromMap(m) }

func TestDiff(t *testing.T) {
	pool := func(config map[string]any) resource.PropertyMap {
		config["machineType"] = "e2-standard-2"
		return properties(map[string]any{"cluster": "c", "name": "p", "nodeConfig": config})
	}
	filled := map[string]any{"kubeletConfig": map[string]any{"cpuManagerPolicy": ""}, "resourceLabels": map[string]any{"goog-gke-x": "y"}}
	disk := func(size float64) resource.PropertyMap {
		return properties(map[string]any{"databaseVersion": "POSTGRES_15", "settings": map[string]any{"tier": "db-g1-small", "diskSize": size}})
	}
	ranges := func(r ...any) resource.PropertyMap {
		return properties(map[string]any{"network": "n", "sourceRanges": r})
	}
	for _, c := range []struct {
		what          string
		typ           string
		wanted, state resource.PropertyMap
		ignored       []string
		found         []string
	}{
		{"what GKE fills in makes every preview dirty", nodePoolType, pool(map[string]any{}), pool(filled), nil,
			[]string{"nodeConfig.kubeletConfig: delete", "nodeConfig.resourceLabels: delete"}},
		{"unless it is ignored", nodePoolType, pool(map[string]any{}), pool(filled), []string{"nodeConfig.kubeletConfig", "nodeConfig.resourceLabels"}, nil},
		{"a computed value may be left out", networkType, properties(map[string]any{"name": "n"}), properties(map[string]any{"name": "n", "mtu": 1460.0, "selfLink": "x", "autoCreateSubnetworks": true}), nil, nil},
		{"a default counts as wanted", networkType, properties(map[string]any{"name": "n"}), properties(map[string]any{"name": "n", "autoCreateSubnetworks": false}), nil, []string{"autoCreateSubnetworks: update-replace"}},
		{"image streaming replaces the pool", nodePoolType, pool(map[string]any{"gcfsConfig": map[string]any{"enabled": true}}), pool(map[string]any{"gcfsConfig": map[string]any{"enabled": false}}), nil,
			[]string{"nodeConfig.gcfsConfig.enabled: update-replace"}},
		{"the machine type does not", nodePoolType, properties(map[string]any{"cluster": "c", "nodeConfig": map[string]any{"machineType": "a"}}), properties(map[string]any{"cluster": "c", "nodeConfig": map[string]any{"machineType": "b"}}), nil,
			[]string{"nodeConfig.machineType: update"}},
		{"a disk grown beyond its size means another database", sqlInstanceType, disk(10), disk(15), nil, []string{"settings.diskSize: update-replace"}},
		{"unless the size is ignored", sqlInstanceType, disk(10), disk(15), []string{"settings.diskSize"}, nil},
		{"a pool that was resized by hand would be replaced", nodePoolType, properties(map[string]any{"cluster": "c", "initialNodeCount": 1.0}), properties(map[string]any{"cluster": "c", "initialNodeCount": 3.0}), nil,
			[]string{"initialNodeCount: update-replace"}},
		{"unless the number is ignored", nodePoolType, properties(map[string]any{"cluster": "c", "initialNodeCount": 1.0}), properties(map[string]any{"cluster": "c", "initialNodeCount": 3.0}), []string{"initialNodeCount"}, nil},
		{"a subnet's range grows in place", subnetworkType, properties(map[string]any{"ipCidrRange": "10.0.0.0/20"}), properties(map[string]any{"ipCidrRange": "10.0.0.0/22"}), nil, []string{"ipCidrRange: update"}},
		{"and in no other way", subnetworkType, properties(map[string]any{"ipCidrRange": "10.1.0.0/20"}), properties(map[string]any{"ipCidrRange": "10.0.0.0/22"}), nil, []string{"ipCidrRange: update-replace"}},
		{"policies by name are turned on in place", clusterType, properties(map[string]any{"enableFqdnNetworkPolicy": true}), properties(map[string]any{"enableFqdnNetworkPolicy": false}), nil, []string{"enableFqdnNetworkPolicy: update"}},
		{"and off by another cluster", clusterType, properties(map[string]any{"enableFqdnNetworkPolicy": false}), properties(map[string]any{"enableFqdnNetworkPolicy": true}), nil, []string{"enableFqdnNetworkPolicy: update-replace"}},
		{"another region means another database", sqlInstanceType, properties(map[string]any{"region": "a"}), properties(map[string]any{"region": "b"}), nil, []string{"region: update-replace"}},
		{"a larger disk does not", sqlInstanceType, disk(20), disk(15), nil, []string{"settings.diskSize: update"}},
		{"the location of a bucket is kept in upper case", bucketType, properties(map[string]any{"name": "b", "location": "eu"}), properties(map[string]any{"name": "b", "location": "EU"}), nil, nil},
		{"the order of a set does not count", firewallType, ranges("a", "b"), ranges("b", "a"), nil, nil},
		{"its content does", firewallType, ranges("a", "b"), ranges("a", "c"), nil, []string{"sourceRanges: update"}},
		{"an unknown value may be another", subnetworkType, resource.PropertyMap{"network": resource.MakeComputed(resource.NewProperty(""))}, properties(map[string]any{"network": "n"}), nil, []string{"network: update-replace"}},
	} {
		t.Run(c.what, func(t *testing.T) { assert.ElementsMatch(t, c.found, diffs(t, c.typ, c.wanted, c.state, c.ignored...)) })
	}
}

func TestNodePoolFieldsOfTheCloudCannotBeUpdated(t *testing.T) {
	r := &Request{Inputs: values{"nodeConfig": map[string]any{"kubeletConfig": map[string]any{"cpuManagerPolicy": "static"}}}, Old: &Object{Inputs: values{}}}
	assert.ErrorContains(t, Rules[nodePoolType].Update(r), "Error 400")
}

func TestCheckExport(t *testing.T) {
	const stack = `{"urn":"urn:pulumi:s::p::pulumi:pulumi:Stack::p-s","type":"pulumi:pulumi:Stack"}`
	const component = `{"urn":"urn:pulumi:s::p::openhands:gcp:X::x","type":"openhands:gcp:X","parent":"urn:pulumi:s::p::pulumi:pulumi:Stack::p-s"}`
	custom := func(typ, inputs string) string {
		return `{"urn":"urn:pulumi:s::p::openhands:gcp:X$` + typ + `::r","type":"` + typ + `","custom":true,"provider":"urn:pulumi:s::p::pulumi:providers:gcp::gcp::id","parent":"urn:pulumi:s::p::openhands:gcp:X::x","inputs":` + inputs + `}`
	}
	for what, c := range map[string]struct{ resource, says string }{
		"nothing wrong":           {custom(networkType, `{"name":"n"}`), ""},
		"secret in clear":         {custom(networkType, `{"description":"`+Marker+`1"}`), "a secret is in clear"},
		"password in clear":       {custom(sqlUserType, `{"password":"pw"}`), "password is not encrypted"},
		"no component":            {strings.Replace(custom(networkType, `{}`), `"parent":"urn:pulumi:s::p::openhands:gcp:X::x"`, `"parent":"urn:pulumi:s::p::pulumi:pulumi:Stack::p-s"`, 1), "belongs to no component"},
		"default provider":        {strings.Replace(custom(networkType, `{}`), "gcp::gcp::id", "gcp::default_7_38_0::id", 1), "not on an explicit provider"},
		"no provider":             {strings.Replace(custom(networkType, `{}`), "urn:pulumi:s::p::pulumi:providers:gcp::gcp::id", "", 1), "not on an explicit provider"},
		"open firewall":           {custom(firewallType, `{"allows":[{"protocol":"tcp"}],"sourceRanges":["0.0.0.0/0"]}`), "allows traffic from 0.0.0.0/0"},
		"deny rule for all":       {custom(firewallType, `{"denies":[{"protocol":"all"}],"sourceRanges":["0.0.0.0/0"]}`), ""},
		"public nodes":            {custom(clusterType, `{"masterAuthorizedNetworksConfig":{"gcpPublicCidrsAccessEnabled":false}}`), "nodes have public addresses"},
		"Google's addresses":      {custom(clusterType, `{"privateClusterConfig":{"enablePrivateNodes":true}}`), "any address of Google Cloud"},
		"public nodes of a pool":  {custom(nodePoolType, `{"networkConfig":{"enablePrivateNodes":false}}`), "nodes have public addresses"},
		"open control plane":      {custom(clusterType, `{"privateClusterConfig":{"enablePrivateNodes":true},"masterAuthorizedNetworksConfig":{"gcpPublicCidrsAccessEnabled":false,"cidrBlocks":[{"cidrBlock":"0.0.0.0/0"}]}}`), "control plane is open"},
		"public database":         {custom(sqlInstanceType, `{"settings":{"ipConfiguration":{}}}`), "database has a public address"},
		"bucket that may be open": {custom(bucketType, `{"uniformBucketLevelAccess":true}`), "bucket may become public"},
		"project admin":           {custom(projectMemberType, `{"role":"roles/container.admin"}`), "on the whole project"},
		"project editor":          {custom(projectMemberType, `{"role":"roles/editor"}`), "on the whole project"},
		"IAM binding":             {custom("gcp:projects/iAMBinding:IAMBinding", `{"role":"roles/viewer"}`), "takes the role away from all others"},
		"IAM policy":              {custom("gcp:storage/bucketIAMPolicy:BucketIAMPolicy", `{}`), "takes the role away from all others"},
		"everyone":                {custom(bucketMemberType, `{"role":"roles/storage.objectViewer","member":"allUsers"}`), "to everyone"},
	} {
		t.Run(what, func(t *testing.T) {
			problems, err := CheckExport([]byte(`{"deployment":{"resources":[` + stack + `,` + component + `,` + c.resource + `]}}`))
			require.NoError(t, err)
			if c.says == "" {
				assert.Empty(t, problems)
				return
			}
			require.Len(t, problems, 1)
			assert.Contains(t, problems[0], c.says)
		})
	}
}

func TestOrderOfCreationMustNotBeLuck(t *testing.T) {
	c := NewProject("my-project", "us-central1")
	const a, b = "urn:pulumi:s::p::gcp:compute/network:Network::a", "urn:pulumi:s::p::gcp:compute/subnetwork:Subnetwork::b"
	c.needs = []Need{{URN: b, On: a, Why: "network"}}
	graph := func(dependencies string) *Graph {
		export, err := ParseExport([]byte(`{"deployment":{"resources":[{"urn":"` + a + `"},{"urn":"` + b + `","dependencies":[` + dependencies + `]}]}}`))
		require.NoError(t, err)
		return NewGraph(export)
	}
	assert.Empty(t, CheckOrder(c, graph(`"`+a+`"`)))
	problems := CheckOrder(c, graph(""))
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0], "compute.Subnetwork b needs compute.Network a (network), and nothing makes it wait")
}

func TestStackFileIsRehearsedWithoutItsSecrets(t *testing.T) {
	path := t.TempDir() + "/Pulumi.x.yaml"
	require.NoError(t, writeFile(path, `secretsprovider: gcpkms://key
encryptedkey: abc
encryptionsalt: v1:def
config:
  gcp:project: my-project
  openhands:token:
    secure: v1:ciphertext
  openhands:object:
    plain: 1
    empty:
    nested:
      secret:
        secure: v1:other
`))
	file, err := readStackFile(path)
	require.NoError(t, err)
	assert.Equal(t, []string{"openhands:object.nested.secret", "openhands:token"}, file.secrets)
	assert.Equal(t, "my-project", file.value("gcp:project"))
	require.NoError(t, file.write(path))
	copied, err := readFile(path)
	require.NoError(t, err)
	for _, gone := range []string{"secure", "ciphertext", "kms", "encryption", "encryptedkey"} {
		assert.NotContains(t, copied, gone)
	}
	assert.Contains(t, copied, "plain: 1")
	assert.Contains(t, copied, "empty: null", "what the real run refuses, the rehearsal must see")
}

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }

func readFile(path string) (string, error) {
	raw, err := os.ReadFile(path)
	return string(raw), err
}

func TestOutputsMustNameWhatExists(t *testing.T) {
	c := newCloud(t)
	c.withDatabase("ABANDON", values{})
	export := &Export{}
	outputs := map[string]any{"databaseInstance": "db", "databaseHost": "10.64.0.3", "kubeconfig": sealedValue, "databasePassword": sealedValue}
	export.Deployment.Resources = []Resource{{Type: StackType, Outputs: outputs}}
	assert.Empty(t, CheckOutputs(c.Inventory(), export))
	outputs["databaseHost"], outputs["kubeconfig"] = "db", "in clear"
	assert.Equal(t, []string{"output databaseHost is db, and the cloud has 10.64.0.3", "output kubeconfig is not there as a secret"}, CheckOutputs(c.Inventory(), export))
}

var sealedValue = Encrypted("x")
