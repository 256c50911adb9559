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
		{"the address of a Service", types.KubernetesService, object{"spec": object{"clusterIP": "10.32.0.7"}}, object{"spec": object{"clusterIP": "None"}},
			map[string]plugin.DiffKind{"spec.clusterIP": plugin.DiffUpdateReplace}},
		{"what the provider takes for a change in place", types.PriorityClass, object{"value": -10.0}, object{"value": -5.0},
			map[string]plugin.DiffKind{"value": plugin.DiffUpdate}},
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

// project is a cloud in which a test makes objects by hand.
type project struct {
	*testing.T
	*cloud.Cloud
}

func newProject(t *testing.T) project {
	p := project{t, cloud.New("my-project", "us-central1", cloud.Rules, Rules())}
	for _, api := range []string{"compute", "container"} {
		p.make(types.Service, values.Map{"service": api + ".googleapis.com"})
	}
	return p
}

func (p project) make(typ string, inputs values.Map) string {
	p.Helper()
	id, _, err := p.Create(typ, "urn:"+typ+inputs.Str("service"), inputs)
	require.NoError(p, err)
	return id
}

func (p project) makeCluster() (id string) {
	p.Helper()
	network := p.make(types.Network, values.Map{"name": "vpc"})
	subnet := p.make(types.Subnetwork, values.Map{"name": "subnet", "network": network, "ipCidrRange": "10.0.0.0/22", "secondaryIpRanges": []any{
		object{"rangeName": "pods", "ipCidrRange": "10.16.0.0/16"}, object{"rangeName": "services", "ipCidrRange": "10.32.0.0/20"},
	}})
	return p.make(types.Cluster, values.Map{
		"name": "cluster", "location": "us-central1-a", "network": network, "subnetwork": subnet, "initialNodeCount": 1.0,
		"ipAllocationPolicy": object{"clusterSecondaryRangeName": "pods", "servicesSecondaryRangeName": "services"},
	})
}

func TestWhatGKEMakesItselfIsThere(t *testing.T) {
	p := newProject(t)
	inKubeSystem := values.Map{"metadata": object{"name": "x", "namespace": "kube-system"}}
	_, _, err := p.Create(types.ConfigMap, "urn:x", inKubeSystem)
	require.ErrorContains(t, err, "there is no cluster")
	cluster := p.makeCluster()
	p.make(types.ConfigMap, inKubeSystem)
	_, _, err = p.Create(types.ConfigMap, "urn:y", values.Map{"metadata": object{"name": "y", "namespace": "other"}})
	require.ErrorContains(t, err, `"other" does not exist`)

	require.NoError(t, p.Delete(types.Cluster, "", cluster))
	assert.Empty(t, Objects(p.Inventory()), "what is in a cluster goes with it")
}

// TestWhatTheAPIServerHoldsFixed: the provider plans these changes in place.
func TestWhatTheAPIServerHoldsFixed(t *testing.T) {
	named := func(inputs values.Map) values.Map {
		inputs.Set("metadata.name", "x")
		return inputs
	}
	for typ, c := range map[string]struct{ before, after values.Map }{
		types.PriorityClass: {values.Map{"value": -10.0}, values.Map{"value": -5.0}},
		types.IngressClass:  {values.Map{"spec": object{"controller": "example.com/a"}}, values.Map{"spec": object{"controller": "example.com/b"}}},
	} {
		t.Run(typ, func(t *testing.T) {
			p := newProject(t)
			p.makeCluster()
			id := p.make(typ, named(c.before))
			require.NoError(t, p.DryRun(typ, id, named(c.before)))
			require.ErrorContains(t, p.DryRun(typ, id, named(c.after)), "field is immutable")
			_, err := p.Update(typ, "urn:x", id, named(c.after))
			require.ErrorContains(t, err, "field is immutable")
		})
	}
}
