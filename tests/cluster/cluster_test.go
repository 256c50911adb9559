package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

func TestServerVersion(t *testing.T) {
	_, client := start(t)
	version, err := client.Discovery().ServerVersion()
	require.NoError(t, err)
	assert.Equal(t, "v1.36.3", version.GitVersion)
	assert.Equal(t, "1", version.Major)
	assert.Equal(t, "36", version.Minor)
}

func TestDeploymentBecomesAvailable(t *testing.T) {
	_, client := start(t)
	space := namespace(t, client)
	labels := map[string]string{"app": "web"}
	_, err := client.AppsV1().Deployments(space).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec()},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		web, err := client.AppsV1().Deployments(space).Get(context.Background(), "web", metav1.GetOptions{})
		require.NoError(t, err)
		assert.EqualValues(t, 1, web.Status.AvailableReplicas)
	}, patience, 50*time.Millisecond)
}

func TestJobCompletes(t *testing.T) {
	_, client := start(t)
	space := namespace(t, client)
	spec := podSpec()
	spec.RestartPolicy = corev1.RestartPolicyNever
	_, err := client.BatchV1().Jobs(space).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "once"},
		Spec:       batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: spec}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		job, err := client.BatchV1().Jobs(space).Get(context.Background(), "once", metav1.GetOptions{})
		require.NoError(t, err)
		assert.EqualValues(t, 1, job.Status.Succeeded)
	}, patience, 50*time.Millisecond)
}

func TestClaimBindsOncePodUsesIt(t *testing.T) {
	_, client := start(t)
	space := namespace(t, client)
	claim, err := client.CoreV1().PersistentVolumeClaims(space).Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "state"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.NotNil(t, claim.Spec.StorageClassName)
	assert.Equal(t, "standard-rwo", *claim.Spec.StorageClassName)
	time.Sleep(200 * time.Millisecond)
	claim, err = client.CoreV1().PersistentVolumeClaims(space).Get(t.Context(), "state", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, corev1.ClaimPending, claim.Status.Phase)

	spec := podSpec()
	spec.Volumes = []corev1.Volume{{Name: "state", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "state"},
	}}}
	_, err = client.CoreV1().Pods(space).Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "user"}, Spec: spec}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		bound, err := client.CoreV1().PersistentVolumeClaims(space).Get(context.Background(), "state", metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, corev1.ClaimBound, bound.Status.Phase)
		user, err := client.CoreV1().Pods(space).Get(context.Background(), "user", metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, corev1.PodRunning, user.Status.Phase)
		claim = bound
	}, patience, 50*time.Millisecond)

	require.NoError(t, client.CoreV1().Pods(space).Delete(t.Context(), "user", metav1.DeleteOptions{}))
	require.NoError(t, client.CoreV1().PersistentVolumeClaims(space).Delete(t.Context(), "state", metav1.DeleteOptions{}))
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		_, err := client.CoreV1().PersistentVolumes().Get(context.Background(), claim.Spec.VolumeName, metav1.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "the disk must go with its claim: %v", err)
	}, patience, 50*time.Millisecond)
}

func TestMutatingAdmissionPolicyMutates(t *testing.T) {
	_, client := start(t)
	space := namespace(t, client)
	policies, bindings := client.AdmissionregistrationV1().MutatingAdmissionPolicies(), client.AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
	_, err := policies.Create(t.Context(), &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "marks-pods"},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
				},
			}}},
			Mutations: []admissionv1.Mutation{{
				PatchType: admissionv1.PatchTypeApplyConfiguration,
				ApplyConfiguration: &admissionv1.ApplyConfiguration{
					Expression: `Object{metadata: Object.metadata{labels: {"marked": "yes"}}}`,
				},
			}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, policies.Delete(context.Background(), "marks-pods", metav1.DeleteOptions{})) })
	_, err = bindings.Create(t.Context(), &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "marks-pods"},
		Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{
			PolicyName: "marks-pods",
			MatchResources: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: space}},
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, bindings.Delete(context.Background(), "marks-pods", metav1.DeleteOptions{})) })
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "marked-"}, Spec: podSpec()}
		pod, err := client.CoreV1().Pods(space).Create(context.Background(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		require.NoError(t, err)
		assert.Equal(t, "yes", pod.Labels["marked"])
	}, patience, 50*time.Millisecond)
}

func TestServiceAccountMayDoNothingByItself(t *testing.T) {
	c, admin := start(t)
	space := namespace(t, admin)
	config, err := c.ServiceAccount(t.Context(), space, "default")
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	_, err = client.CoreV1().Pods(space).List(t.Context(), metav1.ListOptions{})
	require.Error(t, err)
	assert.True(t, apierrors.IsForbidden(err), "not forbidden but: %v", err)
	assert.ErrorContains(t, err, "system:serviceaccount:"+space+":default")
}

func TestAdmission(t *testing.T) {
	_, client := start(t)
	space := namespace(t, client)
	_, err := client.CoreV1().LimitRanges(space).Create(t.Context(), &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "defaults"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, DefaultRequest: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")},
		}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	create := func(spec corev1.PodSpec) (*corev1.Pod, error) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "tried"}, Spec: spec}
		return client.CoreV1().Pods(space).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	}

	sandbox, spec := "gvisor", podSpec()
	spec.RuntimeClassName = &sandbox
	pod, err := create(spec)
	require.NoError(t, err)
	assert.Equal(t, "gvisor", pod.Spec.NodeSelector["sandbox.gke.io/runtime"])
	assert.Equal(t, "100m", pod.Spec.Containers[0].Resources.Requests.Cpu().String())

	enforce := []byte(`{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}`)
	_, err = client.CoreV1().Namespaces().Patch(t.Context(), space, types.MergePatchType, enforce, metav1.PatchOptions{})
	require.NoError(t, err)
	spec.HostNetwork = true
	_, err = create(spec)
	assert.ErrorContains(t, err, "violates PodSecurity")

	_, err = client.CoreV1().ResourceQuotas(space).Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		_, err := create(podSpec())
		assert.ErrorContains(t, err, "exceeded quota: none")
	}, patience, 50*time.Millisecond)
}

func TestNamespaceDeletionFinishes(t *testing.T) {
	_, client := start(t)
	space := namespace(t, client)
	_, err := client.CoreV1().Pods(space).Create(
		t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "resident"}, Spec: podSpec()}, metav1.CreateOptions{},
	)
	require.NoError(t, err)
	require.NoError(t, client.CoreV1().Namespaces().Delete(t.Context(), space, metav1.DeleteOptions{}))
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		_, err := client.CoreV1().Namespaces().Get(context.Background(), space, metav1.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "namespace: %v", err)
	}, time.Minute, 100*time.Millisecond)
}
