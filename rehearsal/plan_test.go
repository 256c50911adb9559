package rehearsal

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/changes"
	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/rehearsal/state"
)

// TestAReplacementIsOneChange: the engine has three steps for it, in either order, and only one of them says that the old resource is protected.
func TestAReplacementIsOneChange(t *testing.T) {
	const urn, typ = "urn:pulumi:prod::openhands::gcp:storage/bucket:Bucket::openhands-files", "gcp:storage/bucket:Bucket"
	before := &apitype.StepEventStateMetadata{URN: urn, Type: typ, Custom: true, Protect: true, Inputs: map[string]any{"location": "EU"}}
	after := &apitype.StepEventStateMetadata{URN: urn, Type: typ, Custom: true, Inputs: map[string]any{"location": "us-central1"}}
	paths := []string{"location"}
	steps := []apitype.StepEventMetadata{
		{Op: apitype.OpCreateReplacement, URN: urn, Type: typ, New: after},
		{Op: apitype.OpReplace, URN: urn, Type: typ, Old: before, New: after, Keys: paths, Diffs: paths},
		{Op: apitype.OpDeleteReplaced, URN: urn, Type: typ, Old: before},
	}
	for range steps {
		steps = append(steps[1:], steps[0])
		all := changed(engine.Result{Planned: steps})
		require.Len(t, all, 1)
		assert.Equal(t, changes.Replace, all[0].Op)
		assert.True(t, all[0].Protected)
		assert.Equal(t, []changes.Property{{Path: "location", From: "EU", To: "us-central1", Replaces: true}}, all[0].Properties)
		assert.Equal(t, "replace storage.Bucket openhands-files: location: EU → us-central1 (and so it is replaced)", describe(all[0]))
	}
}

func TestComponentsAreNoChanges(t *testing.T) {
	component := &apitype.StepEventStateMetadata{Type: "openhands:gcp:Network"}
	assert.Empty(t, changed(engine.Result{Planned: []apitype.StepEventMetadata{{Op: apitype.OpCreate, Type: "openhands:gcp:Network", New: component}}}))
}

func TestValuesAreShownInAFewWords(t *testing.T) {
	for _, test := range []struct {
		value any
		shown string
	}{
		{nil, "none"},
		{"db-g1-small", "db-g1-small"},
		{3.0, "3"},
		{[]any{"a", 1.0}, `["a",1]`},
		{state.Encrypted("v1:abc"), "a secret"},
		{"04da6b54-80e4-46f7-96ec-b56ff0331ba9", "known later"},
		{"a\n  b", "a b"},
		{"0123456789012345678901234567890123456789012345678901234567890123456789", "01234567890123456789012345678901234567890123456789012345678…"},
	} {
		assert.Equal(t, test.shown, show(test.value))
	}
}
