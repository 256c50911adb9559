package checks

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
)

// checkAdmission looks for the policies that set what the runtime cannot set itself, gVisor, no token and a restart in place, and for those that refuse
// what it must not create.
func (t *conversation) checkAdmission(namespace string) {
	tokenless := slices.ContainsFunc(t.All(types.KubernetesAccountPatch), func(o *cloud.Object) bool {
		return o.ID == namespace+"/default" && o.Inputs.At("automountServiceAccountToken") == false
	})
	if !tokenless {
		t.report("the default service account of %s hands its token to every sandbox", namespace)
	}
	gvisor := false
	for _, o := range t.All(types.MutatingPolicyBinding) {
		policy := t.Find(types.MutatingPolicy, o.Inputs.Str("spec.policyName"))
		if policy == nil || o.Inputs.Labels("spec.matchResources.namespaceSelector.matchLabels")["kubernetes.io/metadata.name"] != namespace {
			continue
		}
		text := fmt.Sprint(policy.Inputs.At("spec.mutations"))
		gvisor = gvisor || (strings.Contains(text, `runtimeClassName: "gvisor"`) && strings.Contains(text, "automountServiceAccountToken: false") &&
			strings.Contains(text, `restartPolicy: "Always"`))
	}
	for _, resource := range []string{"pods", "services", "ingresses", "persistentvolumeclaims"} {
		if !t.validated(namespace, resource) {
			t.report("no policy refuses wrong %s in %s", resource, namespace)
		}
	}
	if !gvisor {
		t.report("no policy puts the pods of %s into gVisor, takes their token and lets them come back when they are killed", namespace)
	}
}

// validated reports whether a policy that denies looks at new objects of a kind in a namespace.
func (t *conversation) validated(namespace, resource string) bool {
	for _, o := range t.All(types.ValidatingPolicyBinding) {
		binding := kubernetes.DecodeAs[*admissionv1.ValidatingAdmissionPolicyBinding](o)
		policy := t.Find(types.ValidatingPolicy, binding.Spec.PolicyName)
		if policy == nil || !slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny) ||
			o.Inputs.Labels("spec.matchResources.namespaceSelector.matchLabels")["kubernetes.io/metadata.name"] != namespace {
			continue
		}
		spec := kubernetes.DecodeAs[*admissionv1.ValidatingAdmissionPolicy](policy).Spec
		if spec.FailurePolicy == nil || *spec.FailurePolicy != admissionv1.Fail || spec.MatchConstraints == nil {
			continue
		}
		for _, rule := range spec.MatchConstraints.ResourceRules {
			if slices.Contains(rule.Resources, resource) && slices.Contains(rule.Operations, admissionv1.Create) {
				return true
			}
		}
	}
	return false
}
