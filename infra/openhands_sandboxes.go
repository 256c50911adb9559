package infra

import (
	"fmt"

	admissionv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/admissionregistration/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	rbacv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/rbac/v1"
	storagev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/storage/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// sandboxLabels are what the Kubernetes runtime puts on the pods of conversations.
var sandboxLabels = map[string]string{"app": "openhands-runtime"}

// runtimeRules are exactly the calls that the Kubernetes runtime makes (openhands/runtime/impl/kubernetes/kubernetes_runtime.py).
var runtimeRules = []struct {
	group, resource string
	verbs           []string
}{
	{"", "pods", []string{"get", "create", "delete"}},
	{"", "services", []string{"create", "delete"}},
	{"", "persistentvolumeclaims", []string{"get", "create", "delete"}},
	{"networking.k8s.io", "ingresses", []string{"create", "delete"}},
}

// newSandboxes prepares the namespace of the conversations' pods. The runtime that creates them can set neither a runtime class, nor a security
// context, a service account or a CPU limit: all that comes from here. It returns the namespace, and what must exist before the first conversation.
func (c *OpenHandsApp) newSandboxes(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, account *corev1.ServiceAccount) (namespace pulumi.StringInput, before []pulumi.Resource, err error) {
	s := args.Sandboxes
	if namespace, err = c.newNamespace(ctx, name, s.Namespace, "baseline"); err != nil {
		return nil, nil, fmt.Errorf("create the namespace: %w", err)
	}
	// Kubernetes makes this account with the namespace, so it is patched, not created.
	tokenless, err := corev1.NewServiceAccountPatch(ctx, name+"-sandbox-default", &corev1.ServiceAccountPatchArgs{
		Metadata:                     &metav1.ObjectMetaPatchArgs{Name: pulumi.String("default"), Namespace: namespace},
		AutomountServiceAccountToken: pulumi.Bool(false),
	}, child(c)...)
	if err != nil {
		return nil, nil, fmt.Errorf("take the token from the default service account: %w", err)
	}
	binding, err := c.newRuntimeRole(ctx, name, namespace, account)
	if err != nil {
		return nil, nil, err
	}
	limits, err := c.newSandboxLimits(ctx, name, s, namespace)
	if err != nil {
		return nil, nil, err
	}
	gvisor, err := c.newGVisorPolicy(ctx, name, s, namespace)
	if err != nil {
		return nil, nil, err
	}
	// The runtime makes an Ingress without a class for every conversation. GKE would build a public load balancer for each, unless a default class
	// that GKE does not serve exists.
	unserved, err := networkingv1.NewIngressClass(ctx, name+"-unserved", &networkingv1.IngressClassArgs{
		Metadata: &metav1.ObjectMetaArgs{
			Name:        pulumi.String(name + "-unserved"),
			Annotations: pulumi.StringMap{"ingressclass.kubernetes.io/is-default-class": pulumi.String("true")},
		},
		Spec: &networkingv1.IngressClassSpecArgs{Controller: pulumi.String("openhands.dev/unserved")},
	}, child(c)...)
	if err != nil {
		return nil, nil, fmt.Errorf("create the default IngressClass: %w", err)
	}
	return namespace, append(limits, tokenless, binding, gvisor, unserved), nil
}

func (c *OpenHandsApp) newRuntimeRole(ctx *pulumi.Context, name string, namespace pulumi.StringInput, account *corev1.ServiceAccount) (pulumi.Resource, error) {
	var rules rbacv1.PolicyRuleArray
	for _, r := range runtimeRules {
		rules = append(rules, &rbacv1.PolicyRuleArgs{
			ApiGroups: pulumi.ToStringArray([]string{r.group}), Resources: pulumi.ToStringArray([]string{r.resource}), Verbs: pulumi.ToStringArray(r.verbs),
		})
	}
	role, err := rbacv1.NewRole(ctx, name+"-runtime", &rbacv1.RoleArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-runtime"), Namespace: namespace},
		Rules:    rules,
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the runtime's role: %w", err)
	}
	binding, err := rbacv1.NewRoleBinding(ctx, name+"-runtime", &rbacv1.RoleBindingArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-runtime"), Namespace: namespace},
		RoleRef:  &rbacv1.RoleRefArgs{ApiGroup: pulumi.String("rbac.authorization.k8s.io"), Kind: pulumi.String("Role"), Name: role.Metadata.Name().Elem()},
		Subjects: rbacv1.SubjectArray{&rbacv1.SubjectArgs{
			Kind: pulumi.String("ServiceAccount"), Name: account.Metadata.Name().Elem(), Namespace: account.Metadata.Namespace(),
		}},
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("bind the runtime's role: %w", err)
	}
	return binding, nil
}

// closingSandboxes is the room for pods that are on their way out: the server closes the oldest conversation for a new one, does not wait for its pod to
// go, and a pod counts until it is gone.
const closingSandboxes = 2

// newSandboxLimits caps the number of sandboxes, and gives each the CPU limit that the runtime cannot set.
func (c *OpenHandsApp) newSandboxLimits(ctx *pulumi.Context, name string, s *Sandboxes, namespace pulumi.StringInput) ([]pulumi.Resource, error) {
	quota, err := corev1.NewResourceQuota(ctx, name+"-sandboxes", &corev1.ResourceQuotaArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-sandboxes"), Namespace: namespace},
		Spec: &corev1.ResourceQuotaSpecArgs{Hard: pulumi.StringMap{
			"pods":                   pulumi.Sprintf("%d", s.Max+closingSandboxes),
			"services.loadbalancers": pulumi.String("0"),
			"services.nodeports":     pulumi.String("0"),
		}},
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the quota: %w", err)
	}
	limits, err := corev1.NewLimitRange(ctx, name+"-sandboxes", &corev1.LimitRangeArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-sandboxes"), Namespace: namespace},
		Spec: &corev1.LimitRangeSpecArgs{Limits: corev1.LimitRangeItemArray{
			&corev1.LimitRangeItemArgs{Type: pulumi.String("Container"), Default: pulumi.StringMap{"cpu": milliCPU(s.CPULimit), "memory": pulumi.Sprintf("%dMi", mebibytes(s.MemoryGiB))}},
			&corev1.LimitRangeItemArgs{Type: pulumi.String("PersistentVolumeClaim"), Max: pulumi.StringMap{"storage": pulumi.Sprintf("%dGi", s.VolumeGiB)}},
		}},
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the limits: %w", err)
	}
	return []pulumi.Resource{quota, limits}, nil
}

// gvisorMutation puts a pod into gVisor and takes its token. The RuntimeClass, which GKE makes with the pool, adds its own node selector and toleration
// after it.
const gvisorMutation = `Object{
  spec: Object.spec{
    runtimeClassName: "gvisor",
    automountServiceAccountToken: false,
    securityContext: Object.spec.securityContext{
      seccompProfile: Object.spec.securityContext.seccompProfile{type: "RuntimeDefault"}
    }
  }
}`

// newGVisorPolicy applies the mutation to every pod of the namespace. A policy needs no webhook to run (Kubernetes 1.36), and fails closed.
func (c *OpenHandsApp) newGVisorPolicy(ctx *pulumi.Context, name string, s *Sandboxes, namespace pulumi.StringInput) (pulumi.Resource, error) {
	policyName := name + "-gvisor"
	policy, err := admissionv1.NewMutatingAdmissionPolicy(ctx, policyName, &admissionv1.MutatingAdmissionPolicyArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(policyName)},
		Spec: &admissionv1.MutatingAdmissionPolicySpecArgs{
			FailurePolicy:      pulumi.String("Fail"),
			ReinvocationPolicy: pulumi.String("IfNeeded"),
			MatchConstraints: &admissionv1.MatchResourcesArgs{ResourceRules: admissionv1.NamedRuleWithOperationsArray{&admissionv1.NamedRuleWithOperationsArgs{
				ApiGroups: pulumi.ToStringArray([]string{""}), ApiVersions: pulumi.ToStringArray([]string{"v1"}),
				Operations: pulumi.ToStringArray([]string{"CREATE"}), Resources: pulumi.ToStringArray([]string{"pods"}),
			}}},
			Mutations: admissionv1.MutationArray{&admissionv1.MutationArgs{
				PatchType: pulumi.String("ApplyConfiguration"), ApplyConfiguration: &admissionv1.ApplyConfigurationArgs{Expression: pulumi.String(gvisorMutation)},
			}},
		},
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the gVisor policy: %w", err)
	}
	binding, err := admissionv1.NewMutatingAdmissionPolicyBinding(ctx, policyName, &admissionv1.MutatingAdmissionPolicyBindingArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(policyName)},
		Spec: &admissionv1.MutatingAdmissionPolicyBindingSpecArgs{
			PolicyName:     policy.Metadata.Name(),
			MatchResources: &admissionv1.MatchResourcesArgs{NamespaceSelector: &metav1.LabelSelectorArgs{MatchLabels: pulumi.StringMap{namespaceLabel: namespace}}},
		},
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("bind the gVisor policy: %w", err)
	}
	return binding, nil
}

func (c *OpenHandsApp) newRegionalStorageClass(ctx *pulumi.Context, name string) (pulumi.StringInput, error) {
	class, err := storagev1.NewStorageClass(ctx, name+"-regional", &storagev1.StorageClassArgs{
		Metadata:             &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-regional")},
		Provisioner:          pulumi.String("pd.csi.storage.gke.io"),
		Parameters:           pulumi.StringMap{"type": pulumi.String("pd-balanced"), "replication-type": pulumi.String("regional-pd")},
		VolumeBindingMode:    pulumi.String("WaitForFirstConsumer"),
		AllowVolumeExpansion: pulumi.Bool(true),
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the class of regional disks: %w", err)
	}
	return class.Metadata.Name().Elem(), nil
}
