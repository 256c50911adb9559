package rehearsal

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKubernetesKnowsWhatCannotChangeInPlace(t *testing.T) {
	selector := func(app string) map[string]any {
		return map[string]any{"spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": app}}}}
	}
	for _, c := range []struct {
		what, typ   string
		old, wanted map[string]any
		found       map[string]plugin.DiffKind
	}{
		{"a Deployment's selector", deploymentType, selector("a"), selector("b"), map[string]plugin.DiffKind{"spec.selector.matchLabels.app": plugin.DiffUpdateReplace}},
		{"a name", configMapType, map[string]any{"metadata": map[string]any{"name": "a"}}, map[string]any{"metadata": map[string]any{"name": "b"}}, map[string]plugin.DiffKind{"metadata.name": plugin.DiffUpdateReplace}},
		{"a variable changes in place", configMapType, map[string]any{"data": map[string]any{"A": "1"}}, map[string]any{"data": map[string]any{"A": "2"}}, map[string]plugin.DiffKind{"data.A": plugin.DiffUpdate}},
		{"nothing", configMapType, map[string]any{"data": map[string]any{"A": "1"}}, map[string]any{"data": map[string]any{"A": "1"}}, map[string]plugin.DiffKind{}},
	} {
		t.Run(c.what, func(t *testing.T) {
			found := map[string]plugin.DiffKind{}
			diff := KubernetesSchema{}.Diff(plugin.DiffRequest{Type: tokens.Type(c.typ), OldInputs: properties(c.old), NewInputs: properties(c.wanted)})
			for path, d := range diff {
				found[path] = d.Kind
			}
			assert.Equal(t, c.found, found)
		})
	}
}

func TestWhatGKEMakesItselfIsThere(t *testing.T) {
	c := newCloud(t)
	for _, api := range []string{"logging", "monitoring"} {
		c.make(serviceType, values{"service": api + ".googleapis.com"})
	}
	object := values{"metadata": map[string]any{"name": "x", "namespace": "kube-system"}}
	_, _, err := c.Create(configMapType, "urn:x", object)
	require.ErrorContains(t, err, "there is no cluster")

	network := c.make(networkType, values{"name": "vpc"})
	subnet := c.make(subnetworkType, values{"name": "subnet", "network": network, "ipCidrRange": "10.0.0.0/22", "secondaryIpRanges": []any{
		map[string]any{"rangeName": "pods", "ipCidrRange": "10.16.0.0/16"}, map[string]any{"rangeName": "services", "ipCidrRange": "10.32.0.0/20"},
	}})
	c.make(clusterType, values{"name": "cluster", "location": "us-central1-a", "network": network, "subnetwork": subnet, "initialNodeCount": 1.0,
		"ipAllocationPolicy": map[string]any{"clusterSecondaryRangeName": "pods", "servicesSecondaryRangeName": "services"}})
	c.make(configMapType, object)
	_, _, err = c.Create(configMapType, "urn:y", values{"metadata": map[string]any{"name": "y", "namespace": "other"}})
	require.ErrorContains(t, err, `"other" does not exist`)
}
