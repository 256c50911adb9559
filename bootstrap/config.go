package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"openhands-gcp/infra/bootstrap"
	"openhands-gcp/permissions"
)

// Config is the configuration of bootstrap.
type Config struct {
	Project string // bootstrap's own: state, keys, pool and images
	Region  string
	// Teardown lifts the protection of the state's bucket, for the way out.
	Teardown bool
	GitHub   GitHub
	Stacks   map[string]Stack
}

// GitHub names the repository whose workflows deploy.
type GitHub struct {
	Repository   string `json:"repository"` // owner/name
	RepositoryID string `json:"repositoryId"`
	OwnerID      string `json:"ownerId"`
}

// Stack is what a stack needs from bootstrap.
type Stack struct {
	Project string `json:"project"`
	Machine bool   `json:"machine"` // its profile is single
	Exposed bool   `json:"exposed"` // it has exposure.host
}

func (s Stack) has() permissions.Stack {
	return permissions.Stack{Machine: s.Machine, Exposed: s.Exposed}
}

var (
	projectID  = regexp.MustCompile(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	region     = regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+$`)
	repository = regexp.MustCompile(`^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$`)
	number     = regexp.MustCompile(`^[0-9]+$`)
	stackName  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,15}$`)
)

// load reads the configuration as the engine hands it over: every key with its namespace, objects as JSON. The error lists everything that is wrong.
func load(stack string, values map[string]string, secret []string) (*Config, error) {
	c := &Config{}
	var problems []string
	wrong := func(key, format string, args ...any) {
		problems = append(problems, key+": "+fmt.Sprintf(format, args...))
	}
	object := func(key string, into any) {
		decoder := json.NewDecoder(bytes.NewReader([]byte(values[key])))
		decoder.DisallowUnknownFields()
		err := decoder.Decode(into)
		if err == nil && !errors.Is(decoder.Decode(&struct{}{}), io.EOF) {
			err = errors.New("has more behind the object")
		}
		if err != nil {
			wrong(key, "%s: write the keys that bootstrap/Pulumi.home.yaml has", strings.TrimPrefix(err.Error(), "json: "))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := values[key]
		if slices.Contains(secret, key) {
			wrong(key, "is encrypted, but it is not a secret: write it in clear")
			continue
		}
		switch key {
		case "gcp:project":
			c.Project = value
		case "gcp:region":
			c.Region = value
		case "openhands-bootstrap:teardown":
			if c.Teardown = value == "true"; value != "true" && value != "false" {
				wrong(key, "%q is neither true nor false", value)
			}
		case "openhands-bootstrap:github":
			object(key, &c.GitHub)
		case "openhands-bootstrap:stacks":
			object(key, &c.Stacks)
		default:
			if !strings.HasPrefix(key, "pulumi:") {
				wrong(key, "is not a key of bootstrap: write gcp:project, gcp:region, openhands-bootstrap:github, stacks or teardown")
			}
		}
	}
	for _, needed := range []struct {
		key, value, like string
		rule             *regexp.Regexp
	}{
		{"gcp:project", c.Project, "my-openhands-home", projectID},
		{"gcp:region", c.Region, "us-central1", region},
		{"openhands-bootstrap:github.repository", c.GitHub.Repository, "owner/name", repository},
		{"openhands-bootstrap:github.repositoryId", c.GitHub.RepositoryID, `"123456789"`, number},
		{"openhands-bootstrap:github.ownerId", c.GitHub.OwnerID, `"1234567"`, number},
	} {
		if !needed.rule.MatchString(needed.value) {
			wrong(needed.key, "%q is not valid: write it like %s", needed.value, needed.like)
		}
	}
	if len(c.Stacks) == 0 {
		wrong("openhands-bootstrap:stacks", "names no stack: write one, as dev: {project: my-openhands-dev}")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Stacks)) {
		s, key := c.Stacks[name], "openhands-bootstrap:stacks."+name
		if !stackName.MatchString(name) || name == imagesEnvironment {
			wrong(key, "is no name for a stack here: write up to 16 small letters, digits and hyphens, and not %s", imagesEnvironment)
		}
		for _, suffix := range []string{previewSuffix, driftSuffix} {
			if base, found := strings.CutSuffix(name, suffix); found && c.Stacks[base] != (Stack{}) {
				wrong(key, "would have the environment that stack %s has for its own %s: choose another name", base, strings.TrimPrefix(suffix, "-"))
			}
		}
		if !projectID.MatchString(s.Project) {
			wrong(key+".project", "%q is not the id of a project: write it like my-openhands-dev", s.Project)
		}
		if s.Machine && s.Exposed {
			wrong(key+".exposed", "a machine has no way in from the internet: leave out machine or exposed")
		}
		if longest := bootstrap.Subject(c.GitHub.Repository, name+previewSuffix); len(longest) > bootstrap.LongestSubject {
			wrong(key, "%q has %d bytes, and Google takes %d of a subject: choose a shorter name", longest, len(longest), bootstrap.LongestSubject)
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("stack %s of bootstrap: what is wrong in the configuration; nothing was changed\n  %s", stack, strings.Join(problems, "\n  "))
	}
	return c, nil
}

// warnings are about what works, and lets somebody do more than they should.
func (c *Config) warnings() []string {
	var warnings []string
	owner := map[string]string{c.Project: "bootstrap itself"}
	for _, name := range slices.Sorted(maps.Keys(c.Stacks)) {
		project := c.Stacks[name].Project
		if other, taken := owner[project]; taken {
			warnings = append(warnings, fmt.Sprintf("openhands-bootstrap:stacks.%s.project: %s is also the project of %s. Who deploys %s can act as every account "+
				"there, and change its buckets: give each a project of its own", name, project, other, name))
			continue
		}
		owner[project] = "stack " + name
	}
	return warnings
}
