package stack_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// conversation makes the calls that the Kubernetes runtime of OpenHands 0.62 makes for one conversation, with the objects that it makes, from the
// environment of the server (openhands/runtime/impl/kubernetes/kubernetes_runtime.py).
type conversation struct {
	client kubernetes.Interface
	env    map[string]string
	sid    string
}

// converse returns a conversation of the installation, with a token of the server's own service account.
func (i *installation) converse(t *testing.T, sid string) *conversation {
	t.Helper()
	client, _ := i.as(t, appNamespace, i.account)
	c, err := i.conversation(t.Context(), client, sid)
	require.NoError(t, err)
	return c
}

func (i *installation) conversation(ctx context.Context, client kubernetes.Interface, sid string) (*conversation, error) {
	environment, err := i.admin.CoreV1().ConfigMaps(appNamespace).Get(ctx, "openhands-environment", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return &conversation{client, environment.Data, sid}, nil
}

// awaitAdmission returns when the admission policies for new objects are in effect, which is some time after they exist.
func (i *installation) awaitAdmission(ctx context.Context) error {
	c, err := i.conversation(ctx, i.admin, "probe")
	if err != nil {
		return err
	}
	var missing []string
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		found, err := i.withoutEffect(ctx, c)
		if err != nil {
			return false, err // which may be the deadline's: what was missing before it is to be said
		}
		missing = found
		return len(missing) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("await admission policies: no effect of %q: %w", missing, err)
	}
	return nil
}

// withoutEffect tries what each admission policy should change or refuse, in dry runs, and names those that do not.
func (i *installation) withoutEffect(ctx context.Context, c *conversation) (missing []string, err error) {
	pod, err := i.tryPod(ctx, c, func(*corev1.Pod) {})
	if err != nil && !apierrors.IsForbidden(err) { // without the mutation, the validation may refuse it
		return nil, err
	}
	if err != nil || pod.Spec.RuntimeClassName == nil {
		missing = append(missing, "openhands-gvisor")
	}
	refusedBy := func(policy string, err error) {
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("ValidatingAdmissionPolicy '%s'", policy)) {
			missing = append(missing, policy)
		}
	}
	for _, bad := range []string{"foreign image", "node of its choice", "priority", "another's volume", "a finalizer", "two containers"} {
		_, err := i.tryPod(ctx, c, unmutated[bad])
		refusedBy("openhands-sandboxes", err)
	}
	for _, spoil := range badClaims {
		refusedBy("openhands-volumes", c.tryClaim(ctx, spoil))
	}
	for _, spoil := range badServices {
		_, err := c.tryService(ctx, spoil)
		refusedBy("openhands-services", err)
	}
	for _, spoil := range badIngresses {
		refusedBy("openhands-ingresses", c.tryIngress(ctx, spoil))
	}
	service, err := c.tryService(ctx, func(s *corev1.Service) { s.Spec.ClusterIP = chosenAddress })
	if err != nil || service.Spec.ClusterIP == chosenAddress {
		missing = append(missing, "openhands-addresses")
	}
	return missing, nil
}

func (c *conversation) name() string      { return "openhands-runtime-" + c.sid }
func (c *conversation) namespace() string { return c.env["KUBERNETES_NAMESPACE"] }

func (c *conversation) labels() map[string]string {
	return map[string]string{"app": "openhands-runtime", "session": c.sid}
}

func (c *conversation) claim() *corev1.PersistentVolumeClaim {
	class := c.env["KUBERNETES_PVC_STORAGE_CLASS"]
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: c.name() + "-pvc", Namespace: c.namespace()},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{"storage": resource.MustParse(c.env["KUBERNETES_PVC_STORAGE_SIZE"])},
			},
			StorageClassName: &class,
		},
	}
}

func (c *conversation) pod() (*corev1.Pod, error) {
	var tolerations []corev1.Toleration
	if err := yaml.Unmarshal([]byte(c.env["KUBERNETES_TOLERATIONS_YAML"]), &tolerations); err != nil {
		return nil, fmt.Errorf("KUBERNETES_TOLERATIONS_YAML: %w", err)
	}
	unprivileged := false
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: c.name(), Labels: c.labels()},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			NodeSelector:  map[string]string{c.env["KUBERNETES_NODE_SELECTOR_KEY"]: c.env["KUBERNETES_NODE_SELECTOR_VAL"]},
			Tolerations:   tolerations,
			Volumes: []corev1.Volume{{Name: "workspace-volume", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c.name() + "-pvc"},
			}}},
			Containers: []corev1.Container{{
				Name:  "runtime",
				Image: c.env["SANDBOX_RUNTIME_CONTAINER_IMAGE"],
				Command: []string{
					"/openhands/micromamba/bin/micromamba", "run", "-n", "openhands", "poetry", "run", "python", "-u", "-m",
					"openhands.runtime.action_execution_server", "8080",
				},
				Env:        []corev1.EnvVar{{Name: "port", Value: "8080"}, {Name: "PYTHONUNBUFFERED", Value: "1"}, {Name: "VSCODE_PORT", Value: "8081"}},
				WorkingDir: "/openhands/code/",
				Ports: []corev1.ContainerPort{
					{Name: "http", ContainerPort: 8080}, {Name: "vscode", ContainerPort: 8081}, {ContainerPort: 30082}, {ContainerPort: 30083},
				},
				VolumeMounts: []corev1.VolumeMount{{Name: "workspace-volume", MountPath: "/workspace"}},
				Resources: corev1.ResourceRequirements{
					Limits: corev1.ResourceList{"memory": resource.MustParse(c.env["KUBERNETES_RESOURCE_MEMORY_LIMIT"])},
					Requests: corev1.ResourceList{
						"cpu": resource.MustParse(c.env["KUBERNETES_RESOURCE_CPU_REQUEST"]), "memory": resource.MustParse(
							c.env["KUBERNETES_RESOURCE_MEMORY_REQUEST"],
						),
					},
				},
				ReadinessProbe: &corev1.Probe{
					ProbeHandler:        corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/alive", Port: intstr.FromInt32(8080)}},
					InitialDelaySeconds: 5, PeriodSeconds: 10, TimeoutSeconds: 5, SuccessThreshold: 1, FailureThreshold: 3,
				},
				SecurityContext: &corev1.SecurityContext{Privileged: &unprivileged},
			}},
		},
	}, nil
}

func (c *conversation) service(suffix, port, name string, number int32) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: c.name() + suffix},
		Spec: corev1.ServiceSpec{
			Selector: c.labels(), Type: corev1.ServiceTypeClusterIP,
			Ports: []corev1.ServicePort{{Name: name, Port: number, TargetPort: intstr.FromString(port)}},
		},
	}
}

func (c *conversation) ingress() *networkingv1.Ingress {
	prefix, host := networkingv1.PathTypePrefix, c.sid+"."+c.env["KUBERNETES_INGRESS_DOMAIN"]
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: c.name() + "-ingress-code", Annotations: map[string]string{"external-dns.alpha.kubernetes.io/hostname": host}},
		Spec: networkingv1.IngressSpec{
			TLS: []networkingv1.IngressTLS{},
			Rules: []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &prefix, Backend: networkingv1.IngressBackend{
					Service: &networkingv1.IngressServiceBackend{Name: c.name() + "-svc-code", Port: networkingv1.ServiceBackendPort{Number: 8081}},
				}}},
			}}}},
		},
	}
}

// start makes the calls up to the ready pod: the runtime first looks for a pod and a volume of the conversation.
func (c *conversation) start(ctx context.Context) error {
	pods, claims := c.client.CoreV1().Pods(c.namespace()), c.client.CoreV1().PersistentVolumeClaims(c.namespace())
	if _, err := pods.Get(ctx, c.name(), metav1.GetOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if _, err := claims.Get(ctx, c.name()+"-pvc", metav1.GetOptions{}); apierrors.IsNotFound(err) {
		if _, err := claims.Create(ctx, c.claim(), metav1.CreateOptions{}); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	pod, err := c.pod()
	if err != nil {
		return err
	}
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return err
	}
	for _, service := range []*corev1.Service{c.service("-svc", "http", "execution-server", 8080), c.service("-svc-code", "vscode", "code", 8081)} {
		if _, err := c.client.CoreV1().Services(c.namespace()).Create(ctx, service, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	if _, err := c.client.NetworkingV1().Ingresses(c.namespace()).Create(ctx, c.ingress(), metav1.CreateOptions{}); err != nil {
		return err
	}
	var last *corev1.Pod
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		if last, err = pods.Get(ctx, c.name(), metav1.GetOptions{}); err != nil {
			return false, err
		}
		for _, condition := range last.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil && last != nil {
		return fmt.Errorf("the sandbox is not ready: %+v: %w", last.Status, err)
	}
	return err
}

// stop makes the calls at the end of a conversation. forget is for one that is deleted in the web page: its volume goes too.
func (c *conversation) stop(ctx context.Context, forget bool) error {
	if forget {
		if err := c.client.CoreV1().PersistentVolumeClaims(c.namespace()).Delete(ctx, c.name()+"-pvc", metav1.DeleteOptions{}); err != nil {
			return err
		}
	}
	if err := c.client.CoreV1().Pods(c.namespace()).Delete(ctx, c.name(), metav1.DeleteOptions{}); err != nil {
		return err
	}
	for _, suffix := range []string{"-svc", "-svc-code"} {
		if err := c.client.CoreV1().Services(c.namespace()).Delete(ctx, c.name()+suffix, metav1.DeleteOptions{}); err != nil {
			return err
		}
	}
	return c.client.NetworkingV1().Ingresses(c.namespace()).Delete(ctx, c.name()+"-ingress-code", metav1.DeleteOptions{})
}
