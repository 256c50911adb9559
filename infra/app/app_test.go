package app_test

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/infra/app"
	"openhands-gcp/rehearsal/providers"
)

func TestArgumentsAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		args *app.OpenHandsAppArgs
		says []string
	}{
		"none": {nil, []string{`OpenHandsApp "x": its arguments are nil`}},
		"empty": {&app.OpenHandsAppArgs{}, []string{
			`OpenHandsApp "x": `, "release is required", "image is required", "bucket is required", "database.password is required", "identity.namespace is required",
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
			"gateway.host is required", "gateway.address is required", "gateway.armorPolicy is required", "gateway.loadBalancerRanges is required",
			"needs both of clientId and clientSecret",
		}},
		"variable of the program": {&app.OpenHandsAppArgs{ExtraEnv: map[string]string{"FILE_STORE": "gcs"}}, []string{"extraEnv: FILE_STORE is set by the program"}},
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
