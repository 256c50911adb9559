package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"openhands-gcp/changes"
	"openhands-gcp/rehearsal/screen"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/release"
)

// The scenarios of a release: the stack was of the release before its own.
const (
	scenarioUpgrade = "upgrade" // and gets its own
	// scenarioRollback upgrades too, and goes back: by one command, or, where migrations lie in between, only with data from before them.
	scenarioRollback = "rollback"
)

// Scenarios lists them.
var Scenarios = []string{scenarioUpgrade, scenarioRollback}

// rehearseRelease plays a scenario.
func rehearseRelease(ctx context.Context, options Options) (err error) {
	switch {
	case !slices.Contains(Scenarios, options.Scenario):
		return fmt.Errorf("there is no scenario %q: choose of %s", options.Scenario, strings.Join(Scenarios, ", "))
	case len(options.Steps) > 0 || options.Export != "" || options.From != "":
		return errors.New("SCENARIO has steps of its own: leave out STEPS, EXPORT and FROM")
	}
	r, err := start(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	now := r.Release
	before, known := now.Before()
	if !known {
		return fmt.Errorf("stack %s is of release %s of line %s, which was never started on the data of an older one: no scenario leads to it", r.Stack, now.Version,
			now.Line)
	}
	title := fmt.Sprintf("Stack %s, from release %s to %s, on a simulated Google Cloud", r.Stack, before.Version, now.Version)
	if err := r.introduce(ctx, title, nil); err != nil {
		return err
	}
	steps := []step{
		{"before", func(ctx context.Context) (string, error) { return r.createRelease(ctx, before) }},
		{"upgrade", func(ctx context.Context) (string, error) { return r.changeRelease(ctx, now) }},
		{stepRepeat, r.unchanged("a second preview is empty", "preview")},
	}
	verdict := fmt.Sprintf("stack %s can be upgraded from release %s to %s", r.Stack, before.Version, now.Version)
	switch {
	case options.Scenario == scenarioUpgrade:
	case before.CheckFrom(now.Version) == nil:
		steps = append(steps, step{"back", func(ctx context.Context) (string, error) { return r.changeRelease(ctx, before) }})
		verdict = fmt.Sprintf("stack %s can be upgraded from release %s to %s, and goes back by one command", r.Stack, before.Version, now.Version)
	default:
		steps = append(steps,
			step{"refused", func(ctx context.Context) (string, error) { return r.refuseRelease(ctx, before) }},
			step{"restored", func(ctx context.Context) (string, error) { return r.restoreRelease(ctx, before) }})
		verdict = fmt.Sprintf("stack %s does not go back from release %s to %s, unless its data does", r.Stack, now.Version, before.Version)
	}
	for _, step := range steps {
		if err := r.play(ctx, step.name, step.does); err != nil {
			return err
		}
	}
	r.printVerdict(verdict)
	return nil
}

// step is one of a scenario.
type step struct {
	name string
	does func(context.Context) (string, error)
}

// setRelease writes a release into the stack file, with its own images.
func (r *run) setRelease(ctx context.Context, to release.Release) error {
	for _, own := range []string{"image", "imageDigest", "sandboxImage", "sandboxImageDigest"} {
		if _, err := r.Quiet(ctx, "config", "rm", "--path", "openhands:app."+own); err != nil {
			return err
		}
	}
	return r.SetConfig(ctx, "openhands:app.release", to.Version)
}

// createRelease creates the stack with a release.
func (r *run) createRelease(ctx context.Context, first release.Release) (string, error) {
	if err := r.setRelease(ctx, first); err != nil {
		return "", err
	}
	if err := do(ctx, r.Engine, "up"); err != nil {
		return "", err
	}
	if err := r.look(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d resources, of release %s", len(r.graph.Countable()), first.Version), nil
}

// changeRelease gives the stack another release. Everything must stay where it is.
func (r *run) changeRelease(ctx context.Context, to release.Release) (string, error) {
	if err := r.setRelease(ctx, to); err != nil {
		return "", err
	}
	return r.stays(ctx, to, nil, "up", "--yes")
}

// keeps are the types of what holds people's work, or is known to people or to other systems by its name or address, and what it is in words.
var keeps = []struct{ typ, what string }{
	{types.SQLInstance, "database server"}, {types.SQLDatabase, "database"}, {types.SQLUser, "its user"}, {types.Bucket, "bucket"},
	{types.VolumeClaimPatch, "volume"}, {types.Disk, "data disk"}, {types.Address, "address"}, {types.Certificate, "certificate"}, {types.Cluster, "cluster"},
	{types.Namespace, "namespace"}, {types.Secret, "secret"},
}

// mayGo are the types whose objects are made anew for another release: a machine, and the grants on it.
var mayGo = []string{types.Instance, types.InstanceMember, types.TunnelMember}

// stays runs a command that brings the stack to a release, and fails unless everything is where it was, but for what may go, and the stack is as it must be.
func (r *run) stays(ctx context.Context, to release.Release, mayGoToo []string, args ...string) (string, error) {
	before := r.Cloud.Inventory()
	result, err := r.Run(ctx, args...)
	if err != nil {
		return "", err
	}
	c := &change{run: r, all: changed(result)}
	c.effects = changes.Effects(c.all)
	for _, one := range c.all {
		if one.Op != changes.Same && one.Op != changes.Update && !slices.Contains(slices.Concat(mayGo, mayGoToo), one.Type) {
			return "", fmt.Errorf("release %s is to change nothing but what runs: %s", to.Version, one.Describe())
		}
	}
	after, kept := r.Cloud.Inventory(), []screen.Row{}
	for _, keep := range keeps {
		var names []string
		for _, o := range before.All(keep.typ) {
			if slices.Contains(mayGoToo, keep.typ) {
				continue
			}
			now := after.Find(keep.typ, o.ID)
			if now == nil || now.Left != o.Left {
				return "", fmt.Errorf("release %s: %s %s is gone", to.Version, keep.what, o.ID)
			}
			names = append(names, o.ID)
		}
		if len(names) > 0 {
			kept = append(kept, screen.Row{Name: keep.what, Text: strings.Join(names, ", ")})
		}
	}
	raw, err := r.Export(ctx)
	if err != nil {
		return "", err
	}
	problems, _, err := r.examine(raw)
	if err != nil {
		return "", err
	}
	if problems = append(problems, r.notOf(to)...); len(problems) > 0 {
		return "", fmt.Errorf("the stack is not as it must be:\n  %s", strings.Join(problems, "\n  "))
	}
	r.after = func() {
		c.print()
		if len(kept) > 0 {
			r.screen.Title("What stays: the same object as before")
			r.screen.Table(kept...)
			r.screen.Text("")
		}
	}
	return fmt.Sprintf("release %s runs, nothing else was made anew, and a conversation can start", to.Version), nil
}

// workloads are the objects of the application that say which release they are of, with what they say.
func (r *run) workloads() map[string]string {
	found := map[string]string{}
	inventory := r.Cloud.Inventory()
	for _, typ := range []string{types.Deployment, types.StatefulSet, types.Disk} {
		for _, o := range inventory.All(typ) {
			version := o.Inputs.Labels("metadata.labels")["app.kubernetes.io/version"]
			if typ == types.Disk {
				version = strings.ReplaceAll(o.Inputs.Labels("labels")["openhands-release"], "-", ".")
			}
			if version != "" {
				found[typ+" "+o.ID] = version
			}
		}
	}
	return found
}

// notOf says what is not of a release.
func (r *run) notOf(want release.Release) (problems []string) {
	found := r.workloads()
	if len(found) == 0 {
		return []string{"nothing says of which release it is"}
	}
	for object, version := range found {
		if version != want.Version {
			problems = append(problems, fmt.Sprintf("%s is of release %s, and not %s", object, version, want.Version))
		}
	}
	return problems
}

// refuseRelease fails unless a release that does not know the migrations of the one that runs is refused, and nothing is changed.
func (r *run) refuseRelease(ctx context.Context, to release.Release) (string, error) {
	if err := r.setRelease(ctx, to); err != nil {
		return "", err
	}
	before := r.Cloud.Inventory().Everything()
	for _, args := range [][]string{{"preview"}, {"up", "--yes"}} {
		result, err := r.Run(ctx, args...)
		if err == nil {
			return "", fmt.Errorf("pulumi %s allows release %s on what %s has migrated", args[0], to.Version, r.Release.Version)
		}
		for _, says := range []string{"there is no way back", "write openhands:app.release: " + r.Release.Version, "docs/upgrading.md"} {
			if !strings.Contains(result.Output, says) {
				return "", fmt.Errorf("pulumi %s refuses release %s, and does not say %q:\n%w", args[0], to.Version, says, err)
			}
		}
	}
	if after := r.Cloud.Inventory().Everything(); !reflect.DeepEqual(before, after) {
		return "", fmt.Errorf("release %s was refused, and something has changed", to.Version)
	}
	r.after = func() {
		r.screen.Table(screen.Row{Mark: screen.Warn, Text: "the preview says: " + to.CheckFrom(r.Release.Version).Error()})
		r.screen.Text("")
	}
	return fmt.Sprintf("release %s does not know the migrations of %s: the preview refuses it, and nothing is changed", to.Version, r.Release.Version), nil
}

// restoreRelease goes back across a migration as somebody does whose data is from before the upgrade: what runs was deleted while the data was restored, or,
// on a machine, the data disk is another one, from a snapshot.
func (r *run) restoreRelease(ctx context.Context, to release.Release) (string, error) {
	if r.Machine {
		if err := r.unprotect(ctx, to); err != nil {
			return "", err
		}
		if err := r.SetConfig(ctx, "openhands:machine.dataDisk.fromSnapshot", "openhands-data-before"); err != nil {
			return "", err
		}
		found, err := r.stays(ctx, to, []string{types.Disk, types.DiskPolicy}, "up", "--yes", "--skip-preview")
		return "with the data disk from a snapshot: " + found, err
	}
	for object := range r.workloads() {
		typ, id, _ := strings.Cut(object, " ")
		if err := r.Cloud.Delete(typ, "", id); err != nil {
			return "", err
		}
	}
	found, err := r.stays(ctx, to, []string{types.Deployment, types.StatefulSet}, "up", "--yes", "--skip-preview", "--refresh")
	return "with what runs deleted while the data was restored: " + found, err
}

// unprotect lifts the protection, with the release that runs, and then writes the other one.
func (r *run) unprotect(ctx context.Context, to release.Release) error {
	if len(r.Protected) == 0 {
		return nil
	}
	if err := r.setRelease(ctx, r.Release); err != nil {
		return err
	}
	if err := r.SetConfig(ctx, "openhands:teardown", "true"); err != nil {
		return err
	}
	if err := do(ctx, r.Engine, "up"); err != nil {
		return err
	}
	return r.setRelease(ctx, to)
}
