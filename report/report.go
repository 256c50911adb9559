package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"openhands-gcp/changes"
)

// Report is what a reviewer is told.
type Report struct {
	Stack        string
	Counts       map[changes.Op]int
	Effects      []changes.Effect
	Destructions []Destruction
	Unused       []Approval // of this stack, which nothing that happens needs
	Restarts     []Restart
	Quotas       []Quota // that change
	Warnings     []string
	Errors       []string

	now time.Time
}

// Restart is a change for which what people work in ends and starts anew.
type Restart struct {
	Who    []string // names of instances; nobody's where all share one
	Change changes.Change
	Effect string // in words
}

// Quota is how much of one the project needs.
type Quota struct{ Name, Was, Is string }

// New makes a report of a stack's preview. was is the profile of the stack before the change, empty where nobody knows. Approvals hold, or not, at a moment.
func New(stack, was string, p *Preview, approvals []Approval, now time.Time) *Report {
	r := &Report{
		Stack: stack, Counts: map[changes.Op]int{changes.Same: p.Same}, Effects: changes.Effects(p.Changes), Warnings: p.Warnings, Errors: p.Errors, now: now,
	}
	for _, c := range p.Changes {
		if c.Op != changes.Same && !strings.HasPrefix(c.Type, "pulumi:") {
			r.Counts[c.Op]++
		}
	}
	if was != "" && was != "dev" && p.Profile == "dev" {
		i := slices.IndexFunc(append(r.Effects, changes.Effect{Grade: changes.Quiet}), func(e changes.Effect) bool { return e.Grade >= changes.Open })
		r.Effects = slices.Insert(r.Effects, i, changes.Effect{
			Grade: changes.Open, Text: "the stack becomes one of profile dev, in which what deletes or replaces something needs no approval",
		})
	}
	r.destructions(p, was, approvals)
	r.restarts(p)
	if p.WasQuotas != nil && p.Quotas != nil {
		all := maps.Clone(p.WasQuotas)
		maps.Copy(all, p.Quotas)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if was, is := p.WasQuotas[name], p.Quotas[name]; was != is {
				r.Quotas = append(r.Quotas, Quota{name, orNone(was), orNone(is)})
			}
		}
	}
	return r
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// Failed says whether the change must not be made as it is.
func (r *Report) Failed() bool {
	return len(r.Errors) > 0 || slices.ContainsFunc(r.Destructions, Destruction.Refused)
}

// Headline says in a sentence what the worst is.
func (r *Report) Headline() string {
	switch refused := r.refused(); {
	case len(r.Errors) > 0:
		return "the preview failed, and what it would do is not known"
	case len(refused) == 1:
		return "1 change needs an approval. " + sentence(r.worst())
	case len(refused) > 1:
		return fmt.Sprintf("%d changes need approvals. %s", len(refused), sentence(r.worst()))
	}
	return r.worst()
}

// worst is the headline of the changes. What is protected is named in the report's parts: here it would have no end.
func (r *Report) worst() string {
	effects := slices.Clone(r.Effects)
	for i := range effects {
		effects[i].Refused = false
	}
	return changes.Headline(effects)
}

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

func (r *Report) refused() []Destruction {
	var out []Destruction
	for _, d := range r.Destructions {
		if d.Refused() {
			out = append(out, d)
		}
	}
	return out
}

// counts says how many resources change.
func (r *Report) counts() string {
	var parts []string
	for _, op := range []changes.Op{changes.Delete, changes.Replace, changes.Update, changes.Create} {
		if n := r.Counts[op]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", n, op))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing to create, update, replace or delete"}
	}
	text := fmt.Sprintf("%s; %d stay as they are", strings.Join(parts, ", "), r.Counts[changes.Same])
	if len(r.Errors) > 0 {
		return "as far as it got: " + text
	}
	return text
}

// instanceLabel says whose an object in the cluster is.
const instanceLabel = "openhands.dev/instance"

// restarts finds out whose work ends. An instance is a StatefulSet; what lies below all of them takes all with it.
func (r *Report) restarts(p *Preview) {
	all := slices.Clone(p.Instances)
	for _, c := range p.Changes {
		if name := instanceOf(c); name != "" && c.Op != changes.Create {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for _, effect := range r.Effects {
		if effect.Grade != changes.Lost && effect.Grade != changes.Away {
			continue
		}
		for _, c := range effect.Changes {
			switch {
			case instanceOf(c) != "":
				r.Restarts = append(r.Restarts, Restart{[]string{instanceOf(c)}, c, effect.Text})
			case slices.Contains(belowAll, c.Type) && len(all) > 0 && !strings.HasSuffix(c.Name(), "-app"):
				r.Restarts = append(r.Restarts, Restart{all, c, effect.Text})
			case slices.Contains(shared, c.Type) && len(all) == 0:
				r.Restarts = append(r.Restarts, Restart{nil, c, effect.Text})
			}
		}
	}
}

// belowAll are types that all instances run on, or in: a pool of nodes that is not the doors' own, a cluster, a namespace.
var belowAll = []string{"gcp:container/cluster:Cluster", "gcp:container/nodePool:NodePool", "kubernetes:core/v1:Namespace"}

// shared are what everybody works in, where there are no instances.
var shared = append([]string{"kubernetes:apps/v1:Deployment", "gcp:compute/instance:Instance", "gcp:sql/databaseInstance:DatabaseInstance"}, belowAll...)

func instanceOf(c changes.Change) string {
	if c.Type != "kubernetes:apps/v1:StatefulSet" {
		return ""
	}
	for _, inputs := range []map[string]any{c.Old, c.New} {
		metadata, _ := inputs["metadata"].(map[string]any)
		labels, _ := metadata["labels"].(map[string]any)
		if name, ok := labels[instanceLabel].(string); ok {
			return name
		}
	}
	return c.Name()
}
