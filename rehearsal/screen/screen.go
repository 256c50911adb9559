// Package screen is where people read how a rehearsal goes: a line for each step, which shows on a terminal how far the step is. It writes colours where the
// terminal has them, and nothing but text where there is none.
package screen

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

const (
	columns    = 100 // of what is not a terminal
	widest     = 160 // longer lines are hard to read
	narrowest  = 60
	nameWidth  = 14
	timeWidth  = 8
	everyFrame = 100 * time.Millisecond
	everyWord  = 30 * time.Second // between two lines about a step that is under way, where there is no terminal
)

// frames show that a step is under way.
var frames = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// Screen writes for people. Its methods may be called at the same time.
type Screen struct {
	out    io.Writer
	styles styles
	width  int
	live   bool // a terminal, whose last line is written over

	mu       sync.Mutex // protects what follows, and the order of what is written
	step     string     // under way; empty where none is
	progress string     // of it
	started  time.Time
	stop     chan struct{}
}

type styles struct{ title, good, bad, warn, faint lipgloss.Style }

// New returns a screen. A file that is a terminal has its width, unless COLUMNS says otherwise.
func New(out io.Writer) *Screen {
	s := &Screen{out: out, width: columns}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) && os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb" {
		s.live = true
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			s.width = width
		}
	}
	if width, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && width > 0 && !s.live {
		s.width = width
	}
	s.width = max(min(s.width, widest), narrowest)
	renderer := lipgloss.NewRenderer(out)
	style := func(colour string) lipgloss.Style { return renderer.NewStyle().Foreground(lipgloss.Color(colour)) }
	s.styles = styles{
		title: renderer.NewStyle().Bold(true), good: style("2"), bad: style("1").Bold(true), warn: style("3"), faint: renderer.NewStyle().Faint(true),
	}
	return s
}

// Title writes a line that something begins with.
func (s *Screen) Title(text string) {
	out := "\n"
	for _, line := range wrap(text, s.width) {
		out += s.styles.title.Render(line) + "\n"
	}
	s.print(out)
}

// Mark says how a line is meant.
type Mark int

// The marks.
const (
	None Mark = iota
	Good
	Bad
	Warn
)

func (s *Screen) mark(m Mark) string {
	switch m {
	case Good:
		return s.styles.good.Render("✓")
	case Bad:
		return s.styles.bad.Render("✗")
	case Warn:
		return s.styles.warn.Render("!")
	}
	return " "
}

// Row is a line of a table: what it is about, and what is to be said of it.
type Row struct {
	Mark   Mark
	Name   string
	Text   string
	Detail []string // lines below it
}

// Table writes rows whose texts begin in one column.
func (s *Screen) Table(rows ...Row) {
	width := 0
	for _, row := range rows {
		width = max(width, ansi.StringWidth(row.Name))
	}
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(s.row(row, max(width, 0)))
	}
	s.print(b.String())
}

// row renders a line, whose text is wrapped below where it begins.
func (s *Screen) row(row Row, width int) string {
	indent := width + 4
	if width == 0 {
		indent = 2
	}
	var b strings.Builder
	for i, line := range wrap(row.Text, s.width-indent) {
		if i > 0 {
			b.WriteString(strings.Repeat(" ", indent) + line + "\n")
			continue
		}
		name := ""
		if width > 0 {
			name = pad(row.Name, width) + "  "
		}
		b.WriteString(strings.TrimRight(s.mark(row.Mark)+" "+name+line, " ") + "\n")
	}
	for _, detail := range row.Detail {
		for i, line := range wrap(detail, s.width-indent-4) {
			b.WriteString(strings.Repeat(" ", indent+2+2*min(i, 1)) + s.styles.faint.Render(line) + "\n")
		}
	}
	return b.String()
}

// wrap breaks lines between words, and never within one: names and addresses are to be copied.
func wrap(text string, width int) []string {
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		current := indent
		for i, word := range strings.Split(strings.TrimSpace(line), " ") {
			if i > 0 && ansi.StringWidth(current)+1+ansi.StringWidth(word) > max(width, 20) {
				lines = append(lines, current)
				current = indent + "  " + word
				if indent == "" {
					current = word
				}
				continue
			}
			if i > 0 {
				current += " "
			}
			current += word
		}
		lines = append(lines, current)
	}
	return lines
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
}

// Text writes a paragraph, each of whose lines is wrapped.
func (s *Screen) Text(text string) {
	s.print(strings.Join(wrap(strings.TrimRight(text, "\n"), s.width), "\n") + "\n")
}

// Failure writes why something failed. It is the last that is written.
func (s *Screen) Failure(text string) {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	out := "\n"
	for _, line := range wrap(first, s.width) { // a style pads lines that it renders together
		out += s.styles.bad.Render(line) + "\n"
	}
	if rest != "" {
		out += strings.Join(wrap(rest, s.width), "\n") + "\n"
	}
	s.print(out)
}

// Begin starts a step, of which Progress says how far it is. End ends it.
func (s *Screen) Begin(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step, s.progress, s.started, s.stop = step, "", time.Now(), make(chan struct{})
	go s.show(s.stop)
}

// Progress says how far the step is that is under way.
func (s *Screen) Progress(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = text
}

// End writes what came of the step that is under way.
func (s *Screen) End(mark Mark, found string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.stop)
	took := seconds(time.Since(s.started))
	s.erase()
	row := s.row(Row{Mark: mark, Name: s.step, Text: strings.Join(wrap(found, s.width-nameWidth-4-timeWidth), "\n")}, nameWidth)
	first, rest, _ := strings.Cut(row, "\n")
	fmt.Fprint(s.out, first+strings.Repeat(" ", max(1, s.width-ansi.StringWidth(first)-len(took)))+s.styles.faint.Render(took)+"\n"+rest)
	s.step = ""
}

// While shows an action as a step, from its begin to its end. The action returns what it found.
func (s *Screen) While(step string, action func(progress func(string)) (found string, err error)) error {
	s.Begin(step)
	found, err := action(s.Progress)
	if err != nil {
		s.End(Bad, "failed")
		return err
	}
	s.End(Good, found)
	return nil
}

// Compile shows a compilation as a step, unless there was nothing to compile.
func (s *Screen) Compile(action func(progress func(string)) error) error {
	began := false
	err := action(func(how string) {
		if !began {
			s.Begin("compile")
			began = true
		}
		s.Progress(how)
	})
	switch {
	case began && err != nil:
		s.End(Bad, "failed")
	case began:
		s.End(Good, "what has changed")
	}
	return err
}

// show keeps people informed about the step that is under way.
func (s *Screen) show(stop chan struct{}) {
	every := everyWord
	if s.live {
		every = everyFrame
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		select {
		case <-stop: // while the lock was waited for
			s.mu.Unlock()
			return
		default:
		}
		took := seconds(time.Since(s.started))
		line := "  " + pad(s.step, nameWidth) + "  " + s.progress
		if s.live {
			line = frames[i%len(frames)] + line[1:]
			line = ansi.Truncate(line, s.width-timeWidth-1, "…")
			fmt.Fprint(s.out, "\r"+pad(line, s.width-timeWidth-1)+fmt.Sprintf("%*s", timeWidth, took))
		} else {
			fmt.Fprintln(s.out, ansi.Truncate(line, s.width-timeWidth-1, "…")+" "+took)
		}
		s.mu.Unlock()
	}
}

// erase takes away the line about the step that is under way.
func (s *Screen) erase() {
	if s.live && s.step != "" {
		fmt.Fprint(s.out, "\r"+strings.Repeat(" ", s.width-1)+"\r")
	}
}

// print writes above the line about the step that is under way.
func (s *Screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	fmt.Fprint(s.out, text)
}

func seconds(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d:%02d min", int(d.Minutes()), int(d.Seconds())%60)
}
