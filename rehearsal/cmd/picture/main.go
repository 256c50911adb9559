// Command picture turns what a rehearsal shows, from its standard input, into a picture of a terminal, on its standard output: `make pictures` makes those of
// the documentation.
package main

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"os"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Sizes of a picture, in pixels.
const (
	charWidth  = 7.7
	lineHeight = 16
	margin     = 14
	fontSize   = 12.8
)

// looks are the styles of a terminal that the screen uses, by their codes.
var looks = map[string]string{
	"1": "font-weight:bold", "2": "opacity:.62", "31": "fill:#ff7b72", "32": "fill:#7ee787", "33": "fill:#e3b341",
}

func main() {
	if err := draw(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func draw(in io.Reader, out io.Writer) error {
	var lines []string
	scanner := bufio.NewScanner(in)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		return err
	}
	width := 0
	for _, line := range lines {
		width = max(width, ansi.StringWidth(line))
	}
	w := bufio.NewWriter(out)
	x, y := float64(width)*charWidth+2*margin, len(lines)*lineHeight+2*margin
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" viewBox="0 0 %[1]f %[2]d">`+"\n", x, y)
	fmt.Fprint(w, `<rect width="100%" height="100%" rx="8" fill="#0d1117"/>`+"\n")
	fmt.Fprintf(w, `<g font-family="ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="%g" fill="#e6edf3">`+"\n", fontSize)
	for i, line := range lines {
		if strings.TrimSpace(line) != "" {
			fmt.Fprintf(w, `<text x="%d" y="%d">%s</text>`+"\n", margin, margin+(i+1)*lineHeight-4, spans(line))
		}
	}
	fmt.Fprint(w, "</g>\n</svg>\n")
	return w.Flush()
}

// spans turns the codes of a line into styles.
func spans(line string) string {
	var b strings.Builder
	open := false
	var state byte
	for len(line) > 0 {
		sequence, width, n, next := ansi.DecodeSequence(line, state, nil)
		line, state = line[n:], next
		if width > 0 || !strings.HasPrefix(sequence, "\x1b") {
			b.WriteString(html.EscapeString(strings.ReplaceAll(sequence, " ", "\u00a0"))) // browsers join spaces
			continue
		}
		if open {
			b.WriteString("</tspan>")
			open = false
		}
		var style []string
		for _, code := range strings.Split(strings.TrimSuffix(strings.TrimPrefix(sequence, "\x1b["), "m"), ";") {
			if look, known := looks[code]; known {
				style = append(style, look)
			}
		}
		if len(style) > 0 {
			fmt.Fprintf(&b, `<tspan style="%s">`, strings.Join(style, ";"))
			open = true
		}
	}
	if open {
		b.WriteString("</tspan>")
	}
	return b.String()
}
