package app

import (
	"fmt"

	batchv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/batch/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/app/cleanup"
	"openhands-gcp/infra/internal/component"
)

var cleanupLabels = map[string]string{"app.kubernetes.io/name": "openhands", "app.kubernetes.io/component": "cleanup"}

const (
	cleanupSchedule = "*/15 * * * *"
	// keepMinutes is how long a sandbox without an agent stays: a person who comes back within that time finds the same one.
	keepMinutes = 60
	// cleanupSeconds is the longest that a run takes.
	cleanupSeconds = 600
	scriptName     = "cleanup.py"
)

// cleanupName names the clean-up's objects, its service account among them.
func cleanupName(name string) string { return name + "-cleanup" }

// newCleanup removes what a crash or a restart of the server leaves: nothing in OpenHands does. It runs beside the server, which it asks what is in use.
func (c *Sandboxes) newCleanup(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, appNamespace pulumi.StringOutput) error {
	server := fmt.Sprintf("http://%s:%d", serverHost(name, args.Identity.Namespace), args.Release.Port)
	name = cleanupName(name)
	metadata := &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: appNamespace}
	own, err := corev1.NewServiceAccount(ctx, name, &corev1.ServiceAccountArgs{Metadata: metadata}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("create the service account: %w", err)
	}
	binding, err := newRole(ctx, c, name, c.Namespace, cleanup.Rules, subject(own))
	if err != nil {
		return fmt.Errorf("role: %w", err)
	}
	script, err := corev1.NewConfigMap(ctx, name, &corev1.ConfigMapArgs{
		Metadata: metadata,
		Data:     pulumi.StringMap{scriptName: pulumi.String(cleanup.Script)},
	}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("create the ConfigMap of the script: %w", err)
	}
	_, err = batchv1.NewCronJob(ctx, name, &batchv1.CronJobArgs{
		Metadata: metadata,
		Spec: &batchv1.CronJobSpecArgs{
			Schedule:                   pulumi.String(cleanupSchedule),
			ConcurrencyPolicy:          pulumi.String("Forbid"),
			StartingDeadlineSeconds:    pulumi.Int(300),
			SuccessfulJobsHistoryLimit: pulumi.Int(1),
			FailedJobsHistoryLimit:     pulumi.Int(1),
			JobTemplate: &batchv1.JobTemplateSpecArgs{Spec: &batchv1.JobSpecArgs{
				BackoffLimit: pulumi.Int(0), ActiveDeadlineSeconds: pulumi.Int(cleanupSeconds), // the next run is the next attempt
				Template: &corev1.PodTemplateSpecArgs{
					Metadata: &metav1.ObjectMetaArgs{Labels: pulumi.ToStringMap(cleanupLabels)},
					Spec:     c.cleanupPod(args, server, own, script),
				},
			}},
		},
	}, component.Child(c, pulumi.DependsOn([]pulumi.Resource{binding}), c.Ready())...) // by then its own NetworkPolicy holds it
	if err != nil {
		return fmt.Errorf("create the CronJob: %w", err)
	}
	return nil
}

// cleanupPod runs the script in the server's image, on the nodes that have it.
func (c *Sandboxes) cleanupPod(args *OpenHandsAppArgs, server string, own *corev1.ServiceAccount, script *corev1.ConfigMap) *corev1.PodSpecArgs {
	const mount = "/cleanup"
	variable := func(name string, value pulumi.StringInput) corev1.EnvVarInput {
		return &corev1.EnvVarArgs{Name: pulumi.String(name), Value: value}
	}
	limits := pulumi.StringMap{"memory": pulumi.String("128Mi"), "ephemeral-storage": pulumi.String("64Mi")}
	return &corev1.PodSpecArgs{
		ServiceAccountName: own.Metadata.Name(),
		EnableServiceLinks: pulumi.Bool(false),
		RestartPolicy:      pulumi.String("Never"),
		NodeSelector:       args.Nodes.selector(),
		Tolerations:        args.Nodes.tolerations(),
		SecurityContext:    podSecurity(args.Release.User),
		Containers: corev1.ContainerArray{&corev1.ContainerArgs{
			Name:            pulumi.String("cleanup"),
			Image:           args.Image,
			Command:         pulumi.ToStringArray([]string{"python", mount + "/" + scriptName}),
			SecurityContext: containerSecurity(),
			Env: corev1.EnvVarArray{
				variable("SANDBOX_NAMESPACE", c.Namespace),
				variable("SERVER_URL", pulumi.String(server)),
				variable("KEEP_MINUTES", pulumi.Sprintf("%d", keepMinutes)),
				variable("KEEP_VOLUME_DAYS", pulumi.Sprintf("%d", args.Sandboxes.KeepUnusedVolumeDays)),
			},
			Resources: &corev1.ResourceRequirementsArgs{
				Requests: pulumi.StringMap{"cpu": pulumi.String("20m"), "memory": limits["memory"], "ephemeral-storage": limits["ephemeral-storage"]},
				Limits:   limits,
			},
			VolumeMounts: corev1.VolumeMountArray{
				&corev1.VolumeMountArgs{Name: pulumi.String("script"), MountPath: pulumi.String(mount), ReadOnly: pulumi.Bool(true)},
			},
		}},
		Volumes: corev1.VolumeArray{
			&corev1.VolumeArgs{Name: pulumi.String("script"), ConfigMap: &corev1.ConfigMapVolumeSourceArgs{Name: script.Metadata.Name()}},
		},
	}
}
