package providers

import (
	"testing"

	"openhands-gcp/rehearsal/state"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUnknownTypesAndFunctionsAreErrors(t *testing.T) {
	c := NewCloud("my-project", "us-central1")
	all, err := All(c, c)
	require.NoError(t, err)
	gcp := all[0]
	_, err = gcp.Check(t.Context(), plugin.CheckRequest{Type: "gcp:nobody/knows:Knows"})
	assert.ErrorContains(t, err, "does not know type gcp:nobody/knows:Knows: run `make facts PROVIDER=gcp ADD=gcp:nobody/knows:Knows`")
	_, err = gcp.Invoke(t.Context(), plugin.InvokeRequest{Tok: "gcp:compute/getZones:getZones"})
	assert.ErrorContains(t, err, "does not know function")
}

// TestAnotherClusterIsAnotherProvider: with the provider, the engine replaces every object. Whatever else changes, the provider compares the identifier only.
func TestAnotherClusterIsAnotherProvider(t *testing.T) {
	c := NewCloud("my-project", "us-central1")
	all, err := All(c, c)
	require.NoError(t, err)
	kubernetes := all[2]
	old := resource.PropertyMap{"clusterIdentifier": resource.NewProperty("a"), "kubeconfig": resource.NewProperty("x")}
	unknown := resource.MakeComputed(resource.NewProperty(""))
	for what, test := range map[string]struct {
		wanted   resource.PropertyMap
		replaced []resource.PropertyKey
	}{
		"another cluster": {
			resource.PropertyMap{"clusterIdentifier": resource.NewProperty("b"), "kubeconfig": old["kubeconfig"]},
			[]resource.PropertyKey{"clusterIdentifier"},
		},
		"one that is not there yet": {resource.PropertyMap{"clusterIdentifier": unknown, "kubeconfig": unknown}, []resource.PropertyKey{"clusterIdentifier"}},
		"another way to it":         {resource.PropertyMap{"clusterIdentifier": old["clusterIdentifier"], "kubeconfig": resource.NewProperty("y")}, nil},
		"the first identifier":      {old, nil},
	} {
		t.Run(what, func(t *testing.T) {
			before := old
			if what == "the first identifier" {
				before = resource.PropertyMap{"kubeconfig": old["kubeconfig"]}
			}
			diff, err := kubernetes.DiffConfig(t.Context(), plugin.DiffConfigRequest{OldInputs: before, NewInputs: test.wanted})
			require.NoError(t, err)
			assert.Equal(t, plugin.DiffSome, diff.Changes)
			assert.Equal(t, test.replaced, diff.ReplaceKeys)
		})
	}
}

// TestASecretThatNobodyReadIsTakenToBeTheProgramsOwn: of an exported state, so that it neither shows as a change nor is missing in the cloud.
func TestASecretThatNobodyReadIsTakenToBeTheProgramsOwn(t *testing.T) {
	c := NewCloud("my-project", "us-central1")
	all, err := All(c, c)
	require.NoError(t, err)
	const typ, urn, id = "kubernetes:core/v1:Secret", "urn:pulumi:dev::openhands::kubernetes:core/v1:Secret::openhands", "openhands/openhands"
	metadata := resource.NewProperty(resource.PropertyMap{"name": resource.NewProperty("openhands"), "namespace": resource.NewProperty("openhands")})
	old := resource.PropertyMap{"metadata": metadata, "stringData": resource.MakeSecret(resource.NewProperty(state.Unread))}
	wanted := resource.PropertyMap{"metadata": metadata, "stringData": resource.MakeSecret(resource.NewProperty(resource.PropertyMap{
		"KEY": resource.NewProperty("value"),
	}))}
	request := plugin.DiffRequest{Type: typ, URN: urn, ID: id, OldInputs: old, OldOutputs: old, NewInputs: wanted}
	diff, err := all[2].Diff(t.Context(), request)
	require.NoError(t, err)
	assert.Equal(t, plugin.DiffNone, diff.Changes)
	_, outputs := c.Read(typ, urn, id)
	assert.Equal(t, "value", outputs.Str("stringData.KEY"))

	wanted["type"] = resource.NewProperty("kubernetes.io/tls")
	diff, err = all[2].Diff(t.Context(), request)
	require.NoError(t, err)
	assert.Equal(t, []resource.PropertyKey{"type"}, diff.ChangedKeys, "what is no secret shows")
}
