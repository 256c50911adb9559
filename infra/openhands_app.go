package infra

import (
	"fmt"
	"net/netip"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/release"
)

const openHandsAppType = "openhands:k8s:OpenHandsApp"

// Database is how the application reaches PostgreSQL.
type Database struct {
	Host, Name, User, Password pulumi.StringInput
	Range                      netip.Prefix // in which the host is, for the NetworkPolicy
}

// Images are references of container images.
type Images struct {
	App, Sandbox pulumi.StringInput
}

// Identity is the application's identity: a Kubernetes service account that acts as a Google one.
type Identity struct {
	Namespace, ServiceAccountName string
	GoogleServiceAccount          pulumi.StringInput // e-mail
}

// Sandboxes are the pods that conversations run in, and where they run.
type Sandboxes struct {
	Namespace  string
	Max        int     // at a time, in the whole installation
	CPURequest float64 // vCPU
	MemoryGiB  float64 // request and limit
	CPULimit   float64 // vCPU
	VolumeGiB  int     // of the workspace
	NodePool   string  // value of the label PoolLabel
	PoolTaint  Taint
	Warm       int // sandboxes for which room is kept ready

	// ImagePrefixes are where their images may come from: the beginnings of references, down to a slash, colon or @. No other image runs.
	ImagePrefixes pulumi.StringArrayInput

	// What a sandbox may reach outside of the cluster. The internet, where both are empty.
	AllowedDomains []string
	AllowedRanges  []netip.Prefix

	MaxVolumes int // workspaces at a time, those of closed conversations among them

	KeepUnusedVolumeDays int // of conversations that nobody continues; 0 keeps them for ever
}

// RemoteRuntime is a runtime API that the user brings.
type RemoteRuntime struct {
	URL    string
	APIKey pulumi.StringInput
}

// OpenHandsAppArgs are the arguments of NewOpenHandsApp. One of Sandboxes and RemoteRuntime is set, by the release's runtime.
type OpenHandsAppArgs struct {
	Release  release.Release
	Images   Images
	Database Database
	Bucket   pulumi.StringInput // name of the bucket of the file store
	Identity Identity

	Sandboxes     *Sandboxes
	RemoteRuntime *RemoteRuntime
	Conversations int // at a time, where the runtime is remote; Sandboxes.Max otherwise

	CPURequest float64 // vCPU
	MemoryGiB  float64 // request and limit
	NodePool   string  // value of the label PoolLabel

	Exposure *Exposure // none where the application is reached by port-forward only
	ExtraEnv map[string]string

	// NotPublic are the ranges that "the internet" does not mean: private and shared ones, link-local with the metadata server, and the like.
	NotPublic []netip.Prefix

	ControlPlaneCIDR netip.Prefix
	// PublicControlPlane is the control plane's public address; an empty string where it has none.
	PublicControlPlane pulumi.StringInput
}

// OpenHandsApp is OpenHands on a Kubernetes cluster. It uses the kubernetes and the random provider only.
type OpenHandsApp struct {
	pulumi.ResourceState

	Namespace  pulumi.StringOutput `pulumi:"namespace"`
	Deployment pulumi.StringOutput `pulumi:"deployment"`
	Service    pulumi.StringOutput `pulumi:"service"`
	Port       pulumi.IntOutput    `pulumi:"port"`

	URL pulumi.StringOutput `pulumi:"url"` // as in the browser's address line
	// DNSRecords must exist for the URL to work: maps with name, type and data. Empty without an exposure.
	DNSRecords pulumi.ArrayOutput `pulumi:"dnsRecords"`
}

// serverLabels select the application's pods.
var serverLabels = map[string]string{"app.kubernetes.io/name": "openhands", "app.kubernetes.io/component": "server"}

func (args *OpenHandsAppArgs) validate(name string) error {
	check := checkArgs("openhands app", name)
	for field, value := range map[string]pulumi.StringInput{
		"images.app": args.Images.App, "database.host": args.Database.Host, "database.name": args.Database.Name, "database.user": args.Database.User,
		"database.password": args.Database.Password, "bucket": args.Bucket, "identity.googleServiceAccount": args.Identity.GoogleServiceAccount,
	} {
		check.require(value != nil, "%s is required", field)
	}
	check.require(args.Release.Version != "", "release is required")
	check.require(args.Identity.Namespace != "" && args.Identity.ServiceAccountName != "", "identity.namespace and identity.serviceAccountName are required")
	check.require((args.Sandboxes == nil) != (args.RemoteRuntime == nil), "one of sandboxes and remoteRuntime is needed")
	if e := args.Exposure; e != nil {
		check.require(e.Host != "", "exposure.host is required")
		check.require(e.Login == nil || len(e.Login.Members) > 0, "exposure.login.members is empty: nobody could log in")
		check.require(e.Login == nil || (e.Login.ClientID == "") == (e.Login.ClientSecret == nil), "exposure.login needs both of clientId and clientSecret, or none")
		check.require(e.Armor.RequestsPerMinute > 0, "exposure.armor.requestsPerMinute is required")
	}
	check.require(len(args.NotPublic) > 0, "notPublic is required")
	check.require(args.PublicControlPlane != nil, "publicControlPlane is required")
	check.require(args.CPURequest > 0 && args.MemoryGiB > 0, "cpuRequest and memoryGib are required")
	check.require(args.Database.Range.IsValid() && args.ControlPlaneCIDR.IsValid(), "database.range and controlPlaneCidr are required")
	if s := args.Sandboxes; s != nil {
		check.require(s.Namespace != "" && s.Namespace != args.Identity.Namespace, "sandboxes need a namespace of their own")
		check.require(s.Max >= 1, "sandboxes.max is %d: at least 1", s.Max)
		check.require(s.MaxVolumes >= s.Max, "sandboxes.maxVolumes is %d: at least sandboxes.max (%d)", s.MaxVolumes, s.Max)
		check.require(args.Images.Sandbox != nil, "images.sandbox is required: without it a sandbox has no action server")
		check.require(s.ImagePrefixes != nil, "sandboxes.imagePrefixes is required")
	}
	for name := range args.ExtraEnv {
		if err := release.CheckVariable(name); err != nil {
			check.require(false, "extra environment: %s %v", name, err)
		}
	}
	return check.err()
}

// NewOpenHandsApp creates the application and everything that it needs inside the cluster.
func NewOpenHandsApp(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, opts ...pulumi.ResourceOption) (*OpenHandsApp, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	c := &OpenHandsApp{}
	if err := ctx.RegisterComponentResource(openHandsAppType, name, c, opts...); err != nil {
		return nil, fmt.Errorf("openhands app %q: %w", name, err)
	}
	appNamespace, err := c.newNamespace(ctx, name, args.Identity.Namespace, "restricted")
	if err != nil {
		return nil, fmt.Errorf("openhands app %q: create the namespace: %w", name, err)
	}
	namespace := nameOf(appNamespace)
	account, err := corev1.NewServiceAccount(ctx, name+"-server", &corev1.ServiceAccountArgs{
		Metadata: &metav1.ObjectMetaArgs{
			Name:        pulumi.String(args.Identity.ServiceAccountName),
			Namespace:   namespace,
			Annotations: pulumi.StringMap{"iam.gke.io/gcp-service-account": args.Identity.GoogleServiceAccount},
		},
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("openhands app %q: create the service account: %w", name, err)
	}
	var sandboxNamespace *corev1.Namespace
	var prerequisites []pulumi.Resource
	if args.Sandboxes != nil {
		if sandboxNamespace, prerequisites, err = c.newSandboxes(ctx, name, args, account); err != nil {
			return nil, fmt.Errorf("openhands app %q: sandboxes: %w", name, err)
		}
	}
	policies, err := c.newNetworkPolicies(ctx, name, args, namespace, sandboxNamespace)
	if err != nil {
		return nil, fmt.Errorf("openhands app %q: network policies: %w", name, err)
	}
	environment, err := c.newEnvironment(ctx, name, args, namespace)
	if err != nil {
		return nil, fmt.Errorf("openhands app %q: environment: %w", name, err)
	}
	// The policies first: a pod that starts before them may talk to anything.
	deployment, err := c.newDeployment(ctx, name, args, namespace, account, environment, append(prerequisites, policies...))
	if err != nil {
		return nil, fmt.Errorf("openhands app %q: create the deployment: %w", name, err)
	}
	service, err := corev1.NewService(ctx, name, &corev1.ServiceArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: namespace},
		Spec: &corev1.ServiceSpecArgs{
			Type:     pulumi.String("ClusterIP"),
			Selector: pulumi.ToStringMap(serverLabels),
			Ports: corev1.ServicePortArray{&corev1.ServicePortArgs{
				Name: pulumi.String("http"), Port: pulumi.Int(args.Release.Port), TargetPort: pulumi.String("http"), Protocol: pulumi.String("TCP"),
			}},
		},
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("openhands app %q: create the service: %w", name, err)
	}

	if args.Sandboxes != nil {
		if err := c.newCleanup(ctx, name, args, namespace, nameOf(sandboxNamespace), service); err != nil {
			return nil, fmt.Errorf("openhands app %q: clean-up: %w", name, err)
		}
		if err := c.newWarmNodes(ctx, name, args, nameOf(sandboxNamespace), append(prerequisites, policies...)); err != nil {
			return nil, fmt.Errorf("openhands app %q: warm nodes: %w", name, err)
		}
	}

	c.URL, c.DNSRecords = pulumi.String(args.origin()).ToStringOutput(), pulumi.Array{}.ToArrayOutput()
	if args.Exposure != nil {
		exposure := exposed{Exposure: args.Exposure, name: name, namespace: namespace, service: service.Metadata.Name().Elem(), port: args.Release.Port, health: args.Release.LivenessPath}
		if err := c.newExposure(ctx, exposure); err != nil {
			return nil, fmt.Errorf("openhands app %q: exposure: %w", name, err)
		}
	}
	c.Namespace = namespace
	c.Deployment = deployment.Metadata.Name().Elem()
	c.Service = service.Metadata.Name().Elem()
	c.Port = service.Spec.Ports().Index(pulumi.Int(0)).Port()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"namespace": c.Namespace, "deployment": c.Deployment, "service": c.Service, "port": c.Port, "url": c.URL, "dnsRecords": c.DNSRecords,
	})
}

// newNamespace creates a namespace under a level of Pod Security.
func (c *OpenHandsApp) newNamespace(ctx *pulumi.Context, name, namespace, level string) (*corev1.Namespace, error) {
	return corev1.NewNamespace(ctx, name+"-"+namespace, &corev1.NamespaceArgs{
		Metadata: &metav1.ObjectMetaArgs{
			Name: pulumi.String(namespace),
			Labels: pulumi.StringMap{
				"pod-security.kubernetes.io/enforce": pulumi.String(level),
				"pod-security.kubernetes.io/warn":    pulumi.String(level),
			},
		},
	}, child(c)...)
}

// nameOf is the name of a namespace, as an output of it, so that who takes the name waits.
func nameOf(namespace *corev1.Namespace) pulumi.StringOutput { return namespace.Metadata.Name().Elem() }

func (c *OpenHandsApp) newDeployment(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, namespace pulumi.StringInput, account *corev1.ServiceAccount,
	environment environment, after []pulumi.Resource,
) (*appsv1.Deployment, error) {
	probe := func(path string, period, failures int) *corev1.ProbeArgs {
		return &corev1.ProbeArgs{
			HttpGet:          &corev1.HTTPGetActionArgs{Path: pulumi.String(path), Port: pulumi.String("http")},
			PeriodSeconds:    pulumi.Int(period),
			TimeoutSeconds:   pulumi.Int(3),
			FailureThreshold: pulumi.Int(failures),
		}
	}
	memory := pulumi.Sprintf("%dMi", mebibytes(args.MemoryGiB))
	container := &corev1.ContainerArgs{
		Name:       pulumi.String("server"),
		Image:      args.Images.App,
		Command:    pulumi.ToStringArray([]string{"python", launcherMount + "/" + launcherName}),
		WorkingDir: pulumi.String("/app"),
		Ports:      corev1.ContainerPortArray{&corev1.ContainerPortArgs{Name: pulumi.String("http"), ContainerPort: pulumi.Int(args.Release.Port)}},
		EnvFrom: corev1.EnvFromSourceArray{
			&corev1.EnvFromSourceArgs{ConfigMapRef: &corev1.ConfigMapEnvSourceArgs{Name: environment.configMap}},
			&corev1.EnvFromSourceArgs{SecretRef: &corev1.SecretEnvSourceArgs{Name: environment.secret}},
		},
		// The launcher waits for the database, and migrations run before the server answers: five minutes.
		StartupProbe:   probe(args.Release.StartupPath, 10, 30),
		LivenessProbe:  probe(args.Release.LivenessPath, 10, 3),
		ReadinessProbe: probe(args.Release.ReadinessPath, 5, 3),
		Resources: &corev1.ResourceRequirementsArgs{
			Requests: pulumi.StringMap{"cpu": milliCPU(args.CPURequest), "memory": memory},
			Limits:   pulumi.StringMap{"memory": memory},
		},
		SecurityContext: containerSecurity(),
		VolumeMounts: corev1.VolumeMountArray{
			&corev1.VolumeMountArgs{Name: pulumi.String("state"), MountPath: pulumi.String(args.Release.StatePath)},
			&corev1.VolumeMountArgs{Name: pulumi.String("tmp"), MountPath: pulumi.String("/tmp")},
			&corev1.VolumeMountArgs{Name: pulumi.String("home"), MountPath: pulumi.String("/home/openhands")},
			&corev1.VolumeMountArgs{Name: pulumi.String("logs"), MountPath: pulumi.String("/app/logs")}, // made at the debug level
			&corev1.VolumeMountArgs{Name: pulumi.String("launcher"), MountPath: pulumi.String(launcherMount), ReadOnly: pulumi.Bool(true)},
		},
	}
	empty := func(name string) corev1.VolumeInput {
		return &corev1.VolumeArgs{Name: pulumi.String(name), EmptyDir: &corev1.EmptyDirVolumeSourceArgs{}}
	}
	return appsv1.NewDeployment(ctx, name, &appsv1.DeploymentArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: namespace, Labels: pulumi.ToStringMap(serverLabels)},
		Spec: &appsv1.DeploymentSpecArgs{
			Replicas: pulumi.Int(1), // release.OneReplica
			// The old pod first: two must not have the conversations at the same time.
			Strategy: &appsv1.DeploymentStrategyArgs{Type: pulumi.String("Recreate")},
			Selector: &metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(serverLabels)},
			Template: &corev1.PodTemplateSpecArgs{
				Metadata: &metav1.ObjectMetaArgs{
					Labels: pulumi.ToStringMap(serverLabels),
					// A changed value rolls the pod: variables and the launcher are read at its start only.
					Annotations: pulumi.StringMap{"openhands.dev/environment": environment.checksum},
				},
				Spec: &corev1.PodSpecArgs{
					ServiceAccountName:            account.Metadata.Name(),
					AutomountServiceAccountToken:  pulumi.Bool(args.Sandboxes != nil), // the Kubernetes runtime calls the API server with it
					EnableServiceLinks:            pulumi.Bool(false),                 // a Service named OH_... or REDIS_... would break the configuration
					TerminationGracePeriodSeconds: pulumi.Int(args.Release.StopSeconds),
					NodeSelector:                  pulumi.StringMap{PoolLabel: pulumi.String(args.NodePool)},
					SecurityContext:               args.podSecurity(),
					Containers:                    corev1.ContainerArray{container},
					Volumes: corev1.VolumeArray{
						empty("state"), // the server insists on it, and writes nothing there: what it keeps is in the bucket and the database
						empty("tmp"),
						empty("home"),
						empty("logs"),
						&corev1.VolumeArgs{Name: pulumi.String("launcher"), ConfigMap: &corev1.ConfigMapVolumeSourceArgs{Name: environment.launcher}},
					},
				},
			},
		},
	}, child(c, pulumi.DependsOn(after))...)
}

// podSecurity and containerSecurity are what the level "restricted" of Pod Security asks for, and a read-only root file system.
func (args *OpenHandsAppArgs) podSecurity() *corev1.PodSecurityContextArgs {
	user := pulumi.Int(args.Release.User)
	return &corev1.PodSecurityContextArgs{
		RunAsNonRoot: pulumi.Bool(true), RunAsUser: user, RunAsGroup: user, FsGroup: user,
		SeccompProfile: &corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
	}
}

func containerSecurity() *corev1.SecurityContextArgs {
	return &corev1.SecurityContextArgs{
		AllowPrivilegeEscalation: pulumi.Bool(false),
		ReadOnlyRootFilesystem:   pulumi.Bool(true),
		Capabilities:             &corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
	}
}

func mebibytes(gib float64) int { return int(gib * 1024) }

func milliCPU(cpus float64) pulumi.StringOutput { return pulumi.Sprintf("%dm", int(cpus*1000)) }
