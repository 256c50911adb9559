package infra

import (
	"fmt"
	"strconv"
	"strings"

	admissionv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/admissionregistration/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// newSandboxAdmission creates the policies that every object of the sandboxes' namespace passes. They need no webhook to run (Kubernetes 1.36), and fail
// closed. It returns what must exist before the first pod.
func (c *OpenHandsApp) newSandboxAdmission(ctx *pulumi.Context, name string, s *Sandboxes, namespace pulumi.StringInput) ([]pulumi.Resource, error) {
	mutation, err := c.newGVisorPolicy(ctx, name+"-gvisor", namespace)
	if err != nil {
		return nil, err
	}
	// The notes of the clean-up must not fail on a pod that an earlier configuration let in.
	pods, err := c.newValidation(ctx, name+"-sandboxes", namespace, "", []string{"pods", "pods/ephemeralcontainers"}, `request.operation == "CREATE" || object.spec != oldObject.spec`, podRules(s, name))
	if err != nil {
		return nil, err
	}
	ingresses, err := c.newValidation(ctx, name+"-ingresses", namespace, "networking.k8s.io", []string{"ingresses"}, "", ingressRules(name))
	if err != nil {
		return nil, err
	}
	// A claim of an earlier configuration may be larger, and is noted on too.
	volumes, err := c.newValidation(ctx, name+"-volumes", namespace, "", []string{"persistentvolumeclaims"}, `request.operation == "CREATE"`, volumeRules(s))
	if err != nil {
		return nil, err
	}
	return []pulumi.Resource{mutation, pods, ingresses, volumes}, nil
}

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

// newGVisorPolicy applies the mutation to every pod of the namespace.
func (c *OpenHandsApp) newGVisorPolicy(ctx *pulumi.Context, name string, namespace pulumi.StringInput) (pulumi.Resource, error) {
	policy, err := admissionv1.NewMutatingAdmissionPolicy(ctx, name, &admissionv1.MutatingAdmissionPolicyArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name)},
		Spec: &admissionv1.MutatingAdmissionPolicySpecArgs{
			FailurePolicy:      pulumi.String("Fail"),
			ReinvocationPolicy: pulumi.String("IfNeeded"),
			MatchConstraints:   matching("", []string{"pods"}, "CREATE"),
			Mutations: admissionv1.MutationArray{&admissionv1.MutationArgs{
				PatchType: pulumi.String("ApplyConfiguration"), ApplyConfiguration: &admissionv1.ApplyConfigurationArgs{Expression: pulumi.String(gvisorMutation)},
			}},
		},
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the gVisor policy: %w", err)
	}
	binding, err := admissionv1.NewMutatingAdmissionPolicyBinding(ctx, name, &admissionv1.MutatingAdmissionPolicyBindingArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name)},
		Spec:     &admissionv1.MutatingAdmissionPolicyBindingSpecArgs{PolicyName: policy.Metadata.Name(), MatchResources: inNamespace(namespace)},
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("bind the gVisor policy: %w", err)
	}
	return binding, nil
}

// condition is an expression in CEL that an object must meet, and what to say where it does not.
type condition struct {
	expression pulumi.StringInput
	message    string
}

// podRules are what Pod Security's level baseline lets pass and a sandbox must not have. They hold after the mutation.
func podRules(s *Sandboxes, name string) []condition {
	return []condition{
		{cel(`has(object.spec.runtimeClassName) && object.spec.runtimeClassName == "%s"`, gvisorClass), "a sandbox runs in gVisor: runtimeClassName must be " + gvisorClass},
		{cel(`!has(object.spec.serviceAccountName) || object.spec.serviceAccountName == "default"`), "a sandbox has the service account default, which may do nothing"},
		{cel(`has(object.spec.automountServiceAccountToken) && !object.spec.automountServiceAccountToken`), "a sandbox has no token: automountServiceAccountToken must be false"},
		// Of the kinds that baseline allows, projected is another way to a token, and the others are ways to other machines.
		{cel(`!has(object.spec.volumes) || object.spec.volumes.all(v, has(v.persistentVolumeClaim) || has(v.emptyDir))`), "a sandbox has volumes of the kinds persistentVolumeClaim and emptyDir only"},
		{s.ImagePrefixes.ToStringArrayOutput().ApplyT(imageExpression).(pulumi.StringOutput), "a sandbox runs images from the registry of this installation only"},
		{cel(`request.operation != "CREATE" || !has(object.spec.nodeName)`), "the scheduler chooses the node of a sandbox"},
		{cel(`!has(object.spec.priorityClassName) || object.spec.priorityClassName == "%s"`, placeholderClass(name)), "a sandbox has no priority over others"},
	}
}

// imageExpression holds for a pod all of whose containers, of whatever kind, have images that begin with one of the prefixes.
func imageExpression(prefixes []string) string {
	var allowed []string
	for _, p := range prefixes {
		allowed = append(allowed, "image.startsWith("+strconv.Quote(p)+")")
	}
	var kinds []string
	for _, kind := range []string{"containers", "initContainers", "ephemeralContainers"} {
		images := fmt.Sprintf("object.spec.%s.map(c, c.image)", kind)
		if kind != "containers" {
			images = fmt.Sprintf("(has(object.spec.%s) ? %s : [])", kind, images)
		}
		kinds = append(kinds, images)
	}
	return fmt.Sprintf("(%s).all(image, %s)", strings.Join(kinds, " + "), strings.Join(allowed, " || "))
}

// ingressRules keep the Ingress of every conversation with the class that nothing serves: any other would put a sandbox on the internet without a login.
func ingressRules(name string) []condition {
	return []condition{{
		cel(`object.spec.?ingressClassName.orValue("") == "%s" && !("kubernetes.io/ingress.class" in object.metadata.?annotations.orValue({}))`, unservedClass(name)),
		"a sandbox is not served to the internet: the class of its Ingress must be " + unservedClass(name),
	}}
}

// volumeRules keep the workspaces at their size, on the disks that they are meant for.
func volumeRules(s *Sandboxes) []condition {
	return []condition{
		{cel(`quantity(object.spec.resources.requests["storage"]).compareTo(quantity("%dGi")) <= 0`, s.VolumeGiB), fmt.Sprintf("a sandbox has a volume of %d GiB at the most", s.VolumeGiB)},
		{cel(`object.spec.?storageClassName.orValue("") == "%s"`, zonalStorageClass), "a sandbox has a volume of the class " + zonalStorageClass},
	}
}

func cel(expression string, values ...any) pulumi.StringInput {
	return pulumi.String(fmt.Sprintf(expression, values...))
}

// newValidation refuses objects of the namespace that do not meet all conditions. Where when is set, it looks at those requests only for which that holds.
func (c *OpenHandsApp) newValidation(ctx *pulumi.Context, name string, namespace pulumi.StringInput, group string, resources []string, when string, conditions []condition) (pulumi.Resource, error) {
	var validations admissionv1.ValidationArray
	for _, v := range conditions {
		validations = append(validations, &admissionv1.ValidationArgs{Expression: v.expression, Message: pulumi.String(v.message), Reason: pulumi.String("Forbidden")})
	}
	var matches admissionv1.MatchConditionArray
	if when != "" {
		matches = append(matches, &admissionv1.MatchConditionArgs{Name: pulumi.String("when"), Expression: pulumi.String(when)})
	}
	policy, err := admissionv1.NewValidatingAdmissionPolicy(ctx, name, &admissionv1.ValidatingAdmissionPolicyArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name)},
		Spec: &admissionv1.ValidatingAdmissionPolicySpecArgs{
			FailurePolicy: pulumi.String("Fail"), MatchConstraints: matching(group, resources, "CREATE", "UPDATE"), MatchConditions: matches, Validations: validations,
		},
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the policy %s: %w", name, err)
	}
	binding, err := admissionv1.NewValidatingAdmissionPolicyBinding(ctx, name, &admissionv1.ValidatingAdmissionPolicyBindingArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name)},
		Spec: &admissionv1.ValidatingAdmissionPolicyBindingSpecArgs{
			PolicyName: policy.Metadata.Name().Elem(), ValidationActions: pulumi.ToStringArray([]string{"Deny"}), MatchResources: inNamespace(namespace),
		},
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("bind the policy %s: %w", name, err)
	}
	return binding, nil
}

func matching(group string, resources []string, operations ...string) *admissionv1.MatchResourcesArgs {
	return &admissionv1.MatchResourcesArgs{ResourceRules: admissionv1.NamedRuleWithOperationsArray{&admissionv1.NamedRuleWithOperationsArgs{
		ApiGroups: pulumi.ToStringArray([]string{group}), ApiVersions: pulumi.ToStringArray([]string{"v1"}),
		Operations: pulumi.ToStringArray(operations), Resources: pulumi.ToStringArray(resources),
	}}}
}

func inNamespace(namespace pulumi.StringInput) *admissionv1.MatchResourcesArgs {
	return &admissionv1.MatchResourcesArgs{NamespaceSelector: &metav1.LabelSelectorArgs{MatchLabels: pulumi.StringMap{namespaceLabel: namespace}}}
}
