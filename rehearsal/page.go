package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/engine"
)

// Page is the page whose commands RehearsePage runs.
const Page = "docs/zero-to-production.md"

// pageBlock is a block of commands that are executed.
type pageBlock struct {
	commands []string
	prose    string // behind it, up to the next block
}

var backticks = regexp.MustCompile("`([^`]+)`")

// seen is what the page says that the commands print: what stands in backticks between *Seen* and *Undo*.
func (b *pageBlock) seen() (said []string) {
	_, prose, _ := strings.Cut(b.prose, "*Seen*")
	prose, _, _ = strings.Cut(prose, "*Undo*")
	for _, match := range backticks.FindAllStringSubmatch(prose, -1) {
		said = append(said, match[1])
	}
	return said
}

// What Google, GitHub or a stack that stands answers, nobody can play here: these commands are not executed. A line that goes on is indented.
var notExecuted = []string{"gh ", "gcloud ", "sh bin/github.sh", "make doctor ", "make check ", "  "}

// pageBlocks returns the commands of a page in their order. Each block of commands says whether it is executed.
func pageBlocks(page string) ([]pageBlock, error) {
	var blocks []pageBlock
	inside, how := false, ""
	for _, line := range strings.Split(page, "\n") {
		switch fence, found := strings.CutPrefix(line, "```"); {
		case found && inside:
			inside = false
		case found:
			if inside, how = true, fence; how != "sh executed" && how != "sh not executed" {
				return nil, fmt.Errorf("a block begins with ```%s: write `sh executed` or `sh not executed` behind the marks", fence)
			}
			if how == "sh executed" {
				blocks = append(blocks, pageBlock{})
			}
		case how == "sh executed" && !inside:
			blocks[len(blocks)-1].prose += line + "\n"
		case !inside || line == "":
		case how == "sh executed":
			if tool, _, _ := strings.Cut(line, " "); tool != "make" && tool != "pulumi" && tool != "cd" {
				return nil, fmt.Errorf("%q is in a block that is executed, and begins with neither make, pulumi nor cd", line)
			}
			block := &blocks[len(blocks)-1]
			block.commands = append(block.commands, line)
		case !slices.ContainsFunc(notExecuted, func(beginning string) bool { return strings.HasPrefix(line, beginning) }):
			return nil, fmt.Errorf("%q is in a block that is not executed, and asks neither Google nor GitHub: let the test run it", line)
		}
	}
	for _, block := range blocks {
		if len(block.seen()) == 0 {
			return nil, fmt.Errorf("the page says nothing in backticks, behind *Seen*, of what %q print", block.commands)
		}
	}
	return blocks, nil
}

// RehearsePage runs the commands of the page from nothing to production, on two simulated projects: bootstrap's, and a stack's. A bucket for the state is a
// directory there, and a key of Cloud KMS a passphrase.
func RehearsePage(ctx context.Context, options Options, programs map[string]string) (err error) {
	raw, err := os.ReadFile(filepath.Join(options.Root, Page))
	if err != nil {
		return fmt.Errorf("page to rehearse: %w", err)
	}
	blocks, err := pageBlocks(string(raw))
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
	step := 0
	for _, block := range blocks {
		printed := ""
		for _, line := range block.commands {
			step++
			if err := options.Screen.While(fmt.Sprintf("line %d", step), func(func(string)) (string, error) {
				output, err := p.run(ctx, line)
				printed += output
				return line, err
			}); err != nil {
				return fmt.Errorf("%s: %s: %w", Page, line, err)
			}
		}
		for _, said := range block.seen() {
			if !strings.Contains(printed, said) {
				return fmt.Errorf("%s: the page says that `%s` is seen, and %q printed\n%s", Page, said, block.commands, printed)
			}
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

// run runs a line, and returns what it prints.
func (p *pageRun) run(ctx context.Context, line string) (string, error) {
	command, file, redirected := strings.Cut(line, " > ")
	words := strings.Fields(command)
	switch {
	case words[0] == "make":
		cmd := exec.CommandContext(ctx, "make", words[1:]...)
		// make hands its own variables down, PAGE among them.
		cmd.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool {
			return strings.HasPrefix(entry, "MAKE") || strings.HasPrefix(entry, "MFLAGS=") || strings.HasPrefix(entry, "PAGE=")
		})
		var output strings.Builder
		both := io.MultiWriter(p.options.Output, &output)
		cmd.Dir, cmd.Stdout, cmd.Stderr = p.root, both, both
		err := cmd.Run()
		return output.String(), err
	case words[0] == "cd":
		p.dir = strings.TrimPrefix(filepath.Clean(filepath.Join("/", p.dir, words[1])), "/")
		if p.projects[p.dir] == nil {
			return "", fmt.Errorf("there is no program in %s", p.dir)
		}
		return "", nil
	case words[1] == "login":
		return "", p.login(words[2])
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
	if redirected && err == nil {
		return "", os.WriteFile(filepath.Join(p.root, p.dir, file), []byte(output), 0o600)
	}
	return output, err
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
