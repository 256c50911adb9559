package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"openhands-gcp/permissions"
	"openhands-gcp/tests/golden"
)

// typesOf are the types of all resources in the plans of stacks.
func typesOf(t *testing.T, stacks ...string) []string {
	types := map[string]bool{}
	for _, stack := range stacks {
		for _, r := range planOf(t, "tests/golden/"+stack+".yaml").Resources {
			types[r.Type()] = true
		}
	}
	return slices.Sorted(maps.Keys(types))
}

// TestReadmeListsTheDeployersRoles compares the roles that the README asks of whoever deploys with what the calls for the stacks' resources take.
func TestReadmeListsTheDeployersRoles(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(raw), "or have the roles ")
	require.True(t, ok)
	list, _, ok := strings.Cut(rest, ";\n- ")
	require.True(t, ok)
	var listed []string
	for _, match := range regexp.MustCompile("`([a-z]+\\.[A-Za-z]+(?:\\.v1)?)`").FindAllStringSubmatch(list, -1) {
		if match[1] != "exposure.dnsZone" {
			listed = append(listed, "roles/"+match[1])
		}
	}
	roles, err := permissions.Deploy(typesOf(t, goldenStacks(t)...))
	require.NoError(t, err)
	var wanted []string
	for _, role := range roles {
		wanted = append(wanted, role.Name)
	}
	assert.ElementsMatch(t, wanted, listed)
}

// TestWhatIsGrantedInTheProject: whoever deploys may grant exactly the roles that the program does.
func TestWhatIsGrantedInTheProject(t *testing.T) {
	granted := map[bool]map[string]bool{false: {}, true: {}}
	for _, stack := range goldenStacks(t) {
		machine := slices.Contains(typesOf(t, stack), "gcp:compute/instance:Instance")
		plan := planOf(t, "tests/golden/"+stack+".yaml")
		ids := map[string]string{} // of the stack's own roles, by what stands for their names in the plan
		for _, r := range plan.Resources {
			if r.Type() == "gcp:projects/iAMCustomRole:IAMCustomRole" {
				ids["${"+golden.Label(r.URN)+": name}"] = r.Inputs["roleId"].StringValue()
			}
		}
		var own []string
		for _, r := range plan.Resources {
			if r.Type() != "gcp:projects/iAMMember:IAMMember" {
				continue
			}
			role := r.Inputs["role"].StringValue()
			if id, custom := ids[role]; custom {
				own = append(own, id)
			} else {
				granted[machine][role] = true
			}
		}
		if slices.Sort(own); len(own) > 0 {
			assert.Equal(t, permissions.CustomRoles(stack), slices.Compact(own))
		}
	}
	for machine, roles := range granted {
		assert.Equal(t, permissions.Stack{Machine: machine}.GrantsInProject(), slices.Sorted(maps.Keys(roles)))
	}
}

// TestWhatStacksHave: the types by which bootstrap chooses roles are those of the plans.
func TestWhatStacksHave(t *testing.T) {
	has := map[permissions.Stack][]string{}
	for _, stack := range goldenStacks(t) {
		types := slices.DeleteFunc(typesOf(t, stack), func(typ string) bool {
			return strings.HasPrefix(typ, "pulumi:") || strings.HasPrefix(typ, "openhands:")
		})
		kind := permissions.Stack{
			Machine: slices.Contains(types, "gcp:compute/instance:Instance"),
			Exposed: slices.Contains(types, "gcp:compute/securityPolicy:SecurityPolicy"),
		}
		has[kind] = append(has[kind], types...)
		assert.Subset(t, kind.Types(), types, stack)
	}
	require.Len(t, has, 3)
	for kind, types := range has {
		slices.Sort(types)
		if !kind.Exposed && !kind.Machine {
			continue // what only some of them have, an exposed one has
		}
		assert.Equal(t, slices.Compact(types), kind.Types())
	}
}

// TestBootstrapKnowsWhatStacksHave: the identities of the example get the roles that the stack files ask for.
func TestBootstrapKnowsWhatStacksHave(t *testing.T) {
	type stack struct {
		Project          string
		Machine, Exposed bool
	}
	var example struct {
		Config struct {
			Stacks map[string]stack `yaml:"openhands-bootstrap:stacks"`
		}
	}
	raw, err := os.ReadFile("bootstrap/Pulumi.home.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(raw, &example))
	has := map[string]stack{}
	for name := range example.Config.Stacks {
		var file struct {
			Config struct {
				Project  string                `yaml:"gcp:project"`
				Profile  string                `yaml:"openhands:profile"`
				Exposure struct{ Host string } `yaml:"openhands:exposure"`
			}
		}
		raw, err := os.ReadFile("Pulumi." + name + ".yaml")
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(raw, &file))
		has[name] = stack{file.Config.Project, file.Config.Profile == "single", file.Config.Exposure.Host != ""}
	}
	require.Len(t, has, 3)
	assert.Equal(t, has, example.Config.Stacks)
}

// TestPermissionsPage writes docs/permissions.md: which roles deploy, with the calls that need them, and what a preview may do.
func TestPermissionsPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Permissions

What Google's IAM must allow. The table behind this page is ` + "`permissions/table.go`" + `: for each type of resource, each call for it and what
Google asks for. Roles hold what they held on 22 August 2026, by the catalogue [iann0036/iam-dataset](https://github.com/iann0036/iam-dataset);
Google changes them at times. None of this was tried on a real project: ` + "`make doctor`" + ` asks yours. Written by ` + "`make docs`" + `.

## Who deploys

The fewest of Google's roles that hold every permission. Without a role, the call beside it is refused first, and it is not the only one.

| role | for a cluster | for a machine | the call that needs it |
|---|---|---|---|
`)
	kinds := []permissions.Stack{{}, {Exposed: true}, {Machine: true}}
	var every []string
	for _, kind := range kinds {
		every = append(every, kind.Types()...)
	}
	slices.Sort(every)
	every = slices.Compact(every)
	roles, err := permissions.Deploy(every)
	require.NoError(t, err)
	for _, role := range roles {
		has := func(kind permissions.Stack) bool {
			needed, err := permissions.Deploy(kind.Types())
			require.NoError(t, err)
			return slices.ContainsFunc(needed, func(r permissions.Role) bool { return r.Name == role.Name })
		}
		cluster, machine := "", ""
		switch {
		case has(kinds[0]):
			cluster = "yes"
		case has(kinds[1]):
			cluster = "with a way in"
		}
		if has(kinds[2]) {
			machine = "yes"
		}
		first := role.For[max(0, slices.IndexFunc(role.For, func(p permissions.Permission) bool { return !p.Reads }))]
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` (%s), for `%s` |\n", role.Name, cluster, machine, first.Method, first.Name, first.Type)
	}
	b.WriteString("\nAn identity that bootstrap makes has the role `roles/resourcemanager.projectIamAdmin` under a condition: it " +
		"may grant and take away exactly these roles.\n\n")
	for _, machine := range []bool{false, true} {
		fmt.Fprintf(&b, "- %s: `%s`", map[bool]string{false: "For a cluster", true: "For a machine"}[machine],
			strings.Join(permissions.Stack{Machine: machine}.GrantsInProject(), "`, `"))
		if machine {
			fmt.Fprintf(&b, ", and the custom roles `%s` of its own", strings.Join(permissions.CustomRoles("<stack>"), "`, `"))
		}
		b.WriteString(".\n")
	}
	b.WriteString("\nFor a machine that is no limit: with `roles/iam.roleAdmin` it writes any permission into these custom roles, so **who deploys a machine " +
		"can make itself owner of the project**. Who deploys a cluster can act as every service account of its project: " +
		"[threats.md](threats.md#identities-of-workflows).\n")
	read, err := permissions.Read(every)
	require.NoError(t, err)
	dry, err := permissions.DryRun(every)
	require.NoError(t, err)
	fmt.Fprintf(&b, "\n## Who previews, or looks for drift\n\nA custom role with exactly these permissions, of those types that the stack has:\n\n`%s`\n\n"+
		"A refresh reads Secrets in the cluster, and so does whoever has this role. They read no object of a bucket but the stack's state.\n\n"+
		"## What a preview needs in the cluster beside\n\nA second custom role. The API server says by a dry run what an object will be, and asks for the "+
		"permissions of the real call: whoever has this role can write in the cluster.\n\n`%s`\n", strings.Join(read, "`, `"), strings.Join(dry, "`, `"))
	const page = "docs/permissions.md"
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(b.String()), 0o644))
		return
	}
	raw, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.Equal(t, b.String(), string(raw), "run `make docs`")
}
