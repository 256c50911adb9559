// Command rehearse is the rehearsal with a real Kubernetes API server in place of the simulated one: every object of the stack passes its validation,
// admission, defaulting and garbage collection. Pods are scheduled and called ready without running: that an image works is not shown.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"

	"openhands-gcp/rehearsal"
	"openhands-gcp/tests/cluster"
	"openhands-gcp/tests/cluster/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(rehearsal.Command(".", func(options rehearsal.Options) error { return run(ctx, options) }))
}

func run(ctx context.Context, options rehearsal.Options) (err error) {
	if err := options.Build(ctx); err != nil {
		return err
	}
	var kubernetes *cluster.Cluster
	var server *stack.APIServer
	if err := options.Screen.While("cluster", func(progress func(string)) (string, error) {
		var err error
		kubernetes, server, err = stack.Start(ctx, cluster.Options{Root: options.Root, Progress: progress})
		return "a real Kubernetes API server", err
	}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kubernetes.Close()) }()
	options.APIServer = server
	return rehearsal.Rehearse(ctx, options)
}
