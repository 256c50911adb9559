package checks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// newCloud returns a project with APIs enabled.
func newCloud(t *testing.T, apis ...string) *cloud.Cloud {
	t.Helper()
	c := cloud.New("my-project", "us-central1", cloud.Rules)
	for _, api := range apis {
		create(t, c, types.Service, "urn:"+api, values.Map{"service": api + ".googleapis.com"})
	}
	return c
}

// create makes an object, and returns its id.
func create(t *testing.T, c *cloud.Cloud, typ, urn string, inputs values.Map) string {
	t.Helper()
	id, _, err := c.Create(typ, urn, inputs)
	require.NoError(t, err)
	return id
}

func TestState(t *testing.T) {
	const (
		top      = "urn:pulumi:s::p::pulumi:pulumi:Stack::p-s"
		x        = "urn:pulumi:s::p::openhands:gcp:X::x"
		explicit = "urn:pulumi:s::p::pulumi:providers:gcp::gcp::id"

		notExplicit = "not on an explicit provider"
	)
	const stack = `{"urn":"` + top + `","type":"pulumi:pulumi:Stack"}`
	const component = `{"urn":"` + x + `","type":"openhands:gcp:X","parent":"` + top + `"}`
	custom := func(typ, inputs string) string {
		return `{"urn":"urn:pulumi:s::p::openhands:gcp:X$` + typ + `::r","type":"` + typ + `","custom":true,` +
			`"provider":"` + explicit + `","parent":"` + x + `","inputs":` + inputs + `}`
	}
	files := custom(types.Bucket, `{"name":"files","publicAccessPrevention":"enforced","uniformBucketLevelAccess":true}`)
	policy := func(bindings, dependencies string) string {
		return files + "," + strings.Replace(
			custom(types.BucketPolicy, `{"policyData":"`+bindings+`"}`), `"inputs"`, `"dependencies":[`+dependencies+`],"inputs"`, 1,
		)
	}
	const ownBucket = `"urn:pulumi:s::p::openhands:gcp:X$` + types.Bucket + `::r"`
	for what, c := range map[string]struct{ resource, says string }{
		"nothing wrong":     {custom(types.Network, `{"name":"n"}`), ""},
		"secret in clear":   {custom(types.Network, `{"description":"`+state.Marker+`1"}`), "a secret is in clear"},
		"password in clear": {custom(types.SQLUser, `{"password":"pw"}`), "password is not encrypted"},
		"no component":      {strings.Replace(custom(types.Network, `{}`), `"parent":"`+x, `"parent":"`+top, 1), "belongs to no component"},
		"default provider":  {strings.Replace(custom(types.Network, `{}`), "gcp::gcp::id", "gcp::default_7_38_0::id", 1), notExplicit},
		"no provider":       {strings.Replace(custom(types.Network, `{}`), explicit, "", 1), notExplicit},
		"open firewall":     {custom(types.Firewall, `{"allows":[{"protocol":"tcp"}],"sourceRanges":["0.0.0.0/0"]}`), "allows traffic from 0.0.0.0/0"},
		"deny rule for all": {custom(types.Firewall, `{"denies":[{"protocol":"all"}],"sourceRanges":["0.0.0.0/0"]}`), ""},
		"public nodes": {
			custom(types.Cluster, `{"masterAuthorizedNetworksConfig":{"gcpPublicCidrsAccessEnabled":false}}`), "nodes have public addresses",
		},
		"Google's addresses":     {custom(types.Cluster, `{"privateClusterConfig":{"enablePrivateNodes":true}}`), "any address of Google Cloud"},
		"public nodes of a pool": {custom(types.NodePool, `{"networkConfig":{"enablePrivateNodes":false}}`), "nodes have public addresses"},
		"open control plane": {custom(types.Cluster, `{"privateClusterConfig":{"enablePrivateNodes":true},
			"masterAuthorizedNetworksConfig":{"gcpPublicCidrsAccessEnabled":false,"cidrBlocks":[{"cidrBlock":"0.0.0.0/0"}]}}`), "control plane is open"},
		"public database":          {custom(types.SQLInstance, `{"settings":{"ipConfiguration":{}}}`), "database has a public address"},
		"bucket that may be open":  {custom(types.Bucket, `{"uniformBucketLevelAccess":true}`), "bucket may become public"},
		"project admin":            {custom(types.ProjectMember, `{"role":"roles/container.admin"}`), "on the whole project"},
		"every cluster's Secrets":  {custom(types.ProjectMember, `{"role":"roles/container.developer","member":"user:a@example.com"}`), "on the whole project"},
		"every cluster's objects":  {custom(types.ProjectMember, `{"role":"roles/container.viewer","member":"group:a@example.com"}`), "on the whole project"},
		"through the gateway":      {custom(types.ProjectMember, `{"role":"roles/gkehub.gatewayAdmin","member":"user:a@example.com"}`), ""},
		"logs of the nodes":        {custom(types.ProjectMember, `{"role":"roles/container.defaultNodeServiceAccount"}`), ""},
		"project editor":           {custom(types.ProjectMember, `{"role":"roles/editor"}`), "on the whole project"},
		"IAM binding":              {custom("gcp:projects/iAMBinding:IAMBinding", `{"role":"roles/viewer"}`), "takes the role away from all others"},
		"IAM policy":               {custom("gcp:projects/iAMPolicy:IAMPolicy", `{}`), "takes the role away from all others"},
		"policy of the own bucket": {policy(`{}`, ownBucket), ""},
		"policy of another bucket": {policy(`{}`, ``), "takes the role away from all others"},
		"policy for everyone":      {policy(`{\"bindings\":[{\"members\":[\"allUsers\"]}]}`, ownBucket), "lets everyone in"},
		"everyone":                 {custom(types.BucketMember, `{"role":"roles/storage.objectViewer","member":"allUsers"}`), "to everyone"},
	} {
		t.Run(what, func(t *testing.T) {
			problems, err := State([]byte(`{"deployment":{"resources":[` + stack + `,` + component + `,` + c.resource + `]}}`))
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
	const a, b = "urn:pulumi:s::p::gcp:compute/network:Network::a", "urn:pulumi:s::p::gcp:compute/subnetwork:Subnetwork::b"
	c := newCloud(t, "compute")
	network := create(t, c, types.Network, a, values.Map{"name": "vpc"})
	create(t, c, types.Subnetwork, b, values.Map{"name": "subnet", "network": network, "ipCidrRange": "10.0.0.0/22"})
	graph := func(dependencies string) *state.Graph {
		export, err := state.Parse([]byte(`{"deployment":{"resources":[{"urn":"` + a + `","dependencies":["urn:compute"]},
			{"urn":"` + b + `","dependencies":["urn:compute"` + dependencies + `]}]}}`))
		require.NoError(t, err)
		return state.NewGraph(export)
	}
	assert.Empty(t, Order(c, graph(`,"`+a+`"`)))
	problems := Order(c, graph(""))
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0], "compute.Subnetwork b needs compute.Network a (network), and nothing makes it wait")
}

func TestOutputsMustNameWhatExists(t *testing.T) {
	c := newCloud(t, "compute", "servicenetworking", "sqladmin")
	network := create(t, c, types.Network, "urn:network", values.Map{"name": "vpc"})
	create(t, c, types.Address, "urn:range", values.Map{
		"name": "range", "network": network, "purpose": "VPC_PEERING", "addressType": "INTERNAL", "address": "10.64.0.0", "prefixLength": 20.0,
	})
	create(t, c, types.Connection, "urn:connection", values.Map{"network": network, "reservedPeeringRanges": []any{"range"}})
	create(t, c, types.SQLInstance, "urn:database", values.Map{"name": "db", "settings": map[string]any{
		"tier": "db-g1-small", "ipConfiguration": map[string]any{"ipv4Enabled": false, "privateNetwork": network},
	}})
	sealedValue := state.Encrypted("x")
	export := &state.Export{}
	outputs := map[string]any{"databaseInstance": "db", "databaseHost": "10.64.0.3", "kubeconfig": sealedValue}
	export.Deployment.Resources = []state.Resource{{Type: state.StackType, Outputs: outputs}}
	assert.Empty(t, Outputs(c.Inventory(), export))
	outputs["databaseHost"], outputs["kubeconfig"] = "db", "in clear"
	said := []string{"output databaseHost is db, and the cloud has 10.64.0.3", "output kubeconfig is missing, or not a secret"}
	assert.Equal(t, said, Outputs(c.Inventory(), export))
}
