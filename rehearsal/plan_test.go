package rehearsal

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/changes"
	"openhands-gcp/rehearsal/engine"
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
		assert.Equal(t, "replace storage.Bucket openhands-files: location: EU → us-central1 (and so it is replaced)", all[0].Describe())
	}
}

func TestComponentsAreNoChanges(t *testing.T) {
	component := &apitype.StepEventStateMetadata{Type: "openhands:gcp:Network"}
	assert.Empty(t, changed(engine.Result{Planned: []apitype.StepEventMetadata{{Op: apitype.OpCreate, Type: "openhands:gcp:Network", New: component}}}))
}

// TestAPlanThatFailsIsReported: what `pulumi preview --json` says of a change is written before the rehearsal ends for it.
func TestAPlanThatFailsIsReported(t *testing.T) {
	dir := t.TempDir()
	cli, document := filepath.Join(dir, "pulumi"), filepath.Join(dir, "preview.json")
	require.NoError(t, os.WriteFile(cli, []byte(`#!/bin/sh
case "$*" in
"preview --json"*) echo '{"diagnostics":[{"message":"no","severity":"error"}]}'; exit 1 ;;
preview*) exit 1 ;;
esac
`), 0o700))
	e, err := engine.New(t.Context(), engine.Options{Root: "..", Stack: "dev", CLI: cli, Output: io.Discard})
	require.NoError(t, err)
	defer e.Close()
	c := &change{run: &run{Engine: e}, preview: document}
	_, err = c.plan(t.Context())
	require.ErrorContains(t, err, "pulumi preview")
	raw, err := os.ReadFile(document)
	require.NoError(t, err)
	assert.Contains(t, string(raw), `"message":"no"`)
}
