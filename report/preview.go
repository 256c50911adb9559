package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"openhands-gcp/changes"
)

// Preview is what `pulumi preview --json` says of a stack.
type Preview struct {
	Changes  []changes.Change
	Same     int // resources that stay as they are
	Errors   []string
	Warnings []string
	Profile  string // that the change proposes; empty where the document does not say it

	Instances []string          // of Agent Canvas, before
	WasQuotas map[string]string // what the project needed, by quota
	Quotas    map[string]string // what it needs now
}

// document is the part of the output that is read. Package display of the Pulumi CLI writes it.
type document struct {
	Config      map[string]string `json:"config"`
	Steps       []step            `json:"steps"`
	Diagnostics []struct {
		URN      string `json:"urn"`
		Message  string `json:"message"`
		Severity string `json:"severity"`
	} `json:"diagnostics"`
	ChangeSummary map[string]int `json:"changeSummary"`
	MaybeCorrupt  bool           `json:"maybeCorrupt"`
}

type step struct {
	Op             string             `json:"op"`
	URN            string             `json:"urn"`
	Old            *resource          `json:"oldState"`
	New            *resource          `json:"newState"`
	DiffReasons    []string           `json:"diffReasons"`
	ReplaceReasons []string           `json:"replaceReasons"`
	DetailedDiff   map[string]diffing `json:"detailedDiff"`
}

type diffing struct {
	Kind string `json:"kind"`
}

type resource struct {
	Type    string         `json:"type"`
	Custom  bool           `json:"custom"`
	Protect bool           `json:"protect"`
	Inputs  map[string]any `json:"inputs"`
	Outputs map[string]any `json:"outputs"`
}

// operations are all that the engine has. What only reads, or only forgets what was read, changes nothing in a cloud.
var operations = map[string]changes.Op{
	"same": changes.Same, "create": changes.Create, "update": changes.Update, "delete": changes.Delete,
	"replace": changes.Replace, "create-replacement": changes.Replace, "delete-replaced": changes.Replace,
	"read": changes.Same, "read-replacement": changes.Replace, "refresh": changes.Same, "discard": changes.Same, "discard-replaced": changes.Same,
	"remove-pending-replace": changes.Same, "import": changes.Create, "import-replacement": changes.Replace,
}

// stackType is the type of the resource that a stack is itself, whose outputs are the stack's.
const stackType = "pulumi:pulumi:Stack"

// Read reads the output of `pulumi preview --json` of a stack. What it does not know is an error: a report that says that nothing changes has to be right.
func Read(raw []byte, stack string) (*Preview, error) {
	var d document
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("the preview is no JSON (%w): write the standard output of `pulumi preview --json`, and nothing else, into the file", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the preview is more than one JSON document: this reads the output of `pulumi preview --json`, not the engine's events")
	}
	p := &Preview{Profile: d.Config["openhands:profile"]}
	p.readDiagnostics(&d)
	if d.ChangeSummary == nil && len(p.Errors) == 0 {
		return nil, errors.New("the preview has neither a changeSummary nor an error: it is not what `pulumi preview --json` of the CLI in go.mod's version writes")
	}
	counted := map[string]int{}
	for i := range d.Steps {
		s := &d.Steps[i]
		if err := s.check(stack); err != nil {
			return nil, err
		}
		counted[s.Op]++
		p.add(s)
	}
	if len(p.Errors) == 0 { // a preview that failed has not seen all
		for _, op := range slices.Sorted(maps.Keys(d.ChangeSummary)) {
			if _, known := operations[op]; !known {
				return nil, fmt.Errorf("the preview counts operations %q, which this program does not know: it is of another version of the CLI", op)
			}
			if slices.Contains([]string{"create", "update", "replace", "delete"}, op) && counted[op] != d.ChangeSummary[op] {
				return nil, fmt.Errorf("the preview counts %d x %s and lists %d: it is not what the CLI in go.mod's version writes", d.ChangeSummary[op], op, counted[op])
			}
		}
	}
	p.Same = d.ChangeSummary["same"]
	// The engine takes what does not wait for each other in any order.
	slices.SortFunc(p.Changes, func(a, b changes.Change) int { return strings.Compare(a.URN, b.URN) })
	slices.Sort(p.Warnings)
	slices.Sort(p.Instances)
	p.Instances = slices.Compact(p.Instances)
	return p, nil
}

func (s *step) check(stack string) error {
	op, known := operations[s.Op]
	parts := strings.SplitN(s.URN, "::", 4)
	switch {
	case !known:
		return fmt.Errorf("the preview has operation %q, which this program does not know: it is of another version of the CLI", s.Op)
	case len(parts) != 4 || !strings.HasPrefix(s.URN, "urn:pulumi:"):
		return fmt.Errorf("a step of the preview (%s) names no resource: it is not what `pulumi preview --json` writes", s.Op)
	case parts[0] != "urn:pulumi:"+stack:
		return fmt.Errorf("the preview is of stack %q, and not of %s: name the stack that was previewed", strings.TrimPrefix(parts[0], "urn:pulumi:"), stack)
	case s.Old == nil && (op == changes.Update || op == changes.Delete || s.Op == "replace"),
		s.New == nil && (op == changes.Create || op == changes.Update || s.Op == "replace"):
		return fmt.Errorf("step %s of %s lacks the state before or after it: it is not what `pulumi preview --json` writes", s.Op, parts[3])
	}
	return nil
}

// quotasNote begins what the program says in a preview of the quotas that the project needs. The outputs of a stack are not in the document.
const quotasNote = "quotas: "

func (p *Preview) readDiagnostics(d *document) {
	for _, one := range d.Diagnostics {
		message := strings.TrimSpace(one.Message)
		switch one.Severity {
		case "error":
			p.Errors = append(p.Errors, strings.TrimPrefix(message, "error: "))
		case "warning":
			p.Warnings = append(p.Warnings, strings.TrimPrefix(message, "warning: "))
		default:
			if _, note, ok := strings.Cut(message, quotasNote); ok {
				var quotas map[string]string
				if json.Unmarshal([]byte(note), &quotas) == nil {
					p.Quotas = quotas
				}
			}
		}
	}
	if d.MaybeCorrupt {
		p.Errors = append(p.Errors, "the engine says that the state of some resources may be corrupt: look at `pulumi stack export` before anything is changed")
	}
}

// add takes what a step says. The CLI leaves the steps out that a replacement is made of, unless it is asked for them.
func (p *Preview) add(s *step) {
	state := s.New
	if state == nil {
		state = s.Old
	}
	if state.Type == stackType {
		if s.Old != nil {
			p.readOutputs(s.Old.Outputs)
		}
		return
	}
	if !state.Custom {
		return // a component, which is only a place for resources
	}
	c := changes.Change{URN: s.URN, Type: state.Type, Op: operations[s.Op], Properties: s.properties()}
	if s.Old != nil {
		c.Old, c.Protected = s.Old.Inputs, s.Old.Protect
	}
	if s.New != nil {
		c.New = s.New.Inputs
	}
	c.Unlocked = c.Protected && s.New != nil && !s.New.Protect
	// What is left of an earlier replacement has the same name as what came after it, and both may have a step: none of the two hides the other.
	i := slices.IndexFunc(p.Changes, func(other changes.Change) bool { return other.URN == c.URN && other.Op == changes.Replace })
	if i < 0 || c.Op != changes.Replace {
		p.Changes = append(p.Changes, c)
		return
	}
	whole := &p.Changes[i]
	if whole.Old == nil {
		whole.Old = c.Old
	}
	if whole.New == nil {
		whole.New = c.New
	}
	if len(whole.Properties) == 0 {
		whole.Properties = c.Properties
	}
	whole.Protected, whole.Unlocked = whole.Protected || c.Protected, whole.Unlocked || c.Unlocked
}

func (p *Preview) readOutputs(outputs map[string]any) {
	if urls, ok := outputs["urls"].(map[string]any); ok {
		p.Instances = append(p.Instances, slices.Collect(maps.Keys(urls))...)
	}
	if quotas, ok := outputs["quotas"].(map[string]any); ok {
		p.WasQuotas = map[string]string{}
		for name, value := range quotas {
			p.WasQuotas[name], _ = value.(string)
		}
	}
}

// properties are those that change. A provider that says nothing of single properties has the names of those that differ.
func (s *step) properties() []changes.Property {
	if s.Old == nil || s.New == nil {
		return nil
	}
	replaces := map[string]bool{}
	for _, path := range s.DiffReasons {
		replaces[path] = slices.Contains(s.ReplaceReasons, path)
	}
	if len(s.DetailedDiff) > 0 {
		clear(replaces)
		for path, diff := range s.DetailedDiff {
			replaces[path] = strings.HasSuffix(diff.Kind, "-replace")
		}
	}
	for _, reason := range s.ReplaceReasons {
		if reason = strings.TrimPrefix(reason, "__defaults."); !slices.ContainsFunc(slices.Collect(maps.Keys(replaces)), func(path string) bool {
			return replaces[path] && (path == reason || strings.HasPrefix(path, reason+".") || strings.HasPrefix(path, reason+"["))
		}) {
			replaces[reason] = true
		}
	}
	var out []changes.Property
	for _, path := range slices.Sorted(maps.Keys(replaces)) {
		from, to := changes.Value(s.Old.Inputs, s.Old.Outputs, path), changes.Value(s.New.Inputs, s.New.Outputs, path)
		out = append(out, changes.Property{Path: path, From: from, To: to, Replaces: replaces[path]})
	}
	return out
}
