package infra

import (
	"fmt"
	"slices"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	rbacv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/rbac/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// zonalStorageClass is the class of the sandboxes' volumes: persistent disks in one zone, which GKE brings.
const zonalStorageClass = "standard-rwo"

// sandboxLabels are what the Kubernetes runtime puts on the pods of conversations.
var sandboxLabels = map[string]string{"app": "openhands-runtime"}

// rule is what somebody may do with a kind of object.
type rule struct {
	group, resource string
	verbs           []string
}

// runtimeRules are exactly the calls that the Kubernetes runtime makes (openhands/runtime/impl/kubernetes/kubernetes_runtime.py).
var runtimeRules = []rule{
	{"", "pods", []string{"get", "create", "delete"}},
	{"", "services", []string{"create", "delete"}},
	{"", "persistentvolumeclaims", []string{"get", "create", "delete"}},
	{"networking.k8s.io", "ingresses", []string{"create", "delete"}},
}

// newSandboxes prepares the namespace of the conversations' pods. The runtime that creates them can set neither a runtime class, nor a security
// context, a service account or a CPU limit: all that comes from here. It returns the namespace, and what must exist before the first conversation.
func (c *OpenHandsApp) newSandboxes(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, account *corev1.ServiceAccount) (created *corev1.Namespace, before []pulumi.Resource, err error) {
	s := args.Sandboxes
	if created, err = c.newNamespace(ctx, name, s.Namespace, "baseline"); err != nil {
		return nil, nil, fmt.Errorf("create the namespace: %w", err)
	}
	namespace, inside := nameOf(created), pulumi.DeletedWith(created)
	// Kubernetes makes this account with the namespace, so it is patched, not created.
	tokenless, err := corev1.NewServiceAccountPatch(ctx, name+"-sandbox-default", &corev1.ServiceAccountPatchArgs{
		Metadata:                     &metav1.ObjectMetaPatchArgs{Name: pulumi.String("default"), Namespace: namespace},
		AutomountServiceAccountToken: pulumi.Bool(false),
	}, child(c, inside)...)
	if err != nil {
		return nil, nil, fmt.Errorf("take the token from the default service account: %w", err)
	}
	binding, err := c.newRole(ctx, name+"-runtime", namespace, runtimeRules, account)
	if err != nil {
		return nil, nil, fmt.Errorf("the runtime's role: %w", err)
	}
	limits, err := c.newSandboxLimits(ctx, name, s, namespace, inside)
	if err != nil {
		return nil, nil, err
	}
	admission, err := c.newSandboxAdmission(ctx, name, s, namespace)
	if err != nil {
		return nil, nil, fmt.Errorf("admission: %w", err)
	}
	// The runtime makes an Ingress without a class for every conversation. GKE would build a public load balancer for each, unless a default class
	// that GKE does not serve exists.
	unserved, err := networkingv1.NewIngressClass(ctx, name+"-unserved", &networkingv1.IngressClassArgs{
		Metadata: &metav1.ObjectMetaArgs{
			Name:        pulumi.String(unservedClass(name)),
			Annotations: pulumi.StringMap{"ingressclass.kubernetes.io/is-default-class": pulumi.String("true")},
		},
		Spec: &networkingv1.IngressClassSpecArgs{Controller: pulumi.String("openhands.dev/unserved")},
	}, child(c)...)
	if err != nil {
		return nil, nil, fmt.Errorf("create the default IngressClass: %w", err)
	}
	return created, slices.Concat(limits, admission, []pulumi.Resource{tokenless, binding, unserved}), nil
}

// newRole lets an account do what the rules say in a namespace.
func (c *OpenHandsApp) newRole(ctx *pulumi.Context, name string, namespace pulumi.StringInput, allowed []rule, account *corev1.ServiceAccount) (pulumi.Resource, error) {
	var rules rbacv1.PolicyRuleArray
	for _, r := range allowed {
		rules = append(rules, &rbacv1.PolicyRuleArgs{
			ApiGroups: pulumi.ToStringArray([]string{r.group}), Resources: pulumi.ToStringArray([]string{r.resource}), Verbs: pulumi.ToStringArray(r.verbs),
		})
	}
	role, err := rbacv1.NewRole(ctx, name, &rbacv1.RoleArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: namespace},
		Rules:    rules,
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	binding, err := rbacv1.NewRoleBinding(ctx, name, &rbacv1.RoleBindingArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: namespace},
		RoleRef:  &rbacv1.RoleRefArgs{ApiGroup: pulumi.String("rbac.authorization.k8s.io"), Kind: pulumi.String("Role"), Name: role.Metadata.Name().Elem()},
		Subjects: rbacv1.SubjectArray{&rbacv1.SubjectArgs{
			Kind: pulumi.String("ServiceAccount"), Name: account.Metadata.Name().Elem(), Namespace: account.Metadata.Namespace(),
		}},
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	return binding, nil
}

// closingSandboxes is the room for pods that are on their way out: the server closes the oldest conversation for a new one, does not wait for its pod to
// go, and a pod counts until it is gone.
const closingSandboxes = 2

// scratchGiB is the disk of the node that a sandbox may fill beside its volume. One that fills more goes; without a limit, its neighbours might.
const scratchGiB = 10

// unservedClass names the class of Ingresses that nothing serves.
func unservedClass(name string) string { return name + "-unserved" }

// newSandboxLimits caps the number of sandboxes and of their volumes, and gives each the CPU limit that the runtime cannot set.
func (c *OpenHandsApp) newSandboxLimits(ctx *pulumi.Context, name string, s *Sandboxes, namespace pulumi.StringInput, inside pulumi.ResourceOption) ([]pulumi.Resource, error) {
	quota, err := corev1.NewResourceQuota(ctx, name+"-sandboxes", &corev1.ResourceQuotaArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-sandboxes"), Namespace: namespace},
		Spec: &corev1.ResourceQuotaSpecArgs{Hard: pulumi.StringMap{
			"pods":                   pulumi.Sprintf("%d", s.Max+closingSandboxes+s.Warm),
			"persistentvolumeclaims": pulumi.Sprintf("%d", s.MaxVolumes),
			"services.loadbalancers": pulumi.String("0"),
			"services.nodeports":     pulumi.String("0"),
		}},
	}, child(c, inside)...)
	if err != nil {
		return nil, fmt.Errorf("create the quota: %w", err)
	}
	// A volume's size is not limited here: a limit that was lowered would keep the clean-up from noting on older volumes that they are unused.
	container := pulumi.StringMap{
		"cpu": milliCPU(s.CPULimit), "memory": pulumi.Sprintf("%dMi", mebibytes(s.MemoryGiB)), "ephemeral-storage": pulumi.Sprintf("%dGi", scratchGiB),
	}
	limits, err := corev1.NewLimitRange(ctx, name+"-sandboxes", &corev1.LimitRangeArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-sandboxes"), Namespace: namespace},
		Spec: &corev1.LimitRangeSpecArgs{Limits: corev1.LimitRangeItemArray{
			&corev1.LimitRangeItemArgs{
				Type: pulumi.String("Container"), Default: container, Max: container,
				DefaultRequest: pulumi.StringMap{"ephemeral-storage": pulumi.String("1Gi")},
			},
		}},
	}, child(c, inside)...)
	if err != nil {
		return nil, fmt.Errorf("create the limits: %w", err)
	}
	return []pulumi.Resource{quota, limits}, nil
}
