package rehearsal

import (
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
		assert.Contains(t, cloud.Rules, typ, "rules")
		_, ok := timeline.Creation(typ, values.Map{})
		assert.True(t, ok, "duration of %s", typ)
	}
	for typ := range cloud.Rules {
		assert.Contains(t, schema.Types(), typ, "facts")
	}
}
