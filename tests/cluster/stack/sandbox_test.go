package stack_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestASandboxComesOutIsolated(t *testing.T) {
	i := install(t)
	c := i.converse(t, "isolated")
	require.NoError(t, c.start(t.Context()))
	t.Cleanup(func() { i.sweep(t) })
	pod, err := i.admin.CoreV1().Pods(sandboxNamespace).Get(t.Context(), c.name(), metav1.GetOptions{})
	require.NoError(t, err)

	assert.Equal(t, "gvisor", *pod.Spec.RuntimeClassName)
	assert.Equal(
		t, map[string]string{"openhands.dev/pool": "sandbox", "sandbox.gke.io/runtime": "gvisor"}, pod.Spec.NodeSelector,
		"the RuntimeClass adds its own",
	)
	var tolerated []string
	for _, toleration := range pod.Spec.Tolerations {
		tolerated = append(tolerated, toleration.Key)
	}
	assert.Subset(t, tolerated, []string{"openhands.dev/sandbox", "sandbox.gke.io/runtime"})
	assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.Spec.SecurityContext.SeccompProfile.Type)

	assert.Equal(t, corev1.RestartPolicyAlways, pod.Spec.RestartPolicy, "a sandbox that is killed for its memory comes back")
	assert.Equal(t, "default", pod.Spec.ServiceAccountName)
	assert.False(t, *pod.Spec.AutomountServiceAccountToken)
	require.Len(t, pod.Spec.Volumes, 1, "no token")
	assert.NotNil(t, pod.Spec.Volumes[0].PersistentVolumeClaim)

	limits := pod.Spec.Containers[0].Resources.Limits
	assert.Equal(t, "4", limits.Cpu().String(), "which the runtime cannot set")
	assert.Equal(t, "3Gi", limits.Memory().String())
	assert.Equal(t, "10Gi", limits.StorageEphemeral().String())
	node, err := i.admin.CoreV1().Nodes().Get(t.Context(), pod.Spec.NodeName, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "sandbox", node.Labels["openhands.dev/pool"])
}

// badPods are what must not run among the sandboxes, as changes of the pod that the runtime makes, with what the API server says.
var badPods = []struct {
	what  string
	spoil func(*corev1.PodSpec)
	says  string
}{
	// Pod Security.
	{"privileged", func(p *corev1.PodSpec) { *p.Containers[0].SecurityContext.Privileged = true }, `violates PodSecurity "baseline:latest": privileged`},
	{"files of the node", func(p *corev1.PodSpec) {
		p.Volumes = append(p.Volumes, corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
	}, "hostPath volumes"},
	{"network of the node", func(p *corev1.PodSpec) { p.HostNetwork = true; p.Containers[0].Ports = nil }, "host namespaces"},
	{"processes of the node", func(p *corev1.PodSpec) { p.HostPID = true }, "host namespaces"},
	{"shared memory of the node", func(p *corev1.PodSpec) { p.HostIPC = true }, "host namespaces"},
	{"port of the node", func(p *corev1.PodSpec) { p.Containers[0].Ports[0].HostPort = 8080 }, "hostPort"},
	{"more capabilities", func(p *corev1.PodSpec) {
		p.Containers[0].SecurityContext.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}}
	}, "non-default capabilities"},

	// The program's policy.
	{"another service account", func(p *corev1.PodSpec) { p.ServiceAccountName = "other" }, "a sandbox has the service account default"},
	{"foreign image", func(p *corev1.PodSpec) { p.Containers[0].Image = "docker.io/library/alpine:3" }, "images from the registry of this installation only"},
	{"image of the mirror that is no sandbox", func(p *corev1.PodSpec) {
		p.Containers[0].Image = "us-central1-docker.pkg.dev/my-openhands-prod/openhands-prod-ghcr/somebody/miner:1"
	}, "images from the registry of this installation only"},
	{"image whose name begins alike", func(p *corev1.PodSpec) {
		p.Containers[0].Image = strings.Replace(p.Containers[0].Image, "/runtime:", "/runtime-of-somebody:", 1)
	}, "images from the registry of this installation only"},
	{"foreign image before the start", func(p *corev1.PodSpec) {
		p.InitContainers = []corev1.Container{{Name: "init", Image: "docker.io/library/alpine:3"}}
	}, "images from the registry of this installation only"},
	{"token", func(p *corev1.PodSpec) { yes := true; p.AutomountServiceAccountToken = &yes }, "the volume of its conversation, and no other"},
	{"projected token", func(p *corev1.PodSpec) {
		p.Volumes = append(p.Volumes, corev1.Volume{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}},
		}}})
	}, "the volume of its conversation, and no other"},
	{"volume of another kind", func(p *corev1.PodSpec) {
		p.Volumes = append(p.Volumes, corev1.Volume{Name: "nfs", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "x"}}})
	}, "the volume of its conversation, and no other"},
	{"node of its choice", func(p *corev1.PodSpec) { p.NodeName = "openhands-app-0" }, "the scheduler chooses the node"},
	{"priority over others", func(p *corev1.PodSpec) { p.PriorityClassName = "system-cluster-critical" }, "no priority over others"},

	// The limits.
	{"more CPU", func(p *corev1.PodSpec) { p.Containers[0].Resources.Limits["cpu"] = resource.MustParse("8") }, "maximum cpu usage per Container is 4"},
	{"more disk of the node", func(p *corev1.PodSpec) {
		p.Containers[0].Resources.Limits["ephemeral-storage"] = resource.MustParse("50Gi")
	}, "maximum ephemeral-storage usage per Container is 10Gi"},
	{
		"more memory", func(p *corev1.PodSpec) { p.Containers[0].Resources.Limits["memory"] = resource.MustParse("30Gi") },
		"maximum memory usage per Container is 3Gi",
	},
}

// inSpec is a change of a pod's specification.
func inSpec(spoil func(*corev1.PodSpec)) func(*corev1.Pod) {
	return func(p *corev1.Pod) { spoil(&p.Spec) }
}

// tryPod lets the server's account create a spoilt pod, in a dry run.
func (i *installation) tryPod(ctx context.Context, c *conversation, spoil func(*corev1.Pod)) (*corev1.Pod, error) {
	pod, err := c.pod()
	if err != nil {
		return nil, err
	}
	spoil(pod)
	return c.client.CoreV1().Pods(sandboxNamespace).Create(ctx, pod, dryRun)
}

func TestBadPodsAreRefused(t *testing.T) {
	i := install(t)
	_, err := i.admin.CoreV1().ServiceAccounts(sandboxNamespace).Create(
		t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, metav1.CreateOptions{},
	)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, i.admin.CoreV1().ServiceAccounts(sandboxNamespace).Delete(context.Background(), "other", metav1.DeleteOptions{}))
	})
	c := i.converse(t, "bad")
	_, err = i.tryPod(t.Context(), c, func(*corev1.Pod) {})
	require.NoError(t, err, "the runtime's own pod")
	for _, bad := range badPods {
		t.Run(bad.what, func(t *testing.T) {
			_, err := i.tryPod(t.Context(), c, inSpec(bad.spoil))
			require.Error(t, err)
			assert.True(t, apierrors.IsForbidden(err), "%v", err)
			assert.Contains(t, err.Error(), bad.says)
		})
	}
}

// TestNobodyAddsAContainerToASandbox: not even who may, with an image from elsewhere.
func TestNobodyAddsAContainerToASandbox(t *testing.T) {
	i := install(t)
	c := i.converse(t, "debugged")
	require.NoError(t, c.start(t.Context()))
	t.Cleanup(func() { i.sweep(t) })
	pods := i.admin.CoreV1().Pods(sandboxNamespace)
	pod, err := pods.Get(t.Context(), c.name(), metav1.GetOptions{})
	require.NoError(t, err)
	pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		Name: "debug", Image: "docker.io/library/alpine:3", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}}}
	_, err = pods.UpdateEphemeralContainers(t.Context(), pod.Name, pod, metav1.UpdateOptions{})
	require.ErrorContains(t, err, "images from the registry of this installation only")
	pod, err = pods.Get(t.Context(), c.name(), metav1.GetOptions{})
	require.NoError(t, err)
	pod.Spec.Containers[0].Image = "docker.io/library/alpine:3"
	_, err = pods.Update(t.Context(), pod, metav1.UpdateOptions{})
	require.ErrorContains(t, err, "images from the registry of this installation only")
}

func TestTheNumberOfSandboxesIsCapped(t *testing.T) {
	i := install(t)
	t.Cleanup(func() { i.sweep(t) })
	const most = 20 + 2 // sandboxes.max of prod, and room for those on their way out
	for n := range most + 1 {
		c := i.converse(t, fmt.Sprintf("n%d", n))
		pod, err := c.pod()
		require.NoError(t, err)
		_, err = c.client.CoreV1().Pods(sandboxNamespace).Create(t.Context(), pod, metav1.CreateOptions{})
		if n < most {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "exceeded quota: openhands-sandboxes, requested: pods=1, used: pods=22, limited: pods=22")
	}
}

// TestVolumesKeepTheirSize: and their class, and there is a number of them.
func TestVolumesKeepTheirSize(t *testing.T) {
	i := install(t)
	c := i.converse(t, "big")
	require.NoError(t, c.tryClaim(t.Context(), func(*corev1.PersistentVolumeClaim) {}))
	require.ErrorContains(t, c.tryClaim(t.Context(), badClaims["a larger one"]), "a volume of 20 GiB")
	require.ErrorContains(t, c.tryClaim(t.Context(), badClaims["a faster one"]), "a volume of the class standard-rwo")
	quota, err := i.admin.CoreV1().ResourceQuotas(sandboxNamespace).Get(t.Context(), "openhands-sandboxes", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "400", quota.Spec.Hard.Name("persistentvolumeclaims", resource.DecimalSI).String())
}

// TestASandboxIsNotServed: what the server's account may create must not open a way in from the internet.
func TestASandboxIsNotServed(t *testing.T) {
	c := install(t).converse(t, "served")
	for _, what := range []string{"a class that is served", "the old annotation"} {
		require.ErrorContains(t, c.tryIngress(t.Context(), badIngresses[what]), "a sandbox is not served to the internet")
	}
	for _, kind := range []corev1.ServiceType{corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort} {
		_, err := c.tryService(t.Context(), func(s *corev1.Service) { s.Spec.Type = kind })
		require.ErrorContains(t, err, "a Service of a sandbox is reached inside of the cluster")
	}
}

// TestEveryValidationIsNeeded takes one condition after the other out of the policies: without it some bad object is let in.
func TestEveryValidationIsNeeded(t *testing.T) {
	i := install(t)
	_, err := i.admin.CoreV1().ServiceAccounts(sandboxNamespace).Create(
		t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, metav1.CreateOptions{},
	)
	require.NoError(t, err)
	mutation, err := i.admin.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Get(t.Context(), "openhands-gvisor", metav1.GetOptions{})
	require.NoError(t, err)
	// Without the mutation, so that the conditions on what it sets have something to refuse.
	require.NoError(t, i.admin.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Delete(t.Context(), mutation.Name, metav1.DeleteOptions{}))
	t.Cleanup(func() {
		mutation.ResourceVersion = ""
		_, err := i.admin.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Create(context.Background(), mutation, metav1.CreateOptions{})
		require.NoError(t, err)
		require.NoError(t, i.admin.CoreV1().ServiceAccounts(sandboxNamespace).Delete(context.Background(), "other", metav1.DeleteOptions{}))
		require.NoError(t, i.awaitAdmission(context.Background()))
	})
	c := i.converse(t, "unvalidated")
	for _, of := range []struct {
		policy string
		letIn  func(context.Context) []string
	}{
		{"openhands-sandboxes", func(ctx context.Context) []string {
			return letIn(unmutated, func(spoil func(*corev1.Pod)) error { _, err := i.tryPod(ctx, c, spoil); return err })
		}},
		{"openhands-services", func(ctx context.Context) []string {
			return letIn(badServices, func(spoil func(*corev1.Service)) error { _, err := c.tryService(ctx, spoil); return err })
		}},
		{"openhands-volumes", func(ctx context.Context) []string {
			return letIn(badClaims, func(spoil func(*corev1.PersistentVolumeClaim)) error { return c.tryClaim(ctx, spoil) })
		}},
		{"openhands-ingresses", func(ctx context.Context) []string {
			return letIn(badIngresses, func(spoil func(*networkingv1.Ingress)) error { return c.tryIngress(ctx, spoil) })
		}},
	} {
		policies := i.admin.AdmissionregistrationV1().ValidatingAdmissionPolicies()
		before, err := policies.Get(t.Context(), of.policy, metav1.GetOptions{})
		require.NoError(t, err)
		set := func(t *testing.T, validations []admissionv1.Validation) {
			t.Helper()
			policy, err := policies.Get(context.Background(), of.policy, metav1.GetOptions{})
			require.NoError(t, err)
			policy.Spec.Validations = validations
			_, err = policies.Update(context.Background(), policy, metav1.UpdateOptions{})
			require.NoError(t, err)
		}
		t.Cleanup(func() { set(t, before.Spec.Validations) })
		for n, validation := range before.Spec.Validations {
			t.Run(validation.Message, func(t *testing.T) {
				set(t, before.Spec.Validations)
				require.Eventually(
					t, func() bool { return len(of.letIn(t.Context())) == 0 }, 15*time.Second, 100*time.Millisecond,
					"with all, no bad object is let in",
				)
				set(t, slices.Delete(slices.Clone(before.Spec.Validations), n, n+1))
				require.Eventually(t, func() bool { return len(of.letIn(t.Context())) > 0 }, 15*time.Second, 100*time.Millisecond, "without it, one is")
			})
		}
	}
}

// letIn tries objects with one thing wrong each, and names those that are let in.
func letIn[T any](bad map[string]func(T), try func(func(T)) error) (names []string) {
	for what, spoil := range bad {
		if try(spoil) == nil {
			names = append(names, what)
		}
	}
	return names
}

// unmutated are pods with one thing wrong each, where nothing sets it right.
var unmutated = map[string]func(*corev1.Pod){
	"no gVisor":               func(p *corev1.Pod) { mutated(p); p.Spec.RuntimeClassName = nil },
	"token":                   func(p *corev1.Pod) { mutated(p); p.Spec.AutomountServiceAccountToken = nil },
	"another service account": func(p *corev1.Pod) { mutated(p); p.Spec.ServiceAccountName = "other" },
	"foreign image":           func(p *corev1.Pod) { mutated(p); p.Spec.Containers[0].Image = "docker.io/library/alpine:3" },
	"node of its choice":      func(p *corev1.Pod) { mutated(p); p.Spec.NodeName = "openhands-app-0" },
	"priority":                func(p *corev1.Pod) { mutated(p); p.Spec.PriorityClassName = "system-cluster-critical" },
	"another's volume": func(p *corev1.Pod) {
		mutated(p)
		p.Spec.Volumes[0].PersistentVolumeClaim.ClaimName = "openhands-runtime-other-pvc"
	},
	"a name that nobody looks for": func(p *corev1.Pod) { mutated(p); p.Labels["session"] = "other" },
	"a finalizer":                  func(p *corev1.Pod) { mutated(p); p.Finalizers = []string{"example.org/never"} },
	"two containers": func(p *corev1.Pod) {
		mutated(p)
		second := *p.Spec.Containers[0].DeepCopy()
		second.Name, second.Ports = "second", nil
		p.Spec.Containers = append(p.Spec.Containers, second)
	},
	"variables of a Secret": func(p *corev1.Pod) {
		mutated(p)
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "x"}}},
		}
	},
	"next to no request": func(p *corev1.Pod) {
		mutated(p)
		p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("1m")
	},
	"a grace of years": func(p *corev1.Pod) {
		mutated(p)
		years := int64(1 << 31)
		p.Spec.TerminationGracePeriodSeconds = &years
	},
	"nodes of the application": func(p *corev1.Pod) {
		mutated(p)
		p.Spec.NodeSelector = map[string]string{"openhands.dev/pool": "app"}
	},
	"every taint": func(p *corev1.Pod) {
		mutated(p)
		p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Operator: corev1.TolerationOpExists})
	},
	"a word to gVisor": func(p *corev1.Pod) {
		mutated(p)
		p.Annotations = map[string]string{"dev.gvisor.internal.nvproxy": "true"}
	},
}

// mutated does by hand what the mutation does.
func mutated(p *corev1.Pod) {
	class, no := "gvisor", false
	p.Spec.RuntimeClassName, p.Spec.AutomountServiceAccountToken, p.Spec.RestartPolicy = &class, &no, corev1.RestartPolicyAlways
	p.Spec.SecurityContext = &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
}
