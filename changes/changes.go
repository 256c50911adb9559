// Package changes says what a change of a stack means to the people who use it. It knows what becomes of each type of resource that is changed, replaced or
// deleted, and nothing of where the change is read: a rehearsal reads it from the engine's events, and the output of `pulumi preview --json` has the same.
package changes

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Op is what happens to a resource.
type Op string

// The operations. Same is none at all.
const (
	Same    Op = "same"
	Create  Op = "create"
	Update  Op = "update"
	Replace Op = "replace"
	Delete  Op = "delete"
)

// Change is what happens to one resource.
type Change struct {
	URN, Type  string
	Op         Op
	Properties []Property
	Protected  bool           // and so refused, where it would be replaced or deleted
	Unlocked   bool           // it was protected, and is not any more
	Old, New   map[string]any // the inputs; nil before a creation and after a deletion
}

// Property is one property that changes.
type Property struct {
	Path     string // such as settings.tier
	From, To any    // nil where it was or is not there
	Replaces bool   // the resource is replaced for it
}

// Value returns the value at a path of a resource's inputs, or else of its outputs; nil where there is none.
func Value(inputs, outputs map[string]any, path string) any {
	if value := lookup(inputs, path); value != nil {
		return value
	}
	return lookup(outputs, path)
}

// Name is the name of the resource in the program.
func (c Change) Name() string { return c.URN[strings.LastIndex(c.URN, "::")+2:] }

// gone says whether what there was of the resource is deleted.
func (c Change) gone() bool { return c.Op == Replace || c.Op == Delete }

// Grade is how bad an effect is. A lower one is worse.
type Grade int

// The grades, the worst first.
const (
	Lost  Grade = iota // data that nothing brings back
	Open               // more is allowed than before, or less kept safe
	Away               // nobody can work, or what runs ends
	Note               // somebody has to know or to do something
	Quiet              // nobody notices
)

func (g Grade) String() string { return [...]string{"LOST", "open", "away", "note", "quiet"}[g] }

// Effect is what some changes mean, in words.
type Effect struct {
	Grade   Grade
	Text    string
	Refused bool     // nothing of it happens: a resource is protected
	Changes []Change // that have it
}

// Effects returns what changes mean, the worst first. Each change that does something is in one of them at least.
func Effects(all []Change) []Effect {
	var effects []Effect
	add := func(grade Grade, text string, refused bool, c Change) {
		i := slices.IndexFunc(effects, func(e Effect) bool { return e.Text == text && e.Refused == refused })
		if i < 0 {
			i = len(effects)
			effects = append(effects, Effect{Grade: grade, Text: text, Refused: refused})
		}
		// Both tables may have a text.
		effects[i].Grade = min(effects[i].Grade, grade)
		if !slices.ContainsFunc(effects[i].Changes, func(other Change) bool { return other.URN == c.URN }) {
			effects[i].Changes = append(effects[i].Changes, c)
		}
	}
	clusterGoes := slices.ContainsFunc(all, func(c Change) bool { return c.Type == cluster && c.gone() })
	for _, c := range all {
		if c.Unlocked {
			add(Open, "protection is lifted: the next change may delete or replace what has people's work", false, c)
		}
		switch {
		case c.Op == Same || c.Type == stack:
		case clusterGoes && c.gone() && strings.HasPrefix(c.Type, "kubernetes:"):
			add(Quiet, "what is in the cluster goes with it, and is made anew in the new one", false, c)
		default:
			for meaning, properties := range meanings(c) {
				part := c
				part.Properties = properties
				add(meaning.grade, meaning.text, c.Protected && c.gone(), part)
			}
			for g, m := range moves(c) {
				part := c
				part.Properties = g.properties(c)
				switch m {
				case weaker:
					add(Open, g.weaker, c.Protected && c.gone(), part)
				case unclear:
					add(Note, "perhaps, as a value is known only when the change is made: "+g.weaker, c.Protected && c.gone(), part)
				case tighter:
					if g.tighter != "" {
						add(Note, g.tighter, c.Protected && c.gone(), part)
					}
				}
			}
		}
	}
	slices.SortStableFunc(effects, func(a, b Effect) int {
		return cmp.Or(cmp.Compare(a.Grade, b.Grade), strings.Compare(a.Text, b.Text))
	})
	return effects
}

// Headline says in a sentence what the worst is.
func Headline(effects []Effect) string {
	if len(effects) == 0 {
		return "nothing changes"
	}
	var lost, refused []string
	for _, e := range effects {
		if e.Grade == Lost {
			what, _, _ := strings.Cut(e.Text, ": ")
			lost = append(lost, what)
		}
		for _, c := range e.Changes {
			if e.Refused {
				refused = append(refused, c.Name())
			}
		}
	}
	slices.Sort(refused)
	switch {
	case len(refused) > 0 && len(lost) > 0:
		return "refused, as DATA WOULD BE LOST: " + strings.Join(lost, ", ")
	case len(refused) > 0:
		return "refused, as it would delete what is protected: " + strings.Join(refused, ", ")
	case len(lost) > 0:
		return "DATA IS LOST: " + strings.Join(lost, ", ")
	case effects[0].Grade == Open:
		text := "no data is lost; more is allowed than before, or less kept safe: " + effects[0].Text
		if i := slices.IndexFunc(effects, func(e Effect) bool { return e.Grade == Away }); i > 0 {
			text += "; " + effects[i].Text
		}
		return text
	case effects[0].Grade == Away:
		return "no data is lost; " + effects[0].Text
	case effects[0].Grade == Note:
		return "no data is lost, and nothing is interrupted; " + effects[0].Text
	}
	return "no data is lost, and nobody notices"
}

// Refused returns the names of the protected resources that a change would delete, which is why it is refused.
func Refused(all []Change) []string {
	names := map[string]bool{}
	for _, c := range all {
		if c.Protected && c.gone() {
			names[c.Name()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// meanings returns what a change means, each with the properties that it is about. The first row of the table that fits a property counts.
func meanings(c Change) map[*meaning][]Property {
	found := map[*meaning][]Property{}
	properties := c.Properties
	if c.Op != Update || len(properties) == 0 {
		properties = []Property{{}} // the resource as a whole
	}
	for _, p := range properties {
		for i := range table {
			if table[i].fits(c, p.Path) {
				if found[&table[i]] = append(found[&table[i]], p); p.Path == "" {
					found[&table[i]] = c.Properties
				}
				break
			}
		}
	}
	return found
}

// moves returns which way the guards of a resource move. Of rows for the same path the first one counts.
func moves(c Change) map[*guard]move {
	found, seen := map[*guard]move{}, map[string]bool{}
	for i := range guards {
		g := &guards[i]
		if !matches(g.typ, c.Type) || seen[g.path] || g.path != "" && (c.Old == nil || c.New == nil) || g.which != nil && !g.which(c) {
			continue
		}
		seen[g.path] = true
		var was, is any // nothing of a resource that is not there: a nil map in an interface is not nil
		if c.Old != nil {
			was = lookup(c.Old, g.path)
		}
		if c.New != nil {
			is = lookup(c.New, g.path)
		}
		if m := g.compare(was, is); m != still {
			found[g] = m
		}
	}
	return found
}

// properties are those of a change that a guard is about.
func (g *guard) properties(c Change) []Property {
	var out []Property
	for _, p := range c.Properties {
		if p.Path == g.path || within(p.Path, g.path) || within(g.path, p.Path) {
			out = append(out, p)
		}
	}
	return out
}

// within says whether a path lies below another one. All lie below the empty one.
func within(path, above string) bool {
	return above == "" || strings.HasPrefix(path, above+".") || strings.HasPrefix(path, above+"[")
}
