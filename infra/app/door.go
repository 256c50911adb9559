package app

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	policyv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/policy/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/app/door"
	"openhands-gcp/infra/internal/component"
)

const doorType = "openhands:app:Door"

// Door is what stands before the applications: Envoy in two pods, which alone the load balancer and port-forward reach, and which lets in whom Google vouches
// for. Whatever becomes of the load balancer's own policies, nobody else gets in.
type Door struct {
	pulumi.ResourceState

	Namespace  pulumi.StringOutput `pulumi:"namespace"`
	Deployment pulumi.StringOutput `pulumi:"deployment"`
	// Service is what the load balancer sends requests to; empty without a Gateway.
	Service pulumi.StringOutput `pulumi:"service"`
	// Port is where port-forward finds it.
	Port pulumi.IntOutput `pulumi:"port"`
}

// doorLabels select the door's pods.
var doorLabels = map[string]string{"app.kubernetes.io/name": "openhands", "app.kubernetes.io/component": "door"}

const (
	doorReplicas = 2
	doorUser     = 65532 // of Envoy's image without a shell
	doorMount    = "/door"
	doorKeys     = "/keys" // a file for each application that has one
	// doorStopSeconds is how long a door goes on serving when it is told to stop: the load balancer needs as long to send requests elsewhere.
	doorStopSeconds = drainSeconds + 5
)

// What each of the door's pods asks for. The real Envoy has 70 MiB, and 125 with as many connections as it takes.
const (
	DoorCPURequest = 0.05 // vCPU
	DoorMemoryGiB  = 0.25
)

// doorArgs are what stands behind the door, and who comes to it.
type doorArgs struct {
	namespace pulumi.StringOutput
	image     pulumi.StringInput
	nodes     Nodes
	config    door.Config // but the way in from the load balancer, which follows from gateway
	// egress leads to the applications.
	egress    networkingv1.NetworkPolicyEgressRuleArray
	gateway   *GatewayArgs // none where the door is reached by port-forward only
	notPublic []netip.Prefix
	// keys is the name of the Secret that has the applications' keys; none where nil.
	keys pulumi.StringInput
}

// newDoor puts the door before the applications.
func newDoor(ctx *pulumi.Context, name string, args *doorArgs, opts ...pulumi.ResourceOption) (_ *Door, err error) {
	defer component.Explain(&err, doorType, name)
	c := &Door{}
	if err := ctx.RegisterComponentResource(doorType, name, c, opts...); err != nil {
		return nil, err
	}
	c.Namespace, c.Service, c.Port = args.namespace, pulumi.String("").ToStringOutput(), pulumi.Int(args.config.LocalPort).ToIntOutput()
	files := args.files()
	name += "-door"
	configMap, err := corev1.NewConfigMap(ctx, name, &corev1.ConfigMapArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: c.Namespace},
		Data:     files,
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the ConfigMap: %w", err)
	}
	policies, err := newNetworkPolicies(ctx, c, name, args.policy())
	if err != nil {
		return nil, err
	}
	deployment, err := c.newDeployment(ctx, name, args, configMap, files, pulumi.DependsOn(policies))
	if err != nil {
		return nil, fmt.Errorf("create the deployment: %w", err)
	}
	c.Deployment = deployment.Metadata.Name().Elem()
	// Upgrades and the autoscaler take one node away after the other.
	_, err = policyv1.NewPodDisruptionBudget(ctx, name, &policyv1.PodDisruptionBudgetArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: c.Namespace},
		Spec:     &policyv1.PodDisruptionBudgetSpecArgs{Selector: labelSelector(doorLabels), MaxUnavailable: pulumi.Int(1)},
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the PodDisruptionBudget: %w", err)
	}
	if args.gateway != nil {
		service, err := corev1.NewService(ctx, name, &corev1.ServiceArgs{
			Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: c.Namespace},
			Spec: &corev1.ServiceSpecArgs{
				Type:     pulumi.String("ClusterIP"),
				Selector: pulumi.ToStringMap(doorLabels),
				Ports: corev1.ServicePortArray{&corev1.ServicePortArgs{
					Name: pulumi.String("http"), Port: pulumi.Int(door.PublicPort), TargetPort: pulumi.String("http"), Protocol: pulumi.String("TCP"),
				}},
			},
		}, component.Child(c)...)
		if err != nil {
			return nil, fmt.Errorf("create the service: %w", err)
		}
		c.Service = service.Metadata.Name().Elem()
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"namespace": c.Namespace, "deployment": c.Deployment, "service": c.Service, "port": c.Port})
}

// files are what the door knows.
func (args *doorArgs) files() pulumi.StringMapOutput {
	number := pulumi.String("").ToStringOutput()
	if args.login() {
		number = args.gateway.Login.ProjectNumber.ToStringOutput()
	}
	return number.ApplyT(func(number string) (map[string]string, error) {
		config := args.config
		if args.gateway != nil {
			config.Public = &door.Public{}
		}
		if args.login() {
			if number == "" { // then the door would ask for no login
				return nil, errors.New("the number of the project is empty")
			}
			config.Public.Audience = door.Audience(number)
		}
		return config.Files(doorMount)
	}).(pulumi.StringMapOutput)
}

// login says whether the door asks who it is.
func (args *doorArgs) login() bool { return args.gateway != nil && args.gateway.Login != nil }

// policy lets in the load balancer, and out to the applications and, where there is a login, to Google's keys. The kubelet's probes and port-forward come
// from the node itself, which a NetworkPolicy does not keep off.
func (args *doorArgs) policy() policy {
	p := policy{namespace: args.namespace, pods: labelSelector(doorLabels), egress: append(dnsEgress(), args.egress...)}
	if args.gateway == nil {
		return p
	}
	var ranges []networkingv1.NetworkPolicyPeerInput
	for _, r := range args.gateway.LoadBalancerRanges {
		ranges = append(ranges, ipBlock(r))
	}
	p.ingress = networkingv1.NetworkPolicyIngressRuleArray{from(tcp(door.PublicPort), ranges...)}
	if args.login() {
		p.egress = append(p.egress, to(tcp(443), ipBlock(internet, args.notPublic...)))
	}
	return p
}

func (c *Door) newDeployment(
	ctx *pulumi.Context, name string, args *doorArgs, configMap *corev1.ConfigMap, files pulumi.StringMapOutput, after pulumi.ResourceOption,
) (*appsv1.Deployment, error) {
	memory, disk := pulumi.String(mebibytes(DoorMemoryGiB)), pulumi.String("64Mi") // nothing is written but the container's log
	ports := corev1.ContainerPortArray{&corev1.ContainerPortArgs{Name: pulumi.String("probe"), ContainerPort: pulumi.Int(door.ProbePort)}}
	if args.gateway != nil {
		ports = append(ports, &corev1.ContainerPortArgs{Name: pulumi.String("http"), ContainerPort: pulumi.Int(door.PublicPort)})
	}
	mounts := corev1.VolumeMountArray{
		&corev1.VolumeMountArgs{Name: pulumi.String("configuration"), MountPath: pulumi.String(doorMount), ReadOnly: pulumi.Bool(true)},
	}
	volumes := corev1.VolumeArray{
		&corev1.VolumeArgs{Name: pulumi.String("configuration"), ConfigMap: &corev1.ConfigMapVolumeSourceArgs{Name: configMap.Metadata.Name()}},
	}
	if args.keys != nil {
		mounts = append(mounts, &corev1.VolumeMountArgs{Name: pulumi.String("keys"), MountPath: pulumi.String(doorKeys), ReadOnly: pulumi.Bool(true)})
		volumes = append(volumes, &corev1.VolumeArgs{
			Name: pulumi.String("keys"), Secret: &corev1.SecretVolumeSourceArgs{SecretName: args.keys, DefaultMode: pulumi.Int(0o440)},
		})
	}
	return appsv1.NewDeployment(ctx, name, &appsv1.DeploymentArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: c.Namespace, Labels: pulumi.ToStringMap(doorLabels)},
		Spec: &appsv1.DeploymentSpecArgs{
			Replicas: pulumi.Int(doorReplicas),
			Selector: labelSelector(doorLabels),
			Template: &corev1.PodTemplateSpecArgs{
				Metadata: &metav1.ObjectMetaArgs{
					Labels: pulumi.ToStringMap(doorLabels),
					// The other files are read again when they change, without a restart.
					Annotations: pulumi.StringMap{"openhands.dev/configuration": files.ApplyT(func(files map[string]string) string {
						sum := sha256.Sum256([]byte(files[door.BootstrapFile]))
						return hex.EncodeToString(sum[:])
					}).(pulumi.StringOutput)},
				},
				Spec: &corev1.PodSpecArgs{
					AutomountServiceAccountToken:  pulumi.Bool(false),
					EnableServiceLinks:            pulumi.Bool(false),
					TerminationGracePeriodSeconds: pulumi.Int(doorStopSeconds + 10),
					NodeSelector:                  args.nodes.selector(),
					Tolerations:                   args.nodes.tolerations(),
					// On a node each, where there are two: with one node both go.
					TopologySpreadConstraints: corev1.TopologySpreadConstraintArray{&corev1.TopologySpreadConstraintArgs{
						MaxSkew: pulumi.Int(1), TopologyKey: pulumi.String("kubernetes.io/hostname"), WhenUnsatisfiable: pulumi.String("ScheduleAnyway"),
						LabelSelector: labelSelector(doorLabels),
					}},
					SecurityContext: podSecurity(doorUser),
					Containers: corev1.ContainerArray{&corev1.ContainerArgs{
						Name:    pulumi.String("envoy"),
						Image:   args.image,
						Command: pulumi.ToStringArray(door.Command(doorMount)),
						Ports:   ports,
						// It answers once it has asked for the keys, and has looked for the server.
						StartupProbe:   probe("probe", "/ready", 2, 60),
						LivenessProbe:  probe("probe", "/ready", 10, 3),
						ReadinessProbe: probe("probe", "/ready", 5, 3),
						// Envoy ends its connections at once when it is told to stop.
						Lifecycle: &corev1.LifecycleArgs{
							PreStop: &corev1.LifecycleHandlerArgs{Sleep: &corev1.SleepActionArgs{Seconds: pulumi.Int(doorStopSeconds)}},
						},
						Resources: &corev1.ResourceRequirementsArgs{
							Requests: pulumi.StringMap{"cpu": pulumi.String(milliCPU(DoorCPURequest)), "memory": memory, "ephemeral-storage": disk},
							Limits:   pulumi.StringMap{"memory": memory, "ephemeral-storage": disk},
						},
						SecurityContext: containerSecurity(),
						VolumeMounts:    mounts,
					}},
					Volumes: volumes,
				},
			},
		},
	}, component.Child(c, after)...)
}
