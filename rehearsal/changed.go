package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"openhands-gcp/changes"
	"openhands-gcp/rehearsal/screen"
)

// rehearseChange creates the stack as it was, shows what becomes of it, and changes it.
func rehearseChange(ctx context.Context, options Options) (err error) {
	onlyPlan := slices.Equal(options.Steps, []string{stepPlan})
	if len(options.Steps) > 0 && !onlyPlan || options.Export != "" {
		return errors.New("FROM rehearses a change, and has steps of its own: leave out EXPORT, and STEPS or write STEPS=plan")
	}
	var was *before
	if err := options.Screen.Compile(func(progress func(string)) (err error) {
		now := options.Options
		now.Progress = progress
		was, err = readFrom(ctx, options.From, now)
		return err
	}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, was.close()) }()
	now := options.Options
	options.Options = was.Options
	r, err := start(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	facts, err := r.Describe(ctx)
	if err != nil {
		facts = nil // an older program, which does not describe itself
	}
	if err := r.Become(ctx, now); err != nil {
		return err
	}
	title := fmt.Sprintf("Stack %s, changed from what it was (%s), on a simulated Google Cloud", r.Stack, options.From)
	if err := r.introduce(ctx, title, facts); err != nil {
		return err
	}
	if err := r.Become(ctx, was.Options); err != nil {
		return err
	}
	if err := r.play(ctx, "before", func(ctx context.Context) (string, error) { return r.createBefore(ctx, was) }); err != nil {
		return err
	}
	if err := r.Become(ctx, now); err != nil {
		return err
	}
	c := &change{run: r, preview: options.Preview}
	for _, step := range []struct {
		name string
		does func(context.Context) (string, error)
	}{{stepPlan, c.plan}, {"apply", c.apply}, {stepRepeat, r.unchanged("a second preview is empty", "preview")}} {
		if err := r.play(ctx, step.name, step.does); err != nil {
			return err
		}
		if len(c.effects) == 0 {
			r.printVerdict("nothing of stack " + r.Stack + " changes")
			return nil
		}
		if onlyPlan {
			return nil
		}
	}
	r.printLeft("What the project still has of what was there before")
	r.printVerdict("the change of stack " + r.Stack + " can be made: " + changes.Headline(c.effects))
	return nil
}

// createBefore creates the stack as it was, or loads its state.
func (r *run) createBefore(ctx context.Context, was *before) (string, error) {
	found := "created as they were"
	if was.state != nil {
		found = "loaded as they are, but for secrets: a change of one does not show"
		if err := r.Load(ctx, was.state); err != nil {
			return "", err
		}
	} else if err := do(ctx, r.Engine, "up"); err != nil {
		return "", err
	}
	if err := r.look(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d resources %s", len(r.graph.Countable()), found), nil
}

// stepPlan is the step of a change in which nothing is done yet.
const stepPlan = "plan"

// change is one that is rehearsed.
type change struct {
	*run
	preview string // file for what pulumi preview --json writes; none where empty
	all     []changes.Change
	effects []changes.Effect
}

// plan finds out what the change means.
func (c *change) plan(ctx context.Context) (string, error) {
	// The engine stops at the first resource that is protected, unless it is told to go on: a person wants all that would be lost in one list.
	const onward = "--ignore-protect"
	// A change that cannot be planned is reported too.
	if c.preview != "" {
		document, err := c.PreviewJSON(ctx, onward)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(c.preview, document, 0o600); err != nil {
			return "", fmt.Errorf("preview of the change: %w", err)
		}
	}
	result, err := c.Run(ctx, "preview", onward)
	if err != nil {
		return "", err
	}
	c.all = changed(result)
	c.effects = changes.Effects(c.all)
	c.after = c.print
	count := map[changes.Op]int{}
	for _, one := range c.all {
		if strings.HasPrefix(one.Type, "pulumi:") {
			continue
		}
		count[one.Op]++
	}
	c.total = count[changes.Create] + count[changes.Update] + count[changes.Replace] + count[changes.Delete]
	var parts []string
	for _, op := range []changes.Op{changes.Create, changes.Update, changes.Replace, changes.Delete} {
		if count[op] > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", count[op], op))
		}
	}
	if len(parts) == 0 {
		return "nothing changes", nil
	}
	return fmt.Sprintf("%s; %d stay as they are", strings.Join(parts, ", "), count[changes.Same]), nil
}

// print shows what the change means, the worst first.
func (c *change) print() {
	if len(c.effects) == 0 {
		return
	}
	c.screen.Title("What it means: " + changes.Headline(c.effects))
	var rows []screen.Row
	for _, effect := range c.effects {
		row := screen.Row{Mark: marks[effect.Grade], Name: effect.Grade.String(), Text: effect.Text}
		if effect.Refused {
			row.Text += " (refused, as it is protected)"
		}
		most := 6
		if effect.Grade == changes.Quiet {
			most = 2
		}
		for i, one := range effect.Changes {
			if i == most {
				row.Detail = append(row.Detail, fmt.Sprintf("and %d more, in the log", len(effect.Changes)-most))
				break
			}
			row.Detail = append(row.Detail, one.Describe())
		}
		rows = append(rows, row)
	}
	c.screen.Table(rows...)
	c.screen.Text("")
}

var marks = map[changes.Grade]screen.Mark{changes.Lost: screen.Bad, changes.Open: screen.Warn, changes.Away: screen.Warn}

// apply makes the change, and fails where the stack is not as it must be then, or where the change is refused.
func (c *change) apply(ctx context.Context) (string, error) {
	refused := changes.Refused(c.all)
	_, err := c.Run(ctx, "up", "--yes")
	switch {
	case len(refused) > 0 && err == nil:
		return "", fmt.Errorf("what is protected was deleted: %s", strings.Join(refused, ", "))
	case len(refused) > 0:
		return "", fmt.Errorf("%s\nNothing was changed: Pulumi does not delete or replace what is protected, which is %s.\n"+
			"To do it all the same, lift the protection first: README, Destroying", changes.Headline(c.effects), strings.Join(refused, ", "))
	case err != nil:
		return "", err
	}
	raw, err := c.Export(ctx)
	if err != nil {
		return "", err
	}
	problems, _, err := c.examine(raw)
	if err != nil {
		return "", err
	}
	if len(problems) > 0 {
		return "", fmt.Errorf("the stack is not as it must be:\n  %s", strings.Join(problems, "\n  "))
	}
	return "done; no secret in clear, nothing public, the right outputs, and a conversation can start", nil
}
