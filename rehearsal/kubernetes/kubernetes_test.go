package kubernetes

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// object is shorter to write in a table.
type object = map[string]any

func TestKubernetesKnowsWhatCannotChangeInPlace(t *testing.T) {
	selector := func(app string) object {
		return object{"spec": object{"selector": object{"matchLabels": object{"app": app}}}}
	}
	named := func(name string) object { return object{"metadata": object{"name": name}} }
	variable := func(value string) object { return object{"data": object{"A": value}} }
	for _, c := range []struct {
		what, typ   string
		old, wanted object
		found       map[string]plugin.DiffKind
	}{
		{"a Deployment's selector", types.Deployment, selector("a"), selector("b"),
			map[string]plugin.DiffKind{"spec.selector.matchLabels.app": plugin.DiffUpdateReplace}},
		{"a name", types.ConfigMap, named("a"), named("b"), map[string]plugin.DiffKind{"metadata.name": plugin.DiffUpdateReplace}},
		{"a variable changes in place", types.ConfigMap, variable("1"), variable("2"), map[string]plugin.DiffKind{"data.A": plugin.DiffUpdate}},
		{"nothing", types.ConfigMap, variable("1"), variable("1"), map[string]plugin.DiffKind{}},
	} {
		t.Run(c.what, func(t *testing.T) {
			found := map[string]plugin.DiffKind{}
			for path, d := range (Schema{}).Diff(plugin.DiffRequest{
				Type: tokens.Type(c.typ), OldInputs: resource.NewPropertyMapFromMap(c.old), NewInputs: resource.NewPropertyMapFromMap(c.wanted),
			}) {
				found[path] = d.Kind
			}
			assert.Equal(t, c.found, found)
		})
	}
}

func TestWhatGKEMakesItselfIsThere(t *testing.T) {
	c := cloud.New("my-project", "us-central1", cloud.Rules, Rules())
	create := func(typ string, inputs values.Map) string {
		t.Helper()
		id, _, err := c.Create(typ, "urn:"+typ+inputs.Str("service"), inputs)
		require.NoError(t, err)
		return id
	}
	for _, api := range []string{"compute", "container"} {
		create(types.Service, values.Map{"service": api + ".googleapis.com"})
	}
	inKubeSystem := values.Map{"metadata": object{"name": "x", "namespace": "kube-system"}}
	_, _, err := c.Create(types.ConfigMap, "urn:x", inKubeSystem)
	require.ErrorContains(t, err, "there is no cluster")

	network := create(types.Network, values.Map{"name": "vpc"})
	subnet := create(types.Subnetwork, values.Map{"name": "subnet", "network": network, "ipCidrRange": "10.0.0.0/22", "secondaryIpRanges": []any{
		object{"rangeName": "pods", "ipCidrRange": "10.16.0.0/16"}, object{"rangeName": "services", "ipCidrRange": "10.32.0.0/20"},
	}})
	create(types.Cluster, values.Map{
		"name": "cluster", "location": "us-central1-a", "network": network, "subnetwork": subnet, "initialNodeCount": 1.0,
		"ipAllocationPolicy": object{"clusterSecondaryRangeName": "pods", "servicesSecondaryRangeName": "services"},
	})
	create(types.ConfigMap, inKubeSystem)
	_, _, err = c.Create(types.ConfigMap, "urn:y", values.Map{"metadata": object{"name": "y", "namespace": "other"}})
	require.ErrorContains(t, err, `"other" does not exist`)
}
