package rehearsal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/rehearsal/screen"
)

// Command is the command rehearse: it reads the arguments, compiles what is missing, and shows the rehearsal. run plays it, with what else it needs.
func Command(root string, run func(Options) error) int {
	s := screen.New(os.Stdout)
	root, err := filepath.Abs(root)
	if err != nil {
		s.Failure(err.Error())
		return 1
	}
	options, err := parse(root, os.Args[1:])
	if err == nil {
		err = run(options)
	}
	if err == nil {
		return 0
	}
	if options.Log != "" {
		options.Screen.Text("\nthe whole log: " + options.Log)
	}
	s.Failure(err.Error())
	return 1
}

// parse reads the arguments of the command rehearse.
func parse(root string, args []string) (Options, error) {
	flags := flag.NewFlagSet("rehearse", flag.ExitOnError)
	stack := flags.String("stack", "", "stack to rehearse; its file is Pulumi.<stack>.yaml")
	steps := flags.String("steps", "", "steps to run, separated by commas; all where empty: "+strings.Join(Steps, ", "))
	export := flags.String("export", "", "file for the stack's export after up")
	from := flags.String("from", "", "what the stack was before: git:<revision>, a stack file, or the output of pulumi stack export")
	program := flags.String("program", "", "bootstrap, for what stacks need before they exist; the program of stacks where empty")
	file := flags.String("file", "", "another stack file than Pulumi.<stack>.yaml")
	scenario := flags.String("scenario", "", "what happens to the stack, in place of its whole life: "+strings.Join(Scenarios, ", "))
	preview := flags.String("preview", "", "with -from, file for what pulumi preview --json writes of the change")
	page := flags.String("page", "", "run the commands of "+Page+", in place of a rehearsal of a stack")
	verbose := flags.Bool("verbose", false, "show the whole log")
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if *stack == "" {
		return Options{}, errors.New("name the stack: make rehearse STACK=dev")
	}
	if *page != "" && *page != Page {
		return Options{}, fmt.Errorf("the commands of %q are not for a rehearsal: write PAGE=%s, or leave it out", *page, Page)
	}
	if *program != "" && *program != BootstrapProgram {
		return Options{}, fmt.Errorf("there is no program %q: write PROGRAM=%s, or leave it out", *program, BootstrapProgram)
	}
	options := Options{
		Options: engine.Options{Root: root, Stack: *stack, File: *file},
		From:    *from, Scenario: *scenario, Export: *export, Preview: *preview, Screen: screen.New(os.Stdout), Bootstrap: *program != "", Page: *page != "",
	}
	if *steps != "" {
		options.Steps = strings.Split(*steps, ",")
	}
	if options.Export != "" {
		var err error
		if options.Export, err = filepath.Abs(options.Export); err != nil {
			return Options{}, err
		}
	}
	log, err := createLog(root, strings.TrimPrefix(*program+"-"+*stack, "-"))
	if err != nil {
		return Options{}, err
	}
	options.Output = log
	if options.Log, err = filepath.Rel(root, log.Name()); err != nil {
		return Options{}, fmt.Errorf("log of the rehearsal: %w", err)
	}
	if *verbose {
		out := struct{ io.Writer }{os.Stdout} // no file, and so no terminal: the log would be written into the line of the step
		options.Screen, options.Output = screen.New(out), io.MultiWriter(log, out)
	}
	return options, nil
}

// createLog makes the file that everything goes into that the engine and the program write.
func createLog(root, stack string) (*os.File, error) {
	dir := filepath.Join(root, "bin", "rehearsal")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("log of the rehearsal: %w", err)
	}
	log, err := os.Create(filepath.Join(dir, stack+".log"))
	if err != nil {
		return nil, fmt.Errorf("log of the rehearsal: %w", err)
	}
	return log, nil
}

// Build compiles the Pulumi CLI and the program, where they are missing or old.
func (o *Options) Build(ctx context.Context) error {
	return o.Screen.Compile(func(progress func(string)) error {
		o.Progress = progress
		return o.Options.Build(ctx)
	})
}
