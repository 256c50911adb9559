// Command openhands is the Pulumi program that puts OpenHands on Google Cloud. It reads like the architecture: configuration, providers,
// components from the ground up, exports.
package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra"
	"openhands-gcp/infra/app"
	"openhands-gcp/release"
	"openhands-gcp/stacks"
)

const name = "openhands" // of every component

func main() {
	if len(os.Args) > 1 && os.Args[1] == "describe" {
		if err := describe(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	source := &stacks.Source{}
	pulumi.Run(deploy(source), captureConfig(source))
}

// captureConfig copies the stack's whole configuration: a Pulumi context gives values by name only, and unknown keys must not pass unseen.
func captureConfig(source *stacks.Source) pulumi.RunOption {
	return func(info *pulumi.RunInfo) {
		*source = stacks.Source{Stack: info.Stack, Values: maps.Clone(info.Config), SecretKeys: slices.Clone(info.ConfigSecretKeys)}
	}
}

// deploy returns the program for one stack.
func deploy(source *stacks.Source) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		config, err := stacks.Load(*source)
		if err != nil {
			return err
		}
		for _, warning := range config.Warnings() {
			if err := ctx.Log.Warn(warning, nil); err != nil {
				return err
			}
		}
		if err := noteQuotas(ctx, config); err != nil {
			return err
		}
		if config.Single() {
			return installMachine(ctx, config)
		}
		return install(ctx, config)
	}
}

// noteQuotas says in a preview what the project needs: `pulumi preview --json`, which a report compares with the output of before, has no outputs of now.
func noteQuotas(ctx *pulumi.Context, config *stacks.Config) error {
	if !ctx.DryRun() {
		return nil
	}
	needed := map[string]string{}
	for _, q := range config.Quotas() {
		needed[q.Name] = q.String()
	}
	raw, err := json.Marshal(needed)
	if err != nil {
		return fmt.Errorf("quotas: %w", err)
	}
	return ctx.Log.Info("quotas: "+string(raw), nil)
}

// install creates the components from the ground up. Each takes what it needs from those above it.
func install(ctx *pulumi.Context, config *stacks.Config) error {
	providers, err := newProviders(ctx, config)
	if err != nil {
		return err
	}
	services, err := infra.NewProjectServices(ctx, name, config.ProjectServicesArgs(), providers)
	if err != nil {
		return err
	}
	ready := services.Ready()
	network, err := infra.NewNetwork(ctx, name, config.NetworkArgs(), providers, ready)
	if err != nil {
		return err
	}
	cluster, err := infra.NewGkeCluster(ctx, name, config.GkeClusterArgs(services, network), providers, ready)
	if err != nil {
		return err
	}
	registry, err := infra.NewRegistry(ctx, name, config.RegistryArgs(cluster.NodeMember), providers, ready)
	if err != nil {
		return err
	}
	kubernetes, err := newKubernetesProvider(ctx, cluster)
	if err != nil {
		return err
	}
	google := stacks.Google{Services: services, Network: network, Cluster: cluster, Registry: registry}
	after := []pulumi.ResourceOption{providers, kubernetes, network.Ready(), cluster.Ready(), registry.Ready()}
	if config.Exposed() {
		google.Entrance, err = infra.NewEntrance(ctx, name, config.EntranceArgs(), providers, ready)
		if err != nil {
			return err
		}
		after = append(after, google.Entrance.Ready())
	}
	exportCluster(ctx, google)
	ctx.Export("quotas", quotas(config))
	if config.Line() == release.Canvas {
		return installCanvas(ctx, config, google, []pulumi.ResourceOption{providers, ready}, after)
	}
	return installServer(ctx, config, google, []pulumi.ResourceOption{providers, ready}, after)
}

// installServer puts the Python server on the cluster, with its database and its bucket. onGoogle are the options of Google's components, inCluster those of
// what is in the cluster.
func installServer(ctx *pulumi.Context, config *stacks.Config, google stacks.Google, onGoogle, inCluster []pulumi.ResourceOption) error {
	identity, err := infra.NewWorkloadIdentity(ctx, name, config.WorkloadIdentityArgs(google.Cluster), onGoogle...)
	if err != nil {
		return err
	}
	database, err := infra.NewCloudSqlPostgres(ctx, name, config.CloudSqlPostgresArgs(google.Network), onGoogle...)
	if err != nil {
		return err
	}
	bucket, err := infra.NewStorageBucket(ctx, name, config.StorageBucketArgs(identity), onGoogle...)
	if err != nil {
		return err
	}
	google.Identity, google.Database, google.Bucket = identity, database, bucket
	application, err := app.NewOpenHandsApp(ctx, name, config.OpenHandsAppArgs(google), slices.Concat(inCluster, []pulumi.ResourceOption{
		bucket.Ready(), identity.Ready(),
	})...)
	if err != nil {
		return err
	}
	if _, err := infra.NewObservability(ctx, name, config.ServerObservabilityArgs(google.Cluster, application, database), onGoogle...); err != nil {
		return err
	}
	exportWayIn(ctx, application.Namespace, application.Door, application.Port)
	ctx.Export("url", application.URL)
	ctx.Export("databaseInstance", database.InstanceName)
	ctx.Export("databaseHost", database.Host)
	ctx.Export("databaseName", database.Database)
	ctx.Export("databaseUser", database.User)
	ctx.Export("bucketName", bucket.Name)
	ctx.Export("appServiceAccount", identity.Email)
	return nil
}

// installCanvas puts the instances of Agent Canvas on the cluster. They keep everything on their volumes.
func installCanvas(ctx *pulumi.Context, config *stacks.Config, google stacks.Google, onGoogle, inCluster []pulumi.ResourceOption) error {
	canvas, err := app.NewAgentCanvas(ctx, name, config.AgentCanvasArgs(google), inCluster...)
	if err != nil {
		return err
	}
	if _, err := infra.NewObservability(ctx, name, config.CanvasObservabilityArgs(google.Cluster, canvas), onGoogle...); err != nil {
		return err
	}
	exportWayIn(ctx, canvas.Namespace, canvas.Door, canvas.Port)
	ctx.Export("urls", canvas.URLs)
	ctx.Export("instanceNamespace", canvas.InstanceNamespace)
	return nil
}

// installMachine creates a machine in place of a cluster, a database and a bucket.
func installMachine(ctx *pulumi.Context, config *stacks.Config) error {
	providers, err := newProviders(ctx, config)
	if err != nil {
		return err
	}
	services, err := infra.NewProjectServices(ctx, name, config.ProjectServicesArgs(), providers)
	if err != nil {
		return err
	}
	ready := services.Ready()
	network, err := infra.NewNetwork(ctx, name, config.NetworkArgs(), providers, ready)
	if err != nil {
		return err
	}
	account, err := infra.NewMachineAccount(ctx, name, config.MachineAccountArgs(), providers, ready)
	if err != nil {
		return err
	}
	registry, err := infra.NewRegistry(ctx, name, config.RegistryArgs(account.Member), providers, ready)
	if err != nil {
		return err
	}
	disk, err := infra.NewDataDisk(ctx, name, config.DataDiskArgs(), providers, ready)
	if err != nil {
		return err
	}
	machine, err := infra.NewComputeInstance(ctx, name, config.ComputeInstanceArgs(services, network, registry, account, disk),
		providers, ready, network.Ready(), account.Ready(), registry.Ready(), disk.Ready())
	if err != nil {
		return err
	}
	ctx.Export("url", pulumi.String(config.PageURL()))
	ctx.Export("openCommand", machine.OpenCommand)
	ctx.Export("sshCommand", machine.SSHCommand)
	ctx.Export("instanceName", machine.Name)
	ctx.Export("instanceZone", machine.Zone)
	ctx.Export("dataDisk", disk.Name)
	ctx.Export("imagePrefix", registry.ImagePrefix)
	ctx.Export("ghcrPrefix", registry.GHCRPrefix)
	ctx.Export("dockerHubPrefix", registry.DockerHubPrefix)
	ctx.Export("machineServiceAccount", account.Email)
	ctx.Export("quotas", quotas(config))
	return nil
}

// exportCluster gives people, and other stacks, the names of what every application has.
func exportCluster(ctx *pulumi.Context, google stacks.Google) {
	ctx.Export("dnsRecords", google.DNSRecords())
	ctx.Export("clusterName", google.Cluster.Name)
	ctx.Export("clusterLocation", google.Cluster.Location)
	ctx.Export("credentialsCommand", google.Cluster.CredentialsCommand)
	ctx.Export("kubeconfig", google.Cluster.Kubeconfig)
	ctx.Export("imagePrefix", google.Registry.ImagePrefix)
	ctx.Export("ghcrPrefix", google.Registry.GHCRPrefix)
	ctx.Export("dockerHubPrefix", google.Registry.DockerHubPrefix)
}

// exportWayIn says how one comes in by port-forward: through the door, which does not run in gVisor, whose pods port-forward cannot reach
// (https://github.com/google/gvisor/issues/3811).
func exportWayIn(ctx *pulumi.Context, namespace, door pulumi.StringOutput, port pulumi.IntOutput) {
	ctx.Export("appNamespace", namespace)
	ctx.Export("openCommand", pulumi.Sprintf("kubectl --namespace=%s port-forward deployment/%s %d:%[3]d", namespace, door, port))
}

// quotas says what the project needs, for the first preview to show: an up that lacks it fails after ten minutes, or when the twentieth conversation starts.
func quotas(config *stacks.Config) pulumi.StringMap {
	out := pulumi.StringMap{}
	for _, q := range config.Quotas() {
		out[q.Name] = pulumi.String(q.String())
	}
	return out
}

// newProviders builds the explicit providers that all components inherit. Default providers are disabled in Pulumi.yaml: they would take whatever
// project and credentials they find.
func newProviders(ctx *pulumi.Context, config *stacks.Config) (pulumi.ResourceOption, error) {
	google, err := gcp.NewProvider(ctx, "gcp", &gcp.ProviderArgs{
		Project:       pulumi.String(config.Project),
		Region:        pulumi.String(config.Region),
		Zone:          pulumi.String(config.ProviderZone()),
		DefaultLabels: pulumi.ToStringMap(config.AllLabels()),
	})
	if err != nil {
		return nil, fmt.Errorf("provider gcp: %w", err)
	}
	generator, err := random.NewProvider(ctx, "random", &random.ProviderArgs{})
	if err != nil {
		return nil, fmt.Errorf("provider random: %w", err)
	}
	return pulumi.Providers(google, generator), nil
}

// newKubernetesProvider reaches the cluster by its kubeconfig.
func newKubernetesProvider(ctx *pulumi.Context, cluster *infra.GkeCluster) (pulumi.ResourceOption, error) {
	provider, err := kubernetes.NewProvider(ctx, "kubernetes", &kubernetes.ProviderArgs{
		Kubeconfig: cluster.Kubeconfig,
		// The provider compares this, not the kubeconfig, to tell whether it is the same cluster: without it, a changed kubeconfig replaces every object.
		ClusterIdentifier: cluster.Name,
		// A changed value changes the object in place; the pod is rolled by a checksum.
		EnableConfigMapMutable: pulumi.Bool(true),
		EnableSecretMutable:    pulumi.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("provider kubernetes: %w", err)
	}
	return pulumi.Providers(provider), nil
}
