package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/timeline"
)

// The steps of a rehearsal, in their order.
const (
	stepPreview     = "preview"
	stepUp          = "up"
	stepRepeat      = "repeat" // a second preview, which must be empty
	stepRefresh     = "refresh"
	stepChange      = "change"      // of the host, of the mode to none, and back
	stepMachine     = "machine"     // another machine and a larger disk, and a snapshot in its place
	stepMove        = "move"        // of a zonal cluster to another zone
	stepNeighbour   = "neighbour"   // another stack of the same file in the same project
	stepReplacement = "replacement" // of what is protected: must be refused
	stepRefusal     = "refusal"     // to destroy what is protected
	stepTeardown    = "teardown"
	stepDestroy     = "destroy"
)

// Steps lists all steps in their order.
var Steps = slices.Concat([]string{stepPreview, stepUp, stepRepeat, stepRefresh, stepChange, stepMachine, stepMove, stepNeighbour}, protectionSteps, []string{stepDestroy})

// protectionSteps are left out for a stack that is not protected.
var protectionSteps = []string{stepReplacement, stepRefusal, stepTeardown}

// Options are the arguments of Rehearse.
type Options struct {
	engine.Options
	Steps  []string // some of Steps; all where empty
	Export string   // file for the stack's export after up; none where empty
}

// Rehearse runs the steps and writes a summary. The error says which step failed.
func Rehearse(ctx context.Context, options Options) (err error) {
	steps := options.Steps
	if len(steps) == 0 {
		steps = Steps
	}
	for _, step := range steps {
		if !slices.Contains(Steps, step) {
			return fmt.Errorf("there is no step %q: choose of %s", step, strings.Join(Steps, ", "))
		}
	}
	if options.Export != "" && !slices.Contains(steps, stepUp) {
		return fmt.Errorf("the export is written after step %s, which is not among the steps", stepUp)
	}
	engine, err := engine.New(ctx, options.Options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	r := &run{Engine: engine, out: options.Output, export: options.Export, options: options.Options}
	if err := r.possible(steps, len(options.Steps) > 0); err != nil {
		return err
	}
	for _, step := range Steps {
		if !slices.Contains(steps, step) {
			continue
		}
		if r.pointless(step) != "" {
			continue
		}
		action, what := r.step(step)
		fmt.Fprintf(r.out, "\n=== %s: %s\n", step, what)
		started := time.Now()
		outcome, err := action(ctx)
		if err != nil {
			r.summary = append(r.summary, line{step, "FAILED", err.Error()})
			r.printSummary()
			return fmt.Errorf("rehearsal of stack %s: step %s: %w", options.Stack, step, err)
		}
		if outcome == "" {
			outcome = fmt.Sprintf("%s, in %.1f s", what, time.Since(started).Seconds())
		}
		r.summary = append(r.summary, line{step, "ok", outcome})
	}
	r.printSummary()
	return nil
}

// possible refuses steps that need another one, are named twice, or, where a person chose them, have nothing to do on this stack.
func (r *run) possible(steps []string, chosen bool) error {
	for i, step := range steps {
		if step != stepPreview && step != stepUp && !slices.Contains(steps, stepUp) {
			return fmt.Errorf("step %s needs step %s: a rehearsal begins with an empty cloud", step, stepUp)
		}
		if why := r.pointless(step); chosen && why != "" {
			return fmt.Errorf("step %s is for %s", step, why)
		}
		if i > 0 && slices.Contains(steps[:i], step) {
			return fmt.Errorf("step %s is named twice", step)
		}
	}
	if r.Protected && slices.Contains(steps, stepDestroy) && !slices.Contains(steps, stepTeardown) {
		return fmt.Errorf("step %s of a protected stack needs step %s", stepDestroy, stepTeardown)
	}
	return nil
}

// pointless says what stack a step is for, where it is not for this one; empty where it is.
func (r *run) pointless(step string) string {
	switch {
	case step == stepChange && !r.Exposed:
		return "a stack with a way in from the internet, and the mode of " + r.Stack + " is none"
	case step == stepMachine && !r.Machine:
		return "a stack that is one machine, and " + r.Stack + " is none"
	case step == stepNeighbour && (r.Protected || r.Exposed):
		return "an unprotected stack without a way in from the internet, and " + r.Stack + " is none"
	case step == stepMove && (r.Zone == "" || r.Protected):
		return "an unprotected stack with a zone, and " + r.Stack + " is none"
	case slices.Contains(protectionSteps, step) && !r.Protected:
		return "a protected stack, and " + r.Stack + " is none"
	}
	return ""
}

// run is a rehearsal under way.
type run struct {
	*engine.Engine
	out       io.Writer
	export    string
	options   engine.Options
	summary   []line
	graph     *state.Graph
	timeline  *timeline.Timeline
	hops      []checks.Hop
	quotas    any // the stack's output
	destroyed bool
}

// line is one of the summary.
type line struct{ step, result, detail string }

// step returns what a step does, and says it in words. The action returns the line of the summary; empty where the words will do.
func (r *run) step(step string) (action func(context.Context) (string, error), what string) {
	switch step {
	case stepPreview:
		return r.pulumi("preview", "--diff=false"), "the plan of the stack"
	case stepUp:
		return r.up, "create it, and check the resulting state"
	case stepRepeat:
		return r.pulumi("preview", "--expect-no-changes"), "a second preview, which must be empty"
	case stepRefresh:
		return r.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes"), "compare with the cloud, which must find nothing"
	case stepChange:
		return r.changeExposure, "another host, then no way in, then a login that is refused, then as before"
	case stepMachine:
		return r.replaceMachine, "another image, another machine, a larger disk, and one from a snapshot"
	case stepMove:
		return r.replaceCluster, "another zone: the cluster goes with all that is in it, and comes back elsewhere"
	case stepNeighbour:
		return r.neighbour, "another stack in the same project comes and goes, and takes nothing with it"
	case stepReplacement:
		return r.refuseReplacement, "what would replace the database, or anything else that is protected, must be refused"
	case stepRefusal:
		return r.refuseDestroy, "destroy must be refused while the stack is protected"
	case stepTeardown:
		return r.teardown, "lift the protection with openhands:teardown"
	default:
		return r.destroy, "destroy it, and see what is left"
	}
}

// pulumi returns the step that is one command of the CLI.
func (r *run) pulumi(args ...string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		_, err := r.Run(ctx, args...)
		return "", err
	}
}
