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
	StepPreview     = "preview"
	StepUp          = "up"
	StepRepeat      = "repeat" // a second preview, which must be empty
	StepRefresh     = "refresh"
	StepChange      = "change"      // of the host, of the mode to none, and back
	StepReplacement = "replacement" // of what is protected: must be refused
	StepRefusal     = "refusal"     // to destroy what is protected
	StepTeardown    = "teardown"
	StepDestroy     = "destroy"
)

// Steps lists all steps in their order.
var Steps = slices.Concat([]string{StepPreview, StepUp, StepRepeat, StepRefresh, StepChange}, protectionSteps, []string{StepDestroy})

// protectionSteps are left out for a stack that is not protected.
var protectionSteps = []string{StepReplacement, StepRefusal, StepTeardown}

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
	if options.Export != "" && !slices.Contains(steps, StepUp) {
		return fmt.Errorf("the export is written after step %s, which is not among the steps", StepUp)
	}
	engine, err := engine.New(ctx, options.Options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	r := &run{Engine: engine, out: options.Output, export: options.Export}
	if err := r.possible(steps, len(options.Steps) > 0); err != nil {
		return err
	}
	for _, step := range Steps {
		if !slices.Contains(steps, step) {
			continue
		}
		if (slices.Contains(protectionSteps, step) && !r.Protected) || (step == StepChange && !r.Exposed) {
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

// possible refuses steps that would do nothing.
func (r *run) possible(steps []string, chosen bool) error {
	for i, step := range steps {
		if step != StepPreview && step != StepUp && !slices.Contains(steps, StepUp) {
			return fmt.Errorf("step %s needs step %s: a rehearsal begins with an empty cloud", step, StepUp)
		}
		if chosen && step == StepChange && !r.Exposed {
			return fmt.Errorf("step %s is for a stack with a way in from the internet, and the mode of %s is none", step, r.Stack)
		}
		if chosen && slices.Contains(protectionSteps, step) && !r.Protected {
			return fmt.Errorf("step %s is for a protected stack, and the profile of %s is not prod", step, r.Stack)
		}
		if i > 0 && slices.Contains(steps[:i], step) {
			return fmt.Errorf("step %s is named twice", step)
		}
	}
	if r.Protected && slices.Contains(steps, StepDestroy) && !slices.Contains(steps, StepTeardown) {
		return fmt.Errorf("step %s of a protected stack needs step %s", StepDestroy, StepTeardown)
	}
	return nil
}

// run is a rehearsal under way.
type run struct {
	*engine.Engine
	out       io.Writer
	export    string
	summary   []line
	graph     *state.Graph
	timeline  *timeline.Timeline
	hops      []checks.Hop
	destroyed bool
}

type line struct{ step, result, detail string }

func (r *run) step(step string) (action func(context.Context) (string, error), what string) {
	switch step {
	case StepPreview:
		return r.pulumi("preview", "--diff=false"), "the plan of the stack"
	case StepUp:
		return r.up, "create it, and check the resulting state"
	case StepRepeat:
		return r.pulumi("preview", "--expect-no-changes"), "a second preview, which must be empty"
	case StepRefresh:
		return r.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes"), "compare with the cloud, which must find nothing"
	case StepChange:
		return r.changeExposure, "another host, then no way in, then as before"
	case StepReplacement:
		return r.refuseReplacement, "what would replace the database, or anything else that is protected, must be refused"
	case StepRefusal:
		return r.refuseDestroy, "destroy must be refused while the stack is protected"
	case StepTeardown:
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
