package workflows

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

const root = "../.."

func read(t *testing.T) ([]Workflow, []Action) {
	t.Helper()
	workflows, actions, err := Read(root)
	require.NoError(t, err)
	require.NotEmpty(t, workflows)
	require.NotEmpty(t, actions)
	return workflows, actions
}

func named(t *testing.T, file string) Workflow {
	t.Helper()
	workflows, _ := read(t)
	for _, w := range workflows {
		if w.Path == file {
			return w
		}
	}
	t.Fatalf("there is no workflow %s", file)
	return Workflow{}
}

func TestWorkflowsLetNobodyIn(t *testing.T) {
	workflows, actions := read(t)
	var texts []string
	for _, w := range workflows {
		assert.Empty(t, Problems(w))
		texts = append(texts, w.Text)
	}
	for _, a := range actions {
		assert.Empty(t, ActionProblems(a))
		texts = append(texts, a.Text)
	}
	scripts, err := filepath.Glob(filepath.Join(root, ".github/scripts/*.sh"))
	require.NoError(t, err)
	require.NotEmpty(t, scripts)
	for _, path := range scripts {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Empty(t, ScriptProblems(filepath.Base(path), string(raw)))
	}
	for action, commits := range Versions(texts...) {
		assert.Len(t, commits, 1, "%s is used in more than one version", action)
	}
}

// Each row breaks a rule in a workflow that is there.
func TestEachRuleRefuses(t *testing.T) {
	for _, row := range []struct{ file, old, now, problem string }{
		{"test.yml", "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "actions/checkout@v7", "actions/checkout@v7 is not pinned"},
		{"test.yml", " # v7.0.1", "", "does not say which version it is"},
		{"test.yml", "permissions:\n  contents: read\n", "", "has no permissions"},
		{"test.yml", "permissions:\n  contents: read\n", "permissions:\n  contents: write\n", "contents: write for every job"},
		{
			"test.yml", "concurrency:\n  group: test-${{ github.ref }}\n  cancel-in-progress: ${{ github.event_name == 'pull_request' }}\n", "",
			"job test: has no concurrency",
		},
		{"test.yml", "    timeout-minutes: 40\n", "", "job test: has no timeout-minutes"},
		{"test.yml", "ubuntu-24.04", "ubuntu-latest", "runs on ubuntu-latest"},
		{"test.yml", "persist-credentials: false", "persist-credentials: true", "leaves GitHub's token in the checkout"},
		{"test.yml", "make rehearse", "make rehearse STACK=${{ github.head_ref }}", "has an expression in its script"},
		{"test.yml", "make rehearse", "docker run example/image:latest", ":latest is another image tomorrow"},
		{"test.yml", "    shell: bash\n", "    shell: sh\n", "goes on after the first command of a pipe has failed"},
		{"test.yml", "      - run: make test\n", "      - run: echo $GH_TOKEN\n", "writes a secret into the log"},
		{"test.yml", "      - run: make test\n", "      - run: make test\n        env: {T: '${{ github.token }}'}\n", "has nothing to write with it"},
		{"test.yml", "      - run: make test\n", "      - run: make test\n        env: {T: '${{ secrets.KEY }}'}\n", "a long-lived key"},
		{"test.yml", "      - run: make test\n", "      - uses: ./.github/actions/set-up\n", "logs in to Google without id-token"},
		{"preview.yml", "  pull_request:\n", "  pull_request_target:\n", "pull_request_target gives what a stranger"},
		{"preview.yml", "  pull_request:\n", "  workflow_run: {workflows: [test]}\n", "workflow_run gives what a stranger"},
		{"preview.yml", " && github.event.pull_request.head.repo.full_name == github.repository", "", "job stack: logs in to Google for pull requests from forks"},
		{"preview.yml", "full_name == github.repository", "full_name == github.repository || true", "and no || beside it"},
		{"preview.yml", "vars.STACKS != '' && ", "", "job stack: fails in a repository that was not set up"},
		{"preview-stack.yml", "    environment: ${{ inputs.stack }}-preview\n", "", "job plan: logs in to Google outside of an environment"},
		{
			"preview-stack.yml", "      id-token: write\n", "      id-token: write\n      pull-requests: write\n",
			"job plan: logs in to Google and may write pull-requests",
		},
		{
			"preview-stack.yml", "      pull-requests: write\n", "      pull-requests: write\n      issues: write\n",
			"job report: issues: write is for .github/scripts/drift.sh",
		},
		{
			"preview-stack.yml", "      pull-requests: write\n", "      pull-requests: write\n      packages: write\n",
			"job report: packages: write is used by nothing",
		},
		{"preview-stack.yml", "run: .github/scripts/comment.sh", "run: true #", "job report: pull-requests: write is for .github/scripts/comment.sh"},
		{"preview-stack.yml", "- uses: ./.github/actions/set-up", "- uses: ./.github/actions/other", "job plan: id-token: write, and no login to Google"},
		{"deploy-stack.yml", "cancel-in-progress: false", "cancel-in-progress: true", "job deploy: a newer run cuts this one off"},
		{"images.yml", "cancel-in-progress: false", "cancel-in-progress: true", "in the middle of what it does at Google"},
		{"deploy-stack.yml", "if: failure() && steps.up.outcome != 'skipped'", "if: failure()", "runs although a step before it has failed"},
		{"drift.yml", "          path: found\n", "", "lays what another job has left over the checkout"},
		{"images.yml", "- name: Tools", "- {uses: a/b@main}\n      - name: Tools", "a/b@main is not pinned"},
		{"images.yml", "service-account:", "credentials_json: x\n          service-account:", "credentials_json: a long-lived key"},
	} {
		t.Run(row.problem, func(t *testing.T) {
			w := named(t, row.file)
			require.Contains(t, w.Text, row.old)
			broken := strings.Replace(w.Text, row.old, row.now, 1)
			w, err := Parse(row.file, []byte(broken))
			require.NoError(t, err)
			assert.Contains(t, strings.Join(Problems(w), "\n"), row.problem)
		})
	}
}

// What a step or a script runs, and can be looked up by its name.
var (
	target  = regexp.MustCompile(`\bmake ([a-z/ -]+)`)
	script  = regexp.MustCompile(`\.github/scripts/[a-z-]+\.sh`)
	program = regexp.MustCompile(`\bgo run \./(\S+)`)
	used    = regexp.MustCompile(`bin/[a-z]+`)
)

// TestEveryCommandOfAWorkflowExists looks up make's targets, scripts and programs. What the steps do is run by make test-delivery.
func TestEveryCommandOfAWorkflowExists(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	exists := func(kind, name string) {
		switch kind {
		case "target":
			assert.True(t, regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`:`).Match(makefile), "make has no target %s", name)
		case "variable":
			assert.True(t, regexp.MustCompile(`\$\(`+name+`\)|\$\(if \$\(?`+name).Match(makefile), "make reads no %s", name)
		case "script":
			info, err := os.Stat(filepath.Join(root, name))
			if assert.NoError(t, err) {
				assert.NotZero(t, info.Mode()&0o111, "%s cannot be run", name)
			}
		default:
			assert.FileExists(t, filepath.Join(root, name, "main.go"))
		}
	}
	workflows, _ := read(t)
	count := 0
	variable := regexp.MustCompile(`\b([A-Z]+)=`)
	for _, w := range workflows {
		for _, job := range w.Jobs {
			for _, step := range job.Steps {
				for _, found := range target.FindAllStringSubmatch(step.Run, -1) {
					for _, name := range strings.Fields(found[1]) {
						exists("target", name)
						count++
					}
				}
				if strings.HasPrefix(step.Run, "make ") {
					for _, found := range variable.FindAllStringSubmatch(step.Run, -1) {
						exists("variable", found[1])
					}
				}
				for _, name := range script.FindAllString(step.Run, -1) {
					exists("script", name)
					count++
				}
				for _, found := range program.FindAllStringSubmatch(step.Run, -1) {
					exists("program", found[1])
					count++
				}
			}
		}
	}
	assert.Greater(t, count, 12, "the test no longer finds what the workflows run")
	scripts, err := filepath.Glob(filepath.Join(root, ".github/scripts/*.sh"))
	require.NoError(t, err)
	for _, path := range scripts {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, name := range used.FindAllString(string(raw), -1) {
			if name != "bin/env" {
				exists("target", name)
			}
		}
	}
}

// TestStacksOfTheWorkflows: the stacks are named in one place, a variable of the repository; those of a fork's rehearsal have a file.
func TestStacksOfTheWorkflows(t *testing.T) {
	workflows, _ := read(t)
	for _, w := range workflows {
		for name, job := range w.Jobs {
			switch stacks := job.Strategy.Matrix.Stack.(type) {
			case string:
				assert.Contains(t, stacks, "fromJSON(vars.STACKS)", "%s, job %s", w.Path, name)
			case []any:
				assert.Equal(t, "preview.yml fork", w.Path+" "+name)
				for _, stack := range stacks {
					assert.FileExists(t, filepath.Join(root, fmt.Sprintf("Pulumi.%s.yaml", stack)))
				}
			}
		}
	}
	apart := named(t, "deploy-stack.yml").Jobs["deploy"].Concurrency
	require.NotNil(t, apart)
	assert.Equal(t, "deploy-${{ inputs.stack }}", apart.Group, "two deployments of a stack meet")
	deploy := named(t, "deploy.yml").Jobs["stack"].Strategy
	assert.Equal(t, 1, deploy.MaxParallel, "prod is deployed beside dev")
	require.NotNil(t, deploy.FailFast)
	assert.True(t, *deploy.FailFast, "prod is deployed although dev has failed")
}

// TestCallersGiveWhatIsNeeded: a workflow that is called gets the rights of its jobs, and no other.
func TestCallersGiveWhatIsNeeded(t *testing.T) {
	workflows, _ := read(t)
	for _, w := range workflows {
		for name, job := range w.Jobs {
			if job.Uses == "" {
				continue
			}
			needed := permissions{}
			for _, called := range named(t, filepath.Base(job.Uses)).Jobs {
				for right, value := range called.Permissions {
					needed[right] = max(needed[right], value) // write comes after read
				}
			}
			assert.Equal(t, needed, job.Permissions, "%s, job %s", w.Path, name)
		}
	}
}

// TestScriptsAreLookedAt breaks the rules of scripts.
func TestScriptsAreLookedAt(t *testing.T) {
	const good = "#!/usr/bin/env bash\nset -euo pipefail\n"
	assert.Empty(t, ScriptProblems("a.sh", good))
	for script, problem := range map[string]string{
		good + "echo \"$GH_TOKEN\"":      "writes a secret into the log",
		good + "set -x":                  "writes a secret into the log",
		"#!/usr/bin/env bash\n":          "goes on after a command has failed",
		good + "docker pull a/b:latest":  "another image tomorrow",
		good + "PULUMI_ACCESS_TOKEN=abc": "a long-lived key",
	} {
		assert.Contains(t, strings.Join(ScriptProblems("a.sh", script), "\n"), problem)
	}
	action := Action{Path: "a", Text: "", Runs: struct{ Steps []Step }{[]Step{{Uses: "google-github-actions/setup-gcloud@" + strings.Repeat("a", 40)}}}}
	assert.Equal(t, []string{"a: installs another gcloud tomorrow: write its version"}, ActionProblems(action))
}

// TestTheWorkflowsTakeTheCLIOfTheSDK: another CLI plans another state.
func TestTheWorkflowsTakeTheCLIOfTheSDK(t *testing.T) {
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	sdk := regexp.MustCompile(`github.com/pulumi/pulumi/sdk/v3 v(\S+)`).FindStringSubmatch(string(gomod))
	require.NotNil(t, sdk)
	_, actions := read(t)
	var versions []string
	for _, a := range actions {
		for _, step := range a.Runs.Steps {
			if v := step.With["pulumi-version"]; v != "" {
				versions = append(versions, v)
			}
		}
	}
	assert.Equal(t, []string{sdk[1]}, versions)
}

// TestVulnerabilitiesAreLetThroughForAWhile: each with a day, at most half a year off, and a reason.
func TestVulnerabilitiesAreLetThroughForAWhile(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, ".trivyignore.yaml"))
	require.NoError(t, err)
	assert.Empty(t, allowances(t, string(raw)))
	for problem, entry := range map[string]string{
		"CVE-1: no expired_at": "{id: CVE-1, statement: not called}",
		"CVE-1: no statement":  "{id: CVE-1, expired_at: " + time.Now().AddDate(0, 1, 0).Format(time.DateOnly) + "}",
		"CVE-1: too long":      "{id: CVE-1, statement: not called, expired_at: 2999-12-31}",
	} {
		assert.Equal(t, []string{problem}, allowances(t, "vulnerabilities: ["+entry+"]"))
	}
}

func allowances(t *testing.T, text string) (problems []string) {
	t.Helper()
	var file map[string][]struct {
		ID, Statement string
		Until         time.Time `yaml:"expired_at"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(text), &file))
	for _, list := range file {
		for _, entry := range list {
			switch {
			case entry.Until.IsZero():
				problems = append(problems, entry.ID+": no expired_at")
			case entry.Until.After(time.Now().AddDate(0, 6, 0)):
				problems = append(problems, entry.ID+": too long")
			}
			if entry.Statement == "" {
				problems = append(problems, entry.ID+": no statement")
			}
		}
	}
	return problems
}
