package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/checks"
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

var notTheInternet = []any{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "198.18.0.0/15", "240.0.0.0/4"}

func TestSandboxesReachTheInternet(t *testing.T) {
	everyStack(t, func(t *testing.T, _ string, mocks *providers.Mocks) {
		assert.Equal(t, map[string]any{"0.0.0.0/0": notTheInternet}, sandboxEgress(t, mocks))
	})
}

// TestSandboxesDoNotReachThePublicControlPlane: its address is one of the internet's, and known only once the cluster is there.
func TestSandboxesDoNotReachThePublicControlPlane(t *testing.T) {
	mocks, err := deployed(t, "prod", nested(t, stackFile(t, "prod"), map[string]any{"openhands:cluster.access.publicEndpoint.authorizedRanges": []any{"203.0.113.7/32"}}), nil)
	require.NoError(t, err)
	address := find(t, mocks, "Cluster", "openhands-cluster").Outputs["privateClusterConfig"].(map[string]any)["publicEndpoint"].(string)
	assert.Equal(t, map[string]any{"0.0.0.0/0": append(slices.Clone(notTheInternet), address+"/32")}, sandboxEgress(t, mocks))
}

func TestSandboxesReachOnlyWhatIsListed(t *testing.T) {
	mocks, err := deployed(t, "prod", nested(t, stackFile(t, "prod"), map[string]any{
		"openhands:cluster.fqdnNetworkPolicy":                      true,
		"openhands:cluster.access.publicEndpoint.authorizedRanges": []any{"198.51.100.7/32"},
		"openhands:sandboxes.egress.allowedDomains":                []any{"github.com", "*.githubusercontent.com"},
		"openhands:sandboxes.egress.allowedRanges":                 []any{"192.0.2.0/24", "203.0.113.0/24"},
	}), nil)
	require.NoError(t, err)
	// The second range holds the control plane's public address.
	assert.Equal(t, map[string]any{"192.0.2.0/24": nil, "203.0.113.0/24": []any{"203.0.113.10/32"}}, sandboxEgress(t, mocks))
	for name, match := range map[string]map[string]any{
		"openhands-sandbox-to-github.com": {"name": "github.com"}, "openhands-sandbox-to-any.githubusercontent.com": {"pattern": "*.githubusercontent.com"},
	} {
		assert.Equal(t, map[string]any{
			"podSelector": map[string]any{"matchLabels": map[string]any{"app": "openhands-runtime"}},
			"egress":      []any{map[string]any{"matches": []any{match}}},
		}, find(t, mocks, "FQDNNetworkPolicy", name).Inputs["spec"])
	}

	// With names alone, no range is left.
	mocks, err = deployed(t, "prod", nested(t, stackFile(t, "prod"), map[string]any{
		"openhands:cluster.fqdnNetworkPolicy": true, "openhands:sandboxes.egress.allowedDomains": []any{"github.com"},
	}), nil)
	require.NoError(t, err)
	assert.Empty(t, sandboxEgress(t, mocks))
}

// TestWarmSandboxesMakeWay: placeholders are of a sandbox's size, on its nodes, with its image, and below its priority.
func TestWarmSandboxesMakeWay(t *testing.T) {
	mocks, err := deployed(t, "prod", nested(t, stackFile(t, "prod"), map[string]any{"openhands:sandboxes.warm": 2}), nil)
	require.NoError(t, err)
	assert.Empty(t, checks.Conversation(mocks.Cloud.Inventory()))
	assert.Less(t, find(t, mocks, "PriorityClass", "openhands-placeholder").Inputs["value"].(float64), 0.0)
	spec := find(t, mocks, "Deployment", "openhands-warm").Inputs["spec"].(map[string]any)
	assert.Equal(t, 2.0, spec["replicas"])
	pod := spec["template"].(map[string]any)["spec"].(map[string]any)
	assert.Equal(t, "openhands-placeholder", pod["priorityClassName"])
	assert.Equal(t, "gvisor", pod["runtimeClassName"], "by itself: the mutation may not be in effect yet")
	assert.Equal(t, false, pod["automountServiceAccountToken"])
	container := pod["containers"].([]any)[0].(map[string]any)
	environment := find(t, mocks, "ConfigMap", "openhands-environment").Inputs["data"].(map[string]any)
	assert.Equal(t, environment["SANDBOX_RUNTIME_CONTAINER_IMAGE"], container["image"])
	assert.Equal(t, map[string]any{"cpu": environment["KUBERNETES_RESOURCE_CPU_REQUEST"], "memory": environment["KUBERNETES_RESOURCE_MEMORY_REQUEST"]},
		container["resources"].(map[string]any)["requests"])
	hard := find(t, mocks, "ResourceQuota", "openhands-sandboxes").Inputs["spec"].(map[string]any)["hard"].(map[string]any)
	assert.Equal(t, "24", hard["pods"], "20, 2 on their way out, 2 placeholders")
}

// TestOnlyThisInstallationsImagesRun has the expression that admits images, for the mirror and for a configured image.
func TestOnlyThisInstallationsImagesRun(t *testing.T) {
	expression := func(changes map[string]any) any {
		mocks, err := deployed(t, "prod", nested(t, stackFile(t, "prod"), changes), nil)
		require.NoError(t, err)
		validations := find(t, mocks, "ValidatingAdmissionPolicy", "openhands-sandboxes").Inputs["spec"].(map[string]any)["validations"].([]any)
		return validations[4].(map[string]any)["expression"]
	}
	const images = `(object.spec.containers.map(c, c.image) + (has(object.spec.initContainers) ? object.spec.initContainers.map(c, c.image) : []) + ` +
		`(has(object.spec.ephemeralContainers) ? object.spec.ephemeralContainers.map(c, c.image) : []))`
	assert.Equal(t, images+`.all(image, image.startsWith("us-central1-docker.pkg.dev/my-openhands-prod/openhands-prod-images/") || `+
		`image.startsWith("us-central1-docker.pkg.dev/my-openhands-prod/openhands-prod-ghcr/openhands/runtime:") || `+
		`image.startsWith("us-central1-docker.pkg.dev/my-openhands-prod/openhands-prod-ghcr/openhands/runtime@"))`, expression(nil))
	assert.Contains(t, expression(map[string]any{"openhands:app.sandboxImage": "registry.example.com:5000/runtime:0.62-own"}), `image.startsWith("registry.example.com:5000/runtime:")`)
}

// TestCleanUpWaits has the waiting times that the clean-up's script gets: minutes for what can be made anew, days for people's files.
func TestCleanUpWaits(t *testing.T) {
	everyStack(t, func(t *testing.T, stack string, mocks *providers.Mocks) {
		job := find(t, mocks, "CronJob", "openhands-cleanup").Inputs["spec"].(map[string]any)
		assert.Equal(t, "*/15 * * * *", job["schedule"])
		template := job["jobTemplate"].(map[string]any)["spec"].(map[string]any)["template"].(map[string]any)
		environment := map[any]any{}
		for _, item := range template["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["env"].([]any) {
			environment[item.(map[string]any)["name"]] = item.(map[string]any)["value"]
		}
		assert.Equal(t, "60", environment["KEEP_MINUTES"])
		assert.Equal(t, map[string]any{"dev": "30", "prod": "90"}[stack], environment["KEEP_VOLUME_DAYS"])
	})
}

func TestSandboxesMayNotReachTheControlPlaneByItsOwnAddress(t *testing.T) {
	_, err := deployed(t, "prod", nested(t, stackFile(t, "prod"), map[string]any{
		"openhands:cluster.access.publicEndpoint.authorizedRanges": []any{"198.51.100.7/32"}, "openhands:sandboxes.egress.allowedRanges": []any{"203.0.113.10/32"},
	}), nil)
	require.ErrorContains(t, err, "it is the control plane's own address")
}

// TestNoSandboxOutlivesItsPolicies: deleted by themselves, they would go before the namespace, and the pods of conversations with it, which nobody else
// deletes. Kubernetes deletes the pods of a namespace first.
func TestNoSandboxOutlivesItsPolicies(t *testing.T) {
	mocks, err := deployed(t, "prod", nested(t, stackFile(t, "prod"), map[string]any{
		"openhands:cluster.fqdnNetworkPolicy": true, "openhands:sandboxes.egress.allowedDomains": []any{"github.com"},
	}), nil)
	require.NoError(t, err)
	namespace := find(t, mocks, "Namespace", "openhands-openhands-sandboxes")
	for typ, name := range map[string]string{
		"NetworkPolicy": "openhands-sandboxes", "FQDNNetworkPolicy": "openhands-sandbox-to-github.com", "ResourceQuota": "openhands-sandboxes", "LimitRange": "openhands-sandboxes",
	} {
		assert.Equal(t, namespace.URN, find(t, mocks, typ, name).DeletedWith, typ)
	}
	assert.Equal(t, namespace.URN, find(t, mocks, "NetworkPolicy", "openhands-sandbox-deny-all").DeletedWith)
}
