package permissions

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var allTypes = slices.Sorted(maps.Keys(table))

// TestNoRoleIsTooMuch: of the roles for a set of types, each holds a permission that no other of them does, and together they hold all.
func TestNoRoleIsTooMuch(t *testing.T) {
	for name, types := range map[string][]string{
		"everything": allTypes,
		"a network":  {"gcp:compute/network:Network", "gcp:compute/firewall:Firewall"},
		"a machine":  {"gcp:compute/instance:Instance", "gcp:compute/network:Network", "gcp:projects/service:Service"},
		"an object":  {"kubernetes:core/v1:Namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			roles, err := Deploy(types)
			require.NoError(t, err)
			var held []string
			for _, role := range roles {
				assert.NotEmptyf(t, role.For, "%s can be left out", role.Name)
				held = append(held, role.Holds...)
			}
			needed, err := Of(types)
			require.NoError(t, err)
			assert.Subset(t, held, Names(needed))
			if name == "everything" {
				assert.Len(t, roles, len(predefined), "a role in predefined.go is needed for nothing")
			}
		})
	}
}

// TestWhoReadsChangesNothing: the role of a preview and of a refresh has no permission that changes something, and those of a dry run are about the cluster.
func TestWhoReadsChangesNothing(t *testing.T) {
	read, err := Read(allTypes)
	require.NoError(t, err)
	dry, err := DryRun(allTypes)
	require.NoError(t, err)
	for _, name := range read {
		assert.Regexp(t, `\.(get|list|getIamPolicy|getFromFamily)$`, name)
		assert.NotContains(t, name, "storage.objects.get", "what is in buckets is nobody's but the server's")
	}
	for _, name := range dry {
		assert.Regexp(t, `^(container\.[a-zA-Z]+\.(create|update|bind|escalate)|gkehub\.gateway\.(post|patch|put))$`, name)
		assert.NotRegexp(t, `^container\.clusters\.`, name)
	}
	assert.Contains(t, read, "container.secrets.get", "a refresh reads Secrets")
	all, err := Of(allTypes)
	require.NoError(t, err)
	for _, p := range all {
		if p.Reads {
			assert.Contains(t, read, p.Name)
		}
		if !strings.HasPrefix(p.Type, "kubernetes:") {
			assert.NotContainsf(t, dry, p.Name, "for %s", p.Type)
		}
	}
}

func TestUnknownTypes(t *testing.T) {
	_, err := Of([]string{"gcp:redis/instance:Instance"})
	assert.ErrorContains(t, err, "say in permissions/table.go which permissions the calls for gcp:redis/instance:Instance take")
	all, err := Of([]string{"openhands:gcp:Network", "pulumi:pulumi:Stack", "pulumi:providers:gcp"})
	assert.NoError(t, err)
	assert.Empty(t, all)
}
