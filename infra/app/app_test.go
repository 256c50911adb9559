package app_test

import (
	"net/netip"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/infra/app"
	"openhands-gcp/rehearsal/providers"
	"openhands-gcp/release"
	"openhands-gcp/tests/golden"
)

func TestArgumentsAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		args *app.OpenHandsAppArgs
		says []string
	}{
		"none": {nil, []string{`OpenHandsApp "x": its arguments are nil`}},
		"empty": {&app.OpenHandsAppArgs{}, []string{
			`OpenHandsApp "x": `, "release is required", "image is required", "doorImage is required", "bucket is required",
			"database.password is required", "identity.namespace is required",
			"nodes.label is required", "cpuRequest and memoryGiB are required", "notPublic is required", "publicControlPlane is required",
			"one of sandboxes and remoteRuntime is needed",
		}},
		"sandboxes": {&app.OpenHandsAppArgs{Identity: app.Identity{Namespace: "x"}, Sandboxes: &app.SandboxesArgs{Namespace: "x"}}, []string{
			"sandboxes need a namespace of their own", "sandboxes.image is required", "sandboxes.max is 0",
			"cpuRequest is required", "memoryGiB and volumeGiB are required",
		}},
		"both runtimes": {&app.OpenHandsAppArgs{Sandboxes: &app.SandboxesArgs{}, RemoteRuntime: &app.RemoteRuntime{}}, []string{
			"one of sandboxes and remoteRuntime is needed", "remoteRuntime needs url, apiKey and conversations",
		}},
		"gateway": {&app.OpenHandsAppArgs{Gateway: &app.GatewayArgs{Login: &app.Login{ClientID: "id"}}}, []string{
			"gateway.host is required", "gateway.ifRefused is required", "gateway.login.projectNumber is required",
			"gateway.address is required", "gateway.armorPolicy is required", "gateway.loadBalancerRanges is required",
			"needs both of clientId and clientSecret",
		}},
		"operators": {&app.OpenHandsAppArgs{Operators: []app.Operator{{Kind: "user", Name: "a@example.com"}, {Kind: "Group"}}}, []string{
			`the kind "user" of "a@example.com" is neither User nor Group`, "operators: one has no name",
		}},
		"variable of the program": {
			&app.OpenHandsAppArgs{ExtraEnv: map[string]string{"FILE_STORE": "gcs"}}, []string{"extraEnv: FILE_STORE is set by the program"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			mocks, err := providers.NewMocks("test", "my-project", "us-central1")
			require.NoError(t, err)
			err = pulumi.RunErr(func(ctx *pulumi.Context) error {
				_, err := app.NewOpenHandsApp(ctx, "x", c.args)
				return err
			}, mocks.Option())
			require.Error(t, err)
			for _, says := range c.says {
				assert.Contains(t, err.Error(), says)
			}
			assert.Empty(t, mocks.Resources())
		})
	}
}

// record plans an application on nodes that have a taint, with a control plane at a public address.
func record(t *testing.T, publicControlPlane string) (*golden.Plan, error) {
	t.Helper()
	line, err := release.Lookup(release.Server, release.DefaultRelease(release.Server), release.Kubernetes)
	require.NoError(t, err)
	text := pulumi.String("x")
	return golden.Record(t.Context(), pulumi.RunInfo{Project: "test", Stack: "test"}, func(ctx *pulumi.Context) error {
		_, err := app.NewOpenHandsApp(ctx, "x", &app.OpenHandsAppArgs{
			Release: line, Image: text, DoorImage: text, Bucket: text, CPURequest: 1, MemoryGiB: 1,
			Identity: app.Identity{Namespace: "x", ServiceAccountName: "x", GoogleServiceAccount: text},
			Database: app.Database{Host: text, Name: text, User: text, Password: text, Range: netip.MustParsePrefix("10.64.0.0/20")},
			Internet: app.Internet{
				NotPublic: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, PublicControlPlane: pulumi.String(publicControlPlane),
			},
			ControlPlaneCIDR: netip.MustParsePrefix("172.16.0.0/28"),
			Nodes:            app.Nodes{Label: "pool", Value: "server", Taint: &app.Taint{Key: "only", Value: "server", Effect: "NoExecute"}},
			Sandboxes: &app.SandboxesArgs{
				Namespace: "y", Image: text, Max: 1, CPURequest: 1, CPULimit: 1, MemoryGiB: 1, VolumeGiB: 1, MaxVolumes: 1,
				Nodes: app.Nodes{Label: "pool", Value: "sandbox"},
			},
		})
		return err
	})
}

// TestAnUnreadableControlPlaneOpensNothing: without its address, a sandbox could reach it.
func TestAnUnreadableControlPlaneOpensNothing(t *testing.T) {
	_, err := record(t, "34.90.1.10, and another")
	require.ErrorContains(t, err, "the control plane's public address cannot be kept out of 0.0.0.0/0")
}

// TestTaintsAreTolerated: no stack of this program gives the server's nodes a taint, or takes that of the sandboxes' away.
func TestTaintsAreTolerated(t *testing.T) {
	plan, err := record(t, "")
	require.NoError(t, err)
	tolerated := resource.NewProperty([]resource.PropertyValue{resource.NewProperty(resource.NewPropertyMapFromMap(map[string]any{
		"key": "only", "operator": "Equal", "value": "server", "effect": "NoExecute",
	}))})
	seen := 0
	for _, r := range plan.Resources {
		spec := r.Inputs["spec"]
		switch golden.Label(r.URN) {
		case "batch/v1.CronJob x-cleanup":
			spec = spec.ObjectValue()["jobTemplate"].ObjectValue()["spec"]
			fallthrough
		case "apps/v1.Deployment x", "apps/v1.Deployment x-door":
			assert.Equal(t, tolerated, spec.ObjectValue()["template"].ObjectValue()["spec"].ObjectValue()["tolerations"], golden.Label(r.URN))
			seen++
		case "core/v1.ConfigMap x-environment":
			assert.Equal(t, "[]", r.Inputs["data"].ObjectValue()["KUBERNETES_TOLERATIONS_YAML"].StringValue())
			seen++
		}
	}
	assert.Equal(t, 4, seen)
}
