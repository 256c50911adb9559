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
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"openhands-gcp/infra/app/cleanup"
	"openhands-gcp/release"
	"openhands-gcp/tests/cluster/stack"
)

func TestTheServerMakesAConversation(t *testing.T) {
	i := install(t)
	c := i.converse(t, "made")
	require.NoError(t, c.start(t.Context()))
	ingress, err := i.admin.NetworkingV1().Ingresses(sandboxNamespace).Get(t.Context(), c.name()+"-ingress-code", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "openhands-unserved", *ingress.Spec.IngressClassName, "without a class, GKE would build a public load balancer")
	require.NoError(t, c.stop(t.Context(), true))
	assert.EventuallyWithT(t, func(t *assert.CollectT) {
		claims, err := i.admin.CoreV1().PersistentVolumeClaims(sandboxNamespace).List(context.Background(), metav1.ListOptions{})
		assert.NoError(t, err)
		assert.Empty(t, claims.Items)
	}, 30*time.Second, 100*time.Millisecond, "the volume goes")
}

// TestTheServerMayDoNothingElse tries what somebody would who has taken over the server.
func TestTheServerMayDoNothingElse(t *testing.T) {
	i := install(t)
	client, _ := i.as(t, appNamespace, serverAccount)
	c := i.converse(t, "else")
	require.NoError(t, c.start(t.Context()))
	t.Cleanup(func() { require.NoError(t, c.stop(context.Background(), true)) })
	core, sandbox := client.CoreV1(), client.CoreV1().Pods(sandboxNamespace)
	list, get, create := metav1.ListOptions{}, metav1.GetOptions{}, metav1.CreateOptions{}
	for what, call := range map[string]func(context.Context) error{
		"read the secrets of the sandboxes": func(ctx context.Context) error { _, err := core.Secrets(sandboxNamespace).List(ctx, list); return err },
		"read its own secrets": func(ctx context.Context) error {
			_, err := core.Secrets(appNamespace).Get(ctx, "openhands-environment", get)
			return err
		},
		"read its own environment":       func(ctx context.Context) error { _, err := core.ConfigMaps(appNamespace).List(ctx, list); return err },
		"list the pods of the sandboxes": func(ctx context.Context) error { _, err := sandbox.List(ctx, list); return err },
		"list all pods":                  func(ctx context.Context) error { _, err := core.Pods("").List(ctx, list); return err },
		"see the nodes":                  func(ctx context.Context) error { _, err := core.Nodes().List(ctx, list); return err },
		"see the namespaces":             func(ctx context.Context) error { _, err := core.Namespaces().List(ctx, list); return err },
		"make a namespace": func(ctx context.Context) error {
			_, err := core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, create)
			return err
		},
		"make a pod in its own namespace": func(ctx context.Context) error { return podIn(ctx, c, client, appNamespace) },
		"make a pod in another namespace": func(ctx context.Context) error { return podIn(ctx, c, client, "kube-system") },
		"change a sandbox": func(ctx context.Context) error {
			_, err := sandbox.Patch(ctx, c.name(), types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"x"}}}`), metav1.PatchOptions{})
			return err
		},
		"read the log of a sandbox": func(ctx context.Context) error {
			_, err := sandbox.GetLogs(c.name(), &corev1.PodLogOptions{}).DoRaw(ctx)
			return err
		},
		"run a command in a sandbox": func(ctx context.Context) error {
			return core.RESTClient().Post().Namespace(sandboxNamespace).Resource("pods").Name(c.name()).SubResource("exec").
				Param("command", "id").Do(ctx).Error()
		},
		"forward a port": func(ctx context.Context) error {
			return core.RESTClient().Post().Namespace(sandboxNamespace).Resource("pods").Name(c.name()).SubResource("portforward").Do(ctx).Error()
		},
		"attach a container to a sandbox": func(ctx context.Context) error {
			_, err := sandbox.UpdateEphemeralContainers(ctx, c.name(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: c.name()}}, metav1.UpdateOptions{})
			return err
		},
		"take a token of another account": func(ctx context.Context) error {
			_, err := core.ServiceAccounts(appNamespace).CreateToken(ctx, "openhands-cleanup", &authenticationv1.TokenRequest{}, create)
			return err
		},
		"list the volumes of others": func(ctx context.Context) error {
			_, err := core.PersistentVolumeClaims(sandboxNamespace).List(ctx, list)
			return err
		},
		"read a Service": func(ctx context.Context) error {
			_, err := core.Services(sandboxNamespace).Get(ctx, c.name()+"-svc", get)
			return err
		},
		"give itself more": func(ctx context.Context) error {
			_, err := client.RbacV1().RoleBindings(sandboxNamespace).Create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "x"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "admin", APIGroup: rbacv1.GroupName},
			}, create)
			return err
		},
		"change its own role": func(ctx context.Context) error {
			_, err := client.RbacV1().Roles(sandboxNamespace).Patch(
				ctx, "openhands-runtime", types.MergePatchType, []byte(`{"rules":[]}`), metav1.PatchOptions{},
			)
			return err
		},
		"take a NetworkPolicy away": func(ctx context.Context) error {
			return client.NetworkingV1().NetworkPolicies(sandboxNamespace).Delete(ctx, "openhands-sandboxes", metav1.DeleteOptions{})
		},
		"take the quota away": func(ctx context.Context) error {
			return core.ResourceQuotas(sandboxNamespace).Delete(ctx, "openhands-sandboxes", metav1.DeleteOptions{})
		},
		"take an admission policy away": func(ctx context.Context) error {
			return client.AdmissionregistrationV1().ValidatingAdmissionPolicies().Delete(ctx, "openhands-sandboxes", metav1.DeleteOptions{})
		},
		"scale itself": func(ctx context.Context) error {
			_, err := client.AppsV1().Deployments(appNamespace).Patch(
				ctx, "openhands", types.MergePatchType, []byte(`{"spec":{"replicas":2}}`), metav1.PatchOptions{},
			)
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			err := call(t.Context())
			assert.Truef(t, apierrors.IsForbidden(err), "%v", err)
		})
	}
}

// podIn makes a pod as the runtime does, somewhere.
func podIn(ctx context.Context, c *conversation, client kubernetes.Interface, namespace string) error {
	pod, err := c.pod()
	if err != nil {
		return err
	}
	pod.Name = "elsewhere"
	_, err = client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{})
	return err
}

// TestWhoMayDoWhat asks the API server for all that the accounts may do with the sandboxes.
func TestWhoMayDoWhat(t *testing.T) {
	i := install(t)
	for account, rules := range map[string][]release.Rule{serverAccount: release.RuntimeRules, "openhands-cleanup": cleanup.Rules} {
		t.Run(account, func(t *testing.T) {
			client, _ := i.as(t, appNamespace, account)
			assert.Equal(t, asMayDo(rules), mayDo(t, client, sandboxNamespace))
			assert.Empty(t, mayDo(t, client, appNamespace))
			assert.Empty(t, mayDo(t, client, "kube-system"))
		})
	}
	t.Run("a sandbox", func(t *testing.T) {
		client, _ := i.as(t, sandboxNamespace, "default")
		assert.Empty(t, mayDo(t, client, sandboxNamespace))
	})
}

// asMayDo writes rules as mayDo does.
func asMayDo(rules []release.Rule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, inWords(r.Verbs, []string{r.Group}, r.Resource))
	}
	return slices.Sorted(slices.Values(out))
}

// inWords writes a permission in one line.
func inWords(verbs, groups []string, resource string) string {
	return fmt.Sprintf("%s %s", strings.Join(slices.Sorted(slices.Values(verbs)), ","), strings.TrimPrefix(strings.Join(groups, ",")+"/"+resource, "/"))
}

// mayDo lists what the client may do in a namespace, beyond asking what it may do.
func mayDo(t *testing.T, client kubernetes.Interface, namespace string) []string {
	t.Helper()
	review, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(),
		&authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	var out []string
	for _, rule := range review.Status.ResourceRules {
		for _, resource := range rule.Resources {
			if strings.HasPrefix(resource, "selfsubject") {
				continue
			}
			out = append(out, inWords(rule.Verbs, rule.APIGroups, resource))
		}
	}
	slices.Sort(out)
	return out
}

// TestEveryLineOfTheRoleIsNeeded takes one verb after the other from the server's role: without it no conversation starts, or none ends.
func TestEveryLineOfTheRoleIsNeeded(t *testing.T) {
	i := install(t)
	roles := i.admin.RbacV1().Roles(sandboxNamespace)
	before, err := roles.Get(t.Context(), "openhands-runtime", metav1.GetOptions{})
	require.NoError(t, err)
	set := func(t *testing.T, rules []rbacv1.PolicyRule) {
		t.Helper()
		role, err := roles.Get(context.Background(), before.Name, metav1.GetOptions{})
		require.NoError(t, err)
		role.Rules = rules
		_, err = roles.Update(context.Background(), role, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	t.Cleanup(func() { set(t, before.Rules) })
	for r, rule := range before.Rules {
		for _, verb := range rule.Verbs {
			t.Run(verb+" "+rule.Resources[0], func(t *testing.T) {
				c := i.converse(t, fmt.Sprintf("without-%d-%s", r, verb))
				rules := slices.Clone(before.Rules)
				rules[r].Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(v string) bool { return v == verb })
				set(t, rules)
				awaitForbidden(t, c.client, sandboxNamespace, verb, rule)
				err := c.start(t.Context())
				if err == nil {
					err = c.stop(t.Context(), true)
				}
				assert.Truef(t, apierrors.IsForbidden(err), "%v", err)
				i.sweep(t)
			})
		}
	}
}

// awaitForbidden waits until the authorizer knows that a verb is gone from a namespace.
func awaitForbidden(t *testing.T, client kubernetes.Interface, namespace, verb string, rule rbacv1.PolicyRule) {
	t.Helper()
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		allowed, err := may(context.Background(), client, namespace, verb, rule.APIGroups[0], rule.Resources[0])
		assert.NoError(t, err)
		assert.False(t, allowed)
	}, 10*time.Second, 20*time.Millisecond)
}

// may asks whether the client may make a call. The resource may be one of a resource, as in pods/log.
func may(ctx context.Context, client kubernetes.Interface, namespace, verb, group, resource string) (bool, error) {
	resource, subresource, _ := strings.Cut(resource, "/")
	reviewed, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return reviewed.Status.Allowed, nil
}

// sweep removes what a test has left among the sandboxes.
func (i *installation) sweep(t *testing.T) {
	t.Helper()
	ctx, all := context.Background(), metav1.ListOptions{}
	require.NoError(t, stack.Sweep(ctx, i.admin, sandboxNamespace))
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		pods, err := i.admin.CoreV1().Pods(sandboxNamespace).List(ctx, all)
		assert.NoError(t, err)
		assert.Empty(t, pods.Items)
		claims, err := i.admin.CoreV1().PersistentVolumeClaims(sandboxNamespace).List(ctx, all)
		assert.NoError(t, err)
		assert.Empty(t, claims.Items)
	}, 30*time.Second, 50*time.Millisecond)
}
