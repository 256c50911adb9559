package app

import (
	"fmt"

	admissionv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/admissionregistration/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

// newAdmission creates the policies that every object of the sandboxes' namespace passes: what the runtime and the clean-up make is let in, and nothing else.
// They need no webhook to run (Kubernetes 1.36), and refuse when they fail.
func (c *Sandboxes) newAdmission(ctx *pulumi.Context, name string, s *SandboxesArgs, appNamespace string) error {
	for _, m := range []mutation{
		{name: name + "-gvisor", resource: "pods", args: &admissionv1.MutationArgs{
			PatchType:          pulumi.String("ApplyConfiguration"),
			ApplyConfiguration: &admissionv1.ApplyConfigurationArgs{Expression: pulumi.String(gvisorMutation)},
		}},
		{name: name + "-addresses", resource: "services", args: &admissionv1.MutationArgs{
			PatchType: pulumi.String("JSONPatch"),
			JsonPatch: &admissionv1.JSONPatchArgs{Expression: pulumi.String(addressMutation)},
		}},
	} {
		if err := c.newMutation(ctx, m); err != nil {
			return err
		}
	}
	for _, v := range []validation{
		// The notes of the clean-up must not fail on an object that an earlier configuration let in.
		{
			name: name + "-sandboxes", core: []string{"pods", "pods/ephemeralcontainers"}, conditions: podRules(s, name),
			when: newOrChanged,
		},
		{name: name + "-services", core: []string{"services"}, conditions: serviceRules(), when: newOrChanged},
		{name: name + "-ingresses", networking: []string{"ingresses"}, conditions: ingressRules(name), when: newOrChanged},
		// Kubernetes itself writes the volume into the specification of a claim.
		{name: name + "-volumes", core: []string{"persistentvolumeclaims"}, conditions: volumeRules(s), operations: []string{"CREATE"}},
		{
			name: name + "-cleanup", core: []string{"pods", "services", "persistentvolumeclaims"}, networking: []string{"ingresses"},
			operations: []string{"UPDATE"}, conditions: noteRules(),
			when: fmt.Sprintf(`request.userInfo.username == "system:serviceaccount:%s:%s"`, appNamespace, cleanupName(name)),
		},
	} {
		if err := c.newValidation(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// newOrChanged leaves out requests that change labels, annotations or the status only.
const newOrChanged = `request.operation == "CREATE" || object.spec != oldObject.spec`

// gvisorClass is the RuntimeClass that GKE makes with a pool of GKE Sandbox.
const gvisorClass = "gvisor"

// gvisorMutation puts a pod into gVisor and takes its token. The RuntimeClass adds its own node selector and toleration after it. The runtime asks for
// restartPolicy Never: a sandbox that was killed for its memory would stay dead, and its conversation with it until somebody stops and starts that.
const gvisorMutation = `Object{
  spec: Object.spec{
    restartPolicy: "Always",
    runtimeClassName: "` + gvisorClass + `",
    automountServiceAccountToken: false,
    securityContext: Object.spec.securityContext{
      seccompProfile: Object.spec.securityContext.seccompProfile{type: "RuntimeDefault"}
    }
  }
}`

// addressMutation lets the API server choose the address of a Service: one that another Service had may be in use still, or be waited for.
const addressMutation = `(has(object.spec.clusterIP) ? [JSONPatch{op: "remove", path: "/spec/clusterIP"}] : []) + ` +
	`(has(object.spec.clusterIPs) ? [JSONPatch{op: "remove", path: "/spec/clusterIPs"}] : [])`

// mutation changes every new object of a kind in the namespace.
type mutation struct {
	name     string
	resource string
	args     *admissionv1.MutationArgs
}

func (c *Sandboxes) newMutation(ctx *pulumi.Context, m mutation) error {
	policy, err := admissionv1.NewMutatingAdmissionPolicy(ctx, m.name, &admissionv1.MutatingAdmissionPolicyArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(m.name)},
		Spec: &admissionv1.MutatingAdmissionPolicySpecArgs{
			FailurePolicy:      pulumi.String("Fail"),
			ReinvocationPolicy: pulumi.String("IfNeeded"),
			MatchConstraints: &admissionv1.MatchResourcesArgs{
				ResourceRules: admissionv1.NamedRuleWithOperationsArray{matching("", []string{m.resource}, "CREATE")},
			},
			Mutations: admissionv1.MutationArray{m.args},
		},
	}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("create the policy %s: %w", m.name, err)
	}
	binding, err := admissionv1.NewMutatingAdmissionPolicyBinding(ctx, m.name, &admissionv1.MutatingAdmissionPolicyBindingArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(m.name)},
		Spec:     &admissionv1.MutatingAdmissionPolicyBindingSpecArgs{PolicyName: policy.Metadata.Name(), MatchResources: c.match()},
	}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("bind the policy %s: %w", m.name, err)
	}
	c.Awaits(binding)
	return nil
}

// validation refuses objects of the namespace that do not meet all conditions.
type validation struct {
	name             string
	core, networking []string // resources of the API group of pods, and of that of Ingresses
	operations       []string // CREATE and UPDATE where empty
	when             string   // looks at those requests only for which this expression holds; all of them where empty
	conditions       []condition
}

func (v validation) matching() *admissionv1.MatchResourcesArgs {
	operations := v.operations
	if len(operations) == 0 {
		operations = []string{"CREATE", "UPDATE"}
	}
	var rules admissionv1.NamedRuleWithOperationsArray
	for _, r := range []struct {
		group     string
		resources []string
	}{{"", v.core}, {"networking.k8s.io", v.networking}} {
		if len(r.resources) > 0 {
			rules = append(rules, matching(r.group, r.resources, operations...))
		}
	}
	return &admissionv1.MatchResourcesArgs{ResourceRules: rules}
}

func (c *Sandboxes) newValidation(ctx *pulumi.Context, v validation) error {
	var validations admissionv1.ValidationArray
	for _, condition := range v.conditions {
		validations = append(validations, &admissionv1.ValidationArgs{
			Expression: condition.expression, Message: pulumi.String(condition.message), Reason: pulumi.String("Forbidden"),
		})
	}
	var matches admissionv1.MatchConditionArray
	if v.when != "" {
		matches = append(matches, &admissionv1.MatchConditionArgs{Name: pulumi.String("when"), Expression: pulumi.String(v.when)})
	}
	policy, err := admissionv1.NewValidatingAdmissionPolicy(ctx, v.name, &admissionv1.ValidatingAdmissionPolicyArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(v.name)},
		Spec: &admissionv1.ValidatingAdmissionPolicySpecArgs{
			FailurePolicy:    pulumi.String("Fail"),
			MatchConstraints: v.matching(),
			MatchConditions:  matches,
			Validations:      validations,
		},
	}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("create the policy %s: %w", v.name, err)
	}
	binding, err := admissionv1.NewValidatingAdmissionPolicyBinding(ctx, v.name, &admissionv1.ValidatingAdmissionPolicyBindingArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(v.name)},
		Spec: &admissionv1.ValidatingAdmissionPolicyBindingSpecArgs{
			PolicyName: policy.Metadata.Name().Elem(), ValidationActions: pulumi.ToStringArray([]string{"Deny"}), MatchResources: c.match(),
		},
	}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("bind the policy %s: %w", v.name, err)
	}
	c.Awaits(binding)
	return nil
}

func matching(group string, resources []string, operations ...string) *admissionv1.NamedRuleWithOperationsArgs {
	return &admissionv1.NamedRuleWithOperationsArgs{
		ApiGroups: pulumi.ToStringArray([]string{group}), ApiVersions: pulumi.ToStringArray([]string{"v1"}),
		Operations: pulumi.ToStringArray(operations), Resources: pulumi.ToStringArray(resources),
	}
}

// match limits a policy, which is the cluster's, to the namespace of the sandboxes.
func (c *Sandboxes) match() *admissionv1.MatchResourcesArgs {
	return &admissionv1.MatchResourcesArgs{NamespaceSelector: &metav1.LabelSelectorArgs{MatchLabels: pulumi.StringMap{namespaceLabel: c.Namespace}}}
}
