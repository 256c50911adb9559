package kubernetes

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/types"
)

func checkDeployment(r *cloud.Request, d *appsv1.Deployment) error {
	if d.Spec.Selector == nil || !Selects(d.Spec.Selector.MatchLabels, d.Spec.Template.Labels) {
		return errors.New("spec.selector: does not match the labels of spec.template")
	}
	return checkPod(r, d.Namespace, &d.Spec.Template.Spec)
}

// checkStatefulSet checks a StatefulSet that takes its volumes by claims of their own.
func checkStatefulSet(r *cloud.Request, set *appsv1.StatefulSet) error {
	if set.Spec.Selector == nil || !Selects(set.Spec.Selector.MatchLabels, set.Spec.Template.Labels) {
		return errors.New("spec.selector: does not match the labels of spec.template")
	}
	if r.Old != nil && (r.Old.Inputs.Str("spec.serviceName") != set.Spec.ServiceName ||
		!maps.Equal(r.Old.Inputs.Labels("spec.selector.matchLabels"), set.Spec.Selector.MatchLabels)) {
		return errors.New("spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'template' and some others are forbidden")
	}
	return checkPod(r, set.Namespace, &set.Spec.Template.Spec)
}

// checkVolumeClaim refuses what no disk is made for, and what the API server does not change about a claim.
func checkVolumeClaim(r *cloud.Request, claim *corev1.PersistentVolumeClaim) error {
	class := claim.Spec.StorageClassName
	if class == nil || !slices.Contains(StorageClasses, *class) {
		return fmt.Errorf("spec.storageClassName: there is no class %q, and the claim stays pending", deref(class))
	}
	if len(claim.Spec.AccessModes) == 0 {
		return errors.New("spec.accessModes: at least 1 access mode is required")
	}
	size := claim.Spec.Resources.Requests.Storage()
	if size.IsZero() {
		return errors.New("spec.resources[storage]: is required")
	}
	existing := r.Old
	if existing == nil {
		existing = r.Find(types.VolumeClaimPatch, claim.Namespace+"/"+claim.Name)
	}
	if existing == nil {
		return nil
	}
	old := existing.Inputs
	before, err := resource.ParseQuantity(old.Str("spec.resources.requests.storage"))
	if err != nil || before.Cmp(*size) > 0 {
		return fmt.Errorf("spec.resources.requests.storage: Forbidden: field can not be less than status.capacity (%s)", before.String())
	}
	if old.Str("spec.storageClassName") != *class {
		return errors.New("spec: Forbidden: spec is immutable after creation except resources.requests")
	}
	return nil
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// StorageClasses are those that GKE makes in every cluster, and whose volumes can grow.
var StorageClasses = []string{"standard", "standard-rwo", "premium-rwo"}

func checkCronJob(r *cloud.Request, job *batchv1.CronJob) error {
	return checkPod(r, job.Namespace, &job.Spec.JobTemplate.Spec.Template.Spec)
}

// Selects reports whether all of a selector's labels are among others. An empty selector selects nothing.
func Selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return len(selector) > 0
}

// checkPod returns what would keep a pod from becoming ready, for which the engine waits.
func checkPod(r *cloud.Request, namespace string, pod *corev1.PodSpec) error {
	if len(pod.Containers) == 0 {
		return errors.New("spec.template.spec.containers: is required")
	}
	if account := pod.ServiceAccountName; account != "" && account != "default" {
		if _, err := needIn(r, types.KubernetesAccount, "serviceAccountName", namespace, account); err != nil {
			return err
		}
	}
	if class := pod.PriorityClassName; class != "" {
		if _, err := r.Need(types.PriorityClass, "priorityClassName", class); err != nil {
			return err
		}
	}
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil {
			if _, err := needIn(r, types.ConfigMap, "volumes", namespace, v.ConfigMap.Name); err != nil {
				return err
			}
		}
		if v.Secret != nil {
			if _, err := needIn(r, types.Secret, "volumes", namespace, v.Secret.SecretName); err != nil {
				return err
			}
		}
		if v.PersistentVolumeClaim != nil {
			if _, err := needIn(r, types.VolumeClaimPatch, "volumes", namespace, v.PersistentVolumeClaim.ClaimName); err != nil {
				return err
			}
		}
	}
	for _, container := range pod.Containers {
		if err := checkContainer(r, namespace, &container, volumes); err != nil {
			return err
		}
	}
	if err := checkPodSecurity(r, namespace, pod); err != nil {
		return err
	}
	pool, err := Schedule(r.Inventory, pod.NodeSelector, pod.Tolerations, requests(pod))
	if err != nil {
		return err
	}
	r.NeedObject(pool, "nodes to run on")
	for _, container := range pod.Containers {
		if err := r.NeedImage(container.Image, pool.Inputs.Str("nodeConfig.serviceAccount")); err != nil {
			return fmt.Errorf("containers: %s: %w", container.Name, err)
		}
	}
	return r.NeedInternet(clusterOf(r.Inventory).Inputs.Str("network"))
}

// requests are those of a pod's containers together.
func requests(pod *corev1.PodSpec) corev1.ResourceList {
	cpu, memory := resource.Quantity{}, resource.Quantity{}
	for _, container := range pod.Containers {
		cpu.Add(*container.Resources.Requests.Cpu())
		memory.Add(*container.Resources.Requests.Memory())
	}
	return corev1.ResourceList{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory}
}

// checkContainer checks one container of a pod that has the volumes.
func checkContainer(r *cloud.Request, namespace string, container *corev1.Container, volumes map[string]bool) error {
	if problems := validation.IsDNS1123Label(container.Name); len(problems) > 0 {
		return fmt.Errorf("containers: %q: %s", container.Name, strings.Join(problems, ", "))
	}
	if container.Image == "" {
		return fmt.Errorf("containers: %s: image is required", container.Name)
	}
	for _, mount := range container.VolumeMounts {
		if !volumes[mount.Name] {
			return fmt.Errorf("volumeMounts: %q is no volume of the pod", mount.Name)
		}
	}
	for _, from := range container.EnvFrom {
		if from.ConfigMapRef != nil {
			if _, err := needIn(r, types.ConfigMap, "envFrom.configMapRef", namespace, from.ConfigMapRef.Name); err != nil {
				return err
			}
		}
		if from.SecretRef != nil {
			if _, err := needIn(r, types.Secret, "envFrom.secretRef", namespace, from.SecretRef.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkPodSecurity checks what the level "restricted" asks of a pod, where its namespace enforces it.
// https://kubernetes.io/docs/concepts/security/pod-security-standards/
func checkPodSecurity(r *cloud.Request, namespace string, pod *corev1.PodSpec) error {
	o := r.Find(types.Namespace, namespace)
	if o == nil || o.Inputs.Labels("metadata.labels")["pod-security.kubernetes.io/enforce"] != "restricted" {
		return nil
	}
	refuse := func(why string) error { return fmt.Errorf("violates PodSecurity \"restricted\": %s", why) }
	s := pod.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot {
		return refuse("runAsNonRoot must be true")
	}
	if s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		return refuse("seccompProfile must be RuntimeDefault")
	}
	if pod.HostNetwork || pod.HostPID || pod.HostIPC {
		return refuse("host namespaces")
	}
	for _, v := range pod.Volumes {
		if v.HostPath != nil {
			return refuse("hostPath volumes")
		}
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
			return refuse("allowPrivilegeEscalation must be false")
		}
		if s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") {
			return refuse("capabilities must drop ALL")
		}
	}
	return nil
}
