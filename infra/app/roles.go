package app

import (
	"fmt"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	rbacv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/rbac/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
	"openhands-gcp/release"
)

const rbacGroup = "rbac.authorization.k8s.io"

// newRole lets subjects do what the rules say in a namespace, and nothing elsewhere.
func newRole(
	ctx *pulumi.Context, parent pulumi.Resource, name string, namespace pulumi.StringInput, allowed []release.Rule, subjects rbacv1.SubjectArray,
) (pulumi.Resource, error) {
	var rules rbacv1.PolicyRuleArray
	for _, r := range allowed {
		rules = append(rules, &rbacv1.PolicyRuleArgs{
			ApiGroups: pulumi.ToStringArray([]string{r.Group}), Resources: pulumi.ToStringArray([]string{r.Resource}), Verbs: pulumi.ToStringArray(r.Verbs),
		})
	}
	role, err := rbacv1.NewRole(ctx, name, &rbacv1.RoleArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: namespace},
		Rules:    rules,
	}, component.Child(parent)...)
	if err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	return bind(ctx, parent, name, namespace, "Role", role.Metadata.Name().Elem(), subjects)
}

// bind gives subjects a role in a namespace. The kind of the role is Role or, for one of Kubernetes' own, ClusterRole.
func bind(
	ctx *pulumi.Context, parent pulumi.Resource, name string, namespace pulumi.StringInput, kind string, role pulumi.StringInput, subjects rbacv1.SubjectArray,
) (pulumi.Resource, error) {
	binding, err := rbacv1.NewRoleBinding(ctx, name, &rbacv1.RoleBindingArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: namespace},
		RoleRef:  &rbacv1.RoleRefArgs{ApiGroup: pulumi.String(rbacGroup), Kind: pulumi.String(kind), Name: role},
		Subjects: subjects,
	}, component.Child(parent)...)
	if err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	return binding, nil
}

// subject is a service account as the subject of a role.
func subject(account *corev1.ServiceAccount) rbacv1.SubjectArray {
	return rbacv1.SubjectArray{&rbacv1.SubjectArgs{
		Kind: pulumi.String("ServiceAccount"), Name: account.Metadata.Name().Elem(), Namespace: account.Metadata.Namespace(),
	}}
}
