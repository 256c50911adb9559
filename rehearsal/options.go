package rehearsal

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"

	"openhands-gcp/rehearsal/engine"
)

// ParseOptions reads the arguments of the command rehearse.
func ParseOptions(root string, args []string) (Options, error) {
	flags := flag.NewFlagSet("rehearse", flag.ExitOnError)
	stack := flags.String("stack", "", "stack to rehearse; its file is Pulumi.<stack>.yaml")
	steps := flags.String("steps", "", "steps to run, separated by commas; all where empty: "+strings.Join(Steps, ", "))
	export := flags.String("export", "", "file for the stack's export after up")
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if *stack == "" {
		return Options{}, errors.New("name the stack: make rehearse STACK=dev")
	}
	options := Options{Options: engine.Options{Root: root, Stack: *stack, Output: os.Stdout}}
	if *steps != "" {
		options.Steps = strings.Split(*steps, ",")
	}
	if *export != "" {
		var err error
		if options.Export, err = filepath.Abs(*export); err != nil {
			return Options{}, err
		}
	}
	return options, nil
}
