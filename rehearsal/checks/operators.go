package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
)

// Operators compares who passes the Connect gateway with what people may do in the cluster, and looks for a role that shows Secrets to anybody. It returns
// what is wrong.
func Operators(inventory *cloud.Inventory) []string {
	t := &operators{Inventory: inventory, granted: map[rbacv1.Subject]map[string][]string{}}
	for _, o := range t.All(types.RoleBinding) {
		t.read(kubernetes.DecodeAs[*rbacv1.RoleBinding](o))
	}
	passing := t.passing()
	for subject := range t.granted {
		if !slices.Contains(passing, subject) {
			t.report("%s %s may do something in the cluster, and is no member of the Connect gateway", subject.Kind, subject.Name)
		}
	}
	namespaces := map[string]bool{}
	for _, o := range t.All(types.Namespace) {
		namespaces[o.ID] = true
	}
	for _, subject := range passing {
		if subject.Kind == rbacv1.GroupKind && !slices.ContainsFunc(t.All(types.Cluster), knowsGroups) {
			t.report("the cluster is not told who is in %s: it has no authenticatorGroupsConfig", subject.Name)
		}
		for namespace := range namespaces {
			wanted, granted := t.wanted(namespace), slices.Compact(slices.Sorted(slices.Values(t.granted[subject][namespace])))
			if !slices.Equal(granted, wanted) {
				t.report("%s %s may do %q in namespace %s, and should %q", subject.Kind, subject.Name, granted, namespace, wanted)
			}
		}
		for namespace := range t.granted[subject] {
			if !namespaces[namespace] {
				t.report("%s %s may do something in namespace %s", subject.Kind, subject.Name, namespace)
			}
		}
	}
	slices.Sort(t.problems)
	return t.problems
}

func knowsGroups(cluster *cloud.Object) bool {
	return cluster.Inputs.Str("authenticatorGroupsConfig.securityGroup") != ""
}

type operators struct {
	*cloud.Inventory
	granted  map[rbacv1.Subject]map[string][]string // calls of people, by namespace
	problems []string
}

func (t *operators) report(format string, args ...any) {
	t.problems = append(t.problems, fmt.Sprintf(format, args...))
}

// passing are those who pass the Connect gateway, as Kubernetes knows them.
func (t *operators) passing() []rbacv1.Subject {
	subjects := map[rbacv1.Subject]bool{}
	for _, o := range t.All(types.ProjectMember) {
		if o.Inputs.Str("role") != "roles/gkehub.gatewayAdmin" {
			continue
		}
		kind := rbacv1.UserKind
		sort, address, _ := strings.Cut(o.Inputs.Str("member"), ":")
		if sort == "group" {
			kind = rbacv1.GroupKind
		}
		subjects[rbacv1.Subject{Kind: kind, APIGroup: rbacv1.GroupName, Name: address}] = true
	}
	return slices.Collect(maps.Keys(subjects))
}

// wanted is what operators may do in a namespace.
func (t *operators) wanted(namespace string) []string {
	calls := []string{"delete pods", "view"}
	if slices.ContainsFunc(doors(t.Inventory), func(d door) bool { return d.Namespace == namespace }) {
		calls = append(calls, "create pods/portforward", "get pods/portforward")
	}
	return slices.Sorted(slices.Values(calls))
}

// read takes down what a binding lets people do, and reports a role that shows Secrets.
func (t *operators) read(binding *rbacv1.RoleBinding) {
	var calls []string
	if binding.RoleRef.Kind == "ClusterRole" {
		calls = []string{binding.RoleRef.Name}
		if binding.RoleRef.Name != "view" {
			t.report("RoleBinding %s/%s gives the role %s, which shows Secrets", binding.Namespace, binding.Name, binding.RoleRef.Name)
		}
	} else {
		role := kubernetes.DecodeAs[*rbacv1.Role](t.Find(types.Role, binding.Namespace+"/"+binding.RoleRef.Name))
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				if showsSecrets(resource) {
					t.report("RoleBinding %s/%s gives %q of %s, which shows Secrets", binding.Namespace, binding.Name, rule.Verbs, resource)
				}
				for _, verb := range rule.Verbs {
					calls = append(calls, verb+" "+resource)
				}
			}
		}
	}
	for _, s := range binding.Subjects {
		switch {
		case s.Kind != rbacv1.ServiceAccountKind:
			if t.granted[s] == nil {
				t.granted[s] = map[string][]string{}
			}
			t.granted[s][binding.Namespace] = append(t.granted[s][binding.Namespace], calls...)
		case binding.RoleRef.Kind == "ClusterRole":
			t.report("RoleBinding %s/%s gives the role %s, which is for people, to the service account %s", binding.Namespace, binding.Name,
				binding.RoleRef.Name, s.Name)
		}
	}
}

// showsSecrets reports whether a call of a resource may show Secrets: by itself, by a command in a pod that has them, or by a token of who may read them.
func showsSecrets(resource string) bool {
	return slices.Contains([]string{"secrets", "pods/exec", "pods/attach", "pods/ephemeralcontainers", "serviceaccounts/token"}, resource) ||
		strings.Contains(resource, "*")
}
