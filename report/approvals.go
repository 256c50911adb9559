package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"openhands-gcp/changes"
)

// Approval allows one resource to be replaced or deleted, until a day.
type Approval struct {
	Stack    string `yaml:"stack"`
	Resource string `yaml:"resource"` // as a report shows it, such as sql.DatabaseInstance openhands-postgres
	Change   string `yaml:"change"`   // replace or delete
	Because  string `yaml:"because"`
	Until    string `yaml:"until"` // the last day, such as 2026-12-31, in UTC

	until time.Time // the first moment after it
}

// ReadApprovals reads a file of approvals. file is its name, for the error.
func ReadApprovals(raw []byte, file string) ([]Approval, error) {
	var content struct {
		Approvals []Approval `yaml:"approvals"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&content); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w: write a list `approvals` of entries with stack, resource, change, because and until", file, err)
	}
	if err := decoder.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: it has more than one document: write one list `approvals`", file)
	}
	seen := map[string]bool{}
	for i := range content.Approvals {
		a := &content.Approvals[i]
		problem := ""
		day, err := time.Parse(time.DateOnly, a.Until)
		switch {
		case a.Stack == "":
			problem = "it has no stack: write the stack that it is for"
		case len(strings.Fields(a.Resource)) != 2:
			problem = "its resource is no type and name: write it as the report shows it, such as sql.DatabaseInstance openhands-postgres"
		case a.Change != string(changes.Replace) && a.Change != string(changes.Delete):
			problem = "its change is neither replace nor delete: write the one that is approved"
		case strings.TrimSpace(a.Because) == "":
			problem = "it has no reason: write in because what becomes of the data, and of the people"
		case err != nil:
			problem = "until is no day: write the last one on which it holds, such as 2026-12-31"
		case seen[a.key()]:
			problem = "another entry is for the same change: remove one"
		}
		if problem != "" {
			return nil, fmt.Errorf("%s: entry %d: %s", file, i+1, problem)
		}
		a.until, seen[a.key()] = day.AddDate(0, 0, 1), true
	}
	return content.Approvals, nil
}

// over says whether an approval does not hold any more.
func (r *Report) over(a Approval) bool { return !r.now.Before(a.until) }

func (a *Approval) key() string { return a.Stack + "\x00" + a.Resource + "\x00" + a.Change }

// Destruction is a change that loses data or keeps people from their work, and deletes what there was of a resource.
type Destruction struct {
	Change   changes.Change
	Needs    bool      // an approval, which it may have
	Approval *Approval // nil where there is none
	Expired  bool      // the approval
}

// Refused says whether it lacks an approval.
func (d Destruction) Refused() bool { return d.Needs && (d.Approval == nil || d.Expired) }

// Profile is the profile that a stack's file has; empty where it has none that can be read.
func Profile(stackFile []byte) (string, error) {
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(stackFile, &file); err != nil {
		return "", fmt.Errorf("the profile of a stack: %w", err)
	}
	profile, _ := file.Config["openhands:profile"].(string)
	return profile, nil
}

// lax says whether nothing needs an approval: before the change and after it the profile is dev, and nothing that the preview lists was protected. The preview
// has the profile that the change proposes, which alone must not decide: a change would take what judges it away. What nobody knows is not dev.
func (p *Preview) lax(was string) bool {
	return was == "dev" && p.Profile == "dev" && !slices.ContainsFunc(p.Changes, func(c changes.Change) bool { return c.Protected })
}

// destructions are those of a preview.
func (r *Report) destructions(p *Preview, was string, approvals []Approval) {
	seen := map[string]bool{}
	used := map[string]bool{}
	for _, effect := range r.Effects {
		if effect.Grade != changes.Lost && effect.Grade != changes.Away {
			continue
		}
		for _, c := range effect.Changes {
			if c.Op != changes.Replace && c.Op != changes.Delete || seen[c.URN] || isMinor(c) {
				continue
			}
			seen[c.URN] = true
			d := Destruction{Change: c, Needs: !p.lax(was)}
			for i := range approvals {
				if a := &approvals[i]; a.Stack == r.Stack && a.Resource == c.Title() && a.Change == string(c.Op) {
					d.Approval, d.Expired, used[a.key()] = a, r.over(*a), true
				}
			}
			r.Destructions = append(r.Destructions, d)
		}
	}
	for i := range approvals {
		if a := &approvals[i]; a.Stack == r.Stack && !used[a.key()] {
			r.Unused = append(r.Unused, *a)
		}
	}
}

// isMinor says whether a resource holds nothing itself: a grant or a Service, which is made anew in a moment.
func isMinor(c changes.Change) bool {
	return strings.Contains(strings.ToLower(c.Type), "iam") || c.Type == "kubernetes:core/v1:Service"
}

// example is the entry that approves a destruction.
func (r *Report) example(d Destruction) string {
	return fmt.Sprintf("  - stack: %s\n    resource: %s\n    change: %s\n    because: what becomes of the data and of the people, in your words\n    until: %s\n",
		r.Stack, quoted(d.Change.Title()), d.Change.Op, r.now.UTC().AddDate(0, 0, 7).Format(time.DateOnly))
}

// quoted writes a text so that YAML reads it as it is.
func quoted(text string) string {
	raw, err := yaml.Marshal(text)
	if err != nil {
		return fmt.Sprintf("%q", text)
	}
	return strings.TrimSpace(string(raw))
}
