// Command rehearse plays the whole life of a stack through: preview, up, an empty second preview, refresh and destroy, with the real Pulumi engine
// and the real program, on a simulated cloud.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"openhands-gcp/rehearsal"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	options, err := rehearsal.ParseOptions(root, os.Args[1:])
	if err != nil {
		return err
	}
	if err := options.Build(ctx); err != nil {
		return err
	}
	return rehearsal.Rehearse(ctx, options)
}
