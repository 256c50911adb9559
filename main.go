// Command openhands is the Pulumi program that puts OpenHands on Google Cloud. It reads like the architecture: configuration, providers,
// components from the ground up, exports.
package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra"
	"openhands-gcp/release"
	"openhands-gcp/stacks"
)

// What the network, the cluster and the application must agree on.
const (
	name             = "openhands" // instance name of every component
	nodeTag          = "openhands-node"
	appNamespace     = "openhands"
	appKSA           = "openhands"
	sandboxNamespace = "openhands-sandboxes"

	databaseName = "openhands"
	databaseUser = "openhands"
)

func main() {
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
		providers, err := newProviders(ctx, config)
		if err != nil {
			return err
		}

		services, err := infra.NewProjectServices(ctx, name, &infra.ProjectServicesArgs{LoadBalancer: config.Exposed(), DNS: config.Exposure.DNSZone != ""}, providers)
		if err != nil {
			return err
		}
		ready := services.Enabled()

		network, err := infra.NewNetwork(ctx, name, networkArgs(config), providers, ready)
		if err != nil {
			return err
		}
		cluster, err := infra.NewGkeCluster(ctx, name, clusterArgs(config, services, network), providers, ready)
		if err != nil {
			return err
		}
		registry, err := infra.NewRegistry(ctx, name, &infra.RegistryArgs{
			Location:                config.Region,
			RepositoryPrefix:        config.RepositoryPrefix(),
			KeepNewest:              config.Registry.KeepNewest,
			DeleteUntaggedAfterDays: config.Registry.DeleteUntaggedAfterDays,
			ImmutableTags:           config.Registry.ImmutableTags,
			Protect:                 config.Protect(config.Registry.DeletionProtection),
			Reader:                  cluster.NodeMember,
		}, providers, ready)
		if err != nil {
			return err
		}
		identity, err := infra.NewWorkloadIdentity(ctx, name, &infra.WorkloadIdentityArgs{
			AccountID:          config.AppAccountID(),
			DisplayName:        "OpenHands application",
			Namespace:          appNamespace,
			ServiceAccountName: appKSA,
			WorkloadPool:       cluster.WorkloadPool,
		}, providers, ready)
		if err != nil {
			return err
		}
		database, err := infra.NewCloudSqlPostgres(ctx, name, databaseArgs(config, network), providers, ready)
		if err != nil {
			return err
		}
		bucket, err := infra.NewStorageBucket(ctx, name, &infra.StorageBucketArgs{
			Location:       config.BucketLocation(),
			SoftDeleteDays: config.Bucket.SoftDeleteDays,
			OldVersionDays: config.Bucket.OldVersionDays,
			Protect:        config.Protect(config.Bucket.DeletionProtection),
			Writer:         identity.Member,
		}, providers, ready)
		if err != nil {
			return err
		}

		kubernetes, err := newKubernetesProvider(ctx, cluster)
		if err != nil {
			return err
		}
		app, err := infra.NewOpenHandsApp(ctx, name, appArgs(config, cluster, registry, database, bucket, identity), providers, kubernetes, cluster.Ready(), bucket.Writable(), identity.Bound())
		if err != nil {
			return err
		}

		_, err = infra.NewObservability(ctx, name, &infra.ObservabilityArgs{
			Title:            "OpenHands " + config.Stack,
			Emails:           config.Observability.NotificationEmails,
			Labels:           pulumi.ToStringMap(config.AllLabels()),
			Project:          config.Project,
			Cluster:          cluster.Name,
			Namespace:        app.Namespace,
			Deployment:       app.Deployment,
			DatabaseInstance: database.InstanceName,
		}, providers, ready)
		if err != nil {
			return err
		}

		ctx.Export("url", app.URL)
		ctx.Export("dnsRecords", app.DNSRecords)
		ctx.Export("appNamespace", app.Namespace)
		ctx.Export("openCommand", pulumi.Sprintf("kubectl --namespace=%s port-forward service/%s %d:%d", app.Namespace, app.Service, app.Port, app.Port))
		ctx.Export("clusterName", cluster.Name)
		ctx.Export("clusterLocation", cluster.Location)
		ctx.Export("credentialsCommand", cluster.CredentialsCommand)
		ctx.Export("kubeconfig", cluster.Kubeconfig)
		ctx.Export("databaseInstance", database.InstanceName)
		ctx.Export("databaseHost", database.Host)
		ctx.Export("databaseName", database.Database)
		ctx.Export("databaseUser", database.User)
		ctx.Export("databasePassword", database.Password)
		ctx.Export("bucketName", bucket.Name)
		ctx.Export("imagePrefix", registry.ImagePrefix)
		ctx.Export("ghcrPrefix", registry.GHCRPrefix)
		ctx.Export("appServiceAccount", identity.Email)
		return nil
	}
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
		// By it the provider knows the cluster again: another kubeconfig for the same cluster must not replace every object.
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

func networkArgs(config *stacks.Config) *infra.NetworkArgs {
	ranges := config.Ranges()
	args := &infra.NetworkArgs{
		Region:          config.Region,
		NodesCIDR:       ranges.Nodes,
		PodsCIDR:        ranges.Pods,
		ServicesCIDR:    ranges.Services,
		PeeringCIDR:     ranges.Peering,
		FlowLogSampling: config.Network.FlowLogSampling,
		NodeTag:         nodeTag,
	}
	if config.Exposed() {
		args.LoadBalancerPort = config.Release().Port
	}
	return args
}

func clusterArgs(config *stacks.Config, services *infra.ProjectServices, network *infra.Network) *infra.GkeClusterArgs {
	c := config.Cluster
	return &infra.GkeClusterArgs{
		Project:           config.Project,
		Location:          config.ClusterLocation(),
		MinVersion:        c.MinVersion,
		ReleaseChannel:    c.ReleaseChannel,
		Maintenance:       infra.Maintenance(c.Maintenance),
		ConnectGateway:    connectGateway(c.Access, services),
		PublicEndpoint:    publicEndpoint(config),
		AppPool:           infra.AppPool(c.AppPool),
		SandboxPool:       sandboxPool(config),
		NodeAccountID:     config.NodeAccountID(),
		NodeTag:           nodeTag,
		Protect:           config.Protect(c.DeletionProtection),
		FQDNNetworkPolicy: c.FQDNNetworkPolicy,
		Labels:            pulumi.ToStringMap(config.AllLabels()),
		ControlPlaneCIDR:  config.Ranges().ControlPlane,
		Network:           network.NetworkID,
		Subnetwork:        network.SubnetworkID,
		PodsRangeName:     network.PodsRangeName,
		ServicesRangeName: network.ServicesRangeName,
	}
}

func sandboxPool(config *stacks.Config) *infra.SandboxPool {
	if !config.RunsSandboxes() {
		return nil
	}
	return &infra.SandboxPool{MachineType: config.Sandboxes.Pool.MachineType, MaxNodes: config.SandboxNodes(), Spot: config.Sandboxes.Pool.Spot}
}

func appArgs(config *stacks.Config, cluster *infra.GkeCluster, registry *infra.Registry, database *infra.CloudSqlPostgres, bucket *infra.StorageBucket, identity *infra.WorkloadIdentity) *infra.OpenHandsAppArgs {
	line := config.Release()
	args := &infra.OpenHandsAppArgs{
		Release:  line,
		Images:   infra.Images{App: image(config.App.Image, registry, line.Image)},
		Database: infra.Database{Host: database.Host, Name: database.Database, User: database.User, Password: database.Password, Range: config.Ranges().Peering},
		Bucket:   bucket.Name,
		Identity: infra.Identity{Namespace: appNamespace, ServiceAccountName: appKSA, GoogleServiceAccount: identity.Email},

		Conversations: config.Sandboxes.Max,
		CPURequest:    config.App.CPURequest,
		MemoryGiB:     config.App.MemoryGiB,
		NodePool:      infra.AppPoolName,
		Exposure:      exposure(config),
		ExtraEnv:      config.App.ExtraEnv,

		NotPublic:          stacks.NotPublic,
		ControlPlaneCIDR:   config.Ranges().ControlPlane,
		PublicControlPlane: cluster.PublicAddress,
	}
	if !config.RunsSandboxes() {
		args.RemoteRuntime = &infra.RemoteRuntime{URL: config.App.RemoteRuntimeURL, APIKey: secret(config.SandboxAPIKey)}
		return args
	}
	args.Images.Sandbox = image(config.App.SandboxImage, registry, line.SandboxImage)
	s := config.Sandboxes
	args.Sandboxes = &infra.Sandboxes{
		Namespace: sandboxNamespace, Max: s.Max, CPURequest: s.CPURequest, MemoryGiB: s.MemoryRequest, CPULimit: s.CPULimit, VolumeGiB: s.VolumeGiB,
		NodePool: infra.SandboxPoolName, PoolTaint: infra.SandboxTaint, Warm: s.Warm,
		// Own images, and the sandbox image's own repository with whatever tag.
		ImagePrefixes:  pulumi.StringArray{pulumi.Sprintf("%s/", registry.ImagePrefix), repository(args.Images.Sandbox, ":"), repository(args.Images.Sandbox, "@")},
		AllowedDomains: s.Egress.AllowedDomains, AllowedRanges: config.AllowedRanges(),
		MaxVolumes: config.MaxVolumes(), KeepUnusedVolumeDays: s.KeepUnusedVolumeDays,
	}
	return args
}

func secret(value string) pulumi.StringOutput {
	return pulumi.ToSecret(pulumi.String(value)).(pulumi.StringOutput)
}

// repository is an image's reference without tag and digest, and with what separates the one or the other.
func repository(image pulumi.StringInput, separator string) pulumi.StringOutput {
	return image.ToStringOutput().ApplyT(func(reference string) string { return release.Repository(reference) + separator }).(pulumi.StringOutput)
}

// exposure is none where the application is reached by port-forward.
func exposure(config *stacks.Config) *infra.Exposure {
	if !config.Exposed() {
		return nil
	}
	e := config.Exposure
	exposure := &infra.Exposure{
		Host: e.Host, DNSZone: e.DNSZone,
		Armor: infra.Armor{
			RequestsPerMinute: e.Armor.RequestsPerMinute, AllowedRanges: e.Armor.AllowedRanges, DeniedRanges: e.Armor.DeniedRanges,
			AdaptiveProtection: e.Armor.AdaptiveProtection, WAFRules: e.Armor.WAFRules, EnforceWAF: e.Armor.WAFEnforce,
		},
	}
	if !e.OpenToEveryoneWithoutLogin {
		exposure.Login = &infra.Login{Members: e.Login.Members}
		if e.Login.ClientID != "" {
			exposure.Login.ClientID, exposure.Login.ClientSecret = e.Login.ClientID, secret(config.IAPClientSecret)
		}
	}
	return exposure
}

// image is the configured image, or the release's through the mirror.
func image(configured string, registry *infra.Registry, released string) pulumi.StringInput {
	if configured != "" {
		return pulumi.String(configured)
	}
	return pulumi.Sprintf("%s/%s", registry.GHCRPrefix, released)
}

func connectGateway(access stacks.Access, services *infra.ProjectServices) *infra.ConnectGateway {
	if !access.ConnectGateway.Enabled {
		return nil
	}
	return &infra.ConnectGateway{Members: access.ConnectGateway.Members, ProjectNumber: services.ProjectNumber}
}

func publicEndpoint(config *stacks.Config) *infra.PublicEndpoint {
	if config.Cluster.Access.PublicEndpoint == nil {
		return nil
	}
	return &infra.PublicEndpoint{AuthorizedRanges: config.AuthorizedRanges()}
}

func databaseArgs(config *stacks.Config, network *infra.Network) *infra.CloudSqlPostgresArgs {
	d := config.Database
	return &infra.CloudSqlPostgresArgs{
		Region:           config.Region,
		Version:          d.Version,
		Tier:             d.Tier,
		Database:         databaseName,
		User:             databaseUser,
		HighAvailability: d.HighAvailability,
		MaxConnections:   d.MaxConnections,
		DiskSizeGB:       d.DiskSizeGB,
		DiskLimitGB:      d.DiskLimitGB,
		RetainedBackups:  d.Backups.Retained,
		BackupStartTime:  d.Backups.StartTime,
		PointInTimeDays:  d.Backups.PointInTimeDays,
		MaintenanceDay:   d.Maintenance.Day,
		MaintenanceHour:  d.Maintenance.Hour,
		Protect:          config.Protect(d.DeletionProtection),
		Labels:           pulumi.ToStringMap(config.AllLabels()),
		PrivateNetwork:   network.PrivateServicesNetworkID,
	}
}
