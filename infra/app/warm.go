package app

import (
	"fmt"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	schedulingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/scheduling/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

// placeholderClass names the priority of the pods that only keep a node warm.
func placeholderClass(name string) string { return name + "-placeholder" }

// placeholderPriority is below that of a sandbox, 0, which therefore takes the placeholder's room at once. The autoscaler ignores pods below -10, and
// would bring no node for them.
const placeholderPriority = -1

var warmLabels = map[string]string{"app": "openhands-warm"}

// skipAwait lets the engine go on at once: a placeholder waits for a node, which comes in minutes, and nothing else waits for it.
const skipAwait = "pulumi.com/skipAwait"

// newWarmNodes keeps room for some sandboxes: pods of a sandbox's size, with its image, that do nothing and make way. The node is there, and has the image,
// before the conversation begins. They count in the quota, and may talk to nobody.
func (c *Sandboxes) newWarmNodes(ctx *pulumi.Context, name string, s *SandboxesArgs) error {
	if s.Warm == 0 {
		return nil
	}
	class, err := schedulingv1.NewPriorityClass(ctx, placeholderClass(name), &schedulingv1.PriorityClassArgs{
		Metadata:         &metav1.ObjectMetaArgs{Name: pulumi.String(placeholderClass(name))},
		Value:            pulumi.Int(placeholderPriority),
		PreemptionPolicy: pulumi.String("Never"),
		Description:      pulumi.String("Makes way for sandboxes"),
	}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("create the priority: %w", err)
	}
	_, err = appsv1.NewDeployment(ctx, name+"-warm", &appsv1.DeploymentArgs{
		Metadata: &metav1.ObjectMetaArgs{
			Name: pulumi.String(name + "-warm"), Namespace: c.Namespace,
			// Nodes come in their own time, and of spot machines there may be none: no deployment waits for them.
			Annotations: pulumi.StringMap{skipAwait: pulumi.String("true")},
		},
		Spec: &appsv1.DeploymentSpecArgs{
			Replicas: pulumi.Int(s.Warm),
			Strategy: &appsv1.DeploymentStrategyArgs{Type: pulumi.String("Recreate")}, // the quota has room for no more
			Selector: labelSelector(warmLabels),
			Template: &corev1.PodTemplateSpecArgs{
				Metadata: &metav1.ObjectMetaArgs{Labels: pulumi.ToStringMap(warmLabels)},
				Spec:     s.placeholder(class),
			},
		},
	}, component.Child(c, c.Ready())...)
	if err != nil {
		return fmt.Errorf("create the placeholders: %w", err)
	}
	return nil
}

// placeholder is a pod as the admission policies would have it: they are in effect only some seconds after they exist, and nothing would make these pods
// again.
func (s *SandboxesArgs) placeholder(class *schedulingv1.PriorityClass) *corev1.PodSpecArgs {
	memory := pulumi.String(mebibytes(s.MemoryGiB))
	return &corev1.PodSpecArgs{
		PriorityClassName:             class.Metadata.Name(),
		RuntimeClassName:              pulumi.String(gvisorClass),
		AutomountServiceAccountToken:  pulumi.Bool(false),
		SecurityContext:               &corev1.PodSecurityContextArgs{SeccompProfile: &corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")}},
		TerminationGracePeriodSeconds: pulumi.Int(0),
		EnableServiceLinks:            pulumi.Bool(false),
		NodeSelector:                  s.Nodes.selector(),
		Tolerations:                   s.Nodes.tolerations(),
		Containers: corev1.ContainerArray{&corev1.ContainerArgs{
			Name: pulumi.String("placeholder"), Image: s.Image, Command: pulumi.ToStringArray([]string{"sleep", "infinity"}),
			Resources: &corev1.ResourceRequirementsArgs{
				Requests: pulumi.StringMap{"cpu": pulumi.String(milliCPU(s.CPURequest)), "memory": memory},
				Limits:   pulumi.StringMap{"memory": memory},
			},
		}},
	}
}
