// Command preview-report reads what `pulumi preview --json` writes, and says to a reviewer what the change would do: docs/preview-report.md. It ends with 0
// where the change may be made, with 1 where it may not, and with 2 where it could not be judged.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"time"

	"openhands-gcp/report"
)

const (
	fine     = 0
	refused  = 1 // an approval is missing, or the preview failed; the report says which
	unusable = 2 // the arguments, the approvals or the preview; there is no report
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, time.Now())) }

func run(args []string, stdout, stderr io.Writer, now time.Time) int {
	flags := flag.NewFlagSet("preview-report", flag.ContinueOnError)
	flags.SetOutput(stderr)
	stack := flags.String("stack", "", "stack that was previewed")
	format := flags.String("format", "markdown", "markdown, terminal or json")
	approvals := flags.String("approvals", "approvals.yaml", "file of what may be deleted or replaced")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "preview-report -stack prod [-format markdown|terminal|json] [-approvals approvals.yaml] preview.json")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return unusable
	}
	r, err := read(*stack, *approvals, flags.Args(), now)
	if err == nil {
		switch *format {
		case "markdown":
			_, err = io.WriteString(stdout, r.Markdown())
		case "terminal":
			r.Terminal(stdout)
		case "json":
			err = r.JSON(stdout)
		default:
			err = fmt.Errorf("-format %s: write markdown, terminal or json", *format)
		}
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "preview-report:", err)
		return unusable
	case r.Failed():
		fmt.Fprintf(stderr, "preview-report: stack %s: %s\n", *stack, r.Headline())
		return refused
	}
	return fine
}

// name is what a stack may be made of: it is written into a comment as it is.
var name = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

func read(stack, approvals string, files []string, now time.Time) (*report.Report, error) {
	switch {
	case !name.MatchString(stack):
		return nil, errors.New("name the stack: -stack prod")
	case len(files) != 1:
		return nil, fmt.Errorf("name one file, which `pulumi preview --json --stack %s` has written", stack)
	}
	raw, err := os.ReadFile(approvals)
	if err != nil {
		return nil, fmt.Errorf("approvals: %w: without any, the file says `approvals: []`", err)
	}
	approved, err := report.ReadApprovals(raw, approvals)
	if err != nil {
		return nil, err
	}
	if raw, err = os.ReadFile(files[0]); err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	preview, err := report.Read(raw, stack)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", files[0], err)
	}
	was, err := profile("Pulumi." + stack + ".yaml")
	if err != nil {
		return nil, err
	}
	return report.New(stack, was, preview, approved, now), nil
}

// profile is that of a stack's file in the working directory: of the branch that a change goes to, where a workflow judges it. Nobody knows it where there is
// no file.
func profile(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("stack file: %w", err)
	}
	is, err := report.Profile(raw)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return is, nil
}
