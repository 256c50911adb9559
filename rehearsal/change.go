package rehearsal

import (
	"context"
	"fmt"
	"strings"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/state"
)

// changeExposure changes the way in on a stack that is up. A wrong order of deletions fails here: Google deletes nothing that a load balancer uses.
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
		hops, problems := checks.Exposure(r.Cloud.Inventory(), r.OpenToEveryone)
		if len(problems) > 0 || (len(hops) > 0) != change.open {
			return "", fmt.Errorf("%s: the way in is not as it must be (%d stations):\n  %s", change.what, len(hops), strings.Join(problems, "\n  "))
		}
	}
	// The steps that follow look at what is there now.
	raw, err := r.Export(ctx)
	if err != nil {
		return "", err
	}
	export, err := state.Parse(raw)
	if err != nil {
		return "", err
	}
	r.graph = state.NewGraph(export)
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
