package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
)

// elsewhere is a region in which the stack is not: a move replaces everything that has a region.
const elsewhere = "europe-west4"

// refuseReplacement fails unless the preview of a replacement is refused: by a move to another region, and of each protected resource.
func (r *run) refuseReplacement(ctx context.Context) (string, error) {
	before, err := r.moveTo(ctx, elsewhere)
	if err != nil {
		return "", err
	}
	result, err := r.Run(ctx, "preview")
	if err == nil {
		return "", fmt.Errorf("the preview allowed a move to %s, which replaces what is protected", elsewhere)
	}
	if !strings.Contains(result.Output, "marked for protection") {
		return "", errors.New("the preview failed, but not for protection")
	}
	if _, err := r.moveTo(ctx, before); err != nil {
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
	for _, typ := range stateful {
		if !slices.Contains(refused, typ) {
			return "", fmt.Errorf("no %s is protected", types.Short(typ))
		}
	}
	return fmt.Sprintf("refused, by a move to %s and for each of the %d protected resources by itself", elsewhere, len(refused)), nil
}

// stateful are the types that must be protected: with one of them people lose data, or the installation.
var stateful = []string{types.SQLInstance, types.Bucket, types.Cluster, types.Repository}

// refusedFor fails unless the engine says of every stateful type that protection forbids to delete it.
func refusedFor(output string) error {
	for _, typ := range stateful {
		refused := false
		for _, text := range strings.Split(output, "error: ") {
			about := strings.Contains(text, "$"+typ+"::")
			refused = refused || (about && strings.Contains(text, "cannot be deleted") && strings.Contains(text, "it is protected"))
		}
		if !refused {
			return fmt.Errorf("it failed, but not for the protection of %s", types.Short(typ))
		}
	}
	return nil
}

// moveTo changes the stack's region, and returns the one before.
func (r *run) moveTo(ctx context.Context, region string) (before string, err error) {
	before, err = r.Quiet(ctx, "config", "get", "gcp:region")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(before), r.SetConfig(ctx, "gcp:region", region)
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
