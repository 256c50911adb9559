package app

import (
	_ "embed" // for the script
	"encoding/json"
	"fmt"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
	"openhands-gcp/release"
)

// launcherScript starts the server; its first lines say what it does before that.
//
//go:embed launcher.py
var launcherScript string

// guardScript closes ways through the server that its own code leaves open.
//
//go:embed guard.py
var guardScript string

// Where the launcher is in the server's container. The image's own entrypoint cannot be used: it insists on root.
const (
	launcherMount  = "/launcher"
	launcherName   = "launch.py"
	guardName      = "guard.py"     // beside it
	launcherConfig = "release.json" // beside it
)

// keepAliveSeconds is longer than the 600 seconds for which the door keeps idle connections to the server: a request that is sent just while the server
// closes one fails.
const keepAliveSeconds = 620

// newLauncher writes the launcher, and what it has to know of the release and of this installation, into a ConfigMap. It returns that, and its content.
func (c *Server) newLauncher(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, namespace pulumi.StringInput) (
	configMapName pulumi.StringInput, files pulumi.StringMap, err error,
) {
	line, hosts := args.Release, []string{"localhost", "127.0.0.1", serviceHost(name, args.Identity.Namespace)}
	if args.Gateway != nil {
		hosts = append(hosts, args.Gateway.Host)
	}
	known, err := json.MarshalIndent(struct {
		release.Launch
		KeepAliveSeconds int      `json:"keepAliveSeconds"`
		Hosts            []string `json:"hosts"`
		Probes           []string `json:"probes"`
	}{line.Launch, keepAliveSeconds, hosts, []string{line.StartupPath, line.LivenessPath, line.ReadinessPath}}, "", "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("facts of the release: %w", err)
	}
	files = pulumi.StringMap{
		launcherName: pulumi.String(launcherScript), guardName: pulumi.String(guardScript), launcherConfig: pulumi.String(known),
	}
	configMap, err := corev1.NewConfigMap(ctx, name+"-launcher", &corev1.ConfigMapArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-launcher"), Namespace: namespace},
		Data:     files,
	}, component.Child(c)...)
	if err != nil {
		return nil, nil, fmt.Errorf("create the ConfigMap: %w", err)
	}
	return configMap.Metadata.Name().Elem(), files, nil
}
