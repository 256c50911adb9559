package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/stacks/places"
)

// refuseReplacement fails unless the preview of a replacement is refused: by a move to another region, and of each protected resource.
func (r *run) refuseReplacement(ctx context.Context) (string, error) {
	elsewhere, err := r.refuseMove(ctx)
	if err != nil {
		return "", err
	}
	// The engine stops at the first refusal: ask for each by itself.
	var refused []string
	for _, resource := range r.graph.Resources() {
		if !resource.Protect {
			continue
		}
		result, err := r.Run(ctx, "preview", "--replace", resource.URN)
		if err == nil || !strings.Contains(result.Output, "unable to replace resource \""+resource.URN) {
			return "", fmt.Errorf("the preview allowed a replacement of %s", state.ShortName(resource.URN))
		}
		refused = append(refused, resource.Type)
	}
	for _, typ := range r.Protected {
		if !slices.Contains(refused, typ) {
			return "", fmt.Errorf("no %s is protected", types.Short(typ))
		}
	}
	outcome := fmt.Sprintf("refused, for each of the %d protected resources by itself", len(refused))
	if elsewhere != "" {
		outcome += ", and by a move to " + elsewhere
	}
	return outcome, nil
}

// refuseMove fails unless the preview refuses to move the stack to another region, which it returns: that replaces everything that has a region.
func (r *run) refuseMove(ctx context.Context) (elsewhere string, err error) {
	if !slices.ContainsFunc(r.Protected, func(typ string) bool { return typ != types.Bucket }) {
		return "", nil // a bucket may have a location of its own, and stay
	}
	before, err := r.ReadStackFile()
	if err != nil {
		return "", err
	}
	if elsewhere = places.Regions[0]; elsewhere == r.Region {
		elsewhere = places.Regions[1]
	}
	if err := r.SetConfig(ctx, "gcp:region", elsewhere); err != nil {
		return "", err
	}
	if r.Zone != "" {
		if err := r.SetConfig(ctx, "gcp:zone", places.Zones(elsewhere)[0]); err != nil {
			return "", err
		}
	}
	result, err := r.Run(ctx, "preview")
	if err == nil {
		return "", fmt.Errorf("the preview allowed a move from %s to %s, which replaces what is protected", r.Region, elsewhere)
	}
	if !strings.Contains(result.Output, "marked for protection") {
		return "", errors.New("the preview of a move failed, but not for protection")
	}
	return elsewhere, r.WriteStackFile(before)
}

// refusedFor fails unless the engine says that protection forbids to delete something. It stops at what it meets first, such as a protected namespace before
// its cluster; that each is protected is what refuseReplacement shows.
func refusedFor(output string) error {
	for _, text := range strings.Split(output, "error: ") {
		if strings.Contains(text, "cannot be deleted") && strings.Contains(text, "it is protected") {
			return nil
		}
	}
	return errors.New("it failed, but not for protection")
}

// refuseDestroy fails unless destroy is refused before anything is deleted.
func (r *run) refuseDestroy(ctx context.Context) (string, error) {
	objects := len(r.Cloud.List())
	// With its preview, as a person runs it. With --skip-preview the engine deletes what is not protected until it meets what is.
	result, err := r.Run(ctx, "destroy", "--yes")
	if err == nil {
		return "", errors.New("destroy deleted a protected stack")
	}
	if err := refusedFor(result.Output); err != nil {
		return "", err
	}
	if left := len(r.Cloud.List()); left != objects {
		return "", fmt.Errorf("destroy was refused, but %d of %d objects are gone", objects-left, objects)
	}
	return "destroy is refused while the stack is protected, and all objects are still there", nil
}

// teardown lifts the protection, and fails unless a warning says so.
func (r *run) teardown(ctx context.Context) (string, error) {
	if err := r.SetConfig(ctx, "openhands:teardown", "true"); err != nil {
		return "", err
	}
	result, err := r.Run(ctx, "up", "--yes", "--skip-preview")
	if err != nil {
		return "", err
	}
	if !strings.Contains(result.Output, "openhands:teardown is on") {
		return "", errors.New("nothing warned that the protection is off")
	}
	return "openhands:teardown lifts the protection, with a warning", nil
}
