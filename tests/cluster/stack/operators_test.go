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
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
)

// person returns a client of somebody whom the Connect gateway lets through: the API server hears a name, and the groups that Google knows.
func (i *installation) person(t *testing.T, name string, groups ...string) (kubernetes.Interface, *rest.Config) {
	t.Helper()
	config := i.cluster.Admin()
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: groups}
	config.QPS, config.Burst = 200, 200
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client, config
}

// TestWhatOperatorsMayDo asks the API server for all that operators may do, and for what they must not.
func TestWhatOperatorsMayDo(t *testing.T) {
	i := install(t)
	view, err := i.admin.RbacV1().ClusterRoles().Get(t.Context(), "view", metav1.GetOptions{})
	require.NoError(t, err)
	var seeing []string
	for _, rule := range view.Rules {
		assert.Subset(t, []string{"get", "list", "watch"}, rule.Verbs, "who sees changes nothing")
		for _, resource := range rule.Resources {
			seeing = append(seeing, inWords(rule.Verbs, rule.APIGroups, resource))
		}
	}
	doing := map[string][]string{
		appNamespace:     {"create,get pods/portforward", "delete pods"},
		sandboxNamespace: {"delete pods"},
	}
	for who, groups := range map[string][]string{operator: nil, "bob@example.com": {"all@example.com", operatorGroup}} {
		t.Run(who, func(t *testing.T) {
			client, _ := i.person(t, who, groups...)
			for namespace, calls := range doing {
				assert.Equal(t, slices.Sorted(slices.Values(slices.Concat(seeing, calls))), mayDo(t, client, namespace))
			}
			assert.Empty(t, mayDo(t, client, "default"))
			assert.Empty(t, mayDo(t, client, "kube-system"))
			for _, c := range []struct {
				namespace, verb, group, resource string
				allowed                          bool
			}{
				{appNamespace, "list", "", "pods", true},
				{appNamespace, "get", "", "pods/log", true},
				{appNamespace, "get", "", "services", true},
				{appNamespace, "get", "", "configmaps", true},
				{appNamespace, "list", "", "events", true},
				{appNamespace, "get", "apps", "deployments", true},
				{appNamespace, "get", "", "pods/portforward", true},
				{appNamespace, "create", "", "pods/portforward", true},
				{appNamespace, "delete", "", "pods", true},
				{sandboxNamespace, "list", "", "pods", true},
				{sandboxNamespace, "get", "", "pods/log", true},
				{sandboxNamespace, "list", "", "resourcequotas", true},
				{sandboxNamespace, "delete", "", "pods", true},

				// What shows the server's Secret.
				{appNamespace, "get", "", "secrets", false},
				{appNamespace, "list", "", "secrets", false},
				{appNamespace, "watch", "", "secrets", false},
				{appNamespace, "get", "", "pods/exec", false},
				{appNamespace, "create", "", "pods/exec", false},
				{appNamespace, "create", "", "pods/attach", false},
				{appNamespace, "get", "", "pods/proxy", false},
				{appNamespace, "get", "", "services/proxy", false},
				{appNamespace, "patch", "", "pods/ephemeralcontainers", false},
				{appNamespace, "create", "", "serviceaccounts/token", false},
				{appNamespace, "create", "", "pods", false},
				{appNamespace, "patch", "", "pods", false},
				{appNamespace, "create", "batch", "jobs", false},
				{appNamespace, "patch", "apps", "deployments", false},
				{appNamespace, "update", "apps", "deployments", false},
				{appNamespace, "patch", "apps", "deployments/scale", false},
				{appNamespace, "patch", "", "configmaps", false},
				{appNamespace, "create", "rbac.authorization.k8s.io", "rolebindings", false},
				{appNamespace, "deletecollection", "", "pods", false},

				// What reaches a sandbox, or takes what holds it away.
				{sandboxNamespace, "create", "", "pods/portforward", false},
				{sandboxNamespace, "get", "", "pods/portforward", false},
				{sandboxNamespace, "create", "", "pods/exec", false},
				{sandboxNamespace, "get", "", "pods/proxy", false},
				{sandboxNamespace, "create", "", "pods", false},
				{sandboxNamespace, "patch", "", "pods", false},
				{sandboxNamespace, "get", "", "secrets", false},
				{sandboxNamespace, "delete", "", "persistentvolumeclaims", false},
				{sandboxNamespace, "delete", "networking.k8s.io", "networkpolicies", false},

				// Elsewhere.
				{"kube-system", "list", "", "pods", false},
				{"kube-system", "get", "", "secrets", false},
				{"default", "create", "", "pods", false},
				{"", "list", "", "namespaces", false},
				{"", "list", "", "nodes", false},
				{"", "get", "", "nodes/proxy", false},
				{"", "list", "", "secrets", false},
				{"", "impersonate", "", "users", false},
				{"", "delete", "admissionregistration.k8s.io", "validatingadmissionpolicies", false},
			} {
				allowed, err := may(t.Context(), client, c.namespace, c.verb, c.group, c.resource)
				require.NoError(t, err)
				assert.Equalf(t, c.allowed, allowed, "%s %s/%s in namespace %q", c.verb, c.group, c.resource, c.namespace)
			}
		})
	}
	for who, groups := range map[string][]string{
		"eve@example.com": {"all@example.com"}, "Ann@example.com": nil, operatorGroup: nil, "mallory@example.com": {operator},
	} {
		t.Run("not "+who, func(t *testing.T) {
			client, _ := i.person(t, who, groups...)
			assert.Empty(t, mayDo(t, client, appNamespace))
			assert.Empty(t, mayDo(t, client, sandboxNamespace))
		})
	}
}

// operate does what an operator is for, in one namespace: find a pod, reach it where it is the server's, and delete it.
func (i *installation) operate(ctx context.Context, client kubernetes.Interface, config *rest.Config, namespace string) error {
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(pods.Items) == 0 {
		return fmt.Errorf("namespace %s has no pod", namespace)
	}
	pod := pods.Items[0].Name
	if namespace == appNamespace {
		if err := forward(client, config, namespace, pod); err != nil {
			return err
		}
	}
	return client.CoreV1().Pods(namespace).Delete(ctx, pod, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
}

// forward opens a port-forward as kubectl does, by a WebSocket. No node of this cluster has a kubelet that would answer: the API server lets the request
// through or not, which is what its error tells.
func forward(client kubernetes.Interface, config *rest.Config, namespace, pod string) error {
	url := client.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
	dialer, err := portforward.NewSPDYOverWebsocketDialer(url, config)
	if err != nil {
		return err
	}
	connection, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err == nil {
		return connection.Close()
	}
	if strings.Contains(err.Error(), "forbidden") {
		return apierrors.NewForbidden(rbacv1.Resource("pods/portforward"), pod, err)
	}
	return nil
}

// TestEveryLineOfTheOperatorsRolesIsNeeded takes one verb after the other from the operators: without it something that they are for is refused.
func TestEveryLineOfTheOperatorsRolesIsNeeded(t *testing.T) {
	i := install(t)
	require.NoError(t, i.converse(t, "operated").start(t.Context()))
	t.Cleanup(func() { i.sweep(t) })
	client, config := i.person(t, operator)
	for namespace, name := range map[string]string{appNamespace: "openhands-operators", sandboxNamespace: "openhands-sandbox-operators"} {
		require.NoError(t, i.operate(t.Context(), client, config, namespace), "with all of them")
		roles := i.admin.RbacV1().Roles(namespace)
		before, err := roles.Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		set := func(t *testing.T, rules []rbacv1.PolicyRule) {
			t.Helper()
			role, err := roles.Get(context.Background(), name, metav1.GetOptions{})
			require.NoError(t, err)
			role.Rules = rules
			_, err = roles.Update(context.Background(), role, metav1.UpdateOptions{})
			require.NoError(t, err)
		}
		t.Cleanup(func() {
			set(t, before.Rules)
			require.EventuallyWithT(t, func(t *assert.CollectT) {
				assert.NoError(t, i.operate(context.Background(), client, config, namespace))
			}, 10*time.Second, 20*time.Millisecond)
		})
		for r, rule := range before.Rules {
			for _, verb := range rule.Verbs {
				t.Run(fmt.Sprintf("%s %s in %s", verb, rule.Resources[0], namespace), func(t *testing.T) {
					rules := slices.Clone(before.Rules)
					rules[r].Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(v string) bool { return v == verb })
					if len(rules[r].Verbs) == 0 {
						rules = slices.Delete(rules, r, r+1)
					}
					set(t, rules)
					awaitForbidden(t, client, namespace, verb, rule)
					err := i.operate(t.Context(), client, config, namespace)
					assert.Truef(t, apierrors.IsForbidden(err), "%v", err)
				})
			}
		}
	}
}
