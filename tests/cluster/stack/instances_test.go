package stack_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const instanceNamespace = "openhands-instances"

// instancePlace is the pod of an instance.
func instancePlace(name, address string) place {
	return place{
		what: "instance of " + name, namespace: instanceNamespace, address: address, labels: map[string]string{
			"app.kubernetes.io/name": "openhands", "app.kubernetes.io/component": "instance", "openhands.dev/instance": name,
		},
	}
}

var (
	alice    = instancePlace("alice", "10.16.4.2")
	platform = instancePlace("platform", "10.16.4.3")
	beside   = place{what: "stray pod beside the instances", namespace: instanceNamespace, labels: map[string]string{"app": "debug"}, address: "10.16.4.4"}
)

// instanceRows are who may talk to whom in a stack of instances. An agent in one is whoever has written to it.
var instanceRows = []connection{
	// To an instance: the door, and there only the page's port. The others ask nobody for a key, or listen for it alone.
	{door, alice, tcp, 8000, true}, {door, platform, tcp, 8000, true}, {door, alice, tcp, 18000, false}, {door, alice, tcp, 18001, false},
	{door, alice, tcp, 8001, false},
	{platform, alice, tcp, 8000, false}, {beside, alice, tcp, 8000, false}, {stray, alice, tcp, 8000, false}, {cleaner, alice, tcp, 8000, false},
	{loadBalancer1, alice, tcp, 8000, false}, {node, alice, tcp, 8000, false}, {internet, alice, tcp, 8000, false}, {elsewhere, alice, tcp, 8000, false},

	// From an instance: the internet, and names.
	{alice, internet, tcp, 443, true}, {alice, internet, tcp, 22, true}, {alice, kubeDNS, udp, 53, true}, {alice, nodeDNS, udp, 53, true},
	{alice, platform, tcp, 8000, false}, {alice, platform, tcp, 18000, false}, {alice, door, tcp, 8080, false}, {alice, beside, tcp, 80, false},
	{alice, metadata, tcp, 80, false}, {alice, metadata, tcp, 988, false}, {alice, apiServer, tcp, 443, false}, {alice, apiService, tcp, 443, false},
	{alice, node, tcp, 10250, false}, {alice, corporate, tcp, 443, false}, {alice, carrier, tcp, 443, false}, {alice, classE, tcp, 443, false},
	{alice, documentation, tcp, 443, false}, {alice, relay, tcp, 443, false}, {alice, metrics, tcp, 443, false}, {alice, elsewhere, tcp, 80, false},
	{alice, cleaner, tcp, 80, false},
	{beside, internet, tcp, 443, false},

	// The door and the clean-up.
	{loadBalancer1, door, tcp, 8080, true}, {loadBalancer1, door, tcp, 3000, false}, {internet, door, tcp, 8080, false}, {stray, door, tcp, 8080, false},
	{door, internet, tcp, 443, true}, {door, apiServer, tcp, 443, false}, {door, metadata, tcp, 80, false}, {door, beside, tcp, 8000, false},
	{cleaner, apiServer, tcp, 443, true}, {cleaner, internet, tcp, 443, false}, {cleaner, metadata, tcp, 80, false},
	{stray, internet, tcp, 443, false},
}

// checkInstances looks at the pods that Kubernetes' own controller makes of the StatefulSets, past Pod Security, and at their volumes.
func (i *installation) checkInstances(t *testing.T) {
	t.Helper()
	for _, want := range []place{alice, platform} {
		name := want.labels["openhands.dev/instance"]
		var pod *corev1.Pod
		require.Eventually(t, func() bool {
			var err error
			pod, err = i.admin.CoreV1().Pods(instanceNamespace).Get(t.Context(), name+"-0", metav1.GetOptions{})
			return err == nil
		}, time.Minute, 200*time.Millisecond, "no pod of %s is let in", name)
		for label, value := range want.labels {
			assert.Equal(t, value, pod.Labels[label])
		}
		require.NotNil(t, pod.Spec.RuntimeClassName)
		assert.Equal(t, "gvisor", *pod.Spec.RuntimeClassName)
		assert.False(t, *pod.Spec.AutomountServiceAccountToken)
		for _, volume := range pod.Spec.Volumes {
			assert.Nil(t, volume.Projected, "it has a token")
			if claim := volume.PersistentVolumeClaim; claim != nil {
				assert.Equal(t, name, claim.ClaimName)
			}
		}
		claim, err := i.admin.CoreV1().PersistentVolumeClaims(instanceNamespace).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, name, claim.Labels["openhands.dev/instance"])
	}
}

// TestEachRuleOfTheInstancesIsNeeded takes the policies of the instances apart: with any of them gone, or a rule opened, the table of connections says so.
func TestEachRuleOfTheInstancesIsNeeded(t *testing.T) {
	// Nothing here needs a cluster: what the API server had is in TestStacks.
	protocol, port := tcp, intstr.FromInt32(8000)
	open := networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: instanceNamespace, Name: "open"},
		Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{"Ingress"},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				Ports: []networkingv1.NetworkPolicyPort{{Protocol: &protocol, Port: &port}},
				From:  []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}},
			}},
		},
	}
	assert.Contains(t, wrongIn([]networkingv1.NetworkPolicy{open}, instanceRows), connection{platform, alice, tcp, 8000, false}.String()+" is otherwise")
}
