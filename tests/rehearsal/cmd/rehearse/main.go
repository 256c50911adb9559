// Command rehearse plays the whole life of a stack through: preview, up, an empty second preview, refresh and destroy, with the real Pulumi engine
// and the real program, on a simulated cloud.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"openhands-gcp/tests/rehearsal"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	stack := flag.String("stack", "", "stack to rehearse; its file is Pulumi.<stack>.yaml")
	steps := flag.String("steps", "", "steps to run, separated by commas; all where empty: "+strings.Join(rehearsal.Steps, ", "))
	export := flag.String("export", "", "file for the stack's export after up")
	flag.Parse()
	if *stack == "" {
		return fmt.Errorf("name the stack: make rehearse STACK=dev")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	root, err := os.Getwd()
	if err != nil {
		return err
	}
	cli, program, err := rehearsal.Build(ctx, root, os.Stdout)
	if err != nil {
		return err
	}
	options := rehearsal.Options{
		EngineOptions: rehearsal.EngineOptions{Root: root, Stack: *stack, CLI: cli, Program: program, Output: os.Stdout},
	}
	if *steps != "" {
		options.Steps = strings.Split(*steps, ",")
	}
	if *export != "" {
		if options.Export, err = filepath.Abs(*export); err != nil {
			return err
		}
	}
	return rehearsal.Rehearse(ctx, options)
}
