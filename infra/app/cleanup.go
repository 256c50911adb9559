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

	volumesSchedule = "17 * * * *"
	volumesName     = "volumes.py"
)

// cleanupName names the clean-up's objects, its service account among them.
func cleanupName(name string) string { return name + "-cleanup" }

// newCleanup removes what a crash or a restart of the server leaves: nothing in OpenHands does. It runs beside the server, which it asks what is in use.
func (c *Sandboxes) newCleanup(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, appNamespace pulumi.StringOutput) error {
	server := fmt.Sprintf("http://%s:%d", serviceHost(name, args.Identity.Namespace), args.Release.Port)
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
	job := cleanupJob{
		schedule: cleanupSchedule, image: args.Image, user: args.Release.User, nodes: args.Nodes, account: own, script: script, file: scriptName,
		environment: corev1.EnvVarArray{
			variable("SANDBOX_NAMESPACE", c.Namespace),
			variable("SERVER_URL", pulumi.String(server)),
			variable("KEEP_MINUTES", pulumi.Sprintf("%d", keepMinutes)),
			variable("KEEP_VOLUME_DAYS", pulumi.Sprintf("%d", args.Sandboxes.KeepUnusedVolumeDays)),
		},
	}
	// By then its own NetworkPolicy holds it.
	return job.create(ctx, c, metadata, pulumi.DependsOn([]pulumi.Resource{binding}), c.Ready())
}

// newCleanup removes the volumes of instances that are no longer there, after a while. door is the namespace of the door, beside which it runs.
func (c *Instances) newCleanup(ctx *pulumi.Context, name string, args *AgentCanvasArgs, door pulumi.StringOutput) error {
	name = cleanupName(name)
	metadata := &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: door}
	own, err := corev1.NewServiceAccount(ctx, name, &corev1.ServiceAccountArgs{Metadata: metadata}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("create the service account: %w", err)
	}
	binding, err := newRole(ctx, c, name, c.Namespace, cleanup.VolumeRules, subject(own))
	if err != nil {
		return fmt.Errorf("role: %w", err)
	}
	script, err := corev1.NewConfigMap(ctx, name, &corev1.ConfigMapArgs{
		Metadata: metadata,
		Data:     pulumi.StringMap{scriptName: pulumi.String(cleanup.Script), volumesName: pulumi.String(cleanup.VolumesScript)},
	}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("create the ConfigMap of the script: %w", err)
	}
	policies, err := newNetworkPolicies(ctx, c, name, policy{
		namespace: door, pods: labelSelector(cleanupLabels), egress: append(dnsEgress(), to(tcp(443), ipBlock(args.ControlPlaneCIDR))),
	})
	if err != nil {
		return err
	}
	job := cleanupJob{
		schedule: volumesSchedule, image: args.Image, user: args.Release.User, nodes: args.DoorNodes, account: own, script: script, file: volumesName,
		environment: corev1.EnvVarArray{
			variable("SANDBOX_NAMESPACE", c.Namespace),
			variable("KEEP_VOLUME_DAYS", pulumi.Sprintf("%d", args.KeepVolumeDays)),
		},
	}
	return job.create(ctx, c, metadata, pulumi.DependsOn(append(policies, binding)))
}

// cleanupJob is a script that runs now and then.
type cleanupJob struct {
	schedule    string
	image       pulumi.StringInput // with Python
	user        int
	nodes       Nodes // that have the image
	account     *corev1.ServiceAccount
	script      *corev1.ConfigMap
	file        string // of the ConfigMap, that is run
	environment corev1.EnvVarArray
}

func variable(name string, value pulumi.StringInput) corev1.EnvVarInput {
	return &corev1.EnvVarArgs{Name: pulumi.String(name), Value: value}
}

func (j cleanupJob) create(ctx *pulumi.Context, parent pulumi.Resource, metadata *metav1.ObjectMetaArgs, after ...pulumi.ResourceOption) error {
	name := string(metadata.Name.(pulumi.String))
	_, err := batchv1.NewCronJob(ctx, name, &batchv1.CronJobArgs{
		Metadata: metadata,
		Spec: &batchv1.CronJobSpecArgs{
			Schedule:                   pulumi.String(j.schedule),
			ConcurrencyPolicy:          pulumi.String("Forbid"),
			StartingDeadlineSeconds:    pulumi.Int(300),
			SuccessfulJobsHistoryLimit: pulumi.Int(1),
			FailedJobsHistoryLimit:     pulumi.Int(1),
			JobTemplate: &batchv1.JobTemplateSpecArgs{Spec: &batchv1.JobSpecArgs{
				BackoffLimit: pulumi.Int(0), ActiveDeadlineSeconds: pulumi.Int(cleanupSeconds), // the next run is the next attempt
				Template: &corev1.PodTemplateSpecArgs{
					Metadata: &metav1.ObjectMetaArgs{Labels: pulumi.ToStringMap(cleanupLabels)},
					Spec:     j.pod(),
				},
			}},
		},
	}, component.Child(parent, after...)...)
	if err != nil {
		return fmt.Errorf("create the CronJob: %w", err)
	}
	return nil
}

func (j cleanupJob) pod() *corev1.PodSpecArgs {
	const mount = "/cleanup"
	limits := pulumi.StringMap{"memory": pulumi.String("128Mi"), "ephemeral-storage": pulumi.String("64Mi")}
	return &corev1.PodSpecArgs{
		ServiceAccountName: j.account.Metadata.Name(),
		EnableServiceLinks: pulumi.Bool(false),
		RestartPolicy:      pulumi.String("Never"),
		NodeSelector:       j.nodes.selector(),
		Tolerations:        j.nodes.tolerations(),
		SecurityContext:    podSecurity(j.user),
		Containers: corev1.ContainerArray{&corev1.ContainerArgs{
			Name:            pulumi.String("cleanup"),
			Image:           j.image,
			Command:         pulumi.ToStringArray([]string{"python", mount + "/" + j.file}),
			SecurityContext: containerSecurity(),
			Env:             j.environment,
			Resources: &corev1.ResourceRequirementsArgs{
				Requests: pulumi.StringMap{"cpu": pulumi.String("20m"), "memory": limits["memory"], "ephemeral-storage": limits["ephemeral-storage"]},
				Limits:   limits,
			},
			VolumeMounts: corev1.VolumeMountArray{
				&corev1.VolumeMountArgs{Name: pulumi.String("script"), MountPath: pulumi.String(mount), ReadOnly: pulumi.Bool(true)},
			},
		}},
		Volumes: corev1.VolumeArray{
			&corev1.VolumeArgs{Name: pulumi.String("script"), ConfigMap: &corev1.ConfigMapVolumeSourceArgs{Name: j.script.Metadata.Name()}},
		},
	}
}
