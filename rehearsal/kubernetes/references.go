package kubernetes

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/types"
)

// gkeNamespaces are in every cluster.
var gkeNamespaces = []string{"default", "kube-system", "kube-public", "gmp-system", "gmp-public", "gke-managed-system"}

// checkObject checks what every object needs, a cluster, a name and a namespace, and then what its kind needs.
func (k kind) checkObject(r *cloud.Request) error {
	cluster := clusterOf(r.Inventory)
	if cluster == nil {
		return errors.New("configured Kubernetes cluster is unreachable: there is no cluster")
	}
	r.NeedObject(cluster, "the cluster")
	object, err := decodeObject(r.Type, r.Inputs)
	if err != nil {
		return err
	}
	name, namespace := r.Inputs.Str("metadata.name"), r.Inputs.Str("metadata.namespace")
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return fmt.Errorf("metadata.name: %q: %s", name, strings.Join(problems, ", "))
	}
	if k.namespaced {
		if namespace == "" {
			return errors.New("metadata.namespace: is missing, and the object would be created in namespace default")
		}
		if !slices.Contains(gkeNamespaces, namespace) {
			if _, err := r.Need(types.Namespace, "metadata.namespace", namespace); err != nil {
				return err
			}
		}
	}
	return k.check(r, object)
}

// clusterOf returns the cluster that the objects are in, or nil.
func clusterOf(inventory *cloud.Inventory) *cloud.Object {
	for _, cluster := range inventory.All(types.Cluster) {
		return cluster
	}
	return nil
}

// needIn is Request.Need for an object of a namespace.
func needIn(r *cloud.Request, typ, path, namespace, name string) (*cloud.Object, error) {
	return r.Need(typ, path, namespace+"/"+name)
}

func checkConfigMap(_ *cloud.Request, m *corev1.ConfigMap) error {
	for key := range m.Data {
		if problems := validation.IsConfigMapKey(key); len(problems) > 0 {
			return fmt.Errorf("data: %q: %s", key, strings.Join(problems, ", "))
		}
	}
	return nil
}

// checkAccountPatch fails where the patched account does not exist. Kubernetes makes the account default of every namespace itself.
func checkAccountPatch(r *cloud.Request, account *corev1.ServiceAccount) error {
	if account.Name == "default" {
		return nil
	}
	_, err := needIn(r, types.KubernetesAccount, "metadata.name", account.Namespace, account.Name)
	return err
}

// builtinRoles are the roles for people that every API server makes for itself.
// https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles
var builtinRoles = []string{"cluster-admin", "admin", "edit", "view"}

func checkRoleBinding(r *cloud.Request, binding *rbacv1.RoleBinding) error {
	switch role := binding.RoleRef; {
	case role.APIGroup != rbacv1.GroupName:
		return fmt.Errorf("roleRef.apiGroup: %q is not %s", role.APIGroup, rbacv1.GroupName)
	case role.Kind == "ClusterRole" && !slices.Contains(builtinRoles, role.Name):
		return fmt.Errorf("roleRef.name: ClusterRole %s does not exist", role.Name)
	case role.Kind == "Role":
		if _, err := needIn(r, types.Role, "roleRef.name", binding.Namespace, role.Name); err != nil {
			return err
		}
	case role.Kind != "ClusterRole":
		return fmt.Errorf("roleRef.kind: %q is neither Role nor ClusterRole", role.Kind)
	}
	for _, s := range binding.Subjects {
		if err := checkSubject(r, s); err != nil {
			return err
		}
	}
	return nil
}

// checkSubject checks one to whom a role is given. People and groups are not objects: the API server takes any name.
func checkSubject(r *cloud.Request, s rbacv1.Subject) error {
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		_, err := needIn(r, types.KubernetesAccount, "subjects", s.Namespace, s.Name)
		return err
	case rbacv1.UserKind, rbacv1.GroupKind:
		if s.Name == "" || s.APIGroup != rbacv1.GroupName || s.Namespace != "" {
			return fmt.Errorf("subjects: the %s %q needs a name, the apiGroup %s and no namespace", s.Kind, s.Name, rbacv1.GroupName)
		}
		return nil
	}
	return fmt.Errorf("subjects.kind: %q is not one of ServiceAccount, User, Group", s.Kind)
}

func checkMutationBinding(r *cloud.Request, binding *admissionv1.MutatingAdmissionPolicyBinding) error {
	_, err := r.Need(types.MutatingPolicy, "spec.policyName", binding.Spec.PolicyName)
	return err
}

func checkValidationBinding(r *cloud.Request, binding *admissionv1.ValidatingAdmissionPolicyBinding) error {
	_, err := r.Need(types.ValidatingPolicy, "spec.policyName", binding.Spec.PolicyName)
	return err
}

func checkDomainPolicy(r *cloud.Request, _ *FQDNNetworkPolicy) error {
	if !clusterOf(r.Inventory).Inputs.Is("enableFqdnNetworkPolicy") {
		return errors.New("no matches for kind FQDNNetworkPolicy: the cluster's enableFqdnNetworkPolicy is off")
	}
	return nil
}
