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
	options.Stack, options.File, options.APIServer, options.Beside = r.Stack+"-2", engine.StackFile(r.options.Root, r.Stack), nil, r.Cloud.Beside()
	other, err := engine.New(ctx, options)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, other.Close()) }()
	for _, step := range []func() error{
		func() error { return do(ctx, other, "up") },
		func() error { return r.nothing(ctx, r.Engine, "refresh", "--yes", "--skip-preview") },
		func() error { return do(ctx, other, "destroy") },
		func() error { return r.nothing(ctx, r.Engine, "refresh", "--yes", "--skip-preview") },
		func() error { return r.nothing(ctx, r.Engine, "preview") },
	} {
		if err := step(); err != nil {
			return "", fmt.Errorf("stacks %s and %s in project %s: %w", r.Stack, other.Stack, r.Cloud.Inventory().Project, err)
		}
	}
	return "another stack in the same project comes and goes, and takes nothing with it", nil
}

// do runs a command that changes a stack.
func do(ctx context.Context, on *engine.Engine, command string) error {
	if _, err := on.Run(ctx, command, "--yes", "--skip-preview"); err != nil {
		return fmt.Errorf("%s of %s: %w", command, on.Stack, err)
	}
	return nil
}
