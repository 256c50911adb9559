package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"openhands-gcp/changes"
	"openhands-gcp/rehearsal/screen"
)

// span is a piece of a line. What others wrote, such as a name or a value, is shown as code: there it pings nobody and is no markup.
type span struct {
	text   string
	theirs bool
}

type line []span

func ours(text string) span   { return span{text: text} }
func theirs(text string) span { return span{text: clean(text), theirs: true} }

// block is what is shown as a whole, or left out as a whole.
type block struct {
	mark  screen.Mark
	grade string // in a word; none where empty
	text  string // ours
	lines []line
	more  int    // lines that there are beside these
	quote string // shown as it is, below; none where empty
}

// section is a part of a report.
type section struct {
	title  string
	blocks []block
	folded bool // until a reader opens it
}

// Of what has no end there is so much at a time.
const (
	mostLines      = 25   // in a block
	mostProperties = 6    // of a resource
	mostRunes      = 100  // of a name or a value
	mostOfMessage  = 2000 // of an error or a warning
)

// clean makes one line of what others wrote, without what a terminal or a page would obey.
func clean(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '�'
		}
		return r
	}, text)), " ")
	return shortened(text, mostRunes)
}

func shortened(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// cleanLines does the same with what has lines.
func cleanLines(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '�'
		}
		return r
	}, text)
	return shortened(text, mostOfMessage)
}

var marks = map[changes.Grade]screen.Mark{changes.Lost: screen.Bad, changes.Open: screen.Warn, changes.Away: screen.Warn}

// sections are the parts of the report, the most important first.
func (r *Report) sections() []section {
	all := []section{
		{title: "The preview failed", blocks: messages(screen.Bad, r.Errors)},
		{title: "Risk", blocks: r.effects(changes.Lost, changes.Open, changes.Away)},
		{title: "Refused: it needs an approval", blocks: r.refusals()},
		{title: "Approved", blocks: r.approved()},
		{title: "Whose work restarts", blocks: r.restarting()},
		{title: "Quotas of the project", blocks: r.quotas()},
		{title: "To know", blocks: r.effects(changes.Note)},
		{title: "Approvals that nothing needs", blocks: r.unused()},
		{title: "Nobody notices", blocks: r.effects(changes.Quiet), folded: true},
		{title: "Warnings of the program", blocks: messages(screen.Warn, r.Warnings), folded: true},
	}
	var out []section
	for _, s := range all {
		if len(s.blocks) > 0 {
			out = append(out, s)
		}
	}
	return out
}

func messages(mark screen.Mark, texts []string) []block {
	var out []block
	for _, text := range texts {
		out = append(out, block{mark: mark, quote: cleanLines(text)})
	}
	return out
}

// effects are what the changes mean, of some grades.
func (r *Report) effects(grades ...changes.Grade) []block {
	var out []block
	for _, grade := range grades {
		for _, effect := range r.Effects {
			if effect.Grade != grade {
				continue
			}
			b := block{mark: marks[grade], grade: grade.String(), text: effect.Text}
			if effect.Refused {
				b.text += " (Pulumi refuses it, as it is protected)"
			}
			for _, c := range effect.Changes {
				b.add(describe(c))
			}
			out = append(out, b)
		}
	}
	return out
}

func (b *block) add(l line) {
	if len(b.lines) == mostLines {
		b.more++
		return
	}
	b.lines = append(b.lines, l)
}

// describe says what happens to a resource, and for which fields; those first that force a replacement.
func describe(c changes.Change) line {
	l := line{ours(string(c.Op) + " "), theirs(c.Title())}
	n, left := 0, 0
	for _, forces := range []bool{true, false} {
		for _, p := range c.Properties {
			switch {
			case p.Replaces != forces:
				continue
			case n == mostProperties:
				left++
				continue
			case n == 0:
				l = append(l, ours(": "))
			default:
				l = append(l, ours(", "))
			}
			n++
			l = append(l, theirs(p.Path+c.Values(p)))
			if forces && c.Op == changes.Replace {
				l = append(l, ours(" forces it"))
			}
		}
	}
	if left > 0 {
		l = append(l, ours(fmt.Sprintf(", and %d more", left)))
	}
	return l
}

// refusals are what lacks an approval, and below them what to write.
func (r *Report) refusals() []block {
	var out []block
	for some := range slices.Chunk(r.refused(), mostLines) {
		has := "has"
		if len(some) > 1 {
			has = "have"
		}
		b := block{mark: screen.Bad, text: fmt.Sprintf("%d of what would be deleted or replaced %s no approval. If it is meant, add below `approvals:` in "+
			"approvals.yaml, and have it reviewed with the change:", len(some), has)}
		for _, d := range some {
			l := describe(d.Change)
			if d.Expired {
				l = append(l, ours("; its approval held until "), theirs(d.Approval.Until), ours(", and is refused: renew it, with a reason of today"))
			}
			b.lines = append(b.lines, l)
			b.quote += r.example(d)
		}
		out = append(out, b)
	}
	return out
}

func (r *Report) approved() []block {
	var out []block
	for _, d := range r.Destructions {
		if d.Approval == nil || d.Expired {
			continue
		}
		b := block{mark: screen.Good, lines: []line{
			append(describe(d.Change), ours("; until "), theirs(d.Approval.Until), ours(", because "), theirs(d.Approval.Because)),
		}}
		if d.Change.Protected {
			b.add(line{ours("Pulumi refuses it all the same, as it is protected: lift the protection first (README, Destroying)")})
		}
		out = append(out, b)
	}
	return out
}

func (r *Report) restarting() []block {
	var out []block
	for _, restart := range r.Restarts {
		b := block{mark: screen.Warn, text: restart.Effect}
		who := line{ours("everybody's: all share one")}
		if len(restart.Who) > 0 {
			who = line{ours("of ")}
			for i, name := range restart.Who {
				if i == mostLines {
					who = append(who, ours(fmt.Sprintf(" and of %d more", len(restart.Who)-i)))
					break
				}
				if i > 0 {
					who = append(who, ours(", "))
				}
				who = append(who, theirs(name))
			}
		}
		b.add(who)
		b.add(describe(restart.Change))
		// Instances that change alike are one block.
		if n := len(out); n > 0 && out[n-1].text == b.text && len(restart.Who) == 1 {
			out[n-1].add(append(append(who, ours(": ")), describe(restart.Change)...))
			continue
		}
		if len(restart.Who) == 1 {
			b.lines = []line{append(append(who, ours(": ")), describe(restart.Change)...)}
		}
		out = append(out, b)
	}
	return out
}

func (r *Report) quotas() []block {
	if len(r.Quotas) == 0 {
		return nil
	}
	b := block{text: "what the project has to have (docs/quotas.md):"}
	for _, q := range r.Quotas {
		b.add(line{theirs(q.Name), ours(": "), theirs(q.Is), ours(", and was: "), theirs(q.Was)})
	}
	return []block{b}
}

func (r *Report) unused() []block {
	if len(r.Unused) == 0 {
		return nil
	}
	b := block{text: "nothing that this change does needs them: remove them from approvals.yaml, unless their change is still to come:"}
	for _, a := range r.Unused {
		l := line{ours(a.Change + " "), theirs(a.Resource), ours(", until "), theirs(a.Until)}
		if r.over(a) {
			l = append(l, ours(" (over)"))
		}
		b.add(l)
	}
	return []block{b}
}
