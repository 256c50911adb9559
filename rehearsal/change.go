package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
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
		{asBefore, func() error { return r.WriteStackFile(before) }, true},
	} {
		if err := change.apply(); err != nil {
			return "", err
		}
		if change.what == asBefore {
			if err := r.refusedLogin(ctx); err != nil {
				return "", err
			}
		}
		if _, err := r.Run(ctx, "up", "--yes", "--skip-preview"); err != nil {
			return "", fmt.Errorf("%s: %w", change.what, err)
		}
		hops, problems := checks.Exposure(r.Cloud.Inventory(), r.OpenToEveryone)
		if len(problems) > 0 || (len(hops) > 0) != change.open {
			return "", fmt.Errorf("%s: the way in is not as it must be (%d stations):\n  %s", change.what, len(hops), strings.Join(problems, "\n  "))
		}
	}
	return "another host, then no way in, then a login that is refused, then as before", r.look(ctx)
}

// look reads the state anew, for the steps that follow a change.
func (r *run) look(ctx context.Context) error {
	raw, err := r.Export(ctx)
	if err != nil {
		return err
	}
	export, err := state.Parse(raw)
	if err != nil {
		return err
	}
	r.graph = state.NewGraph(export)
	return nil
}

// replaceCluster moves a zonal cluster to another zone, in the steps that the README has. In one, or without the first, the engine closes its connection to the
// old cluster when it finds that the provider goes too, and the deletion of what is in the cluster fails: "the client connection is closing".
func (r *run) replaceCluster(ctx context.Context) (string, error) {
	zone := r.Zone[:len(r.Zone)-1] + "b"
	if zone == r.Zone {
		zone = r.Zone[:len(r.Zone)-1] + "c"
	}
	for _, target := range []string{state.ProviderPrefix + "kubernetes::kubernetes", "openhands:gcp:GkeCluster$" + types.Cluster + "::openhands-cluster"} {
		target = fmt.Sprintf("urn:pulumi:%s::openhands::%s", r.Stack, target)
		if _, err := r.Run(ctx, "destroy", "--yes", "--skip-preview", "--target", target, "--target-dependents"); err != nil {
			return "", fmt.Errorf("destroy the cluster: %w", err)
		}
	}
	for _, o := range r.Cloud.List() {
		if o.Type == types.Short(types.Cluster) || strings.HasPrefix(o.Type, "core.") {
			return "", fmt.Errorf("the cluster was destroyed, and %s %s is still there", o.Type, o.ID)
		}
	}
	if err := r.SetConfig(ctx, "gcp:zone", zone); err != nil {
		return "", err
	}
	if _, err := r.Run(ctx, "up", "--yes", "--skip-preview"); err != nil {
		return "", fmt.Errorf("zone %s: %w", zone, err)
	}
	inventory := r.Cloud.Inventory()
	for _, cluster := range inventory.All(types.Cluster) {
		if location := cluster.Inputs.Str("location"); location != zone {
			return "", fmt.Errorf("the cluster is in %s, and not in %s", location, zone)
		}
	}
	if problems := checks.Application(inventory, r.NodesOfOnesOwn); len(problems) > 0 {
		return "", fmt.Errorf("in zone %s the application is not as it must be:\n  %s", zone, strings.Join(problems, "\n  "))
	}
	if err := r.nothing(ctx, r.Engine, "preview"); err != nil {
		return "", err
	}
	return "to zone " + zone + ": the cluster goes with all that is in it, and comes back elsewhere", r.look(ctx)
}

const asBefore = "as before"

// refusedLogin opens the way in where GKE refuses the policy with the login: the update must fail, and say why and what to do, and the door must be shut.
func (r *run) refusedLogin(ctx context.Context) error {
	const why = "Attached=False, reason Invalid: iap.clientID is missing"
	r.Cloud.Refuse(types.BackendPolicy, why)
	defer r.Cloud.Refuse(types.BackendPolicy, "")
	result, err := r.Run(ctx, "up", "--yes", "--skip-preview")
	if err == nil {
		return errors.New("GKE has refused the policy with the login, and the update succeeded")
	}
	for _, says := range []string{why, "has not attached GCPBackendPolicy", "describe gcpbackendpolicy"} {
		if !strings.Contains(result.Output, says) {
			return fmt.Errorf("GKE has refused the policy with the login, and the update does not say %q:\n%w", says, err)
		}
	}
	hops, _ := checks.Exposure(r.Cloud.Inventory(), r.OpenToEveryone)
	if !slices.ContainsFunc(hops, func(h checks.Hop) bool { return h.What == "door" }) {
		return errors.New("GKE has refused the policy with the login, and no door stands before the server")
	}
	return nil
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
