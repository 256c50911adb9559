package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"openhands-gcp/infra/app/cleanup"
	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/release"
)

// calls are rules of the Kubernetes API in a form that can be compared: sorted verbs by kind.
func calls(rules []release.Rule) map[string][]string {
	out := map[string][]string{}
	for _, r := range rules {
		out[strings.TrimPrefix(r.Group+"/"+r.Resource, "/")] = slices.Sorted(slices.Values(r.Verbs))
	}
	return out
}

// allowed returns the verbs that a service account of a namespace may use in another one, by resource. It reports a permission elsewhere.
func allowed(inventory *cloud.Inventory, namespace, account, in string, report func(format string, args ...any)) map[string][]string {
	allowed := map[string][]string{}
	for _, o := range inventory.All(types.RoleBinding) {
		binding := kubernetes.DecodeAs[*rbacv1.RoleBinding](o)
		for _, s := range binding.Subjects {
			if s.Namespace != namespace || s.Name != account || binding.RoleRef.Kind != "Role" { // another kind is for Operators to report
				continue
			}
			if binding.Namespace != in {
				report("service account %s may do something in namespace %s", account, binding.Namespace)
				continue
			}
			role := kubernetes.DecodeAs[*rbacv1.Role](inventory.Find(types.Role, binding.Namespace+"/"+binding.RoleRef.Name))
			for _, rule := range role.Rules {
				for _, resource := range rule.Resources {
					name := strings.TrimPrefix(strings.Join(rule.APIGroups, ",")+"/"+resource, "/")
					allowed[name] = slices.Sorted(slices.Values(append(allowed[name], rule.Verbs...)))
				}
			}
		}
	}
	return allowed
}

// allowed is what a service account may do in the namespace of the sandboxes.
func (t *conversation) allowed(namespace, account string) map[string][]string {
	return allowed(t.Inventory, namespace, account, t.env["KUBERNETES_NAMESPACE"], t.report)
}

// checkRole compares what the server's service account may do with the calls of its runtime: both more and less is wrong.
func (t *conversation) checkRole() {
	wanted := calls(release.RuntimeRules)
	if allowed := t.allowed(t.Namespace, t.Spec.Template.Spec.ServiceAccountName); fmt.Sprint(allowed) != fmt.Sprint(wanted) {
		t.report("the server may do %v in the namespace of the sandboxes, and its runtime calls %v", allowed, wanted)
	}
	if a := t.Spec.Template.Spec.AutomountServiceAccountToken; a != nil && !*a {
		t.report("the server has no token, and its runtime cannot call the API server")
	}
}

// checkCleanup looks for the job that removes the sandboxes that a crash leaves. It must reach the server, and have no more permissions than it uses.
func (t *conversation) checkCleanup() {
	jobs := t.All(types.CronJob)
	if len(jobs) != 1 {
		t.report("nothing removes the sandboxes that a crash leaves")
		return
	}
	job := kubernetes.DecodeAs[*batchv1.CronJob](jobs[0])
	template := job.Spec.JobTemplate.Spec.Template
	env := map[string]string{}
	for _, container := range template.Spec.Containers {
		for _, v := range container.Env {
			env[v.Name] = v.Value
		}
	}
	if env["SANDBOX_NAMESPACE"] != t.env["KUBERNETES_NAMESPACE"] {
		t.report("the clean-up looks at namespace %q", env["SANDBOX_NAMESPACE"])
	}
	url := ""
	for _, o := range t.All(types.KubernetesService) {
		if maps.Equal(o.Inputs.Labels("spec.selector"), t.Spec.Selector.MatchLabels) {
			url = fmt.Sprintf("http://%s.%s.svc.cluster.local:3000", o.Inputs.Str("metadata.name"), o.Inputs.Str("metadata.namespace"))
		}
	}
	if env["SERVER_URL"] != url {
		t.report("the clean-up asks %q, and the server is at %q", env["SERVER_URL"], url)
	}
	wanted := calls(cleanup.Rules)
	if allowed := t.allowed(job.Namespace, template.Spec.ServiceAccountName); fmt.Sprint(allowed) != fmt.Sprint(wanted) {
		t.report("the clean-up may do %v in the namespace of the sandboxes, and it calls %v", allowed, wanted)
	}
}
