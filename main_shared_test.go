package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/types"
)

// TestTwoStacksInOneProject share the project's APIs, and nothing else: what one of them deletes or takes over is its own. Two hosts, as a host is one
// installation.
func TestTwoStacksInOneProject(t *testing.T) {
	owners, identities := map[string]string{}, map[string]string{}
	for _, stack := range []string{"blue", "green"} {
		config := maps.Clone(stackFile(t, "prod"))
		config = nested(t, config, map[string]any{"openhands:exposure.host": stack + ".example.com"})
		mocks, err := deployed(t, stack, config, nil)
		require.NoError(t, err)
		for _, r := range mocks.Resources() {
			// Google numbers what belongs to Cloud Monitoring by itself.
			if !r.Custom || r.IsProvider() || r.Type == types.Service || strings.HasPrefix(r.Type, "gcp:monitoring/") {
				continue
			}
			if r.Type == types.AccountMember {
				member := r.Inputs["member"].(string)
				assert.Emptyf(t, identities[member], "%s acts as the server of both", member)
				identities[member] = stack
			}
			if strings.HasPrefix(r.Type, "gcp:") {
				name := types.Short(r.Type) + " " + r.ID
				assert.Emptyf(t, owners[name], "%s belongs to both", name)
				owners[name] = stack
			}
		}
	}
	assert.Len(t, identities, 2)
}
