package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

const columns = 120 // of the table. Commands are longer: they are to be copied

// JSON writes the report for machines.
func (r *Report) JSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// Text writes the report for people: what each station found, below it the command that mends it, and what it comes to.
func (r *Report) Text(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "stack %s, project %s", r.Stack, r.Project)
	if r.Identity != "" {
		fmt.Fprintf(&b, ", asked as %s", r.Identity)
	}
	b.WriteString("\n\n")
	const station, result = 13, 9
	last := ""
	for _, f := range r.Findings {
		name := f.Station
		if name == last {
			name = ""
		}
		last = f.Station
		what := f.What
		if f.Result == Fails {
			what = when(*f.AfterMinutes) + ": " + what
		}
		for i, line := range wrap(what, columns-station-result) {
			if i > 0 {
				fmt.Fprintf(&b, "%*s%s\n", station+result, "", line)
				continue
			}
			fmt.Fprintf(&b, "%-*s%-*s%s\n", station, name, result, f.Result, line)
		}
		if f.Mend != "" {
			fmt.Fprintf(&b, "%*s%s\n", station+result+2, "", f.Mend)
		}
	}
	b.WriteString("\n" + r.verdict() + "\n")
	_, err := io.WriteString(out, b.String())
	return err
}

func when(minutes int) string {
	switch minutes {
	case 0:
		return "at once"
	case 1:
		return "after about a minute"
	}
	return fmt.Sprintf("after about %d minutes", minutes)
}

// verdict is what the findings come to.
func (r *Report) verdict() string {
	of := func(result Result) []Finding {
		return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Result != result })
	}
	failing, waiting, unknown := of(Fails), of(Later), of(Unknown)
	switch {
	case len(failing) > 0:
		first := slices.MinFunc(failing, func(a, b Finding) int { return cmp.Compare(*a.AfterMinutes, *b.AfterMinutes) })
		return fmt.Sprintf("`pulumi up` of stack %s will fail: %s, the first %s.", r.Stack, counted(len(failing), "reason"), when(*first.AfterMinutes))
	case len(unknown) > 0:
		return fmt.Sprintf("Nothing says that `pulumi up` of stack %s will fail, and %s not be told.", r.Stack, counted(len(unknown), "thing")+" could")
	case len(waiting) > 0:
		return fmt.Sprintf("`pulumi up` of stack %s should pass. What comes later is above: %s.", r.Stack, counted(len(waiting), "thing"))
	}
	return fmt.Sprintf("`pulumi up` of stack %s should pass.", r.Stack)
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// wrap breaks a text between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
