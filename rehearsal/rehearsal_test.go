package rehearsal

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/cloud/facts"
	"openhands-gcp/rehearsal/timeline"
	"openhands-gcp/rehearsal/values"
)

// TestEveryKnownTypeIsComplete: a type of Google Cloud has facts, rules and a duration, or none of them.
func TestEveryKnownTypeIsComplete(t *testing.T) {
	schema, err := facts.Load("gcp")
	require.NoError(t, err)
	for _, typ := range schema.Types() {
		_, ok := cloud.Rules[typ]
		assert.True(t, ok, "%s has facts, and no rules: add it to rehearsal/cloud/rules.go", typ)
		_, ok = timeline.Creation(typ, values.Map{})
		assert.True(t, ok, "%s has no duration: add it to rehearsal/timeline", typ)
	}
	for typ := range cloud.Rules {
		assert.True(t, slices.Contains(schema.Types(), typ), "%s has rules, and no facts: make facts PROVIDER=gcp ADD=%s", typ, typ)
	}
}
