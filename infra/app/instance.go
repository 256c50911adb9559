package app

import (
	"fmt"
	"maps"
	"slices"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const (
	instancesType = "openhands:app:Instances"
	instanceType  = "openhands:app:Instance"
)

// InstanceArgs are one instance of Agent Canvas.
type InstanceArgs struct {
	Name       string  // of its objects, and the first part of its host
	CPURequest float64 // vCPU
	CPULimit   float64 // vCPU

	MemoryRequestGiB, MemoryLimitGiB float64

	VolumeGiB int
}

func (i InstanceArgs) validate(check *component.Check) {
	check.Require(i.Name != "", "an instance has no name")
	check.Require(i.CPURequest > 0 && i.CPULimit >= i.CPURequest, "instance %s: cpuRequest is required, and cpuLimit must not be below it", i.Name)
	check.Require(i.MemoryRequestGiB > 0 && i.MemoryLimitGiB >= i.MemoryRequestGiB,
		"instance %s: memoryRequestGiB is required, and memoryLimitGiB must not be below it", i.Name)
	check.Require(i.VolumeGiB > 0, "instance %s: volumeGiB is required", i.Name)
}

// Instances is the namespace of the instances with what holds all of them: they may be called by the door only, and call nothing that is not public.
type Instances struct {
	pulumi.ResourceState
	component.Readiness // an instance finds its policies

	Namespace pulumi.StringOutput `pulumi:"namespace"`

	keys pulumi.StringMap // of the instances' APIs, by their names
}

// Instance is Agent Canvas for one person or team: a pod in gVisor with its volume and the key of its API. The agent works in it, so that it reads whatever
// is in it: no token, no identity of Google's, and of secrets only its own.
type Instance struct {
	pulumi.ResourceState
}

// instanceLabels select the pods of all instances, and instanceLabel tells whose pod or volume it is.
var instanceLabels = map[string]string{"app.kubernetes.io/name": "openhands", "app.kubernetes.io/component": "instance"}

const instanceLabel = "openhands.dev/instance"

func labelsOf(instance string) map[string]string {
	labels := maps.Clone(instanceLabels)
	labels[instanceLabel] = instance
	return labels
}

// newInstances creates the namespace, and the instances in it. door is the namespace of the door.
func newInstances(
	ctx *pulumi.Context, name string, args *AgentCanvasArgs, door pulumi.StringOutput, opts ...pulumi.ResourceOption,
) (_ *Instances, err error) {
	defer component.Explain(&err, instancesType, name)
	c := &Instances{keys: pulumi.StringMap{}}
	if err := ctx.RegisterComponentResource(instancesType, name, c, opts...); err != nil {
		return nil, err
	}
	namespace, err := newNamespace(ctx, c, name, args.InstanceNamespace, "restricted", component.ProtectIf(args.Protect)...)
	if err != nil {
		return nil, err
	}
	c.Namespace = nameOf(namespace)
	inside := []pulumi.ResourceOption{pulumi.DeletedWith(namespace)}
	instance := policy{
		role: "instances", namespace: c.Namespace, pods: labelSelector(instanceLabels), opts: inside,
		ingress: networkingv1.NetworkPolicyIngressRuleArray{from(tcp(args.Release.Port), podsOf(door, labelSelector(doorLabels)))},
		egress:  append(dnsEgress(), args.egressRules(args.Egress, nil)...),
	}
	policies, err := newNetworkPolicies(ctx, c, name, policy{role: "instance-deny-all", namespace: c.Namespace, opts: inside}, instance)
	if err != nil {
		return nil, err
	}
	byName, err := newDomainPolicies(ctx, c, name+"-instance-", instance, args.Egress.AllowedDomains, nil)
	if err != nil {
		return nil, err
	}
	c.Awaits(policies...)
	c.Awaits(byName...)
	if err := newOperators(ctx, c, name+"-instance-operators", c.Namespace, sandboxRules, args.Operators); err != nil {
		return nil, err
	}
	if err := c.newCleanup(ctx, name, args, door); err != nil {
		return nil, fmt.Errorf("clean-up: %w", err)
	}
	guard, err := component.GuardRelease(ctx, name, args.Release)
	if err != nil {
		return nil, err
	}
	for _, i := range args.Instances {
		if err := c.newInstance(ctx, name, args, i, guard, component.Child(c, c.Ready())...); err != nil {
			return nil, err
		}
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"namespace": c.Namespace})
}

// newInstance creates one instance. Its objects have its own name, so that one more or less touches no other.
func (c *Instances) newInstance(
	ctx *pulumi.Context, name string, args *AgentCanvasArgs, i InstanceArgs, guard pulumi.ResourceOption, opts ...pulumi.ResourceOption,
) (err error) {
	defer component.Explain(&err, instanceType, i.Name)
	name += "-" + i.Name
	instance := &Instance{}
	if err := ctx.RegisterComponentResource(instanceType, name, instance, opts...); err != nil {
		return err
	}
	key, err := random.NewRandomPassword(ctx, name+"-key", &random.RandomPasswordArgs{Length: pulumi.Int(48), Special: pulumi.Bool(false)},
		component.Child(instance)...)
	if err != nil {
		return fmt.Errorf("generate the key of its API: %w", err)
	}
	c.keys[i.Name] = key.Result
	metadata := &metav1.ObjectMetaArgs{Name: pulumi.String(i.Name), Namespace: c.Namespace, Labels: pulumi.ToStringMap(labelsOf(i.Name))}
	secret, err := corev1.NewSecret(ctx, name, &corev1.SecretArgs{
		Metadata:   metadata,
		Type:       pulumi.String("Opaque"),
		StringData: pulumi.StringMap{args.Release.Instance.KeyVariable: key.Result},
	}, component.Child(instance)...)
	if err != nil {
		return fmt.Errorf("create the Secret: %w", err)
	}
	volume, err := c.newVolume(ctx, name, i, instance)
	if err != nil {
		return fmt.Errorf("create the volume: %w", err)
	}
	// The provider waits until a Service leads to a pod, and the pod is not there yet: the StatefulSet, whose Service it is, must not wait for it, and nobody
	// waits for the pod of an instance that sleeps.
	_, err = corev1.NewService(ctx, name, &corev1.ServiceArgs{
		Metadata: &metav1.ObjectMetaArgs{
			Name: metadata.Name, Namespace: metadata.Namespace, Labels: metadata.Labels, Annotations: pulumi.StringMap{skipAwait: pulumi.String("true")},
		},
		Spec: &corev1.ServiceSpecArgs{
			Type:     pulumi.String("ClusterIP"),
			Selector: pulumi.ToStringMap(labelsOf(i.Name)),
			Ports: corev1.ServicePortArray{&corev1.ServicePortArgs{
				Name: pulumi.String("http"), Port: pulumi.Int(args.Release.Port), TargetPort: pulumi.String("http"), Protocol: pulumi.String("TCP"),
			}},
		},
	}, component.Child(instance)...)
	if err != nil {
		return fmt.Errorf("create the service: %w", err)
	}
	_, err = appsv1.NewStatefulSet(ctx, name, &appsv1.StatefulSetArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: metadata.Name, Namespace: metadata.Namespace, Labels: withRelease(labelsOf(i.Name), args.Release)},
		Spec: &appsv1.StatefulSetSpecArgs{
			// A StatefulSet starts no second pod before it knows that the first has ended: two would write to the same files.
			Replicas: pulumi.Int(1),
			// In order, it would not make a pod anew that never got ready: whatever was wrong with it could not be mended by another size or image.
			PodManagementPolicy: pulumi.String("Parallel"),
			ServiceName:         pulumi.String(i.Name),
			Selector:            labelSelector(labelsOf(i.Name)),
			Template: &corev1.PodTemplateSpecArgs{
				Metadata: &metav1.ObjectMetaArgs{
					Labels: pulumi.ToStringMap(labelsOf(i.Name)),
					Annotations: pulumi.StringMap{
						// Another key rolls the pod: it is read at its start only.
						"openhands.dev/environment": checksum(pulumi.StringMap{args.Release.Instance.KeyVariable: key.Result}),
						// The autoscaler would end somebody's conversations to save a node.
						"cluster-autoscaler.kubernetes.io/safe-to-evict": pulumi.String("false"),
					},
				},
				Spec: args.pod(i, secret.Metadata.Name().Elem(), volume.Metadata.Name().Elem()),
			},
		},
		// How many of it run, none or one, may become another program's to say.
	}, component.Child(instance, guard, pulumi.IgnoreChanges([]string{"spec.replicas"}))...)
	if err != nil {
		return fmt.Errorf("create the StatefulSet: %w", err)
	}
	return ctx.RegisterResourceOutputs(instance, pulumi.Map{})
}

// newVolume claims the volume. It stays when the instance is taken off the list, with its files and the key that its secrets are encrypted with, and an
// instance of the same name finds it again: so it is a patch, which takes a claim that is there. It goes with the namespace, or by the clean-up.
func (c *Instances) newVolume(ctx *pulumi.Context, name string, i InstanceArgs, parent pulumi.Resource) (*corev1.PersistentVolumeClaimPatch, error) {
	return corev1.NewPersistentVolumeClaimPatch(ctx, name, &corev1.PersistentVolumeClaimPatchArgs{
		Metadata: &metav1.ObjectMetaPatchArgs{
			Name: pulumi.String(i.Name), Namespace: c.Namespace, Labels: pulumi.ToStringMap(labelsOf(i.Name)),
			Annotations: pulumi.StringMap{
				skipAwait:               pulumi.String("true"), // the disk is made where the pod runs, once it is known where
				"pulumi.com/patchForce": pulumi.String("true"), // of a claim that an earlier instance of this name has left
			},
		},
		Spec: &corev1.PersistentVolumeClaimSpecPatchArgs{
			AccessModes:      pulumi.ToStringArray([]string{"ReadWriteOnce"}),
			StorageClassName: pulumi.String(zonalStorageClass),
			Resources: &corev1.VolumeResourceRequirementsPatchArgs{
				Requests: pulumi.StringMap{"storage": pulumi.Sprintf("%dGi", i.VolumeGiB)}, // which can grow
			},
		},
	}, component.Child(parent, pulumi.RetainOnDelete(true))...)
}

// instanceTmpGiB is what an instance may write to /tmp, and as much to its home beside the volume. One that fills more is evicted, and comes again.
const instanceTmpGiB = 4

// InstanceScratchGiB is the disk of the node that there is for each instance of the default size, in GiB. Each is sure of scratchRequest.
const InstanceScratchGiB = 4

// pod is an instance's pod.
func (args *AgentCanvasArgs) pod(i InstanceArgs, secret, volume pulumi.StringInput) *corev1.PodSpecArgs {
	r := args.Release
	tmp := fmt.Sprintf("%dGi", instanceTmpGiB)
	mounts := corev1.VolumeMountArray{
		&corev1.VolumeMountArgs{Name: pulumi.String("tmp"), MountPath: pulumi.String("/tmp")},
		&corev1.VolumeMountArgs{Name: pulumi.String("home"), MountPath: pulumi.String(r.Instance.Home)},
	}
	for _, kept := range r.Instance.Kept {
		mounts = append(mounts, &corev1.VolumeMountArgs{
			Name: pulumi.String("kept"), MountPath: pulumi.String(r.Instance.Home + "/" + kept), SubPath: pulumi.String(kept),
		})
	}
	security := podSecurity(r.User)
	security.FsGroupChangePolicy = pulumi.String("OnRootMismatch") // else each start walks through all files of the volume
	return &corev1.PodSpecArgs{
		RuntimeClassName:              pulumi.String(gvisorClass),
		AutomountServiceAccountToken:  pulumi.Bool(false),
		EnableServiceLinks:            pulumi.Bool(false),
		TerminationGracePeriodSeconds: pulumi.Int(r.StopSeconds),
		NodeSelector:                  args.Nodes.selector(),
		Tolerations:                   args.Nodes.tolerations(),
		SecurityContext:               security,
		Containers: corev1.ContainerArray{&corev1.ContainerArgs{
			Name:    pulumi.String("canvas"),
			Image:   args.Image,
			Ports:   corev1.ContainerPortArray{&corev1.ContainerPortArgs{Name: pulumi.String("http"), ContainerPort: pulumi.Int(r.Port)}},
			Env:     args.environment(),
			EnvFrom: corev1.EnvFromSourceArray{&corev1.EnvFromSourceArgs{SecretRef: &corev1.SecretEnvSourceArgs{Name: secret}}},
			// It starts within 8 to 50 seconds, by the CPU that it gets: five minutes.
			StartupProbe:   probe("http", r.StartupPath, 10, 30),
			LivenessProbe:  probe("http", r.LivenessPath, 20, 3),
			ReadinessProbe: probe("http", r.ReadinessPath, 10, 3),
			Resources: &corev1.ResourceRequirementsArgs{
				Requests: pulumi.StringMap{
					"cpu": pulumi.String(milliCPU(i.CPURequest)), "memory": pulumi.String(mebibytes(i.MemoryRequestGiB)),
					"ephemeral-storage": pulumi.String(scratchRequest),
				},
				Limits: pulumi.StringMap{
					"cpu": pulumi.String(milliCPU(i.CPULimit)), "memory": pulumi.String(mebibytes(i.MemoryLimitGiB)),
					"ephemeral-storage": pulumi.Sprintf("%dGi", 2*instanceTmpGiB+1), // both directories, and the container's log
				},
			},
			SecurityContext: containerSecurity(),
			VolumeMounts:    mounts,
		}},
		Volumes: corev1.VolumeArray{
			emptyVolume("tmp", tmp),
			emptyVolume("home", tmp),
			&corev1.VolumeArgs{Name: pulumi.String("kept"), PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSourceArgs{ClaimName: volume}},
		},
	}
}

// environment is the closed list of variables that are no secret.
func (args *AgentCanvasArgs) environment() corev1.EnvVarArray {
	var variables corev1.EnvVarArray
	for _, name := range slices.Sorted(maps.Keys(args.Release.Environment)) {
		variables = append(variables, variable(name, pulumi.String(args.Release.Environment[name])))
	}
	return variables
}
