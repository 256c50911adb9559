package app

import (
	"fmt"

	rbacv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/rbac/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
	"openhands-gcp/release"
)

// Operator is a person or a program that looks after the application, as the API server knows it.
type Operator struct {
	Kind string // User or Group
	Name string // the address, letter by letter as the authenticator gives it
}

func (o Operator) validate(check *component.Check) {
	check.Require(o.Kind == "User" || o.Kind == "Group", "operators: the kind %q of %q is neither User nor Group", o.Kind, o.Name)
	check.Require(o.Name != "", "operators: one has no name")
}

// What operators may do, beside looking. They change no object and run nothing in a pod: either would show them the server's Secret.
var (
	// serverRules reach the server and start it anew. kubectl asks for a port-forward with GET, for which the verb is get, and the API server wants create
	// beside it (feature gate AuthorizePodWebsocketUpgradeCreatePermission, on since Kubernetes 1.35).
	serverRules = []release.Rule{
		{Group: "", Resource: "pods/portforward", Verbs: []string{"get", "create"}},
		{Group: "", Resource: "pods", Verbs: []string{"delete"}},
	}
	// sandboxRules end a sandbox. A port-forward to one would reach its action server, which asks nobody who they are.
	sandboxRules = []release.Rule{
		{Group: "", Resource: "pods", Verbs: []string{"delete"}},
	}
)

// newOperators lets the operators see everything in a namespace but Secrets, which is Kubernetes' own role view, and do what the rules say.
func newOperators(
	ctx *pulumi.Context, parent pulumi.Resource, name string, namespace pulumi.StringInput, rules []release.Rule, operators []Operator,
) error {
	if len(operators) == 0 {
		return nil
	}
	var subjects rbacv1.SubjectArray
	for _, o := range operators {
		subjects = append(subjects, &rbacv1.SubjectArgs{ApiGroup: pulumi.String(rbacGroup), Kind: pulumi.String(o.Kind), Name: pulumi.String(o.Name)})
	}
	if _, err := bind(ctx, parent, name+"-view", namespace, "ClusterRole", pulumi.String("view"), subjects); err != nil {
		return fmt.Errorf("what operators may see: %w", err)
	}
	if _, err := newRole(ctx, parent, name, namespace, rules, subjects); err != nil {
		return fmt.Errorf("what operators may do: %w", err)
	}
	return nil
}
