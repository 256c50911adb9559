package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/engine"
)

// Page is the page whose commands RehearsePage runs.
const Page = "docs/zero-to-production.md"

// pageLines returns the commands of a page in their order. Each block of commands says whether it is executed: what Google's or GitHub's own tools do is not.
func pageLines(page string) ([]string, error) {
	var lines []string
	block, how := false, ""
	for _, line := range strings.Split(page, "\n") {
		switch fence, found := strings.CutPrefix(line, "```"); {
		case found && block:
			block = false
		case found:
			if block, how = true, fence; how != "sh executed" && how != "sh not executed" {
				return nil, fmt.Errorf("a block begins with ```%s: write `sh executed` or `sh not executed` behind the marks", fence)
			}
		case !block || line == "":
		case how == "sh executed":
			if tool, _, _ := strings.Cut(line, " "); tool != "make" && tool != "pulumi" && tool != "cd" {
				return nil, fmt.Errorf("%q is in a block that is executed, and begins with neither make, pulumi nor cd", line)
			}
			lines = append(lines, line)
		case !strings.HasPrefix(line, "gh ") && !strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "gcloud ") && !strings.HasSuffix(line, "| sh"):
			return nil, fmt.Errorf("%q is in a block that is not executed, and is a command of neither gcloud nor gh: let the test run it", line)
		}
	}
	return lines, nil
}

// RehearsePage runs the commands of the page from nothing to production, on two simulated projects: bootstrap's, and a stack's. A bucket for the state is a
// directory there, and a key of Cloud KMS a passphrase.
func RehearsePage(ctx context.Context, options Options, programs map[string]string) (err error) {
	raw, err := os.ReadFile(filepath.Join(options.Root, Page))
	if err != nil {
		return fmt.Errorf("page to rehearse: %w", err)
	}
	lines, err := pageLines(string(raw))
	if err != nil {
		return fmt.Errorf("%s: %w", Page, err)
	}
	p := &pageRun{root: options.Root, backends: map[string]string{}, projects: map[string]*engine.Engine{}, options: options}
	for dir, stack := range map[string]string{"": "prod", BootstrapProgram: "home"} {
		of := options.Options
		of.Root, of.Stack, of.Program = filepath.Join(options.Root, dir), stack, programs[dir]
		if p.projects[dir], err = engine.New(ctx, of); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.projects[dir].Close()) }()
	}
	options.Screen.Title("The commands of " + Page)
	for i, line := range lines {
		if err := options.Screen.While(fmt.Sprintf("line %d", i+1), func(func(string)) (string, error) { return line, p.run(ctx, line) }); err != nil {
			return fmt.Errorf("%s: %s: %w", Page, line, err)
		}
	}
	return nil
}

// pageRun is what a terminal remembers.
type pageRun struct {
	root     string
	options  Options
	dir      string // below the root
	projects map[string]*engine.Engine
	backends map[string]string // directories, by what was logged in to
}

func (p *pageRun) run(ctx context.Context, line string) error {
	words := strings.Fields(line)
	switch {
	case words[0] == "make":
		cmd := exec.CommandContext(ctx, "make", words[1:]...)
		// make hands its own variables down, PAGE among them.
		cmd.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool {
			return strings.HasPrefix(entry, "MAKE") || strings.HasPrefix(entry, "MFLAGS=") || strings.HasPrefix(entry, "PAGE=")
		})
		cmd.Dir, cmd.Stdout, cmd.Stderr = p.root, p.options.Output, p.options.Output
		return cmd.Run()
	case words[0] == "cd":
		p.dir = strings.TrimPrefix(filepath.Clean(filepath.Join("/", p.dir, words[1])), "/")
		if p.projects[p.dir] == nil {
			return fmt.Errorf("there is no program in %s", p.dir)
		}
		return nil
	case words[1] == "login":
		return p.login(words[2])
	}
	args := words[1:]
	for i, arg := range args {
		if strings.HasPrefix(arg, "--secrets-provider=gcpkms://") {
			args[i] = "--secrets-provider=passphrase"
		}
	}
	if args[0] == "up" {
		args = append(args, "--yes")
	}
	output, err := p.projects[p.dir].Quiet(ctx, args...)
	fmt.Fprintf(p.options.Output, "\n$ %s\n%s", line, output)
	return err
}

// login makes all programs keep their state in a directory of its own for each backend.
func (p *pageRun) login(backend string) error {
	if p.backends[backend] == "" {
		dir, err := p.projects[p.dir].Directory("login-" + fmt.Sprint(len(p.backends)))
		if err != nil {
			return err
		}
		p.backends[backend] = dir
	}
	for _, e := range p.projects {
		e.KeepStateIn(p.backends[backend])
	}
	return nil
}
