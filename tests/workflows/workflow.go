// Package workflows reads the repository's workflows of GitHub Actions, and says what in them would let somebody in, or would not work.
package workflows

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Workflow is a file of .github/workflows. Its fields are those that the rules read.
type Workflow struct {
	Path        string         `yaml:"-"`
	Text        string         `yaml:"-"`
	On          map[string]any `yaml:"on"`
	Permissions permissions    `yaml:"permissions"`
	Concurrency *concurrency   `yaml:"concurrency"`
	Defaults    struct {
		Run struct{ Shell string }
	}
	Jobs map[string]Job
}

type permissions map[string]string

type concurrency struct {
	Group  string
	Cancel string `yaml:"cancel-in-progress"`
}

// Job is a job of a workflow.
type Job struct {
	If          string
	Needs       any
	RunsOn      string       `yaml:"runs-on"`
	Timeout     int          `yaml:"timeout-minutes"`
	Environment string       `yaml:"environment"`
	Permissions permissions  `yaml:"permissions"`
	Concurrency *concurrency `yaml:"concurrency"`
	Strategy    struct {
		FailFast    *bool `yaml:"fail-fast"`
		MaxParallel int   `yaml:"max-parallel"`
		Matrix      struct{ Stack any }
	}
	Uses  string
	With  map[string]any
	Env   map[string]string
	Steps []Step
}

// Step is a step of a job, or of an action.
type Step struct {
	Name, ID, If, Uses, Run string
	With, Env               map[string]string
}

// Title is what GitHub shows of the step.
func (s Step) Title() string {
	switch {
	case s.Name != "":
		return s.Name
	case s.Run != "":
		return s.Run
	}
	return s.Uses
}

// Action is an action of this repository.
type Action struct {
	Path, Text string `yaml:"-"`
	Runs       struct{ Steps []Step }
}

// Read reads all workflows of a repository, and the actions that they share.
func Read(root string) ([]Workflow, []Action, error) {
	var all []Workflow
	paths, err := filepath.Glob(filepath.Join(root, ".github/workflows/*"))
	if err != nil {
		return nil, nil, err
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		w, err := Parse(filepath.Base(path), raw)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, w)
	}
	var actions []Action
	if paths, err = filepath.Glob(filepath.Join(root, ".github/actions/*/action.yml")); err != nil {
		return nil, nil, err
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		a := Action{Path: filepath.Base(filepath.Dir(path)) + "/action.yml", Text: string(raw)}
		if err := yaml.Unmarshal(raw, &a); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", a.Path, err)
		}
		actions = append(actions, a)
	}
	return all, actions, nil
}

// Parse reads a workflow.
func Parse(path string, raw []byte) (Workflow, error) {
	w := Workflow{Path: path, Text: string(raw)}
	if err := yaml.Unmarshal(raw, &w); err != nil {
		return w, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

// jobs are the workflow's jobs in the order of their names.
func (w Workflow) jobs() []string { return slices.Sorted(maps.Keys(w.Jobs)) }

// writes are what the job may write, but for the token that it shows to Google.
func (j Job) writes() []string {
	var out []string
	for _, right := range slices.Sorted(maps.Keys(j.Permissions)) {
		if j.Permissions[right] == "write" && right != "id-token" {
			out = append(out, right)
		}
	}
	return out
}

// hasLogin says whether the job may log in to Google.
func (j Job) hasLogin() bool { return j.Permissions["id-token"] == "write" }

// runs says whether a step of the job runs or uses something.
func (j Job) runs(what string) bool {
	return slices.ContainsFunc(j.Steps, func(s Step) bool { return strings.Contains(s.Run, what) || strings.HasPrefix(s.Uses, what) })
}
