package rehearsal

import (
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"openhands-gcp/changes"
	"openhands-gcp/rehearsal/engine"
)

// changed turns the steps of a plan into changes, one for each resource.
func changed(result engine.Result) []changes.Change {
	var all []changes.Change
	for _, step := range result.Planned {
		op, known := map[apitype.OpType]changes.Op{
			apitype.OpSame: changes.Same, apitype.OpCreate: changes.Create, apitype.OpUpdate: changes.Update, apitype.OpDelete: changes.Delete,
			apitype.OpReplace: changes.Replace, apitype.OpCreateReplacement: changes.Replace, apitype.OpDeleteReplaced: changes.Replace,
		}[step.Op]
		if !known || !custom(step) {
			continue
		}
		c := changes.Change{URN: step.URN, Type: step.Type, Op: op}
		if step.Old != nil {
			c.Old, c.Protected = step.Old.Inputs, step.Old.Protect
		}
		if step.New != nil {
			c.New = step.New.Inputs
		}
		c.Unlocked = op != changes.Delete && c.Protected && step.New != nil && !step.New.Protect
		c.Properties = properties(step)
		if i := slices.IndexFunc(all, func(other changes.Change) bool { return other.URN == c.URN }); i >= 0 {
			all[i] = merged(all[i], c)
			continue
		}
		all = append(all, c)
	}
	return all
}

// custom says whether a step is about more than a component, which is only a place for resources.
func custom(step apitype.StepEventMetadata) bool {
	return (step.New != nil && step.New.Custom) || (step.Old != nil && step.Old.Custom)
}

// merged is what two steps say about one resource: a replacement has three.
func merged(a, b changes.Change) changes.Change {
	if b.Op != changes.Same {
		a.Op = b.Op
	}
	if a.Old == nil {
		a.Old = b.Old
	}
	if a.New == nil {
		a.New = b.New
	}
	if len(a.Properties) == 0 {
		a.Properties = b.Properties
	}
	a.Protected, a.Unlocked = a.Protected || b.Protected, a.Unlocked || b.Unlocked
	return a
}

// properties are those that change in a step. The stand-ins' server leaves the kinds of the differences out, and gives the paths.
func properties(step apitype.StepEventMetadata) []changes.Property {
	if step.Old == nil || step.New == nil {
		return nil
	}
	var out []changes.Property
	for _, path := range slices.Sorted(slices.Values(step.Diffs)) {
		from, to := changes.Value(step.Old.Inputs, step.Old.Outputs, path), changes.Value(step.New.Inputs, step.New.Outputs, path)
		out = append(out, changes.Property{Path: path, From: from, To: to, Replaces: slices.Contains(step.Keys, path)})
	}
	return out
}
