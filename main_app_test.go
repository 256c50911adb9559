package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/providers"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

func TestAConversationCanStart(t *testing.T) {
	everyCluster(t, func(t *testing.T, _ string, mocks *providers.Mocks) {
		assert.Empty(t, checks.Application(mocks.Cloud.Inventory(), false))
	})
}

// TestAClusterHasRoomForOneDefaultIngressClass: a second OpenHandsApp brings another, and the sandboxes of the first get Ingresses that are refused.
func TestAClusterHasRoomForOneDefaultIngressClass(t *testing.T) {
	mocks, err := deployed(t, "dev", stackFile(t, "dev"), nil)
	require.NoError(t, err)
	_, _, err = mocks.Cloud.Create(types.IngressClass, "urn:second", values.Map{
		"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
		"metadata": map[string]any{"name": "second", "annotations": map[string]any{"ingressclass.kubernetes.io/is-default-class": "true"}},
		"spec":     map[string]any{"controller": "example.com/other"},
	})
	require.NoError(t, err)
	assert.Contains(t, strings.Join(checks.Application(mocks.Cloud.Inventory(), false), "\n"), "has 2 default IngressClasses")
}

func TestAChangedValueRollsThePod(t *testing.T) {
	annotation := func(changes map[string]any) any {
		t.Helper()
		mocks, err := deployed(t, "dev", nested(t, stackFile(t, "dev"), changes), nil)
		require.NoError(t, err)
		template := find(t, mocks, "Deployment", "openhands").Inputs["spec"].(map[string]any)["template"].(map[string]any)
		return template["metadata"].(map[string]any)["annotations"].(map[string]any)["openhands.dev/environment"]
	}
	before := annotation(nil)
	require.NotNil(t, before)
	assert.Equal(t, before, annotation(map[string]any{"openhands:bucket.oldVersionDays": 5}), "something else")
	assert.NotEqual(t, before, annotation(map[string]any{"openhands:app.extraEnv": map[string]any{"HTTPS_PROXY": "http://proxy:3128"}}), "a variable")
	remote := annotation(remoteRuntime)
	other := maps.Clone(remoteRuntime)
	other["openhands:sandboxApiKey"] = "rotated"
	assert.NotEqual(t, remote, annotation(other), "a secret")
}

// TestWhatWouldBreakAConversation makes one mistake at a time in the objects of the application. Each would leave an installation that looks healthy.
func TestWhatWouldBreakAConversation(t *testing.T) {
	data := func(name, value string) func(resource.PropertyMap) { return setInput("data."+name, value) }
	for _, c := range []struct {
		mistake, resource, name string
		spoil                   func(resource.PropertyMap)
		says                    string
	}{
		{"one verb more", "Role", "openhands-runtime", setInput("rules[0].verbs[3]", "list"), "the server may do"},
		{"one verb less", "Role", "openhands-runtime", setInput("rules[0].verbs", []any{"get", "create"}), "the server may do"},
		{"another resource", "Role", "openhands-runtime", setInput("rules[0].resources[1]", "secrets"), "the server may do"},
		{
			"token for the sandboxes", "ServiceAccountPatch", "openhands-sandbox-default", setInput("automountServiceAccountToken", true),
			"hands its token to every sandbox",
		},
		{
			"token in the policy", "MutatingAdmissionPolicy", "openhands-gvisor",
			setInput("spec.mutations[0].applyConfiguration.expression", "Object{spec: Object.spec{runtimeClassName: \"gvisor\"}}"), "no policy puts the pods",
		},
		{
			"sandboxes that stay dead", "MutatingAdmissionPolicy", "openhands-gvisor",
			setInput(
				"spec.mutations[0].applyConfiguration.expression",
				"Object{spec: Object.spec{runtimeClassName: \"gvisor\", automountServiceAccountToken: false}}",
			),
			"come back when they are killed",
		},
		{
			"policy bound elsewhere", "MutatingAdmissionPolicyBinding", "openhands-gvisor",
			setInput("spec.matchResources.namespaceSelector.matchLabels[\"kubernetes.io/metadata.name\"]", "default"), "no policy puts the pods",
		},
		{
			"selector of a policy misspelt", "NetworkPolicy", "openhands-sandboxes", setInput("spec.podSelector.matchLabels.app", "openhands-runtimes"),
			"selects no pod",
		},
		{
			"peer of a policy misspelt", "NetworkPolicy", "openhands-sandboxes",
			setInput("spec.ingress[0].from[0].podSelector.matchLabels[\"app.kubernetes.io/name\"]", "openhand"), "cannot reach a sandbox",
		},
		{"port of a policy", "NetworkPolicy", "openhands-server", setInput("spec.egress[5].ports[0].port", 8888.0), "cannot reach a sandbox"},
		{"no way to DNS", "NetworkPolicy", "openhands-server", setInput("spec.egress[0].ports[0].port", 54.0), "cannot reach DNS"},
		{
			"no way to the metadata server", "NetworkPolicy", "openhands-server", setInput("spec.egress[1].ports[0].port", 81.0),
			"cannot reach the metadata server",
		},
		{
			"no way to the API server", "NetworkPolicy", "openhands-server", setInput("spec.egress[2].to[0].ipBlock.cidr", "172.16.1.0/28"),
			"cannot reach the API server",
		},
		{
			"no way to the database", "NetworkPolicy", "openhands-server", setInput("spec.egress[3].to[0].ipBlock.cidr", "10.65.0.0/20"),
			"cannot reach the database",
		},
		{"no way to the internet", "NetworkPolicy", "openhands-server", setInput("spec.egress[4].ports[0].port", 80.0), "cannot reach the internet"},
		{
			"variable beside the list", "Deployment", "openhands",
			setInput("spec.template.spec.containers[0].env", []any{map[string]any{"name": "GCP_DB_INSTANCE", "value": "x"}}), "beside the closed list",
		},
		{"deny that allows", "NetworkPolicy", "openhands-deny-all", setInput("spec.egress", []any{map[string]any{}}), "has no policy that denies everything"},
		{
			"no directory that the server can write to", "Deployment", "openhands",
			setInput("spec.template.spec.containers[0].volumeMounts[0].mountPath", "/opt/workspace_base"), "the server cannot write to its directory",
		},
		{"two replicas", "Deployment", "openhands", setInput("spec.replicas", 2.0), "one replica"},
		{"rolling update", "Deployment", "openhands", setInput("spec.strategy.type", "RollingUpdate"), "one replica"},
		{
			"latest image", "Deployment", "openhands", setInput("spec.template.spec.containers[0].image", "ghcr.io/openhands/openhands:latest"),
			"another one tomorrow",
		},
		{
			"toleration that does not match the taint", "ConfigMap", "openhands-environment",
			data("KUBERNETES_TOLERATIONS_YAML", "- key: openhands.dev/sandboxes\n  operator: Exists\n"), "a sandbox stays pending",
		},
		{"taint that does not match the toleration", "NodePool", "openhands-sandbox", setInput("nodeConfig.taints[0].value", "yes"), "a sandbox stays pending"},
		{
			"volumes of a class that GKE does not bring", "ConfigMap", "openhands-environment", data("KUBERNETES_PVC_STORAGE_CLASS", "fast"),
			"there is no class \"fast\"",
		},
		{"sandboxes on the app's nodes", "ConfigMap", "openhands-environment", data("KUBERNETES_NODE_SELECTOR_VAL", "app"), "which has no gVisor"},
		{
			"another Kubernetes service account", "IAMMember", "openhands-binding",
			setInput("member", "serviceAccount:my-openhands-dev.svc.id.goog[openhands/openhands-deploy]"), "no binding names it",
		},
		{"another bucket", "ConfigMap", "openhands-environment", data("FILE_STORE_PATH", "/.openhands"), "may not use the bucket"},
		{"bucket that viewers of the project read", "BucketIAMPolicy", "openhands-files", func(inputs resource.PropertyMap) {
			policy := strings.Replace(inputs["policyData"].StringValue(), "projectOwner:", "projectViewer:", 1)
			inputs["policyData"] = resource.NewProperty(policy)
		}, "projectViewer:my-openhands-dev may use the bucket"},
		{"bucket that the server may not use", "BucketIAMPolicy", "openhands-files", func(inputs resource.PropertyMap) {
			policy := strings.Replace(inputs["policyData"].StringValue(), "objectUser", "objectViewer", 1)
			inputs["policyData"] = resource.NewProperty(policy)
		}, "may not use the bucket"},
		{"file store that is memory", "ConfigMap", "openhands-environment", data("FILE_STORE", "gcs"), "every session is lost"},
		{"another database", "ConfigMap", "openhands-environment", data("DB_HOST", "10.0.0.3"), "is the private address of no database"},
		{"another password", "Secret", "openhands-environment", func(inputs resource.PropertyMap) {
			inputs["stringData"] = resource.NewPropertyValue(map[string]any{"DB_PASS": "x"})
		}, "has another password"},
		{
			"the image's own start command", "Deployment", "openhands",
			setInput("spec.template.spec.containers[0].command", []any{"python", "-m", "openhands.server"}), "the server has no launcher",
		},
		{
			"launcher without the sandbox kinds", "ConfigMap", "openhands-launcher",
			setInput(`data["release.json"]`, `{"migrations":{"002":{"before":"x"}},"stopsAtOnce":true}`), "the server dies at its start",
		},
		{
			"launcher without a migration", "ConfigMap", "openhands-launcher", setInput(`data["release.json"]`, `{"stopsAtOnce":true}`),
			"does not start on an empty database",
		},
		{
			"launcher that lets the stop signal through", "ConfigMap", "openhands-launcher",
			setInput(`data["release.json"]`, `{"migrations":{"002":{"before":"x"}}}`), "deletes the volume of a conversation",
		},
		{"the newer interface on", "ConfigMap", "openhands-environment", data("ENABLE_V1", "1"), "ENABLE_V1 is \"1\""},
		{"another kind of sandbox", "ConfigMap", "openhands-environment", data("OH_SANDBOX_KIND", "DockerSandboxServiceInjector"), "OH_SANDBOX_KIND is"},
		{
			"no clean-up of the right namespace", "CronJob", "openhands-cleanup",
			setInput("spec.jobTemplate.spec.template.spec.containers[0].env[0].value", "default"), "the clean-up looks at namespace",
		},
		{
			"clean-up that asks nobody", "CronJob", "openhands-cleanup",
			setInput("spec.jobTemplate.spec.template.spec.containers[0].env[1].value", "http://openhands:80"), "the clean-up asks",
		},
		{"clean-up that may do more", "Role", "openhands-cleanup", setInput("rules[0].resources[0]", "secrets"), "the clean-up may do"},
		{
			"sandboxes that are not validated", "ValidatingAdmissionPolicyBinding", "openhands-sandboxes", setInput("spec.validationActions[0]", "Audit"),
			"no policy refuses wrong pods",
		},
		{
			"Ingresses that are not validated", "ValidatingAdmissionPolicy", "openhands-ingresses", setInput("spec.failurePolicy", "Ignore"),
			"no policy refuses wrong ingresses",
		},
		{"quota that differs", "ResourceQuota", "openhands-sandboxes", setInput("spec.hard.pods", "2"), "the quota is of \"2\" pods"},
		{
			"no default IngressClass", "IngressClass", "default-ingress-class",
			setInput("metadata.annotations[\"ingressclass.kubernetes.io/is-default-class\"]", "false"), "public load balancer",
		},
		{
			"sandboxes under another level", "Namespace", "openhands-openhands-sandboxes",
			setInput("metadata.labels[\"pod-security.kubernetes.io/enforce\"]", "privileged"), "not baseline",
		},

		{"pool with smaller nodes than a sandbox", "NodePool", "openhands-sandbox", setInput("nodeConfig.machineType", "n2-highcpu-2"), "are asked for"},

		// What the API server refuses.
		{"unknown field", "Deployment", "openhands", setInput("spec.template.spec.containers[0].imagePullpolicy", "Always"), "unknown field"},
		{"selector that matches nothing", "Deployment", "openhands", setInput("spec.selector.matchLabels.app", "x"), "does not match the labels"},
		{"missing ConfigMap", "Deployment", "openhands", setInput("spec.template.spec.containers[0].envFrom[0].configMapRef.name", "other"), "does not exist"},
		{"missing service account", "Deployment", "openhands", setInput("spec.template.spec.serviceAccountName", "other"), "does not exist"},
		{"missing namespace", "ConfigMap", "openhands-environment", setInput("metadata.namespace", "other"), "does not exist"},
		{
			"root in a restricted namespace", "Deployment", "openhands", setInput("spec.template.spec.securityContext.runAsNonRoot", false),
			"violates PodSecurity",
		},
		{
			"escalation in a restricted namespace", "Deployment", "openhands",
			setInput("spec.template.spec.containers[0].securityContext.allowPrivilegeEscalation", true), "violates PodSecurity",
		},
		{
			"pool that does not exist", "Deployment", "openhands", setInput("spec.template.spec.nodeSelector[\"openhands.dev/pool\"]", "other"),
			"no node matches",
		},
		{"name that is none", "ConfigMap", "openhands-environment", setInput("metadata.name", "Environment"), "RFC 1123"},

		// What no node takes.
		{"Arm machines", "NodePool", "openhands-app", setInput("nodeConfig.machineType", "t2a-standard-4"), "untolerated taint kubernetes.io/arch=arm64"},
		{"application larger than its nodes", "NodePool", "openhands-app", setInput("nodeConfig.machineType", "n2-highcpu-2"), "a node of pool openhands-app"},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			mocks, err := spoiled(t, c.resource, c.name, c.spoil)
			said := strings.Join(checks.Application(mocks.Cloud.Inventory(), false), "\n")
			if err != nil {
				said = err.Error()
			}
			assert.Contains(t, said, c.says)
		})
	}
}

// TestAContinuedConversationFindsANodeInItsZone: in a region, the workspaces may be in one zone or in all of them.
func TestAContinuedConversationFindsANodeInItsZone(t *testing.T) {
	for _, c := range []struct {
		mistake string
		path    string
		value   any
		few     bool
		says    string
	}{
		{"as it is", "autoscaling.totalMinNodeCount", 0.0, false, ""},
		{"one for each zone", "autoscaling.totalMaxNodeCount", 5.0, false, ""},
		{
			"enough for the region only", "autoscaling.totalMaxNodeCount", 3.0, false,
			"20 pods at 7 a node can need 5 nodes in 3 zones, and pool openhands-sandbox",
		},
		{"enough for a zone", "nodeLocations", []any{"us-central1-a"}, false, ""},
		{"fewer by one's own will", "autoscaling.totalMaxNodeCount", 3.0, true, ""},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			mocks, err := spoiledIn(t, "prod", stackFile(t, "prod"), "NodePool", "openhands-sandbox", setInput(c.path, c.value))
			require.NoError(t, err)
			said := strings.Join(checks.Application(mocks.Cloud.Inventory(), c.few), "\n")
			if c.says == "" {
				assert.Empty(t, said)
				return
			}
			assert.Contains(t, said, c.says)
		})
	}
}
