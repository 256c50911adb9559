package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"openhands-gcp/stacks"
	"openhands-gcp/tests/golden"
)

// TestPlansAreGolden compares the plan of every stack file in tests/golden with the one that is written down. `make golden` writes them anew.
func TestPlansAreGolden(t *testing.T) {
	for _, stack := range goldenStacks(t) {
		file := "tests/golden/" + stack + ".yaml"
		t.Run(stack, func(t *testing.T) {
			t.Parallel()
			plan := planOf(t, file)
			now, err := plan.Text(filepath.Base(file))
			require.NoError(t, err)
			path := strings.TrimSuffix(file, ".yaml") + ".plan"
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(now), 0o644))
				return
			}
			written, err := os.ReadFile(path)
			require.NoError(t, err)
			if string(written) != now {
				t.Errorf("the plan of %s differs from %s. If that is meant, run `make golden`:\n%s", file, path, golden.Diff(string(written), now))
			}
		})
	}
}

// planOf records the plan of a stack file, whose name is the stack's.
func planOf(t *testing.T, file string) *golden.Plan {
	t.Helper()
	info := runInfo(t, file)
	info.Project, info.Stack = "openhands", strings.TrimSuffix(filepath.Base(file), ".yaml")
	source := &stacks.Source{}
	captureConfig(source)(&info)
	plan, err := golden.Record(t.Context(), info, deploy(source))
	require.NoError(t, err)
	return plan
}

// runInfo reads a stack file as the engine hands it to the program. A secret has the value that is written in the file.
func runInfo(t *testing.T, path string) pulumi.RunInfo {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &file))
	info := pulumi.RunInfo{Config: map[string]string{}}
	for key, value := range file.Config {
		if object, isObject := value.(map[string]any); isObject && object["secure"] != nil {
			value = object["secure"]
			info.ConfigSecretKeys = append(info.ConfigSecretKeys, key)
		}
		text, isText := value.(string)
		if !isText {
			encoded, err := json.Marshal(value)
			require.NoError(t, err)
			text = string(encoded)
		}
		info.Config[key] = text
	}
	return info
}
