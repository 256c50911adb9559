package app

import (
	"fmt"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
	"openhands-gcp/release"
)

const sandboxesType = "openhands:app:Sandboxes"

// SandboxesArgs are the pods that conversations run in, and where they run.
type SandboxesArgs struct {
	Namespace  string
	Image      pulumi.StringInput
	Max        int     // at a time, in the whole installation
	CPURequest float64 // vCPU
	CPULimit   float64 // vCPU
	MemoryGiB  float64 // request and limit
	VolumeGiB  int     // of the workspace
	MaxVolumes int     // workspaces at a time, those of closed conversations among them
	Nodes      Nodes
	Warm       int // sandboxes for which room is kept ready

	KeepUnusedVolumeDays int // of conversations that nobody continues; 0 keeps them for ever

	// ImagePrefixes begin the references of images that run beside the repository of Image: down to a slash, colon or @. No other image runs.
	ImagePrefixes pulumi.StringArray

	Egress Egress
}

func (s *SandboxesArgs) validate(check *component.Check, appNamespace string) {
	check.Require(s.Namespace != "" && s.Namespace != appNamespace, "sandboxes need a namespace of their own")
	check.Require(s.Image != nil, "sandboxes.image is required: without it a sandbox has no action server")
	check.Require(s.Max >= 1, "sandboxes.max is %d: at least 1", s.Max)
	check.Require(s.MaxVolumes >= s.Max, "sandboxes.maxVolumes is %d: at least sandboxes.max (%d)", s.MaxVolumes, s.Max)
	check.Require(s.CPURequest > 0 && s.CPULimit >= s.CPURequest, "sandboxes: cpuRequest is required, and cpuLimit must not be below it")
	check.Require(s.MemoryGiB > 0 && s.VolumeGiB > 0, "sandboxes: memoryGiB and volumeGiB are required")
	check.Require(s.Nodes.Label != "" && s.Nodes.Value != "", "sandboxes.nodes.label and sandboxes.nodes.value are required")
	s.Nodes.validate(check, "sandboxes.nodes")
}

// Sandboxes is the namespace of the conversations' pods with all that holds them. The runtime that creates the pods can set neither a runtime class, nor a
// security context, a service account or a CPU limit: all that comes from here.
type Sandboxes struct {
	pulumi.ResourceState
	component.Readiness // a conversation finds its role, its limits and its policies

	Namespace pulumi.StringOutput `pulumi:"namespace"`

	namespace *corev1.Namespace
}

// inside lets an object go with the namespace, and not before. Kubernetes deletes the pods of a namespace first: policies, quota and the service account's
// setting hold until the last sandbox is gone. Pulumi does not know the sandboxes, and would delete what holds them while they run.
func (c *Sandboxes) inside() []pulumi.ResourceOption {
	return component.Child(c, pulumi.DeletedWith(c.namespace))
}

// newSandboxes creates the namespace, and what must exist before the first conversation. server is the service account of the server, in whose namespace
// the clean-up runs.
func newSandboxes(
	ctx *pulumi.Context, name string, args *OpenHandsAppArgs, server *corev1.ServiceAccount, opts ...pulumi.ResourceOption,
) (_ *Sandboxes, err error) {
	defer component.Explain(&err, sandboxesType, name)
	c := &Sandboxes{}
	if err := ctx.RegisterComponentResource(sandboxesType, name, c, opts...); err != nil {
		return nil, err
	}
	if c.namespace, err = newNamespace(ctx, c, name, args.Sandboxes.Namespace, "baseline"); err != nil {
		return nil, err
	}
	c.Namespace = nameOf(c.namespace)
	if err := c.newAccess(ctx, name, server); err != nil {
		return nil, err
	}
	if err := newOperators(ctx, c, name+"-sandbox-operators", c.Namespace, sandboxRules, args.Operators); err != nil {
		return nil, err
	}
	if err := c.newLimits(ctx, name, args.Sandboxes); err != nil {
		return nil, err
	}
	if err := c.newAdmission(ctx, name, args.Sandboxes, args.Identity.Namespace); err != nil {
		return nil, fmt.Errorf("admission: %w", err)
	}
	if err := c.newUnservedClass(ctx, name); err != nil {
		return nil, err
	}
	if err := c.newPolicies(ctx, name, args, namespaceOf(server)); err != nil {
		return nil, err
	}
	if err := c.newCleanup(ctx, name, args, namespaceOf(server)); err != nil {
		return nil, fmt.Errorf("clean-up: %w", err)
	}
	if err := c.newWarmNodes(ctx, name, args.Sandboxes); err != nil {
		return nil, fmt.Errorf("warm nodes: %w", err)
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"namespace": c.Namespace})
}

// newAccess lets the server do what the runtime does, and the sandboxes nothing.
func (c *Sandboxes) newAccess(ctx *pulumi.Context, name string, server *corev1.ServiceAccount) error {
	// Kubernetes makes this account with the namespace, so it is patched, not created.
	tokenless, err := corev1.NewServiceAccountPatch(ctx, name+"-sandbox-default", &corev1.ServiceAccountPatchArgs{
		Metadata:                     &metav1.ObjectMetaPatchArgs{Name: pulumi.String("default"), Namespace: c.Namespace},
		AutomountServiceAccountToken: pulumi.Bool(false),
	}, c.inside()...)
	if err != nil {
		return fmt.Errorf("take the token from the default service account: %w", err)
	}
	binding, err := newRole(ctx, c, name+"-runtime", c.Namespace, release.RuntimeRules, subject(server))
	if err != nil {
		return fmt.Errorf("the runtime's role: %w", err)
	}
	c.Awaits(tokenless, binding)
	return nil
}

// closingSandboxes is the room for pods that are on their way out: the server closes the oldest conversation for a new one, does not wait for its pod to
// go, and a pod counts until it is gone.
const closingSandboxes = 2

// servicesPerSandbox are those that the runtime makes: one for the server, one for the editor.
const servicesPerSandbox = 2

// leftBehind is for how many sandboxes there may be Services and Ingresses: those of a crash stay until the clean-up, and as many may come after it. Without
// a limit, a server that was taken over uses up the addresses of the whole cluster's Services.
func (s *SandboxesArgs) leftBehind() int { return 2 * (s.Max + closingSandboxes) }

// scratchGiB is the disk of the node that a sandbox may fill beside its volume. One that fills more is evicted; without a limit, its neighbours might be.
const scratchGiB = 10

// scratchRequest is what a sandbox takes of that disk for itself.
const scratchRequest = "1Gi"

// limits are those of every container, as the quantities of Kubernetes. The runtime can set the memory's only; the LimitRange adds the others.
func (s *SandboxesArgs) limits() map[string]string {
	return map[string]string{"cpu": milliCPU(s.CPULimit), "memory": mebibytes(s.MemoryGiB), "ephemeral-storage": fmt.Sprintf("%dGi", scratchGiB)}
}

// requests are those of every container. The LimitRange adds that of the disk.
func (s *SandboxesArgs) requests() map[string]string {
	return map[string]string{"cpu": milliCPU(s.CPURequest), "memory": mebibytes(s.MemoryGiB), "ephemeral-storage": scratchRequest}
}

// newLimits caps the number of sandboxes and of their volumes, and gives each the CPU limit that the runtime cannot set.
func (c *Sandboxes) newLimits(ctx *pulumi.Context, name string, s *SandboxesArgs) error {
	quota, err := corev1.NewResourceQuota(ctx, name+"-sandboxes", &corev1.ResourceQuotaArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-sandboxes"), Namespace: c.Namespace},
		Spec: &corev1.ResourceQuotaSpecArgs{Hard: pulumi.StringMap{
			"pods":                   pulumi.Sprintf("%d", s.Max+closingSandboxes+s.Warm),
			"persistentvolumeclaims": pulumi.Sprintf("%d", s.MaxVolumes),
			"services":               pulumi.Sprintf("%d", servicesPerSandbox*s.leftBehind()),
			"services.loadbalancers": pulumi.String("0"),
			"services.nodeports":     pulumi.String("0"),

			"count/ingresses.networking.k8s.io": pulumi.Sprintf("%d", s.leftBehind()),
		}},
	}, c.inside()...)
	if err != nil {
		return fmt.Errorf("create the quota: %w", err)
	}
	// A volume's size is not limited here: a limit that was lowered would keep the clean-up from noting on older volumes that they are unused.
	container := pulumi.ToStringMap(s.limits())
	limits, err := corev1.NewLimitRange(ctx, name+"-sandboxes", &corev1.LimitRangeArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-sandboxes"), Namespace: c.Namespace},
		Spec: &corev1.LimitRangeSpecArgs{Limits: corev1.LimitRangeItemArray{
			&corev1.LimitRangeItemArgs{
				Type: pulumi.String("Container"), Default: container, Max: container,
				DefaultRequest: pulumi.StringMap{"ephemeral-storage": pulumi.String(scratchRequest)},
			},
		}},
	}, c.inside()...)
	if err != nil {
		return fmt.Errorf("create the limits: %w", err)
	}
	c.Awaits(quota, limits)
	return nil
}

// unservedClass names the class of Ingresses that nothing serves.
func unservedClass(name string) string { return name + "-unserved" }

// newUnservedClass makes the cluster's default IngressClass one that GKE does not serve. The runtime makes an Ingress without a class for every
// conversation, and GKE would build a public load balancer for each. The resource's name is the same in every OpenHandsApp: a cluster has one default.
func (c *Sandboxes) newUnservedClass(ctx *pulumi.Context, name string) error {
	class, err := networkingv1.NewIngressClass(ctx, "default-ingress-class", &networkingv1.IngressClassArgs{
		Metadata: &metav1.ObjectMetaArgs{
			Name:        pulumi.String(unservedClass(name)),
			Annotations: pulumi.StringMap{"ingressclass.kubernetes.io/is-default-class": pulumi.String("true")},
		},
		Spec: &networkingv1.IngressClassSpecArgs{Controller: pulumi.String("openhands.dev/unserved")},
	}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("create the default IngressClass: %w", err)
	}
	c.Awaits(class)
	return nil
}
