package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
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
	EngineOptions
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
	engine, err := NewEngine(ctx, options.EngineOptions)
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
	*Engine
	out       io.Writer
	export    string
	summary   []line
	graph     *Graph
	timeline  *Timeline
	hops      []Hop
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

func (r *run) up(ctx context.Context) (string, error) {
	started := time.Now()
	if _, err := r.Run(ctx, "up", "--yes", "--skip-preview"); err != nil {
		return "", err
	}
	took := time.Since(started)
	raw, err := r.Export(ctx)
	if err != nil {
		return "", err
	}
	if r.export != "" {
		if err := os.WriteFile(r.export, raw, 0o600); err != nil {
			return "", fmt.Errorf("export: %w", err)
		}
	}
	export, err := ParseExport(raw)
	if err != nil {
		return "", err
	}
	r.graph = NewGraph(export)
	problems, err := CheckExport(raw)
	if err != nil {
		return "", err
	}
	inventory := r.Cloud.Inventory()
	problems = append(problems, CheckOrder(r.Cloud, r.graph)...)
	problems = append(problems, CheckConversation(inventory)...)
	hops, inTheWay := CheckExposure(inventory, r.OpenToEveryone)
	r.hops, problems = hops, append(problems, inTheWay...)
	if problems = append(problems, CheckOutputs(inventory, export)...); len(problems) > 0 {
		return "", fmt.Errorf("the stack is not as it must be:\n  %s", strings.Join(problems, "\n  "))
	}
	if changed, err := r.ChangedByRepetition(ctx); err != nil {
		return "", err
	} else if len(changed) > 0 {
		return "", fmt.Errorf("a second apply is not without effect:\n  %s", strings.Join(changed, "\n  "))
	}
	if r.timeline, err = NewTimeline(r.graph); err != nil {
		return "", err
	}
	const outcome = "created; no secret in clear, nothing public, nothing in a wrong order, the right outputs, and a conversation can start, in %.1f s"
	return fmt.Sprintf(outcome, took.Seconds()), nil
}

// changeExposure changes the way in on a stack that is up. The order of it is what can go wrong: Google deletes nothing that a load balancer uses.
func (r *run) changeExposure(ctx context.Context) (string, error) {
	before, err := r.ReadStackFile()
	if err != nil {
		return "", err
	}
	for _, change := range []struct {
		what  string
		apply func() error
		open  bool // a browser finds its way afterwards
	}{
		{"another host", func() error { return r.SetConfig(ctx, "openhands:exposure.host", "elsewhere.example.com") }, true},
		{"mode none", func() error { return r.closeWayIn(ctx) }, false},
		{"as before", func() error { return r.WriteStackFile(before) }, true},
	} {
		if err := change.apply(); err != nil {
			return "", err
		}
		if _, err := r.Run(ctx, "up", "--yes", "--skip-preview"); err != nil {
			return "", fmt.Errorf("%s: %w", change.what, err)
		}
		hops, problems := CheckExposure(r.Cloud.Inventory(), r.OpenToEveryone)
		if len(problems) > 0 || (len(hops) > 0) != change.open {
			return "", fmt.Errorf("%s: the way in is not as it must be (%d stations):\n  %s", change.what, len(hops), strings.Join(problems, "\n  "))
		}
	}
	// The steps that follow look at what is there now.
	raw, err := r.Export(ctx)
	if err != nil {
		return "", err
	}
	export, err := ParseExport(raw)
	if err != nil {
		return "", err
	}
	r.graph = NewGraph(export)
	return "", nil
}

// closeWayIn sets the mode to none, with nothing else of an exposure.
func (r *run) closeWayIn(ctx context.Context) error {
	for _, key := range []string{"openhands:exposure", "openhands:iapClientSecret"} {
		if _, err := r.Quiet(ctx, "config", "rm", key); err != nil {
			return err
		}
	}
	return r.SetConfig(ctx, "openhands:exposure.mode", "none")
}

// elsewhere is a region in which the stack is not: a move replaces everything that has a region.
const elsewhere = "europe-west4"

func (r *run) refuseReplacement(ctx context.Context) (string, error) {
	before, err := r.moveTo(ctx, elsewhere)
	if err != nil {
		return "", err
	}
	output, err := r.Run(ctx, "preview")
	if err == nil {
		return "", fmt.Errorf("the preview let pass a move to %s, which replaces what is protected", elsewhere)
	}
	if !strings.Contains(output, "marked for protection") {
		return "", errors.New("the preview failed, but not for protection")
	}
	if _, err := r.moveTo(ctx, before); err != nil {
		return "", err
	}
	// The engine stops at the first refusal: ask for each by itself.
	var refused []string
	for _, resource := range r.graph.Resources() {
		if !resource.Protect {
			continue
		}
		output, err := r.Run(ctx, "preview", "--replace", resource.URN)
		if err == nil || !strings.Contains(output, "unable to replace resource \""+resource.URN) {
			return "", fmt.Errorf("the preview let pass a replacement of %s", ShortName(resource.URN))
		}
		refused = append(refused, resource.Type)
	}
	for _, typ := range stateful {
		if !slices.Contains(refused, typ) {
			return "", fmt.Errorf("no %s is protected", shortType(typ))
		}
	}
	return "refused, for each protected resource by itself too", nil
}

// stateful are the types whose loss loses data or the installation.
var stateful = []string{sqlInstanceType, bucketType, clusterType, repositoryType}

// refusedFor fails unless the engine says of every stateful type that protection forbids to delete it.
func refusedFor(output string) error {
	for _, typ := range stateful {
		refused := false
		for _, text := range strings.Split(output, "error: ") {
			refused = refused || (strings.Contains(text, "cannot be deleted") && strings.Contains(text, "$"+typ+"::") && strings.Contains(text, "it is protected"))
		}
		if !refused {
			return fmt.Errorf("it failed, but not for the protection of %s", shortType(typ))
		}
	}
	return nil
}

// moveTo changes the stack's region, and returns the one before.
func (r *run) moveTo(ctx context.Context, region string) (before string, err error) {
	before, err = r.Quiet(ctx, "config", "get", "gcp:region")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(before), r.SetConfig(ctx, "gcp:region", region)
}

func (r *run) refuseDestroy(ctx context.Context) (string, error) {
	objects := len(r.Cloud.List())
	// With its preview, as a person runs it. With --skip-preview the engine deletes what is not protected until it meets what is.
	output, err := r.Run(ctx, "destroy", "--yes")
	if err == nil {
		return "", errors.New("destroy deleted a protected stack")
	}
	if err := refusedFor(output); err != nil {
		return "", err
	}
	if left := len(r.Cloud.List()); left != objects {
		return "", fmt.Errorf("destroy was refused, but %d of %d objects are gone", objects-left, objects)
	}
	return "refused, and all objects are still there", nil
}

func (r *run) teardown(ctx context.Context) (string, error) {
	if err := r.SetConfig(ctx, "openhands:teardown", "true"); err != nil {
		return "", err
	}
	output, err := r.Run(ctx, "up", "--yes", "--skip-preview")
	if err != nil {
		return "", err
	}
	if !strings.Contains(output, "openhands:teardown is on") {
		return "", errors.New("nothing warned that the protection is off")
	}
	return "protection lifted, with a warning", nil
}

func (r *run) destroy(ctx context.Context) (string, error) {
	if _, err := r.Run(ctx, "destroy", "--yes", "--skip-preview"); err != nil {
		return "", err
	}
	r.destroyed = true
	var lost []string
	for _, o := range r.Cloud.List() {
		if o.Left == "" || !slices.Contains(documentedLeftovers, o.Type) {
			lost = append(lost, o.Type+" "+o.ID)
		}
	}
	if len(lost) > 0 {
		return "", fmt.Errorf("destroy left what no document says that it leaves: %s", strings.Join(lost, ", "))
	}
	left, checked, err := r.Leftovers(ctx)
	switch {
	case err != nil:
		return "", err
	case len(left) > 0:
		return "", fmt.Errorf("destroy left in the real API server: %s", strings.Join(left, ", "))
	case checked:
		return "destroyed; the real API server has no object of it left", nil
	}
	return "", nil
}

// documentedLeftovers are what destroy leaves in the project, as the README says: enabled APIs, the reserved name of the database's instance, and the
// bucket's objects for as long as soft delete keeps them.
var documentedLeftovers = []string{"projects.Service", "sql.DatabaseInstance name", "storage.Bucket"}
