package facts

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/types"
)

// object is shorter to write in a table.
type object = map[string]any

// diffs returns "path: kind" of what the provider finds between wanted inputs and the state.
func diffs(t *testing.T, typ string, wanted, state object, ignored ...string) []string {
	t.Helper()
	schema, err := Load("gcp")
	require.NoError(t, err)
	found := schema.Diff(plugin.DiffRequest{
		Type: tokens.Type(typ), NewInputs: resource.NewPropertyMapFromMap(wanted), IgnoreChanges: ignored,
		OldOutputs: schema.Complete(typ, resource.NewPropertyMapFromMap(state)),
	})
	var out []string
	for path, d := range found {
		out = append(out, path+": "+d.Kind.String())
	}
	return out
}

func TestDiff(t *testing.T) {
	pool := func(config object) object {
		config["machineType"] = "e2-standard-2"
		return object{"cluster": "c", "name": "p", "nodeConfig": config}
	}
	filled := object{"kubeletConfig": object{"cpuManagerPolicy": ""}, "resourceLabels": object{"goog-gke-x": "y"}}
	streaming := func(on bool) object { return pool(object{"gcfsConfig": object{"enabled": on}}) }
	machine := func(typ string) object { return object{"cluster": "c", "nodeConfig": object{"machineType": typ}} }
	nodes := func(n float64) object { return object{"cluster": "c", "initialNodeCount": n} }
	disk := func(size float64) object {
		return object{"databaseVersion": "POSTGRES_15", "settings": object{"tier": "db-g1-small", "diskSize": size}}
	}
	ranges := func(r ...any) object { return object{"network": "n", "sourceRanges": r} }
	subnet := func(cidr string) object { return object{"ipCidrRange": cidr} }
	byName := func(on bool) object { return object{"enableFqdnNetworkPolicy": on} }
	for _, c := range []struct {
		what          string
		typ           string
		wanted, state object
		ignored       []string
		found         []string
	}{
		{"what GKE fills in makes every preview dirty", types.NodePool, pool(object{}), pool(filled), nil,
			[]string{"nodeConfig.kubeletConfig: delete", "nodeConfig.resourceLabels: delete"}},
		{"unless it is ignored", types.NodePool, pool(object{}), pool(filled), []string{"nodeConfig.kubeletConfig", "nodeConfig.resourceLabels"}, nil},
		{"a computed value may be left out", types.Network, object{"name": "n"},
			object{"name": "n", "mtu": 1460.0, "selfLink": "x", "autoCreateSubnetworks": true}, nil, nil},
		{"a default counts as wanted", types.Network, object{"name": "n"}, object{"name": "n", "autoCreateSubnetworks": false}, nil,
			[]string{"autoCreateSubnetworks: update-replace"}},
		{"image streaming replaces the pool", types.NodePool, streaming(true), streaming(false), nil,
			[]string{"nodeConfig.gcfsConfig.enabled: update-replace"}},
		{"the machine type does not", types.NodePool, machine("a"), machine("b"), nil, []string{"nodeConfig.machineType: update"}},
		{"a disk grown beyond its size means another database", types.SQLInstance, disk(10), disk(15), nil, []string{"settings.diskSize: update-replace"}},
		{"unless the size is ignored", types.SQLInstance, disk(10), disk(15), []string{"settings.diskSize"}, nil},
		{"a pool that was resized by hand would be replaced", types.NodePool, nodes(1), nodes(3), nil, []string{"initialNodeCount: update-replace"}},
		{"unless the number is ignored", types.NodePool, nodes(1), nodes(3), []string{"initialNodeCount"}, nil},
		{"a subnet's range grows in place", types.Subnetwork, subnet("10.0.0.0/20"), subnet("10.0.0.0/22"), nil, []string{"ipCidrRange: update"}},
		{"and in no other way", types.Subnetwork, subnet("10.1.0.0/20"), subnet("10.0.0.0/22"), nil, []string{"ipCidrRange: update-replace"}},
		{"policies by name are turned on in place", types.Cluster, byName(true), byName(false), nil, []string{"enableFqdnNetworkPolicy: update"}},
		{"and off by another cluster", types.Cluster, byName(false), byName(true), nil, []string{"enableFqdnNetworkPolicy: update-replace"}},
		{"another region means another database", types.SQLInstance, object{"region": "a"}, object{"region": "b"}, nil, []string{"region: update-replace"}},
		{"a larger disk does not", types.SQLInstance, disk(20), disk(15), nil, []string{"settings.diskSize: update"}},
		{
			"the location of a bucket is kept in upper case", types.Bucket, object{"name": "b", "location": "eu"},
			object{"name": "b", "location": "EU"}, nil, nil,
		},
		{"the order of a set does not count", types.Firewall, ranges("a", "b"), ranges("b", "a"), nil, nil},
		{"its content does", types.Firewall, ranges("a", "b"), ranges("a", "c"), nil, []string{"sourceRanges: update"}},
		{"an unknown value may be another", types.Subnetwork, object{"network": resource.MakeComputed(resource.NewProperty(""))}, object{"network": "n"}, nil,
			[]string{"network: update-replace"}},
	} {
		t.Run(c.what, func(t *testing.T) { assert.ElementsMatch(t, c.found, diffs(t, c.typ, c.wanted, c.state, c.ignored...)) })
	}
}
