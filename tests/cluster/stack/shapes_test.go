package stack_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestServicesAreTheRuntimesOnly: the server's account may create Services, and so may whoever takes the server over.
func TestServicesAreTheRuntimesOnly(t *testing.T) {
	i := install(t)
	c := i.converse(t, "served")
	create := func(spoil func(*corev1.Service)) error {
		service := c.service("-svc", "http", "execution-server", 8080)
		spoil(service)
		_, err := c.client.CoreV1().Services(sandboxNamespace).Create(t.Context(), service, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	require.NoError(t, create(func(*corev1.Service) {}), "the runtime's own")
	for _, added := range []string{`{"ingress":true}`, `{"ingress": true}`} {
		require.NoError(t, create(func(s *corev1.Service) { s.Annotations = map[string]string{"cloud.google.com/neg": added} }), "as GKE makes of it")
	}
	for what, spoil := range map[string]func(*corev1.Service){
		"a name elsewhere": func(s *corev1.Service) {
			s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.org"}
		},
		"addresses of others":    func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"10.64.0.3"} },
		"all sandboxes":          func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "openhands-runtime"} },
		"another conversation's": func(s *corev1.Service) { s.Spec.Selector["session"] = "other" },
		"a selector of its own":  func(s *corev1.Service) { s.Spec.Selector["x"] = "y" },
		"no selector":            func(s *corev1.Service) { s.Spec.Selector = nil },
		"a name of its own":      func(s *corev1.Service) { s.Name = "door" },
		"one port more": func(s *corev1.Service) {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "ssh", Port: 22})
		},
		"a network endpoint group": func(s *corev1.Service) {
			s.Annotations = map[string]string{"cloud.google.com/neg": `{"exposed_ports":{"8080":{}}}`}
		},
		"a name in somebody's DNS zone": func(s *corev1.Service) {
			s.Annotations = map[string]string{"external-dns.alpha.kubernetes.io/hostname": "x.example.org"}
		},
	} {
		t.Run(what, func(t *testing.T) {
			err := create(spoil)
			require.Truef(t, apierrors.IsForbidden(err), "%v", err)
			assert.Contains(t, err.Error(), "ValidatingAdmissionPolicy 'openhands-services'")
		})
	}
	quota, err := i.admin.CoreV1().ResourceQuotas(sandboxNamespace).Get(t.Context(), "openhands-sandboxes", metav1.GetOptions{})
	require.NoError(t, err)
	services, ingresses := quota.Spec.Hard[corev1.ResourceServices], quota.Spec.Hard["count/ingresses.networking.k8s.io"]
	assert.Equal(t, []int64{88, 44}, []int64{services.Value(), ingresses.Value()}, "two and one for 22 sandboxes, and as many that a crash has left")
}

// TestVolumesAreTheRuntimesOnly: a claim of another shape reads a volume of somebody else, or is of a class that is not the sandboxes'.
func TestVolumesAreTheRuntimesOnly(t *testing.T) {
	i := install(t)
	c := i.converse(t, "kept")
	create := func(spoil func(*corev1.PersistentVolumeClaim)) error {
		claim := c.claim()
		spoil(claim)
		_, err := c.client.CoreV1().PersistentVolumeClaims(sandboxNamespace).Create(t.Context(), claim, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	require.NoError(t, create(func(*corev1.PersistentVolumeClaim) {}), "the runtime's own")
	raw, class := corev1.PersistentVolumeBlock, "premium-rwo"
	for what, spoil := range map[string]func(*corev1.PersistentVolumeClaim){
		"another class, by the old annotation": func(p *corev1.PersistentVolumeClaim) {
			p.Annotations = map[string]string{"volume.beta.kubernetes.io/storage-class": class}
		},
		"a copy of another": func(p *corev1.PersistentVolumeClaim) {
			p.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "openhands-runtime-other-pvc"}
		},
		"a volume that exists": func(p *corev1.PersistentVolumeClaim) { p.Spec.VolumeName = "pvc-of-somebody" },
		"a volume by its labels": func(p *corev1.PersistentVolumeClaim) {
			p.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		},
		"a raw device": func(p *corev1.PersistentVolumeClaim) { p.Spec.VolumeMode = &raw },
		"for many nodes": func(p *corev1.PersistentVolumeClaim) {
			p.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
		},
		"a name of its own": func(p *corev1.PersistentVolumeClaim) { p.Name = "archive" },
		"labels":            func(p *corev1.PersistentVolumeClaim) { p.Labels = map[string]string{"app": "openhands-runtime"} },
	} {
		t.Run(what, func(t *testing.T) {
			err := create(spoil)
			require.Truef(t, apierrors.IsForbidden(err), "%v", err)
			assert.Contains(t, err.Error(), "ValidatingAdmissionPolicy 'openhands-volumes'")
		})
	}
}

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
	_, err = client.CoreV1().Pods(sandboxNamespace).Create(t.Context(), copied, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	require.ErrorContains(t, err, "ValidatingAdmissionPolicy 'openhands-sandboxes'")
}
