package rehearsal

import (
	"context"
	"errors"
	"fmt"

	"openhands-gcp/rehearsal/engine"
)

// neighbour creates another stack of the same file in the same project, and destroys it. Neither may take a name of the other's, and what goes with the one
// must not be missing in the other.
func (r *run) neighbour(ctx context.Context) (outcome string, err error) {
	options := r.options
	options.Stack, options.File, options.APIServer, options.Beside = r.Stack+"-2", r.Stack, nil, r.Cloud.Beside()
	other, err := engine.New(ctx, options)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, other.Close()) }()
	steps := []struct {
		stack *engine.Engine
		args  []string
	}{
		{other, []string{"up", "--yes", "--skip-preview"}},
		{r.Engine, []string{"refresh", "--yes", "--skip-preview", "--expect-no-changes"}},
		{other, []string{"destroy", "--yes", "--skip-preview"}},
		{r.Engine, []string{"refresh", "--yes", "--skip-preview", "--expect-no-changes"}},
		{r.Engine, []string{"preview", "--expect-no-changes"}},
	}
	for _, step := range steps {
		if _, err := step.stack.Run(ctx, step.args...); err != nil {
			return "", fmt.Errorf("stacks %s and %s in project %s: %s: %w", r.Stack, other.Stack, r.Cloud.Inventory().Project, step.stack.Stack, err)
		}
	}
	return "", nil
}
