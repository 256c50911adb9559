package stack_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// dryRun is for objects that nobody is to keep.
var dryRun = metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

// tryService lets the server's account create a spoilt Service, in a dry run.
func (c *conversation) tryService(ctx context.Context, spoil func(*corev1.Service)) (*corev1.Service, error) {
	service := c.service("-svc", "http", "execution-server", 8080)
	spoil(service)
	return c.client.CoreV1().Services(sandboxNamespace).Create(ctx, service, dryRun)
}

// tryClaim does the same with a volume.
func (c *conversation) tryClaim(ctx context.Context, spoil func(*corev1.PersistentVolumeClaim)) error {
	claim := c.claim()
	spoil(claim)
	_, err := c.client.CoreV1().PersistentVolumeClaims(sandboxNamespace).Create(ctx, claim, dryRun)
	return err
}

// tryIngress does the same with an Ingress.
func (c *conversation) tryIngress(ctx context.Context, spoil func(*networkingv1.Ingress)) error {
	ingress := c.ingress()
	spoil(ingress)
	_, err := c.client.NetworkingV1().Ingresses(sandboxNamespace).Create(ctx, ingress, dryRun)
	return err
}

// Objects with one thing wrong each. TestWhateverDiffersFromTheRuntimesShapesIsRefused has hundreds; these are those that somebody would try.
var (
	badServices = map[string]func(*corev1.Service){
		"a name elsewhere": func(s *corev1.Service) {
			s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.org"}
		},
		"addresses of others":    func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"10.64.0.3"} },
		"all sandboxes":          func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "openhands-runtime"} },
		"another conversation's": func(s *corev1.Service) { s.Spec.Selector["session"] = "other" },
		"no selector":            func(s *corev1.Service) { s.Spec.Selector = nil },
		"one port more": func(s *corev1.Service) {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "ssh", Port: 22})
		},
		"a network endpoint group": func(s *corev1.Service) {
			s.Annotations = map[string]string{"cloud.google.com/neg": `{"exposed_ports":{"8080":{}}}`}
		},
	}
	badClaims = map[string]func(*corev1.PersistentVolumeClaim){
		"a copy of another": func(p *corev1.PersistentVolumeClaim) {
			p.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "openhands-runtime-other-pvc"}
		},
		"a volume that exists": func(p *corev1.PersistentVolumeClaim) { p.Spec.VolumeName = "pvc-of-somebody" },
		"a volume by its labels": func(p *corev1.PersistentVolumeClaim) {
			p.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		},
		"a larger one": func(p *corev1.PersistentVolumeClaim) {
			p.Spec.Resources.Requests["storage"] = resource.MustParse("21Gi")
		},
		"a faster one":      func(p *corev1.PersistentVolumeClaim) { *p.Spec.StorageClassName = "premium-rwo" },
		"a name of its own": func(p *corev1.PersistentVolumeClaim) { p.Name = "archive" },
		"a finalizer":       func(p *corev1.PersistentVolumeClaim) { p.Finalizers = []string{"example.org/never"} },
	}
	badIngresses = map[string]func(*networkingv1.Ingress){
		"a class that is served": func(in *networkingv1.Ingress) { class := "gce"; in.Spec.IngressClassName = &class },
		"the old annotation":     func(in *networkingv1.Ingress) { in.Annotations["kubernetes.io/ingress.class"] = "gce" },
		"another host":           func(in *networkingv1.Ingress) { in.Spec.Rules[0].Host = "openhands.example.com" },
		"another Service": func(in *networkingv1.Ingress) {
			in.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "openhands-runtime-other-svc"
		},
		"all hosts": func(in *networkingv1.Ingress) { in.Spec.DefaultBackend = &in.Spec.Rules[0].HTTP.Paths[0].Backend },
		"a certificate": func(in *networkingv1.Ingress) {
			in.Spec.TLS = []networkingv1.IngressTLS{{SecretName: "somebodys"}}
		},
		"a finalizer": func(in *networkingv1.Ingress) { in.Finalizers = []string{"example.org/never"} },
	}
)

// TestOthersThanTheRuntimesObjectsAreRefused: the server's account may create Services, volumes and Ingresses, and so may whoever takes the server over.
func TestOthersThanTheRuntimesObjectsAreRefused(t *testing.T) {
	i := install(t)
	c := i.converse(t, "served")
	refused := func(what, policy string, err error) {
		t.Run(policy+" "+what, func(t *testing.T) {
			require.Truef(t, apierrors.IsForbidden(err), "%v", err)
			assert.Contains(t, err.Error(), fmt.Sprintf("ValidatingAdmissionPolicy '%s'", policy))
		})
	}
	for what, spoil := range badServices {
		_, err := c.tryService(t.Context(), spoil)
		refused(what, "openhands-services", err)
	}
	for what, spoil := range badClaims {
		refused(what, "openhands-volumes", c.tryClaim(t.Context(), spoil))
	}
	for what, spoil := range badIngresses {
		refused(what, "openhands-ingresses", c.tryIngress(t.Context(), spoil))
	}
	quota, err := i.admin.CoreV1().ResourceQuotas(sandboxNamespace).Get(t.Context(), "openhands-sandboxes", metav1.GetOptions{})
	require.NoError(t, err)
	services, ingresses := quota.Spec.Hard[corev1.ResourceServices], quota.Spec.Hard["count/ingresses.networking.k8s.io"]
	assert.Equal(t, []int64{88, 44}, []int64{services.Value(), ingresses.Value()}, "two and one for 22 sandboxes, and as many that a crash has left")
}

// TestWhatGKEAddsIsLetIn: to new objects before the policies see them, and to others later.
func TestWhatGKEAddsIsLetIn(t *testing.T) {
	i := install(t)
	c := i.converse(t, "managed")
	for _, added := range []string{`{"ingress":true}`, `{"ingress": true}`} {
		_, err := c.tryService(t.Context(), func(s *corev1.Service) { s.Annotations = map[string]string{"cloud.google.com/neg": added} })
		require.NoError(t, err)
	}
	_, err := i.tryPod(t.Context(), c, func(p *corev1.Pod) {
		p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "cloud.google.com/load-balancer-neg-ready"}}
	})
	require.NoError(t, err)
	require.NoError(t, c.start(t.Context()))
	t.Cleanup(func() { i.sweep(t) })
	const added = `{"metadata":{"labels":{"example.org/of":"a-controller"},"annotations":{"cloud.google.com/neg-status":"{}"},
		"finalizers":["example.org/of-a-controller"]}}`
	const removed = `{"metadata":{"finalizers":null}}`
	core, options := i.admin.CoreV1(), metav1.PatchOptions{}
	for _, body := range []string{added, removed} {
		_, err = core.Pods(sandboxNamespace).Patch(t.Context(), c.name(), types.MergePatchType, []byte(body), options)
		require.NoError(t, err)
		_, err = core.Services(sandboxNamespace).Patch(t.Context(), c.name()+"-svc", types.MergePatchType, []byte(body), options)
		require.NoError(t, err)
		_, err = core.PersistentVolumeClaims(sandboxNamespace).Patch(t.Context(), c.name()+"-pvc", types.MergePatchType, []byte(body), options)
		require.NoError(t, err)
		_, err = i.admin.NetworkingV1().Ingresses(sandboxNamespace).Patch(t.Context(), c.name()+"-ingress-code", types.MergePatchType, []byte(body), options)
		require.NoError(t, err)
	}
}

// TestNobodyChoosesTheAddressOfAService: one that another Service had may be in use still.
func TestNobodyChoosesTheAddressOfAService(t *testing.T) {
	c := install(t).converse(t, "addressed")
	for _, address := range []string{chosenAddress, corev1.ClusterIPNone} {
		service, err := c.tryService(t.Context(), func(s *corev1.Service) { s.Spec.ClusterIP, s.Spec.ClusterIPs = address, []string{address} })
		require.NoError(t, err)
		assert.NotEqual(t, address, service.Spec.ClusterIP)
	}
}

// chosenAddress is one of the range of Services.
const chosenAddress = "34.118.239.250"

// TestTheCleanUpWritesItsNotesOnly: its role lets it patch, which is more than it does.
func TestTheCleanUpWritesItsNotesOnly(t *testing.T) {
	i := install(t)
	c := i.converse(t, "noted")
	require.NoError(t, c.start(t.Context()))
	t.Cleanup(func() { i.sweep(t) })
	client, _ := i.as(t, appNamespace, "openhands-cleanup")
	patch := func(kind, body string) error {
		var err error
		options, core := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}, client.CoreV1()
		switch kind {
		case "pods":
			_, err = core.Pods(sandboxNamespace).Patch(t.Context(), c.name(), types.MergePatchType, []byte(body), options)
		case "services":
			_, err = core.Services(sandboxNamespace).Patch(t.Context(), c.name()+"-svc", types.MergePatchType, []byte(body), options)
		case "persistentvolumeclaims":
			_, err = core.PersistentVolumeClaims(sandboxNamespace).Patch(t.Context(), c.name()+"-pvc", types.MergePatchType, []byte(body), options)
		case "ingresses":
			_, err = client.NetworkingV1().Ingresses(sandboxNamespace).Patch(t.Context(), c.name()+"-ingress-code", types.MergePatchType, []byte(body), options)
		}
		return err
	}
	kinds := []string{"pods", "services", "persistentvolumeclaims", "ingresses"}
	for _, kind := range kinds {
		require.NoError(t, patch(kind, `{"metadata":{"annotations":{"openhands.dev/unused-since":"x","openhands.dev/unused-seen":"y"}}}`), kind)
		for what, body := range map[string]string{
			"annotation": `{"metadata":{"annotations":{"cloud.google.com/neg":"x"}}}`,
			"label":      `{"metadata":{"labels":{"session":"other"}}}`,
			"finalizer":  `{"metadata":{"finalizers":["example.org/never"]}}`,
			"owner":      `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Namespace","name":"x","uid":"x"}]}}`,
		} {
			t.Run(fmt.Sprintf("%s of %s", what, kind), func(t *testing.T) {
				assert.EventuallyWithT(t, func(t *assert.CollectT) {
					assert.ErrorContains(t, patch(kind, body), "the clean-up writes its notes, and changes nothing else")
				}, 15*time.Second, 100*time.Millisecond)
			})
		}
	}
	for kind, body := range map[string]string{
		"pods":                   `{"spec":{"activeDeadlineSeconds":1}}`,
		"services":               `{"spec":{"externalIPs":["10.64.0.3"]}}`,
		"persistentvolumeclaims": `{"spec":{"resources":{"requests":{"storage":"60Ti"}}}}`,
		"ingresses":              `{"spec":{"ingressClassName":"gce"}}`,
	} {
		t.Run("specification of "+kind, func(t *testing.T) {
			err := patch(kind, body)
			require.Error(t, err)
			assert.Contains(t, err.Error(), "orbidden", "refused, by whichever rule is first")
		})
	}
	assert.NoError(t, client.CoreV1().Pods(sandboxNamespace).Delete(context.Background(), c.name(), metav1.DeleteOptions{}), "which it may still do")
}

// TestPlaceholdersAreLetIn keeps a node warm: the controller of their ReplicaSet may make placeholders, and the server's account may not.
func TestPlaceholdersAreLetIn(t *testing.T) {
	i, err := newInstallation(t.Context(), map[string]string{"openhands:sandboxes.warm": "1"})
	require.NoError(t, err)
	var placeholder corev1.Pod
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		pods, err := i.admin.CoreV1().Pods(sandboxNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=openhands-warm"})
		assert.NoError(c, err)
		if assert.Len(c, pods.Items, 1) {
			placeholder = pods.Items[0]
		}
	}, 2*time.Minute, 200*time.Millisecond)
	client, _ := i.as(t, appNamespace, serverAccount)
	copied := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "copied", Labels: placeholder.Labels}, Spec: placeholder.Spec}
	copied.Spec.NodeName, copied.Spec.Priority = "", nil
	_, err = client.CoreV1().Pods(sandboxNamespace).Create(t.Context(), copied, dryRun)
	require.ErrorContains(t, err, "ValidatingAdmissionPolicy 'openhands-sandboxes'")
}
