package golden

import (
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
)

// shown is how many lines around a change are shown.
const shown = 2

// Diff shows the lines that differ between a plan that was written down and one that is, below the resource that they belong to. It is empty where the
// plans are the same.
func Diff(written, now string) string {
	before, after := strings.Split(written, "\n"), strings.Split(now, "\n")
	var b strings.Builder
	for _, group := range difflib.NewMatcher(before, after).GetGroupedOpCodes(shown) {
		first := group[0]
		if first.Tag == 'e' && len(group) > 1 {
			first = group[1]
		}
		fmt.Fprintf(&b, "%s\n", resourceAt(after, first.J1))
		for _, op := range group {
			if op.Tag == 'e' {
				write(&b, "    ", before[op.I1:op.I2])
				continue
			}
			write(&b, "  - ", before[op.I1:op.I2])
			write(&b, "  + ", after[op.J1:op.J2])
		}
	}
	return b.String()
}

func write(b *strings.Builder, mark string, lines []string) {
	for _, line := range lines {
		fmt.Fprintf(b, "%s%s\n", mark, line)
	}
}

// resourceAt is the resource to which a line of a plan belongs: the last line above it that is not indented.
func resourceAt(lines []string, at int) string {
	for i := min(at, len(lines)-1); i >= 0; i-- {
		if line := lines[i]; line != "" && line[0] != ' ' && line[0] != '#' {
			return line
		}
	}
	return "tree"
}
