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

	begins bool // in a namespace that is created with it: nobody was there who could have been safer
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
	clusterComes := slices.ContainsFunc(all, func(c Change) bool { return c.Type == cluster && (c.Op == Create || c.Op == Replace) })
	begun := namespaces(all)
	for _, c := range all {
		c.begins = c.Op == Create && begun[name(c.New, "namespace")]
		if c.Unlocked {
			add(Open, "protection is lifted: the next change may delete or replace what has people's work", false, c)
		}
		if c.Op == Same || c.Type == stack {
			continue
		}
		refused := c.Protected && c.gone()
		if clusterGoes && c.gone() && strings.HasPrefix(c.Type, "kubernetes:") {
			add(Quiet, "what is in the cluster goes with it, and is made anew in the new one", false, c)
			if !clusterComes {
				continue // nothing is left that could be less safe
			}
		} else {
			for meaning, properties := range meanings(c) {
				part := c
				part.Properties = properties
				add(meaning.grade, meaning.text, refused, part)
			}
		}
		if !known(c.Type) {
			add(Open, "a type that this report does not know: read it", refused, c)
		}
		for g, m := range moves(c) {
			part := c
			part.Properties = g.properties(c)
			switch m {
			case weaker:
				add(Open, g.weaker, refused, part)
			case unclear:
				add(Note, "perhaps, as a value is known only when the change is made: "+g.weaker, refused, part)
			case tighter:
				if g.tighter != "" {
					add(Note, g.tighter, refused, part)
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
		safe, asked := safe[[2]string{g.typ, g.path}]
		switch {
		case !matches(g.typ, c.Type), seen[g.path], g.which != nil && !g.which(c):
			continue
		case g.path != "" && (c.New == nil || c.Old == nil && !asked):
			continue
		}
		seen[g.path] = true
		var was, is any // nothing of a resource that is not there: a nil map in an interface is not nil
		switch {
		case c.Old != nil:
			was = lookup(c.Old, g.path)
		case c.Op == Create:
			was = safe
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

// name is the name of an object in the cluster, or of its namespace.
func name(inputs map[string]any, of string) string {
	value, _ := lookup(inputs, "metadata."+of).(string)
	return value
}

// namespaces are those that are created. The name of one is known later where there is no cluster yet that could be asked.
func namespaces(all []Change) map[string]bool {
	created, others := map[string]bool{}, false
	for _, c := range all {
		if c.Type == namespace && c.Op == Create {
			created[name(c.New, "name")] = true
		}
		others = others || strings.HasPrefix(c.Type, "kubernetes:") && c.Op != Create
	}
	created[unknown] = !others && slices.ContainsFunc(all, func(c Change) bool { return c.Type == cluster && c.Op == Create })
	delete(created, "")
	return created
}

// known says whether somebody has asked what of a type keeps something safe.
func known(typ string) bool {
	return slices.ContainsFunc(guards, func(g guard) bool { return matches(g.typ, typ) }) ||
		slices.ContainsFunc(guardless, func(row string) bool { return matches(row, typ) })
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
