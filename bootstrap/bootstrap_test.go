package main

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"openhands-gcp/tests/golden"
)

var update = flag.Bool("update", false, "write what the test compares with")

// example is the configuration in Pulumi.home.yaml, as the engine hands it to the program.
func example(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("Pulumi.home.yaml")
	require.NoError(t, err)
	var file struct{ Config map[string]any }
	require.NoError(t, yaml.Unmarshal(raw, &file))
	values := map[string]string{}
	for key, value := range file.Config {
		text, isText := value.(string)
		if !isText {
			document, err := json.Marshal(value)
			require.NoError(t, err)
			text = string(document)
		}
		values[key] = text
	}
	return values
}

// TestPlansAreGolden compares the plan of the example with the one that is written down: every role, every permission, every condition.
func TestPlansAreGolden(t *testing.T) {
	info := pulumi.RunInfo{Project: "openhands-bootstrap", Stack: "home", Config: example(t)}
	plan, err := golden.Record(t.Context(), info, deploy(&info))
	require.NoError(t, err)
	now, err := plan.Text("Pulumi.home.yaml")
	require.NoError(t, err)
	const path = "testdata/home.plan"
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(now), 0o644))
		return
	}
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	if string(written) != now {
		t.Errorf("the plan differs from %s. If that is meant, run `make golden`:\n%s", path, golden.Diff(string(written), now))
	}
}

func TestBadInput(t *testing.T) {
	const github, stacks = "openhands-bootstrap:github", "openhands-bootstrap:stacks"
	for _, c := range []struct{ name, key, value, says string }{
		{"no project", "gcp:project", "", `gcp:project: "" is not valid: write it like my-openhands-home`},
		{"a zone", "gcp:region", "us-central1-a", `gcp:region: "us-central1-a" is not valid`},
		{"unknown key", "openhands-bootstrap:stack", "{}", "openhands-bootstrap:stack: is not a key of bootstrap"},
		{"unknown field", github, `{"repo": "a/b"}`, `github: unknown field "repo": write the keys that bootstrap/Pulumi.home.yaml has`},
		{"no name", github, `{"repository": "openhands", "repositoryId": "1", "ownerId": "2"}`, `github.repository: "openhands" is not valid`},
		{"a number", github, `{"repository": "a/b", "repositoryId": 1, "ownerId": "2"}`, "github: cannot unmarshal number"},
		{"no numbers", github, `{"repository": "a/b", "repositoryId": "b", "ownerId": "2"}`, `github.repositoryId: "b" is not valid: write it like "123456789"`},
		{"two objects", github, `{"repository": "a/b", "repositoryId": "1", "ownerId": "2"} {}`, "has more behind the object"},
		{"no stacks", stacks, "{}", "stacks: names no stack"},
		{"a name that is taken", stacks, `{"images": {"project": "my-images"}}`, "stacks.images: is no name for a stack here"},
		{"a long name", stacks, `{"a-name-that-is-long": {"project": "my-images"}}`, "write up to 16 small letters"},
		{"another's environment", stacks, `{"a": {"project": "my-project-a"}, "a-preview": {"project": "my-project-b"}}`,
			"the environment that stack a has for its own preview"},
		{"no project of a stack", stacks, `{"dev": {}}`, `stacks.dev.project: "" is not the id of a project`},
		{"a machine with a host", stacks, `{"dev": {"project": "my-project", "machine": true, "exposed": true}}`, "stacks.dev.exposed: a machine has no way in"},
		{"neither", "openhands-bootstrap:teardown", "yes", `teardown: "yes" is neither true nor false`},
	} {
		t.Run(c.name, func(t *testing.T) {
			values := example(t)
			values[c.key] = c.value
			_, err := load("home", values, nil)
			assert.ErrorContains(t, err, c.says)
		})
	}
	_, err := load("home", example(t), []string{"gcp:region"})
	assert.ErrorContains(t, err, "gcp:region: is encrypted")
	config, err := load("home", example(t), nil)
	require.NoError(t, err)
	assert.Empty(t, config.warnings())
}

// TestSharedProjects: who deploys a stack reaches everything in its project.
func TestSharedProjects(t *testing.T) {
	values := example(t)
	values["openhands-bootstrap:stacks"] = `{"dev": {"project": "my-openhands-home"}, "prod": {"project": "my-prod"}, "team": {"project": "my-prod"}}`
	config, err := load("home", values, nil)
	require.NoError(t, err)
	warnings := config.warnings()
	require.Len(t, warnings, 2)
	assert.Contains(t, warnings[0], "my-openhands-home is also the project of bootstrap itself")
	assert.Contains(t, warnings[1], "my-prod is also the project of stack prod")
}

// TestAnEnvironmentKeepsItsReviewers runs the command with a stand-in for gh, which says whether the environment has rules, and writes down what sets them.
func TestAnEnvironmentKeepsItsReviewers(t *testing.T) {
	const rules = "-F deployment_branch_policy[protected_branches]=true -F deployment_branch_policy[custom_branch_policies]=false"
	for _, c := range []struct{ name, environment, found, fails, sets string }{
		{"absent", "prod", `{"message": "Not Found"}`, "HTTP 404", rules}, // gh writes what GitHub answers, also where that is an error
		{"absent, for previews", "prod-preview", `{"message": "Not Found"}`, "HTTP 404", "environments/prod-preview"},
		{"made by a workflow", "prod", "false", "", rules},
		{"with rules", "prod", "true", "", ""},
		{"with rules, for previews", "prod-preview", "true", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			gh := "#!/bin/sh\ncase \"$*\" in\n*PUT*) echo \"$*\" >> set ;;\n*) echo '" + c.found + "'; [ -z '" + c.fails + "' ] ;;\nesac\n"
			require.NoError(t, os.WriteFile(filepath.Join(dir, "gh"), []byte(gh), 0o755))
			sh := exec.CommandContext(t.Context(), "sh", "-ec", makeEnvironment("a/b", c.environment))
			sh.Dir, sh.Env = dir, []string{"PATH=" + dir + ":/usr/bin:/bin"}
			said, err := sh.CombinedOutput()
			require.NoErrorf(t, err, "%s", said)
			set, _ := os.ReadFile(filepath.Join(dir, "set"))
			assert.Equal(t, c.sets == "", len(set) == 0)
			assert.Contains(t, string(set), c.sets)
		})
	}
}
