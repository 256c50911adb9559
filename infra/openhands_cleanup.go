package infra

import (
	_ "embed" // for the script
	"fmt"

	batchv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/batch/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// cleanupScript decides what goes; its first lines say by which rules.
//
//go:embed openhands_cleanup.py
var cleanupScript string

var cleanupLabels = map[string]string{"app.kubernetes.io/name": "openhands", "app.kubernetes.io/component": "cleanup"}

// cleanupRules are what the script does with each kind.
var cleanupRules = []rule{
	{"", "pods", []string{"get", "list", "patch", "delete"}},
	{"", "services", []string{"list", "patch", "delete"}},
	{"", "persistentvolumeclaims", []string{"list", "patch", "delete"}},
	{"networking.k8s.io", "ingresses", []string{"list", "patch", "delete"}},
}

const (
	cleanupSchedule = "*/15 * * * *"
	// keepMinutes is how long a sandbox without an agent stays: who comes back within it finds the same one.
	keepMinutes = 60
	// cleanupSeconds is the longest that a run takes.
	cleanupSeconds = 600
	scriptName     = "cleanup.py"
)

// newCleanup removes what a crash or a restart of the server leaves: nothing in OpenHands does.
func (c *OpenHandsApp) newCleanup(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, namespace, sandboxNamespace pulumi.StringInput, server *corev1.Service) error {
	name += "-cleanup"
	account, err := corev1.NewServiceAccount(ctx, name, &corev1.ServiceAccountArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: namespace},
	}, child(c)...)
	if err != nil {
		return fmt.Errorf("create the service account: %w", err)
	}
	binding, err := c.newRole(ctx, name, sandboxNamespace, cleanupRules, account)
	if err != nil {
		return fmt.Errorf("role: %w", err)
	}
	script, err := corev1.NewConfigMap(ctx, name, &corev1.ConfigMapArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: namespace},
		Data:     pulumi.StringMap{scriptName: pulumi.String(cleanupScript)},
	}, child(c)...)
	if err != nil {
		return fmt.Errorf("create the ConfigMap of the script: %w", err)
	}
	variable := func(name string, value pulumi.StringInput) corev1.EnvVarInput {
		return &corev1.EnvVarArgs{Name: pulumi.String(name), Value: value}
	}
	const mount = "/cleanup"
	memory := pulumi.String("128Mi")
	pod := &corev1.PodSpecArgs{
		ServiceAccountName: account.Metadata.Name(),
		EnableServiceLinks: pulumi.Bool(false),
		RestartPolicy:      pulumi.String("Never"),
		NodeSelector:       pulumi.StringMap{PoolLabel: pulumi.String(args.NodePool)}, // whose nodes have the image
		SecurityContext:    args.podSecurity(),
		Containers: corev1.ContainerArray{&corev1.ContainerArgs{
			Name:            pulumi.String("cleanup"),
			Image:           args.Images.App,
			Command:         pulumi.ToStringArray([]string{"python", mount + "/" + scriptName}),
			SecurityContext: containerSecurity(),
			Env: corev1.EnvVarArray{
				variable("SANDBOX_NAMESPACE", sandboxNamespace),
				variable("SERVER_URL", pulumi.Sprintf("http://%s.%s.svc.cluster.local:%d", server.Metadata.Name().Elem(), namespace, args.Release.Port)),
				variable("KEEP_MINUTES", pulumi.Sprintf("%d", keepMinutes)),
				variable("KEEP_VOLUME_DAYS", pulumi.Sprintf("%d", args.Sandboxes.KeepUnusedVolumeDays)),
			},
			Resources: &corev1.ResourceRequirementsArgs{
				Requests: pulumi.StringMap{"cpu": pulumi.String("20m"), "memory": memory}, Limits: pulumi.StringMap{"memory": memory},
			},
			VolumeMounts: corev1.VolumeMountArray{&corev1.VolumeMountArgs{Name: pulumi.String("script"), MountPath: pulumi.String(mount), ReadOnly: pulumi.Bool(true)}},
		}},
		Volumes: corev1.VolumeArray{&corev1.VolumeArgs{Name: pulumi.String("script"), ConfigMap: &corev1.ConfigMapVolumeSourceArgs{Name: script.Metadata.Name()}}},
	}
	_, err = batchv1.NewCronJob(ctx, name, &batchv1.CronJobArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: namespace},
		Spec: &batchv1.CronJobSpecArgs{
			Schedule:                   pulumi.String(cleanupSchedule),
			ConcurrencyPolicy:          pulumi.String("Forbid"),
			StartingDeadlineSeconds:    pulumi.Int(300),
			SuccessfulJobsHistoryLimit: pulumi.Int(1),
			FailedJobsHistoryLimit:     pulumi.Int(1),
			JobTemplate: &batchv1.JobTemplateSpecArgs{Spec: &batchv1.JobSpecArgs{
				BackoffLimit: pulumi.Int(0), ActiveDeadlineSeconds: pulumi.Int(cleanupSeconds), // the next run is the next attempt
				Template: &corev1.PodTemplateSpecArgs{Metadata: &metav1.ObjectMetaArgs{Labels: pulumi.ToStringMap(cleanupLabels)}, Spec: pod},
			}},
		},
	}, child(c, pulumi.DependsOn([]pulumi.Resource{binding}))...)
	if err != nil {
		return fmt.Errorf("create the CronJob: %w", err)
	}
	return nil
}
