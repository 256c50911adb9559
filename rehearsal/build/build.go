// Package build compiles Go programs, and says how far it is: the first time, the SDKs take minutes.
package build

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync/atomic"
)

// Program is what Go compiles.
type Program struct {
	Name    string // in what Progress hears
	Dir     string // of its module
	Package string
	Output  string // path of the executable
	Flags   []string
}

// Idle are flags that leave packages unoptimized, by patterns of their paths: they are compiled in half of the time, and nobody waits for them when they run.
func Idle(patterns ...string) []string {
	var flags []string
	for _, pattern := range patterns {
		flags = append(flags, "-gcflags="+pattern+"=-N -l")
	}
	return flags
}

// Progress hears how far it is, in words. Nobody does where it is nil.
type Progress func(how string)

// Go compiles a program. The error is what the compiler says.
func Go(ctx context.Context, p Program, progress Progress) error {
	// -v names each package that is compiled. One that did not change is not.
	arguments := append([]string{"build", "-v", "-o", p.Output}, p.Flags...)
	cmd := exec.CommandContext(ctx, "go", append(arguments, p.Package)...)
	cmd.Dir = p.Dir
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	said := make(chan string)
	go func() { said <- listen(ctx, p, reader, progress) }()
	err := cmd.Run()
	if closing := writer.Close(); err == nil {
		err = closing
	}
	text := <-said
	if err != nil && ctx.Err() == nil && text != "" {
		return errors.New(text)
	}
	return err
}

// say tells how far the program is.
func (p Program) say(progress Progress, how string) {
	if progress != nil {
		progress(p.Name + ": " + how)
	}
}

// listen reads what `go build -v` writes, tells of the packages, and returns the rest.
func listen(ctx context.Context, p Program, from io.Reader, progress Progress) string {
	var rest []string
	var total atomic.Int64
	done := 0
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		line := lines.Text()
		if strings.ContainsAny(line, " :\t") || line == "" {
			if !strings.HasPrefix(line, "go: downloading ") {
				rest = append(rest, line)
				continue
			}
			p.say(progress, strings.TrimPrefix(line, "go: "))
			continue
		}
		if done++; done == 1 {
			go func() { total.Store(int64(stale(ctx, p))) }()
		}
		switch all := int(total.Load()); {
		case all == 0:
			p.say(progress, fmt.Sprintf("%d packages, %s", done, line))
		case done < all:
			p.say(progress, fmt.Sprintf("%d of %d packages, %s", done, all, line))
		default:
			p.say(progress, "linking")
		}
	}
	return strings.Join(rest, "\n")
}

// stale counts the packages that are to be compiled; 0 where Go does not say.
func stale(ctx context.Context, p Program) int {
	arguments := append([]string{"list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"}, p.Flags...)
	cmd := exec.CommandContext(ctx, "go", append(arguments, p.Package)...)
	cmd.Dir = p.Dir
	output, err := cmd.Output()
	if err != nil {
		return 0
	}
	return bytes.Count(output, []byte("\n"))
}
