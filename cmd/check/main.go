// Command check walks a person's way through a stack that stands, and says at which station it ends: docs/check.md.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"openhands-gcp/check"
	"openhands-gcp/rehearsal/screen"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends it at once
	passed, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) (passed bool, err error) {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(stderr)
	stack := flags.String("stack", "", "the stack that is checked")
	outputs := flags.String("outputs", "", "file with what `pulumi stack output --json --show-secrets` wrote; asked of pulumi where empty")
	instance := flags.String("instance", "", "the instance of line canvas that is checked; all where empty")
	as := flags.String("as", "", "address of a service account of the login's members, as which the page is opened through the login")
	asJSON := flags.Bool("json", false, "write the result as JSON, and how it goes to the standard error")
	patience := flags.Duration("patience", 10*time.Minute, "how long a conversation may take to begin, with a node that has to come first")
	if err := flags.Parse(arguments); err != nil {
		return false, err
	}
	if flags.NArg() > 0 || *stack == "" || strings.Contains(*stack, " ") {
		return false, fmt.Errorf("check takes one stack: make check STACK=prod")
	}
	options := check.Options{Instance: *instance, LoginAs: *as, Patience: *patience}
	if options.Outputs, err = readOutputs(ctx, *stack, *outputs); err != nil {
		return false, fmt.Errorf("stack %s: %w", *stack, err)
	}
	shown := stdout
	if *asJSON {
		shown = stderr
	}
	s := screen.New(shown)
	s.Title("Stack " + *stack + ": a person's way through it")
	results, err := check.Run(ctx, options, &shownOn{Screen: s})
	if err != nil {
		return false, fmt.Errorf("stack %s: %w", *stack, err)
	}
	passed = check.Passed(results)
	if !passed {
		s.Failure(failures(results))
	}
	if *asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(struct {
			Stack    string         `json:"stack"`
			Passed   bool           `json:"passed"`
			Stations []check.Result `json:"stations"`
		}{*stack, passed, results})
	}
	return passed, err
}

// readOutputs reads the stack's outputs from a file, or asks for them.
func readOutputs(ctx context.Context, stack, file string) (check.Outputs, error) {
	var raw []byte
	var err error
	if file != "" {
		raw, err = os.ReadFile(file)
	} else {
		// The kubeconfig is among the secrets, and has no credential in it.
		cmd := exec.CommandContext(ctx, "pulumi", "stack", "output", "--json", "--show-secrets", "--stack="+stack)
		var said bytes.Buffer
		cmd.Stderr = &said
		if raw, err = cmd.Output(); err != nil && said.Len() > 0 {
			err = fmt.Errorf("pulumi stack output: %s", strings.TrimSpace(said.String()))
		}
	}
	if err != nil {
		return check.Outputs{}, err
	}
	return check.ReadOutputs(raw)
}

// shownOn shows on a screen how the walk goes.
type shownOn struct {
	*screen.Screen
	instance string // whose stations are shown
}

var marks = map[check.Verdict]screen.Mark{check.OK: screen.Good, check.Failed: screen.Bad, check.Skipped: screen.Warn}

// End ends a station.
func (s *shownOn) End(r check.Result) {
	found := r.Found
	if r.Verdict == check.Skipped {
		found = "skipped: " + found
	}
	if r.Instance != s.instance {
		s.instance = r.Instance
		found = r.Instance + ": " + found
	}
	s.Screen.End(marks[r.Verdict], found)
}

// failures says what is wrong, and where to look.
func failures(results []check.Result) string {
	var wrong []string
	for _, r := range results {
		if r.Verdict == check.Failed {
			station := r.Station
			if r.Instance != "" {
				station = r.Instance + ", " + station
			}
			wrong = append(wrong, fmt.Sprintf("%s: %s", station, r.Found))
			if r.Look != "" {
				wrong = append(wrong, "  look at: "+r.Look)
			}
		}
	}
	return fmt.Sprintf("The way ends here:\n%s", strings.Join(wrong, "\n"))
}
