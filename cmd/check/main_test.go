package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/check"
)

// TestHowItIsShown has a stack whose cluster cannot be reached.
func TestHowItIsShown(t *testing.T) {
	t.Setenv("PATH", "/nowhere")
	t.Setenv("COLUMNS", "100")
	file := filepath.Join(t.TempDir(), "outputs.json")
	require.NoError(t, os.WriteFile(file, []byte(`{
		"url": "http://localhost:3000", "appNamespace": "openhands", "kubeconfig": "{\"users\": [\"not to be shown\"]}",
		"openCommand": "kubectl --namespace=openhands port-forward deployment/openhands-door 3000:3000"
	}`), 0o600))
	var stdout, stderr bytes.Buffer
	passed, err := run(t.Context(), []string{"-stack=dev", "-outputs=" + file}, &stdout, &stderr)
	require.NoError(t, err)
	assert.False(t, passed)
	assert.Contains(t, stdout.String(), "Stack dev: a person's way through it\n✗ page            ")
	assert.Contains(t, stdout.String(), "! conversation    skipped: the page does not open")
	assert.Contains(t, stdout.String(), "The way ends here:\npage: ")
	assert.Contains(t, stdout.String(), `look at: README.md, "Deploying for real"`)
	assert.NotContains(t, stdout.String(), "not to be shown")

	stdout.Reset()
	_, err = run(t.Context(), []string{"-stack=dev", "-json", "-outputs=" + file}, &stdout, &stderr)
	require.NoError(t, err)
	var result struct {
		Stack    string
		Passed   bool
		Stations []check.Result
	}
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &result))
	assert.Equal(t, "dev", result.Stack)
	assert.False(t, result.Passed)
	assert.Equal(t, check.Failed, result.Stations[0].Verdict)
	assert.Contains(t, stderr.String(), "✗ page")
}

func TestWhichStack(t *testing.T) {
	for _, arguments := range [][]string{nil, {"-stack=dev prod team single"}, {"-stack=dev", "prod"}} {
		_, err := run(t.Context(), arguments, &bytes.Buffer{}, &bytes.Buffer{})
		assert.EqualError(t, err, "check takes one stack: make check STACK=prod")
	}
	_, err := run(t.Context(), []string{"-stack=dev", "-outputs=/nowhere/outputs.json"}, &bytes.Buffer{}, &bytes.Buffer{})
	assert.EqualError(t, err, "stack dev: open /nowhere/outputs.json: no such file or directory")
}
