package stacks

import (
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra"
	"openhands-gcp/infra/app"
	"openhands-gcp/infra/app/door"
	"openhands-gcp/release"
)

// Google are the components that the application uses. Entrance is nil where the application is reached by port-forward only; Database, Bucket and Identity
// are where the line has none.
type Google struct {
	Services *infra.ProjectServices
	Network  *infra.Network
	Cluster  *infra.GkeCluster
	Registry *infra.Registry
	Database *infra.CloudSqlPostgres
	Bucket   *infra.StorageBucket
	Identity *infra.WorkloadIdentity
	Entrance *infra.Entrance
}

// DNSRecords are the records that somebody has to create, or that exist already: maps with name, type and data. There are none without an Entrance.
func (g Google) DNSRecords() pulumi.ArrayOutput {
	if g.Entrance == nil {
		return pulumi.Array{}.ToArrayOutput()
	}
	return g.Entrance.DNSRecords
}

// OpenHandsAppArgs is the application on what Google runs for it.
func (c *Config) OpenHandsAppArgs(g Google) *app.OpenHandsAppArgs {
	args := &app.OpenHandsAppArgs{
		Release: c.Release(),
		Image:   image(c.App.Image, g.Registry.GHCRPrefix, c.Release().Image.Pinned(c.App.ImageDigest)),

		DoorImage: image(c.App.DoorImage, g.Registry.DockerHubPrefix, door.Image.Pinned(c.App.DoorImageDigest)),
		Identity:  app.Identity{Namespace: appNamespace, ServiceAccountName: c.serverAccount(), GoogleServiceAccount: g.Identity.Email},
		Database: app.Database{
			Host: g.Database.Host, Name: g.Database.Database, User: g.Database.User, Password: g.Database.Password, Range: c.Ranges().Peering,
		},
		Bucket: g.Bucket.Name,

		CPURequest: c.App.CPURequest,
		MemoryGiB:  c.App.MemoryGiB,
		Nodes:      app.Nodes{Label: poolLabel, Value: appPool},
		ExtraEnv:   c.App.ExtraEnv,
		SecretEnv:  map[string]pulumi.StringInput{},
		Egress:     c.serverEgress(),
		Operators:  c.operators(),

		Internet:         internet(g.Cluster),
		ControlPlaneCIDR: c.Ranges().ControlPlane,
	}
	for name, value := range c.SecretEnv {
		args.SecretEnv[name] = secret(value)
	}
	if c.RunsSandboxes() {
		args.Sandboxes = c.sandboxesArgs(g.Registry)
	} else {
		args.RemoteRuntime = &app.RemoteRuntime{URL: c.App.RemoteRuntimeURL, APIKey: secret(c.SandboxAPIKey), Conversations: c.Sandboxes.Max}
	}
	if g.Entrance != nil {
		args.Gateway = c.gatewayArgs(g.Entrance, g.Services)
	}
	return args
}

func (c *Config) sandboxesArgs(registry *infra.Registry) *app.SandboxesArgs {
	s, taint := c.Sandboxes, app.Taint(sandboxTaint)
	return &app.SandboxesArgs{
		Namespace:            sandboxNamespace,
		Image:                image(c.App.SandboxImage, registry.GHCRPrefix, c.Release().SandboxImage.Pinned(c.App.SandboxImageDigest)),
		ImagePrefixes:        pulumi.StringArray{pulumi.Sprintf("%s/", registry.ImagePrefix)},
		Max:                  s.Max,
		CPURequest:           s.CPURequest,
		CPULimit:             s.CPULimit,
		MemoryGiB:            s.MemoryRequest,
		VolumeGiB:            s.VolumeGiB,
		MaxVolumes:           c.MaxVolumes(),
		KeepUnusedVolumeDays: s.KeepUnusedVolumeDays,
		Nodes:                app.Nodes{Label: poolLabel, Value: sandboxPool, Taint: &taint},
		Warm:                 s.Warm,
		Egress:               s.Egress.allowed(),
	}
}

// AgentCanvasArgs are the instances on what Google runs for them.
func (c *Config) AgentCanvasArgs(g Google) *app.AgentCanvasArgs {
	taint := app.Taint(sandboxTaint)
	args := &app.AgentCanvasArgs{
		Release:   c.Release(),
		Image:     image(c.App.Image, g.Registry.GHCRPrefix, c.Release().Image.Pinned(c.App.ImageDigest)),
		DoorImage: image(c.App.DoorImage, g.Registry.DockerHubPrefix, door.Image.Pinned(c.App.DoorImageDigest)),

		Namespace: appNamespace, InstanceNamespace: instanceNamespace, LocalPort: instancesPort,
		DoorNodes: app.Nodes{Label: poolLabel, Value: appPool},
		Nodes:     app.Nodes{Label: poolLabel, Value: sandboxPool, Taint: &taint},

		Protect:        c.Protect(c.Cluster.DeletionProtection),
		KeepVolumeDays: c.Sandboxes.KeepUnusedVolumeDays,
		Egress:         c.Sandboxes.Egress.allowed(),
		Operators:      c.operators(),

		Internet:         internet(g.Cluster),
		ControlPlaneCIDR: c.Ranges().ControlPlane,
	}
	// In another order, it is the same.
	for _, i := range slices.SortedFunc(slices.Values(c.Instances), func(a, b Instance) int { return strings.Compare(a.Name, b.Name) }) {
		args.Instances = append(args.Instances, app.InstanceArgs{
			Name: i.Name, CPURequest: i.CPURequest, CPULimit: i.CPULimit, MemoryRequestGiB: i.MemoryRequest, MemoryLimitGiB: i.MemoryLimit, VolumeGiB: i.VolumeGiB,
		})
	}
	if g.Entrance != nil {
		args.Gateway = c.gatewayArgs(g.Entrance, g.Services)
	}
	return args
}

func (c *Config) gatewayArgs(entrance *infra.Entrance, services *infra.ProjectServices) *app.GatewayArgs {
	args := &app.GatewayArgs{
		Host: c.hostPattern(),
		Global: app.Global{
			Address: entrance.Address, CertificateMap: entrance.CertificateMap, ArmorPolicy: entrance.ArmorPolicy, TLSPolicy: entrance.TLSPolicy,
		},
		LoadBalancerRanges: infra.LoadBalancerRanges, HealthPath: c.Release().LivenessPath, Namespace: appNamespace,
	}
	if c.Exposure.OpenToEveryoneWithoutLogin {
		args.IfRefused = "There is no login (" + exposureKey + "dangerouslyOpenToEveryoneWithoutLogin): everyone gets in, from whatever address."
		return args
	}
	args.Login = &app.Login{ProjectNumber: services.ProjectNumber}
	args.IfRefused = "Until they are, nobody gets in."
	if id := c.Exposure.Login.ClientID; id != "" {
		args.Login.ClientID, args.Login.ClientSecret = id, secret(c.IAPClientSecret)
	} else {
		args.IfRefused += " If it is for want of an OAuth client, make one of your own, and set " + exposureKey + "login.clientId: docs/exposure.md."
	}
	return args
}

// internet is what pods may reach of the world, at the most.
func internet(cluster *infra.GkeCluster) app.Internet {
	return app.Internet{NotPublic: NotPublic, PublicControlPlane: cluster.PublicAddress}
}

// image is the configured image, or the released one through the mirror.
func image(configured string, mirror pulumi.StringOutput, released release.Image) pulumi.StringInput {
	if configured != "" {
		return pulumi.String(configured)
	}
	return pulumi.Sprintf("%s/%s", mirror, released)
}

func secret(value string) pulumi.StringOutput {
	return pulumi.ToSecret(pulumi.String(value)).(pulumi.StringOutput)
}
