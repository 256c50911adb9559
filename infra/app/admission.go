package app

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	admissionv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/admissionregistration/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/app/cleanup"
	"openhands-gcp/infra/internal/component"
	"openhands-gcp/release"
)

// newAdmission creates the policies that every object of the sandboxes' namespace passes: what the runtime and the clean-up make is let in, and nothing else.
// They need no webhook to run (Kubernetes 1.36), and refuse when they fail.
func (c *Sandboxes) newAdmission(ctx *pulumi.Context, name string, s *SandboxesArgs, appNamespace string) error {
	if err := c.newGVisorPolicy(ctx, name+"-gvisor"); err != nil {
		return err
	}
	for _, v := range []validation{
		// The notes of the clean-up must not fail on a pod that an earlier configuration let in.
		{
			name: name + "-sandboxes", core: []string{"pods", "pods/ephemeralcontainers"}, conditions: podRules(s, name),
			when: newOrChanged,
		},
		{name: name + "-services", core: []string{"services"}, conditions: serviceRules(), when: newOrChanged},
		{name: name + "-ingresses", networking: []string{"ingresses"}, conditions: ingressRules(name)},
		// A claim of an earlier configuration may be larger, and is noted on too.
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

// newGVisorPolicy applies the mutation to every pod of the namespace.
func (c *Sandboxes) newGVisorPolicy(ctx *pulumi.Context, name string) error {
	policy, err := admissionv1.NewMutatingAdmissionPolicy(ctx, name, &admissionv1.MutatingAdmissionPolicyArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name)},
		Spec: &admissionv1.MutatingAdmissionPolicySpecArgs{
			FailurePolicy:      pulumi.String("Fail"),
			ReinvocationPolicy: pulumi.String("IfNeeded"),
			MatchConstraints:   &admissionv1.MatchResourcesArgs{ResourceRules: admissionv1.NamedRuleWithOperationsArray{matching("", []string{"pods"}, "CREATE")}},
			Mutations: admissionv1.MutationArray{&admissionv1.MutationArgs{
				PatchType:          pulumi.String("ApplyConfiguration"),
				ApplyConfiguration: &admissionv1.ApplyConfigurationArgs{Expression: pulumi.String(gvisorMutation)},
			}},
		},
	}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("create the gVisor policy: %w", err)
	}
	binding, err := admissionv1.NewMutatingAdmissionPolicyBinding(ctx, name, &admissionv1.MutatingAdmissionPolicyBindingArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name)},
		Spec:     &admissionv1.MutatingAdmissionPolicyBindingSpecArgs{PolicyName: policy.Metadata.Name(), MatchResources: c.match()},
	}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("bind the gVisor policy: %w", err)
	}
	c.Awaits(binding)
	return nil
}

// condition is an expression in CEL that an object must meet, and what to say where it does not.
type condition struct {
	expression pulumi.StringInput
	message    string
}

// zonalStorageClass is the class of the sandboxes' volumes: persistent disks in one zone, which GKE brings.
const zonalStorageClass = "standard-rwo"

// podRules let in the pod that the runtime makes, after the mutation. A server that was taken over may create pods, and could otherwise give them the volume
// of another conversation, a name that the clean-up never sees, a finalizer with which they never go, or the room of sixty sandboxes.
func podRules(s *SandboxesArgs, name string) []condition {
	placeholder := s.placeholderMaker()
	const session = `object.metadata.?labels["session"].orValue("")`
	return []condition{
		{
			cel(`has(object.spec.runtimeClassName) && object.spec.runtimeClassName == "%s"`, gvisorClass),
			"a sandbox runs in gVisor: runtimeClassName must be " + gvisorClass,
		},
		{
			cel(`!has(object.spec.serviceAccountName) || object.spec.serviceAccountName == "default"`),
			"a sandbox has the service account default, which may do nothing",
		},
		{
			cel(`has(object.spec.automountServiceAccountToken) && !object.spec.automountServiceAccountToken`),
			"a sandbox has no token: automountServiceAccountToken must be false",
		},
		// Any other is another conversation's, another way to a token, or a way to another machine.
		{
			cel(`%s ? object.spec.?volumes.orValue([]).size() == 0 : object.spec.?volumes.orValue([]).size() == 1 && `+
				`object.spec.volumes[0].?persistentVolumeClaim.?claimName.orValue("") == object.metadata.name + "-pvc"`, placeholder),
			"a sandbox has the volume of its conversation, and no other",
		},
		{s.prefixes().ApplyT(imageExpression).(pulumi.StringOutput), "a sandbox runs images from the registry of this installation only"},
		{cel(`request.operation != "CREATE" || !has(object.spec.nodeName)`), "the scheduler chooses the node of a sandbox"},
		{
			cel(`!has(object.spec.priorityClassName) || %s && object.spec.priorityClassName == "%s"`, placeholder, placeholderClass(name)),
			"a sandbox has no priority over others",
		},
		{
			cel(`%[1]s || object.metadata.?labels.orValue({}) == {"app": "%[3]s", "session": %[2]s} && object.metadata.name == "%[3]s-" + %[2]s && `+
				`object.metadata.?finalizers.orValue([]).size() == 0 && object.metadata.?ownerReferences.orValue([]).size() == 0`,
				placeholder, session, release.SandboxName),
			"a sandbox has the name and the labels of its conversation, and nothing that keeps it from going",
		},
		{
			cel(`object.spec.containers.size() == 1 && object.spec.?initContainers.orValue([]).size() == 0 && object.spec.?ephemeralContainers.orValue([]).size() == 0`),
			"a sandbox is one container",
		},
		{
			cel(`object.spec.containers.all(c, c.?envFrom.orValue([]).size() == 0 && c.?env.orValue([]).all(e, !has(e.valueFrom)) && !has(c.lifecycle))`),
			"a sandbox has variables with values, and runs nothing beside its command",
		},
		{
			cel(`object.spec.containers.all(c, quantity(c.resources.?requests["cpu"].orValue("0")).compareTo(quantity("%dm")) == 0 && `+
				`quantity(c.resources.?requests["memory"].orValue("0")).compareTo(quantity("%dMi")) == 0)`, int(s.CPURequest*1000), int(s.MemoryGiB*1024)),
			"a sandbox asks for the CPU and the memory that the configuration gives it",
		},
		{
			cel(`object.spec.?nodeSelector["%s"].orValue("") == "%s" && object.spec.?terminationGracePeriodSeconds.orValue(30) <= 60 && `+
				`!has(object.spec.hostAliases) && !has(object.spec.dnsConfig) && object.spec.?dnsPolicy.orValue("ClusterFirst") == "ClusterFirst" && `+
				`!has(object.spec.schedulingGates) && !has(object.spec.activeDeadlineSeconds)`, s.Nodes.Label, s.Nodes.Value),
			"a sandbox runs on its own nodes, asks the cluster's DNS, and ends within a minute",
		},
	}
}

// placeholderMaker is an expression that holds for requests of the controller that makes the pods of newWarmNodes. Nobody else may make such a pod, and
// without warm nodes not even that controller.
func (s *SandboxesArgs) placeholderMaker() string {
	if s.Warm == 0 {
		return "false"
	}
	// The first where controllers have accounts of their own, as on GKE; the second where they have not.
	return `(request.userInfo.username in ["system:serviceaccount:kube-system:replicaset-controller", "system:kube-controller-manager"])`
}

// prefixes begin the references of all images that a sandbox may run: those of the arguments, and the repository of the sandboxes' own image, with whatever
// tag or digest.
func (s *SandboxesArgs) prefixes() pulumi.StringArrayOutput {
	repository := func(separator string) pulumi.StringOutput {
		return s.Image.ToStringOutput().ApplyT(func(image string) string { return release.Repository(image) + separator }).(pulumi.StringOutput)
	}
	return slices.Concat(s.ImagePrefixes, pulumi.StringArray{repository(":"), repository("@")}).ToStringArrayOutput()
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

// serviceRules let in the two Services that the runtime makes for a conversation. Others would take the traffic of another sandbox (selector), of another
// machine (externalIPs), or of a name elsewhere (ExternalName), or be served by a load balancer.
func serviceRules() []condition {
	const session = `object.spec.?selector["session"].orValue("")`
	return []condition{
		{
			cel(`object.spec.?selector.orValue({}) == {"app": "%[2]s", "session": %[1]s} && `+
				`object.metadata.name in ["%[2]s-" + %[1]s + "-svc", "%[2]s-" + %[1]s + "-svc-code"]`, session, release.SandboxName),
			"a Service of a sandbox has its name, and selects that sandbox alone",
		},
		{
			cel(`object.spec.type == "ClusterIP" && object.spec.?externalIPs.orValue([]).size() == 0 && object.spec.?externalName.orValue("") == "" && ` +
				`object.spec.ports.size() == 1`),
			"a Service of a sandbox is reached inside of the cluster, on one port",
		},
		// GKE adds the one that is allowed to Services of a VPC-native cluster by itself, with or without a blank; another value makes network endpoint groups.
		// https://cloud.google.com/kubernetes-engine/docs/how-to/container-native-load-balancing
		{
			cel(`object.metadata.?annotations.orValue({}).all(k, `+
				`k == "cloud.google.com/neg" && object.metadata.annotations[k].replace(" ", "") == '{"ingress":true}' || k in %s)`, notes),
			"a Service of a sandbox has no annotations",
		},
	}
}

// notes are the annotations of the clean-up, as a list in CEL.
var notes = `["` + strings.Join(cleanup.Notes, `", "`) + `"]`

// noteRules let the clean-up write its notes, and nothing else: it may patch objects, and a patch can change everything.
func noteRules() []condition {
	same := func(field, empty string) string {
		return fmt.Sprintf(`object.metadata.?%[1]s.orValue(%[2]s) == oldObject.metadata.?%[1]s.orValue(%[2]s)`, field, empty)
	}
	const now, before = `object.metadata.?annotations.orValue({})`, `oldObject.metadata.?annotations.orValue({})`
	return []condition{{
		cel(`object.spec == oldObject.spec && %s && %s && %s && %s.all(k, k in %s || (k in %s && %[4]s[k] == %[6]s[k])) && %[6]s.all(k, k in %[5]s || k in %[4]s)`,
			same("labels", "{}"), same("finalizers", "[]"), same("ownerReferences", "[]"), now, notes, before),
		"the clean-up writes its notes, and changes nothing else",
	}}
}

// volumeRules keep the workspaces at their size, on the disks that they are meant for, and empty at the beginning.
func volumeRules(s *SandboxesArgs) []condition {
	return []condition{
		{
			cel(`object.metadata.name.startsWith("%s-") && object.metadata.name.endsWith("-pvc") && `+
				`object.metadata.?annotations.orValue({}).size() == 0 && object.metadata.?labels.orValue({}).size() == 0`, release.SandboxName),
			"a volume of a sandbox has the name that the runtime gives it, and neither labels nor annotations",
		},
		{
			cel(`object.spec.accessModes == ["ReadWriteOnce"] && object.spec.?volumeMode.orValue("Filesystem") == "Filesystem" && ` +
				`!has(object.spec.dataSource) && !has(object.spec.dataSourceRef) && !has(object.spec.selector) && object.spec.?volumeName.orValue("") == ""`),
			"a sandbox has a new volume of its own: no copy, no volume that exists, no raw device",
		},
		{
			cel(`quantity(object.spec.resources.requests["storage"]).compareTo(quantity("%dGi")) <= 0`, s.VolumeGiB),
			fmt.Sprintf("a sandbox has a volume of %d GiB at the most", s.VolumeGiB),
		},
		{cel(`object.spec.?storageClassName.orValue("") == "%s"`, zonalStorageClass), "a sandbox has a volume of the class " + zonalStorageClass},
	}
}

func cel(expression string, values ...any) pulumi.StringInput {
	return pulumi.String(fmt.Sprintf(expression, values...))
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
