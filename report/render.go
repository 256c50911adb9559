package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"openhands-gcp/changes"
	"openhands-gcp/rehearsal/screen"
)

// Limit is how many characters a comment on GitHub may have. What is counted here are bytes, of which there are as many or more.
const Limit = 65536

// Markdown writes the report as one comment: whole blocks of it, the most important first, as far as they fit. By its first line a workflow finds it again.
func (r *Report) Markdown() string {
	sign := "✅"
	switch {
	case r.Failed():
		sign = "⛔"
	case len(r.Effects) > 0 && r.Effects[0].Grade <= changes.Away:
		sign = "⚠️"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- openhands-preview:%s -->\n## %s Preview of stack %s\n\n**%s.**\n\n%s.\n",
		r.Stack, sign, code(r.Stack), sentence(r.Headline()), sentence(r.counts()))
	const reserve = 400 // for the last sentence
	blocks, resources := 0, 0
	for _, s := range r.sections() {
		head, foot := "\n### "+s.title+"\n\n", ""
		if s.folded {
			head, foot = "\n<details><summary>"+s.title+"</summary>\n\n", "\n</details>\n"
		}
		for _, one := range s.blocks {
			text := one.markdown()
			if b.Len()+len(head)+len(text)+len(foot) > Limit-reserve {
				blocks++
				resources += len(one.lines) + one.more
				continue
			}
			b.WriteString(head + text)
			head = ""
		}
		if head == "" {
			b.WriteString(foot)
		}
	}
	if blocks > 0 {
		fmt.Fprintf(&b, "\n**Left out, as a comment has at most %d characters: %d parts with %d resources.** "+
			"`make report STACK=... PREVIEW=preview.json` shows all of the same preview.\n", Limit, blocks, resources)
	}
	return b.String()
}

func (b *block) markdown() string {
	var out strings.Builder
	indent := ""
	if b.text != "" {
		grade := ""
		if b.grade != "" {
			grade = "**" + b.grade + "**: "
		}
		out.WriteString("- " + grade + b.text + "\n")
		indent = "  "
	}
	for _, l := range b.lines {
		out.WriteString(indent + "- " + l.markdown() + "\n")
	}
	if b.more > 0 {
		fmt.Fprintf(&out, "%s- and %d more\n", indent, b.more)
	}
	if b.quote != "" {
		fence := strings.Repeat("`", max(3, run(b.quote)+1))
		fmt.Fprintf(&out, "\n%s\n%s\n%s\n\n", fence, strings.TrimRight(b.quote, "\n"), fence)
	}
	return out.String()
}

func (l line) markdown() string {
	var out strings.Builder
	for _, s := range l {
		if s.theirs {
			out.WriteString(code(s.text))
			continue
		}
		out.WriteString(s.text)
	}
	return out.String()
}

// code writes a text as code, in which nothing of it is markup.
func code(text string) string {
	if text == "" {
		return "(nothing)"
	}
	fence := strings.Repeat("`", run(text)+1)
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
		text = " " + text + " "
	}
	return fence + text + fence
}

// run is how many backticks follow on each other in a text, at most.
func run(text string) int {
	most, now := 0, 0
	for _, r := range text {
		if now++; r != '`' {
			now = 0
		}
		most = max(most, now)
	}
	return most
}

func (l line) plain() string {
	var out strings.Builder
	for _, s := range l {
		out.WriteString(s.text)
	}
	return out.String()
}

// Terminal shows the report to somebody at a terminal, in colours where it has them.
func (r *Report) Terminal(out io.Writer) {
	s := screen.New(out)
	s.Title("Preview of stack " + r.Stack + ": " + r.Headline())
	s.Text(sentence(r.counts()) + ".")
	for _, part := range r.sections() {
		s.Title(part.title)
		for _, b := range part.blocks {
			row := screen.Row{Mark: b.mark, Name: b.grade, Text: b.text}
			for _, l := range b.lines {
				row.Detail = append(row.Detail, l.plain())
			}
			if b.more > 0 {
				row.Detail = append(row.Detail, fmt.Sprintf("and %d more", b.more))
			}
			if b.text == "" && len(row.Detail) > 0 {
				row.Text, row.Detail = row.Detail[0], row.Detail[1:]
			}
			if row.Text != "" {
				s.Table(row)
			}
			if b.quote != "" {
				s.Text(b.quote)
			}
		}
	}
	if r.Failed() {
		s.Failure("refused: " + r.Headline())
	}
}

// JSON writes the report for a program.
func (r *Report) JSON(out io.Writer) error {
	type resource struct {
		Op       changes.Op `json:"op"`
		Resource string     `json:"resource"`
		URN      string     `json:"urn"`
		Forced   []string   `json:"forcedBy,omitempty"`
	}
	type effect struct {
		Grade     string     `json:"grade"`
		Text      string     `json:"text"`
		Refused   bool       `json:"protected,omitempty"`
		Resources []resource `json:"resources"`
	}
	of := func(c changes.Change) resource {
		out := resource{Op: c.Op, Resource: c.Title(), URN: c.URN}
		for _, p := range c.Properties {
			if p.Replaces {
				out.Forced = append(out.Forced, p.Path)
			}
		}
		return out
	}
	document := struct {
		Stack    string             `json:"stack"`
		Failed   bool               `json:"failed"`
		Headline string             `json:"headline"`
		Counts   map[changes.Op]int `json:"counts"`
		Effects  []effect           `json:"effects"`
		Refused  []resource         `json:"needApproval"`
		Restarts []string           `json:"instancesThatRestart"`
		Quotas   []Quota            `json:"quotas"`
		Errors   []string           `json:"errors"`
		Warnings []string           `json:"warnings"`
	}{Stack: r.Stack, Failed: r.Failed(), Headline: r.Headline(), Counts: r.Counts, Effects: []effect{}, Refused: []resource{}, Restarts: []string{},
		Quotas: append([]Quota{}, r.Quotas...), Errors: append([]string{}, r.Errors...), Warnings: append([]string{}, r.Warnings...)}
	for _, e := range r.Effects {
		one := effect{Grade: e.Grade.String(), Text: e.Text, Refused: e.Refused, Resources: []resource{}}
		for _, c := range e.Changes {
			one.Resources = append(one.Resources, of(c))
		}
		document.Effects = append(document.Effects, one)
	}
	for _, d := range r.refused() {
		document.Refused = append(document.Refused, of(d.Change))
	}
	for _, restart := range r.Restarts {
		document.Restarts = append(document.Restarts, restart.Who...)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
