package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/rehearsal/screen"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/timeline"
	"openhands-gcp/rehearsal/types"
)

// BootstrapProgram is the directory of the program that makes what stacks need before they exist.
const BootstrapProgram = "bootstrap"

// RehearseBootstrap plays the life of bootstrap through, and a second one in the same projects, in which it finds its keys. Other projects than its own are
// those that its configuration names.
func RehearseBootstrap(ctx context.Context, options Options) (err error) {
	if len(options.Steps) > 0 || options.From != "" || options.Export != "" {
		return errors.New("the rehearsal of bootstrap has no steps to choose, no change and no export: leave out STEPS, FROM and EXPORT")
	}
	options.Root = filepath.Join(options.Root, BootstrapProgram)
	r, err := start(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	r.screen.Title("Bootstrap " + r.Stack + ", two lives of it on a simulated Google Cloud")
	keys := ""
	for _, step := range []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{stepPreview, r.preview},
		{stepUp, r.upBootstrap},
		{stepRepeat, r.step(stepRepeat)},
		{stepRefresh, r.step(stepRefresh)},
		{stepRefusal, r.refuseDestroy},
		{stepTeardown, r.tearBootstrapDown},
		{stepDestroy, func(ctx context.Context) (string, error) {
			left, err := r.destroyBootstrap(ctx)
			keys = left
			return "destroyed, but for the keys and the APIs", err
		}},
		{"again", func(ctx context.Context) (string, error) {
			found, err := r.upBootstrap(ctx)
			if err == nil && r.keys() != keys {
				err = fmt.Errorf("it has the keys %s, and had %s", r.keys(), keys)
			}
			return "the second life finds the keys of the first; " + found, err
		}},
		{stepRepeat, r.step(stepRepeat)},
		{stepDestroy, func(ctx context.Context) (string, error) {
			_, err := r.destroyBootstrap(ctx)
			return "destroyed once more", err
		}},
	} {
		if err := r.play(ctx, step.name, step.do); err != nil {
			return err
		}
	}
	r.screen.Title(fmt.Sprintf("It takes about %.0f minutes, by what Google typically takes", r.timeline.Total.Minutes()))
	r.screen.Table(screen.Row{Name: "left", Text: strings.ReplaceAll(keys, "\n", ", ")})
	r.printVerdict("bootstrap " + r.Stack + " is as it must be")
	return nil
}

// upBootstrap creates everything, and fails where a check finds something.
func (r *run) upBootstrap(ctx context.Context) (string, error) {
	if _, err := r.Run(ctx, "up", "--yes", "--skip-preview"); err != nil {
		return "", err
	}
	raw, err := r.Export(ctx)
	if err != nil {
		return "", err
	}
	export, err := state.Parse(raw)
	if err != nil {
		return "", err
	}
	r.graph = state.NewGraph(export)
	problems, err := checks.State(raw)
	if err != nil {
		return "", err
	}
	// Who deploys a stack administers its project, and may grant what a condition lists: checks.Bootstrap looks at that.
	problems = slices.DeleteFunc(problems, func(problem string) bool {
		return strings.Contains(problem, "-deploy-") && strings.HasSuffix(problem, " on the whole project")
	})
	problems = append(problems, checks.Bootstrap(r.Cloud.Inventory(), export)...)
	if problems = append(problems, checks.Order(r.Cloud, r.graph)...); len(problems) > 0 {
		return "", fmt.Errorf("it is not as it must be:\n  %s", strings.Join(problems, "\n  "))
	}
	if r.timeline, err = timeline.New(r.graph); err != nil {
		return "", err
	}
	r.total = len(r.graph.Countable())
	return fmt.Sprintf("%d resources; no key of an account, nothing public, one environment for each identity", r.total), nil
}

func (r *run) tearBootstrapDown(ctx context.Context) (string, error) {
	if err := r.SetConfig(ctx, "openhands-bootstrap:teardown", "true"); err != nil {
		return "", err
	}
	_, err := r.Run(ctx, "up", "--yes", "--skip-preview")
	return "openhands-bootstrap:teardown lifts the protection of the state", err
}

// destroyBootstrap destroys everything, and returns the keys that it leaves.
func (r *run) destroyBootstrap(ctx context.Context) (string, error) {
	if _, err := r.Run(ctx, "destroy", "--yes", "--skip-preview"); err != nil {
		return "", err
	}
	var lost []string
	for _, o := range r.Cloud.List() {
		switch {
		case o.Type == types.Short(types.KeyRing) || o.Type == types.Short(types.CryptoKey):
			if o.Left != "" {
				lost = append(lost, o.ID+": "+o.Left)
			}
		case o.Left == "":
			lost = append(lost, o.Type+" "+o.ID)
		}
	}
	if len(lost) > 0 {
		return "", fmt.Errorf("destroy left, or took, what it should not: %s", strings.Join(lost, ", "))
	}
	return r.keys(), nil
}

// keys are the rings and keys that there are.
func (r *run) keys() string {
	var ids []string
	inventory := r.Cloud.Inventory()
	for _, typ := range []string{types.KeyRing, types.CryptoKey} {
		for _, o := range inventory.All(typ) {
			ids = append(ids, o.ID)
		}
	}
	return strings.Join(ids, "\n")
}

// BuildBootstrap compiles the Pulumi CLI and bootstrap, where they are missing or old.
func (o *Options) BuildBootstrap(ctx context.Context) error {
	return o.Screen.Compile(func(progress func(string)) (err error) {
		if o.CLI, err = engine.BuildCLI(ctx, o.Root, progress); err != nil {
			return err
		}
		o.Options.Program, err = engine.BuildProgram(ctx, o.Root, "openhands-bootstrap", "./"+BootstrapProgram, progress)
		return err
	})
}
