package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/providers"
)

// sandboxEgress are the ranges that sandboxes may reach, each with its exceptions.
func sandboxEgress(t *testing.T, mocks *providers.Mocks) map[string]any {
	t.Helper()
	ranges := map[string]any{}
	for _, item := range find(t, mocks, "NetworkPolicy", "openhands-sandboxes").Inputs["spec"].(map[string]any)["egress"].([]any)[1:] { // the first is DNS
		for _, peer := range item.(map[string]any)["to"].([]any) {
			block := peer.(map[string]any)["ipBlock"].(map[string]any)
			ranges[block["cidr"].(string)] = block["except"]
		}
	}
	return ranges
}

var notTheInternet = []any{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"}

// TestWhatSandboxesReach: the control plane's public address is one of the internet's, known only once the cluster is there, and no sandbox reaches it.
func TestWhatSandboxesReach(t *testing.T) {
	const publicEndpoint = "openhands:cluster.access.publicEndpoint.authorizedRanges"
	const controlPlane = "34.90.1.10/32"
	byName := map[string]any{"openhands:cluster.fqdnNetworkPolicy": true, "openhands:sandboxes.egress.allowedDomains": []any{"github.com"}}
	for name, c := range map[string]struct {
		changes map[string]any
		reaches map[string]any
	}{
		"the internet": {nil, map[string]any{"0.0.0.0/0": notTheInternet}},
		"the internet without the control plane": {
			map[string]any{publicEndpoint: []any{"198.51.100.7/32"}},
			map[string]any{"0.0.0.0/0": append(slices.Clone(notTheInternet), controlPlane)},
		},
		"listed ranges without the control plane": {
			map[string]any{publicEndpoint: []any{"198.51.100.7/32"}, "openhands:sandboxes.egress.allowedRanges": []any{"140.82.112.0/20", "34.90.1.0/24"}},
			map[string]any{"140.82.112.0/20": nil, "34.90.1.0/24": []any{controlPlane}},
		},
		"names alone": {byName, map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			mocks, err := deployed(t, "prod", nested(t, stackFile(t, "prod"), c.changes), nil)
			require.NoError(t, err)
			assert.Equal(t, c.reaches, sandboxEgress(t, mocks))
		})
	}
}

func TestSandboxesMayNotReachTheControlPlaneByItsOwnAddress(t *testing.T) {
	_, err := deployed(t, "prod", nested(t, stackFile(t, "prod"), map[string]any{
		"openhands:cluster.access.publicEndpoint.authorizedRanges": []any{"198.51.100.7/32"},
		"openhands:sandboxes.egress.allowedRanges":                 []any{"34.90.1.10/32"},
	}), nil)
	require.ErrorContains(t, err, "it is the control plane's own address")
}

// TestNoSandboxOutlivesItsPolicies: what holds the sandboxes goes with their namespace, whose pods Kubernetes deletes first. Deleted by Pulumi, it would go
// before the pods of running conversations, which Pulumi does not know.
func TestNoSandboxOutlivesItsPolicies(t *testing.T) {
	mocks, err := deployed(t, "prod", nested(t, stackFile(t, "prod"), map[string]any{
		"openhands:cluster.fqdnNetworkPolicy": true, "openhands:sandboxes.egress.allowedDomains": []any{"github.com"},
	}), nil)
	require.NoError(t, err)
	namespace := find(t, mocks, "Namespace", "openhands-openhands-sandboxes")
	for typ, name := range map[string]string{
		"NetworkPolicy": "openhands-sandboxes", "FQDNNetworkPolicy": "openhands-sandbox-to-github.com",
		"ResourceQuota": "openhands-sandboxes", "LimitRange": "openhands-sandboxes",
	} {
		assert.Equal(t, namespace.URN, find(t, mocks, typ, name).DeletedWith, typ)
	}
	assert.Equal(t, namespace.URN, find(t, mocks, "NetworkPolicy", "openhands-sandbox-deny-all").DeletedWith)
}

// TestWhatTheServerReaches: with a list, the server reaches what is listed by TLS, and beside it only what it cannot do without.
func TestWhatTheServerReaches(t *testing.T) {
	const ranges, domains = "openhands:app.egress.allowedRanges", "openhands:app.egress.allowedDomains"
	remote := maps.Clone(remoteRuntime)
	remote[ranges] = []any{"140.82.112.0/20"}
	for name, c := range map[string]struct {
		changes map[string]any
		ranges  map[string]any
		names   []string
	}{
		"the internet": {nil, map[string]any{"0.0.0.0/0": notTheInternet}, nil},
		"ranges": {
			map[string]any{ranges: []any{"140.82.112.0/20"}}, map[string]any{"140.82.112.0/20": nil}, []string{"storage.googleapis.com"},
		},
		"names":                  {map[string]any{domains: []any{"*.github.com"}}, map[string]any{}, []string{"*.github.com", "storage.googleapis.com"}},
		"the bucket's name, too": {map[string]any{domains: []any{"storage.googleapis.com"}}, map[string]any{}, []string{"storage.googleapis.com"}},
		"a runtime elsewhere":    {remote, map[string]any{"140.82.112.0/20": nil}, []string{"other.example.com", "storage.googleapis.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			changes := maps.Clone(c.changes)
			if changes != nil {
				changes["openhands:cluster.fqdnNetworkPolicy"] = true
			}
			mocks, err := deployed(t, "prod", nested(t, stackFile(t, "prod"), changes), nil)
			require.NoError(t, err)
			reached := map[string]any{}
			egress := find(t, mocks, "NetworkPolicy", "openhands-server").Inputs["spec"].(map[string]any)["egress"].([]any)
			for _, item := range egress[4:] { // after what is the cluster's own
				for _, peer := range item.(map[string]any)["to"].([]any) {
					if block, isRange := peer.(map[string]any)["ipBlock"].(map[string]any); isRange {
						reached[block["cidr"].(string)] = block["except"]
						assert.Equal(t, []any{map[string]any{"protocol": "TCP", "port": 443.0}}, item.(map[string]any)["ports"])
					}
				}
			}
			assert.Equal(t, c.ranges, reached)
			var names []string
			for _, r := range mocks.Resources() {
				if !strings.HasSuffix(r.Type, ":FQDNNetworkPolicy") {
					continue
				}
				spec := r.Inputs["spec"].(map[string]any)
				assert.Equal(
					t, map[string]any{"app.kubernetes.io/name": "openhands", "app.kubernetes.io/component": "server"},
					spec["podSelector"].(map[string]any)["matchLabels"],
				)
				rule := spec["egress"].([]any)[0].(map[string]any)
				assert.Equal(t, []any{map[string]any{"protocol": "TCP", "port": 443.0}}, rule["ports"])
				match := rule["matches"].([]any)[0].(map[string]any)
				for _, name := range match {
					names = append(names, name.(string))
				}
			}
			slices.Sort(names)
			assert.Equal(t, c.names, names)
		})
	}
}
