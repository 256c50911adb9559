package app

import (
	"fmt"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
	"openhands-gcp/release"
)

const serverType = "openhands:app:Server"

// Server is the OpenHands server: one pod with its environment, launcher and NetworkPolicies, and the Service in front of it.
type Server struct {
	pulumi.ResourceState

	Namespace  pulumi.StringOutput `pulumi:"namespace"`
	Deployment pulumi.StringOutput `pulumi:"deployment"`
}

// serverLabels select the server's pods.
var serverLabels = map[string]string{"app.kubernetes.io/name": "openhands", "app.kubernetes.io/component": "server"}

// serviceHost is the name by which the cluster's other pods find a Service.
func serviceHost(name, namespace string) string {
	return name + "." + namespace + ".svc.cluster.local"
}

// newServer creates the server. sandboxes is nil where the runtime is remote; otherwise the server starts once they are ready, because its first
// conversation may come at once.
func newServer(
	ctx *pulumi.Context, name string, args *OpenHandsAppArgs, account *corev1.ServiceAccount, sandboxes *Sandboxes, opts ...pulumi.ResourceOption,
) (_ *Server, err error) {
	defer component.Explain(&err, serverType, name)
	c, namespace := &Server{}, namespaceOf(account)
	if err := ctx.RegisterComponentResource(serverType, name, c, opts...); err != nil {
		return nil, err
	}
	environment, err := c.newEnvironment(ctx, name, args, namespace)
	if err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	// A pod that starts before the policies may talk to anything.
	allowed := args.serverPolicy(namespace, sandboxes)
	policies, err := newNetworkPolicies(ctx, c, name, policy{role: "deny-all", namespace: namespace}, allowed)
	if err != nil {
		return nil, err
	}
	byName, err := newDomainPolicies(ctx, c, name+"-server-", allowed, args.domains(), pulumi.Array{
		pulumi.Map{"protocol": pulumi.String("TCP"), "port": pulumi.Int(443)},
	})
	if err != nil {
		return nil, err
	}
	after := []pulumi.ResourceOption{pulumi.DependsOn(append(policies, byName...))}
	if sandboxes != nil {
		after = append(after, sandboxes.Ready())
	}
	guard, err := component.GuardRelease(ctx, name, args.Release)
	if err != nil {
		return nil, err
	}
	deployment, err := c.newDeployment(ctx, name, args, account, environment, append(after, guard))
	if err != nil {
		return nil, fmt.Errorf("create the deployment: %w", err)
	}
	// For the door and the clean-up only.
	_, err = corev1.NewService(ctx, name, &corev1.ServiceArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: namespace},
		Spec: &corev1.ServiceSpecArgs{
			Type:     pulumi.String("ClusterIP"),
			Selector: pulumi.ToStringMap(serverLabels),
			Ports: corev1.ServicePortArray{&corev1.ServicePortArgs{
				Name: pulumi.String("http"), Port: pulumi.Int(args.Release.Port), TargetPort: pulumi.String("http"), Protocol: pulumi.String("TCP"),
			}},
		},
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the service: %w", err)
	}
	c.Namespace = namespace
	c.Deployment = deployment.Metadata.Name().Elem()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"namespace": c.Namespace, "deployment": c.Deployment})
}

// withRelease are the labels of a workload that keeps data, which say whose it is.
func withRelease(labels map[string]string, r release.Release) pulumi.StringMap {
	with := pulumi.ToStringMap(labels)
	with[component.ReleaseLabel] = pulumi.String(r.Version)
	return with
}

func (c *Server) newDeployment(
	ctx *pulumi.Context, name string, args *OpenHandsAppArgs, account *corev1.ServiceAccount, environment environment,
	after []pulumi.ResourceOption,
) (*appsv1.Deployment, error) {
	return appsv1.NewDeployment(ctx, name, &appsv1.DeploymentArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: namespaceOf(account), Labels: withRelease(serverLabels, args.Release)},
		Spec: &appsv1.DeploymentSpecArgs{
			Replicas: pulumi.Int(1), // release.OneReplica
			// The old pod first: two must not have the conversations at the same time.
			Strategy: &appsv1.DeploymentStrategyArgs{Type: pulumi.String("Recreate")},
			Selector: labelSelector(serverLabels),
			Template: &corev1.PodTemplateSpecArgs{
				Metadata: &metav1.ObjectMetaArgs{
					Labels: pulumi.ToStringMap(serverLabels),
					Annotations: pulumi.StringMap{
						// A changed value rolls the pod: variables and the launcher are read at its start only.
						"openhands.dev/environment": environment.checksum,
						// The autoscaler would end everybody's conversations to save a node.
						"cluster-autoscaler.kubernetes.io/safe-to-evict": pulumi.String("false"),
					},
				},
				Spec: &corev1.PodSpecArgs{
					ServiceAccountName:            account.Metadata.Name(),
					AutomountServiceAccountToken:  pulumi.Bool(args.Sandboxes != nil), // the Kubernetes runtime calls the API server with it
					EnableServiceLinks:            pulumi.Bool(false),                 // a Service named OH_... or REDIS_... would break the configuration
					TerminationGracePeriodSeconds: pulumi.Int(args.Release.StopSeconds),
					NodeSelector:                  args.Nodes.selector(),
					Tolerations:                   args.Nodes.tolerations(),
					SecurityContext:               podSecurity(args.Release.User),
					Containers:                    corev1.ContainerArray{args.container(environment)},
					Volumes: corev1.VolumeArray{
						// The server insists on the state path, and writes nothing there: what it keeps is in the bucket and the database.
						emptyVolume("state", "64Mi"),
						emptyVolume("tmp", "1Gi"), // what sandboxes send passes here
						emptyVolume("home", "512Mi"),
						emptyVolume("logs", "256Mi"),
						&corev1.VolumeArgs{Name: pulumi.String("launcher"), ConfigMap: &corev1.ConfigMapVolumeSourceArgs{Name: environment.launcher}},
					},
				},
			},
		},
	}, component.Child(c, after...)...)
}

// container is the server's.
func (args *OpenHandsAppArgs) container(environment environment) *corev1.ContainerArgs {
	memory := pulumi.String(mebibytes(args.MemoryGiB))
	mount := func(volume, path string) corev1.VolumeMountInput {
		return &corev1.VolumeMountArgs{Name: pulumi.String(volume), MountPath: pulumi.String(path)}
	}
	return &corev1.ContainerArgs{
		Name:       pulumi.String("server"),
		Image:      args.Image,
		Command:    pulumi.ToStringArray([]string{"python", launcherMount + "/" + launcherName}),
		WorkingDir: pulumi.String("/app"),
		Ports:      corev1.ContainerPortArray{&corev1.ContainerPortArgs{Name: pulumi.String("http"), ContainerPort: pulumi.Int(args.Release.Port)}},
		EnvFrom: corev1.EnvFromSourceArray{
			&corev1.EnvFromSourceArgs{ConfigMapRef: &corev1.ConfigMapEnvSourceArgs{Name: environment.configMap}},
			&corev1.EnvFromSourceArgs{SecretRef: &corev1.SecretEnvSourceArgs{Name: environment.secret}},
		},
		// The launcher waits for the database, and migrations run before the server answers: five minutes.
		StartupProbe:   probe("http", args.Release.StartupPath, 10, 30),
		LivenessProbe:  probe("http", args.Release.LivenessPath, 10, 3),
		ReadinessProbe: probe("http", args.Release.ReadinessPath, 5, 3),
		Resources: &corev1.ResourceRequirementsArgs{
			Requests: pulumi.StringMap{"cpu": pulumi.String(milliCPU(args.CPURequest)), "memory": memory, "ephemeral-storage": pulumi.String("512Mi")},
			Limits:   pulumi.StringMap{"memory": memory, "ephemeral-storage": pulumi.String("2Gi")}, // the volumes, and the container's log
		},
		SecurityContext: containerSecurity(),
		VolumeMounts: corev1.VolumeMountArray{
			mount("state", args.Release.StatePath),
			mount("tmp", "/tmp"),
			mount("home", "/home/openhands"),
			mount("logs", "/app/logs"), // made at the debug level
			&corev1.VolumeMountArgs{Name: pulumi.String("launcher"), MountPath: pulumi.String(launcherMount), ReadOnly: pulumi.Bool(true)},
		},
	}
}

// probe asks a container by HTTP, every period seconds.
func probe(port, path string, period, failures int) *corev1.ProbeArgs {
	return &corev1.ProbeArgs{
		HttpGet:          &corev1.HTTPGetActionArgs{Path: pulumi.String(path), Port: pulumi.String(port)},
		PeriodSeconds:    pulumi.Int(period),
		TimeoutSeconds:   pulumi.Int(3),
		FailureThreshold: pulumi.Int(failures),
	}
}

// emptyVolume is a directory on the node's disk with a limit: a pod that fills more is evicted and comes again, and its neighbours do not notice. Without
// the limit, what a sandbox sends fills the disk of the node.
func emptyVolume(name, limit string) corev1.VolumeInput {
	return &corev1.VolumeArgs{Name: pulumi.String(name), EmptyDir: &corev1.EmptyDirVolumeSourceArgs{SizeLimit: pulumi.String(limit)}}
}

// podSecurity and containerSecurity are what the level "restricted" of Pod Security asks for, and a read-only root file system.
func podSecurity(user int) *corev1.PodSecurityContextArgs {
	id := pulumi.Int(user)
	return &corev1.PodSecurityContextArgs{
		RunAsNonRoot: pulumi.Bool(true), RunAsUser: id, RunAsGroup: id, FsGroup: id,
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
