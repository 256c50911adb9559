// Command bench measures the warm preview of both stacks against the same number of trivial resources on the same engine, and the simulated
// deployment time against the longest chain that no program avoids.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"text/tabwriter"
	"time"

	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/timeline"
)

// runs is how often each preview is measured; the median counts. One more run before them warms the caches.
const runs = 9

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
	cli, program, err := engine.Build(ctx, root, nil)
	if err != nil {
		return err
	}
	floor, err := engine.BuildProgram(ctx, root, "floor", "./rehearsal/cmd/floor", nil)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "stack\tresources\tpreview\tfloor\tratio (aim <= 1.5)\tsimulated deployment\tlongest chain\tratio (aim <= 1.1)")
	for _, stack := range []string{"dev", "prod"} {
		options := engine.Options{Root: root, Stack: stack, CLI: cli, Program: program, Output: io.Discard}
		course, resources, err := deployment(ctx, options)
		if err != nil {
			return err
		}
		if err := os.Setenv("FLOOR_RESOURCES", fmt.Sprint(resources)); err != nil {
			return err
		}
		floorOptions := options
		floorOptions.Program = floor
		previews, err := alternate(ctx, options, floorOptions)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%d\t%.2f s\t%.2f s\t%.2f\t%s\t%s\t%.2f\n", stack, resources, previews[0].Seconds(), previews[1].Seconds(),
			previews[0].Seconds()/previews[1].Seconds(), course.Total, course.Shortest, course.Total.Seconds()/course.Shortest.Seconds())
	}
	return w.Flush()
}

// deployment creates the stack once, and returns its simulated course and the number of its resources beside providers and stack.
func deployment(ctx context.Context, options engine.Options) (course *timeline.Timeline, resources int, err error) {
	engine, err := engine.New(ctx, options)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = closed(engine, err) }()
	if _, err := engine.Run(ctx, "up", "--yes", "--skip-preview"); err != nil {
		return nil, 0, err
	}
	raw, err := engine.Export(ctx)
	if err != nil {
		return nil, 0, err
	}
	export, err := state.Parse(raw)
	if err != nil {
		return nil, 0, err
	}
	graph := state.NewGraph(export)
	for _, r := range export.Deployment.Resources {
		if graph.Component(r.URN) != "" {
			resources++
		}
	}
	course, err = timeline.New(graph)
	return course, resources, err
}

// alternate measures previews of several programs in turn, so that what else the machine does hits them alike, and returns the median of each.
func alternate(ctx context.Context, options ...engine.Options) (medians []time.Duration, err error) {
	var engines []*engine.Engine
	for _, o := range options {
		engine, startErr := engine.New(ctx, o)
		if startErr != nil {
			return nil, startErr
		}
		defer func() { err = closed(engine, err) }()
		engines = append(engines, engine)
	}
	times := make([][]time.Duration, len(engines))
	for i := range runs + 1 {
		for j, engine := range engines {
			started := time.Now()
			if _, err := engine.Run(ctx, "preview"); err != nil {
				return nil, err
			}
			if i > 0 {
				times[j] = append(times[j], time.Since(started))
			}
		}
	}
	for _, t := range times {
		slices.Sort(t)
		medians = append(medians, t[len(t)/2])
	}
	return medians, nil
}

// closed closes an engine and keeps the first error.
func closed(engine *engine.Engine, err error) error {
	if closing := engine.Close(); err == nil {
		return closing
	}
	return err
}
