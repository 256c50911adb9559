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

	"openhands-gcp/permissions"
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
		for _, r := range planOf(t, "tests/golden/"+stack+".yaml").Resources {
			if r.Type() != "gcp:projects/iAMMember:IAMMember" {
				continue
			}
			role := r.Inputs["role"].StringValue()
			if _, name, custom := strings.Cut(role, "projects.IAMCustomRole openhands-"); custom {
				name, _, _ = strings.Cut(name, ":")
				id := map[string]string{"night-stop": "night_stop", "operators": "operator"}[name]
				assert.Contains(t, permissions.CustomRoles(stack), fmt.Sprintf("openhands_%s_%s", stack, id))
				continue
			}
			granted[machine][role] = true
		}
	}
	for machine, roles := range granted {
		assert.Equal(t, permissions.GrantsInProject[machine], slices.Sorted(maps.Keys(roles)))
	}
}

// TestWhatStacksHave: the types by which bootstrap chooses roles are those of the plans.
func TestWhatStacksHave(t *testing.T) {
	has := map[permissions.Stack][]string{}
	for _, stack := range goldenStacks(t) {
		types := slices.DeleteFunc(typesOf(t, stack), func(typ string) bool {
			return strings.HasPrefix(typ, "pulumi:") || strings.HasPrefix(typ, "openhands:")
		})
		kind := permissions.Stack{Machine: slices.Contains(types, "gcp:compute/instance:Instance"), Exposed: slices.Contains(types, "gcp:compute/securityPolicy:SecurityPolicy")}
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
