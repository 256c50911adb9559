package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"openhands-gcp/changes"
	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/rehearsal/screen"
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
	stepInstances   = "instances"   // one more, one less, and it comes back
	stepMachine     = "machine"     // another machine and a larger disk, and a snapshot in its place
	stepMove        = "move"        // of a zonal cluster to another zone
	stepNeighbour   = "neighbour"   // another stack of the same file in the same project
	stepReplacement = "replacement" // of what is protected: must be refused
	stepRefusal     = "refusal"     // to destroy what is protected
	stepTeardown    = "teardown"
	stepDestroy     = "destroy"
)

// Steps lists all steps in their order.
var Steps = slices.Concat([]string{stepPreview, stepUp, stepRepeat, stepRefresh, stepChange, stepInstances, stepMachine, stepMove,
	stepNeighbour}, protectionSteps, []string{stepDestroy})

// protectionSteps are left out for a stack that is not protected.
var protectionSteps = []string{stepReplacement, stepRefusal, stepTeardown}

// Options are the arguments of Rehearse.
type Options struct {
	engine.Options
	Screen   *screen.Screen // where people read how it goes; Output where nil
	Log      string         // path of the file that Output goes to; none where empty
	Steps    []string       // some of Steps; all where empty
	Export   string         // file for the stack's export after up; none where empty
	Scenario string         // one of Scenarios, in place of the stack's whole life
	From     string         // what the stack was before: then the change is rehearsed, and not the stack's whole life
	// Preview is a file for what `pulumi preview --json` writes of the change that From begins, for a report; none where empty.
	Preview string

	Bootstrap bool // the program is bootstrap
	Page      bool // in place of a stack, the commands of Page
}

// Rehearse runs the steps, and shows what it finds. The error says which step failed, and why.
func Rehearse(ctx context.Context, options Options) (err error) {
	if options.Screen == nil {
		options.Screen = screen.New(options.Output)
	}
	if options.Scenario != "" {
		return rehearseRelease(ctx, options)
	}
	if options.From != "" {
		return rehearseChange(ctx, options)
	}
	if options.Preview != "" {
		return errors.New("a preview is written of a change: say with FROM what the stack was")
	}
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
	r, err := start(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.possible(steps, len(options.Steps) > 0); err != nil {
		return err
	}
	if err := r.introduce(ctx, "Stack "+r.Stack+", its whole life on a simulated Google Cloud", nil); err != nil {
		return err
	}
	for _, step := range Steps {
		if !slices.Contains(steps, step) || r.pointless(step) != "" {
			continue
		}
		if err := r.play(ctx, step, r.step(step)); err != nil {
			return err
		}
	}
	r.printSummary()
	return nil
}

// start starts the engine with an empty cloud.
func start(ctx context.Context, options Options) (*run, error) {
	r := &run{screen: options.Screen, log: options.Log, export: options.Export, started: time.Now()}
	options.Watch = r.watch
	r.options = options.Options
	var err error
	r.Engine, err = engine.New(ctx, options.Options)
	return r, err
}

// introduce shows what the stack is, before anything is done, and beside it what it was.
func (r *run) introduce(ctx context.Context, title string, before []engine.Fact) error {
	facts, err := r.Describe(ctx)
	if err != nil {
		return err
	}
	r.screen.Title(title)
	var rows []screen.Row
	for _, fact := range facts {
		row := screen.Row{Name: fact.What, Text: fact.Is}
		for _, was := range before {
			if was.What == fact.What && was.Is != fact.Is {
				row.Mark, row.Detail = screen.Warn, []string{"was: " + was.Is}
			}
		}
		rows = append(rows, row)
	}
	r.screen.Table(rows...)
	r.screen.Text("")
	return nil
}

// play runs a step, and shows what came of it. The action returns what it found, in words.
func (r *run) play(ctx context.Context, step string, action func(context.Context) (string, error)) error {
	r.done = 0
	err := r.screen.While(step, func(func(string)) (string, error) { return action(ctx) })
	if r.after != nil {
		r.after()
		r.after = nil
	}
	if err != nil {
		return fmt.Errorf("stack %s, step %s: %w", r.Stack, step, err)
	}
	return nil
}

// watch shows how far the engine is.
func (r *run) watch(event apitype.EngineEvent) {
	switch {
	case event.ResOutputsEvent != nil && countable(event.ResOutputsEvent.Metadata):
		r.done++
	case event.ResourcePreEvent != nil && countable(event.ResourcePreEvent.Metadata):
		how := fmt.Sprintf("%d resources done", r.done)
		if r.total > 0 && r.done <= r.total {
			how = fmt.Sprintf("%d of %d resources", r.done, r.total)
		}
		r.screen.Progress(how + ", now " + state.ShortName(event.ResourcePreEvent.Metadata.URN))
	}
}

// countable says whether a step is about a resource that exists in a cloud: neither a component nor a provider.
func countable(step apitype.StepEventMetadata) bool {
	return custom(step) && !strings.HasPrefix(step.Type, "pulumi:")
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
	if len(r.Protected) > 0 && slices.Contains(steps, stepDestroy) && !slices.Contains(steps, stepTeardown) {
		return fmt.Errorf("step %s of a protected stack needs step %s", stepDestroy, stepTeardown)
	}
	return nil
}

// pointless says what stack a step is for, where it is not for this one; empty where it is.
func (r *run) pointless(step string) string {
	switch {
	case step == stepChange && !r.Exposed:
		return "a stack with a way in from the internet, and the mode of " + r.Stack + " is none"
	case step == stepInstances && (r.Machine || !r.Instances):
		return "a stack of instances in a cluster, and " + r.Stack + " has none"
	case step == stepMachine && !r.Machine:
		return "a stack that is one machine, and " + r.Stack + " is none"
	case step == stepNeighbour && (len(r.Protected) > 0 || r.Exposed):
		return "an unprotected stack without a way in from the internet, and " + r.Stack + " is none"
	case step == stepMove && (r.Zone == "" || r.Machine || len(r.Protected) > 0):
		return "an unprotected cluster with a zone, and " + r.Stack + " is none"
	case slices.Contains(protectionSteps, step) && len(r.Protected) == 0:
		return "a stack that protects something, and " + r.Stack + " protects nothing"
	}
	return ""
}

// run is a rehearsal under way.
type run struct {
	*engine.Engine
	screen    *screen.Screen
	log       string
	export    string
	options   engine.Options
	started   time.Time
	graph     *state.Graph
	timeline  *timeline.Timeline
	hops      []checks.Hop
	quotas    any // the stack's output
	destroyed bool

	done, total int    // resources that the engine has dealt with in this step, and that there are; 0 where nobody knows
	after       func() // shows more about a step, below its line; nil where there is no more
}

// step returns what a step does. The action returns what it found, in words.
func (r *run) step(step string) func(context.Context) (string, error) {
	switch step {
	case stepPreview:
		return r.preview
	case stepUp:
		return r.up
	case stepRepeat:
		return r.unchanged("a second preview is empty", "preview")
	case stepRefresh:
		return r.unchanged("the cloud has what the state says", "refresh", "--yes", "--skip-preview")
	case stepChange:
		return r.changeExposure
	case stepInstances:
		return r.changeInstances
	case stepMachine:
		return r.replaceMachine
	case stepMove:
		return r.replaceCluster
	case stepNeighbour:
		return r.neighbour
	case stepReplacement:
		return r.refuseReplacement
	case stepRefusal:
		return r.refuseDestroy
	case stepTeardown:
		return r.teardown
	default:
		return r.destroy
	}
}

// preview plans the stack, and shows the plan by component.
func (r *run) preview(ctx context.Context) (string, error) {
	result, err := r.Run(ctx, "preview")
	if err != nil {
		return "", err
	}
	graph := state.NewGraph(planned(result))
	r.total = len(graph.Countable())
	r.after = func() { r.printPlan(graph, result.Warnings) }
	return fmt.Sprintf("%d resources to create", r.total), nil
}

// planned are the resources of a plan, as far as a graph needs them.
func planned(result engine.Result) *state.Export {
	var export state.Export
	for _, step := range result.Planned {
		if s := step.New; s != nil {
			export.Deployment.Resources = append(export.Deployment.Resources, state.Resource{URN: s.URN, Type: s.Type, Custom: s.Custom, Parent: s.Parent})
		}
	}
	return &export
}

// unchanged returns a step that is one command, which must find nothing to do.
func (r *run) unchanged(found string, args ...string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		return found, r.nothing(ctx, r.Engine, args...)
	}
}

// nothing fails where a command of the CLI finds something to do, and says what.
func (r *run) nothing(ctx context.Context, on *engine.Engine, args ...string) error {
	result, err := on.Run(ctx, append(args, "--expect-no-changes")...)
	if err == nil {
		return nil
	}
	var found []string
	for _, change := range changed(result) {
		if change.Op != changes.Same {
			found = append(found, change.Describe())
		}
	}
	if len(found) == 0 {
		return err
	}
	return fmt.Errorf("it is not empty:\n  %s", strings.Join(found, "\n  "))
}
