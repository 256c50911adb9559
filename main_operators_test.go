package main

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/providers"
)

func TestOperatorsMayDoWhatTheyShould(t *testing.T) {
	everyCluster(t, func(t *testing.T, _ string, mocks *providers.Mocks) {
		assert.Empty(t, checks.Operators(mocks.Cloud.Inventory()))
	})
}

// TestOperatorsOfNoSandboxes: a remote runtime has its sandboxes elsewhere, and there is one namespace to look at.
func TestOperatorsOfNoSandboxes(t *testing.T) {
	const gateway = "openhands:cluster.access.connectGateway."
	mocks, err := deployed(t, "remote", nested(t, stackFile(t, "remote"), map[string]any{
		gateway + "enabled": true, gateway + "members": []any{"user:ann@example.com"},
	}), nil)
	require.NoError(t, err)
	assert.Empty(t, checks.Operators(mocks.Cloud.Inventory()))
	find(t, mocks, "RoleBinding", "openhands-operators-view")
}

// TestMembersThatSomebodyElseMade: a service account of the same project, CI's for one, is there before the stack is. One of the stack's own is not.
func TestMembersThatSomebodyElseMade(t *testing.T) {
	const (
		login   = "openhands:exposure.login.members"
		gateway = "openhands:cluster.access.connectGateway.members"
	)
	for _, c := range []struct{ stack, key, account, refusal string }{
		{stack: "prod", key: login, account: "ci"},
		{stack: "prod", key: gateway, account: "ci"},
		{stack: "dev", key: gateway, account: "ci"},
		{stack: "prod", key: login, account: "openhands-prod-app", refusal: "which the stack creates itself"},
		{stack: "dev", key: gateway, account: "openhands-dev-nodes", refusal: "which the stack creates itself"},
	} {
		t.Run(c.stack+" "+c.key+" "+c.account, func(t *testing.T) {
			config := stackFile(t, c.stack)
			member := "serviceAccount:" + c.account + "@" + config["gcp:project"] + ".iam.gserviceaccount.com"
			mocks, err := deployed(t, c.stack, nested(t, config, map[string]any{c.key: []any{member}}), nil)
			if c.refusal != "" {
				require.ErrorContains(t, err, c.refusal)
				return
			}
			require.NoError(t, err)
			assert.Empty(t, checks.Operators(mocks.Cloud.Inventory()))
		})
	}
}

// TestNobodyLosesTheWayToWhatIsLeft: whoever destroys a stack may be a member of the Connect gateway. Their grants go after the objects in the cluster.
func TestNobodyLosesTheWayToWhatIsLeft(t *testing.T) {
	mocks, err := deployed(t, "everything", stackFile(t, "everything"), nil)
	require.NoError(t, err)
	graph := graphOf(t, mocks)
	var grants []string
	for _, r := range mocks.Resources() {
		if strings.HasPrefix(r.Name(), "openhands-access-") {
			grants = append(grants, r.URN)
		}
	}
	require.Len(t, grants, 6, "two for each of three members")
	for _, r := range mocks.Resources() {
		if !r.Custom || !strings.HasPrefix(r.Type, "kubernetes:") {
			continue
		}
		for _, grant := range grants {
			assert.Truef(t, graph.WaitsFor(r.URN, grant), "%s does not wait for %s", r.URN, grant)
		}
	}
}

// TestMistakesWithOperators makes one mistake at a time, and says by which words it is found.
func TestMistakesWithOperators(t *testing.T) {
	const (
		ann      = "openhands-access-user:ann@example.com-roles/gkehub.gatewayAdmin"
		platform = "openhands-access-group:platform@example.com-roles/gkehub.gatewayAdmin"
	)
	for _, c := range []struct {
		mistake        string
		resource, name string
		spoil          func(resource.PropertyMap)
		says           string
	}{
		{"Secrets", "Role", "openhands-operators", setInput("rules[1].resources[0]", "secrets"), `gives ["delete"] of secrets, which shows Secrets`},
		{"commands in pods", "Role", "openhands-operators", setInput("rules[0].resources[0]", "pods/exec"), "of pods/exec, which shows Secrets"},
		{"everything", "Role", "openhands-sandbox-operators", setInput("rules[0].resources[0]", "*"), "of *, which shows Secrets"},
		{"Secrets for the server", "Role", "openhands-runtime", setInput("rules[0].resources[0]", "secrets"), "of secrets, which shows Secrets"},
		{
			"a role that changes objects", "RoleBinding", "openhands-operators-view", setInput("roleRef.name", "edit"),
			"gives the role edit, which shows Secrets",
		},
		{
			"a role for people", "RoleBinding", "openhands-runtime",
			setInput("roleRef", map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}),
			"gives the role view, which is for people, to the service account openhands-everything-server",
		},
		{
			"another verb", "Role", "openhands-sandbox-operators", setInput("rules[0].verbs[0]", "patch"),
			`may do ["patch pods" "view"] in namespace openhands-sandboxes`,
		},
		{
			"no way to the server", "Role", "openhands-operators", setInput("rules[0].verbs", []any{"get"}),
			`may do ["delete pods" "get pods/portforward" "view"] in namespace openhands, and should ["create pods/portforward"`,
		},
		{
			"a way to a sandbox", "Role", "openhands-sandbox-operators", setInput("rules[0].resources[0]", "pods/portforward"),
			`may do ["delete pods/portforward" "view"] in namespace openhands-sandboxes`,
		},
		{
			"somebody else", "RoleBinding", "openhands-operators-view", setInput("subjects[0].name", "eve@example.com"),
			"User eve@example.com may do something in the cluster, and is no member",
		},
		{"everyone", "RoleBinding", "openhands-operators", func(in resource.PropertyMap) {
			setInput("subjects[2].name", "system:authenticated")(in)
		}, "Group system:authenticated may do something in the cluster"},
		{"a group as a user", "RoleBinding", "openhands-operators", setInput("subjects[2].kind", "User"), "User platform@example.com may do something"},
		{"kube-system", "RoleBinding", "openhands-operators-view", setInput("metadata.namespace", "kube-system"), "may do something in namespace kube-system"},
		{
			"a member who is let through only", "IAMMember", ann, setInput("member", "user:bob@example.com"),
			`User bob@example.com may do [] in namespace openhands`,
		},
		{
			"a member who is not let through", "IAMMember", platform, setInput("role", "roles/gkehub.gatewayEditor"),
			"Group platform@example.com may do something",
		},
		{
			"a cluster that is told no groups", "Cluster", "openhands-cluster", removeInput("authenticatorGroupsConfig"),
			"not told who is in platform@example.com",
		},

		// What GKE or the API server refuses.
		{
			"security group of another name", "Cluster", "openhands-cluster", setInput("authenticatorGroupsConfig.securityGroup", "ops@example.com"),
			"is not gke-security-groups@<domain>",
		},
		{"role that is not there", "RoleBinding", "openhands-operators-view", setInput("roleRef.name", "viewer"), "ClusterRole viewer does not exist"},
		{"role of no kind", "RoleBinding", "openhands-operators-view", setInput("roleRef.kind", "role"), "is neither Role nor ClusterRole"},
		{"role of another group", "RoleBinding", "openhands-operators-view", setInput("roleRef.apiGroup", "rbac"), "roleRef.apiGroup"},
		{"role of another namespace", "RoleBinding", "openhands-operators", setInput("roleRef.name", "openhands-sandbox-operators"), "does not exist"},
		{"subject of no kind", "RoleBinding", "openhands-operators", setInput("subjects[0].kind", "Person"), "is not one of ServiceAccount, User, Group"},
		{"subject without a name", "RoleBinding", "openhands-operators", setInput("subjects[0].name", ""), `the User "" needs a name`},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			mocks, err := spoiledIn(t, "everything", stackFile(t, "everything"), c.resource, c.name, c.spoil)
			said := strings.Join(checks.Operators(mocks.Cloud.Inventory()), "\n")
			if err != nil {
				said = err.Error()
			}
			assert.Contains(t, said, c.says)
		})
	}
}
