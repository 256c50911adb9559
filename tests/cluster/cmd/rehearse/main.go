// Command rehearse is the rehearsal with a real Kubernetes API server in place of the simulated one: every object of the stack passes its validation,
// admission, defaulting and garbage collection. Pods are scheduled and called ready without running: that an image works is not shown.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"openhands-gcp/rehearsal"
	"openhands-gcp/tests/cluster"
	"openhands-gcp/tests/cluster/stack"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	module, err := os.Getwd()
	if err != nil {
		return err
	}
	options, err := rehearsal.ParseOptions(filepath.Join(module, "..", ".."), os.Args[1:])
	if err != nil {
		return err
	}
	if err := options.Build(ctx); err != nil {
		return err
	}
	kubernetes, server, err := stack.Start(ctx, cluster.Options{Root: options.Root, Output: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kubernetes.Close()) }()
	options.APIServer = server
	return rehearsal.Rehearse(ctx, options)
}
