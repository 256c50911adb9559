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
	before, err := r.ReadStackFile()
	if err != nil {
		return "", err
	}
	if err := r.moveTo(ctx, elsewhere); err != nil {
		return "", err
	}
	output, err := r.Run(ctx, "preview")
	if err == nil {
		return "", fmt.Errorf("the preview allowed a move to %s, which replaces what is protected", elsewhere)
	}
	if !strings.Contains(output, "marked for protection") {
		return "", errors.New("the preview failed, but not for protection")
	}
	if err := r.WriteStackFile(before); err != nil {
		return "", err
	}
	// The engine stops at the first refusal: ask for each by itself.
	var refused []string
	for _, resource := range r.graph.Resources() {
		if !resource.Protect {
			continue
		}
		output, err := r.Run(ctx, "preview", "--replace", resource.URN)
		if err == nil || !strings.Contains(output, "unable to replace resource \""+resource.URN) {
			return "", fmt.Errorf("the preview allowed a replacement of %s", state.ShortName(resource.URN))
		}
		refused = append(refused, resource.Type)
	}
	for _, typ := range r.stateful() {
		if !slices.Contains(refused, typ) {
			return "", fmt.Errorf("no %s is protected", types.Short(typ))
		}
	}
	return "refused, for each protected resource by itself too", nil
}

// stateful are the types that must be protected: with one of them people lose data, or the installation.
func (r *run) stateful() []string {
	if r.Machine {
		return []string{types.Disk}
	}
	return []string{types.SQLInstance, types.Bucket, types.Cluster, types.Repository}
}

// refusedFor fails unless the engine says of every stateful type that protection forbids to delete it.
func (r *run) refusedFor(output string) error {
	for _, typ := range r.stateful() {
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

// moveTo changes the stack's region, and the zone of a machine with it.
func (r *run) moveTo(ctx context.Context, region string) error {
	if r.Machine {
		if err := r.SetConfig(ctx, "gcp:zone", region+"-b"); err != nil {
			return err
		}
	}
	return r.SetConfig(ctx, "gcp:region", region)
}

// refuseDestroy fails unless destroy is refused before anything is deleted.
func (r *run) refuseDestroy(ctx context.Context) (string, error) {
	objects := len(r.Cloud.List())
	// With its preview, as a person runs it. With --skip-preview the engine deletes what is not protected until it meets what is.
	output, err := r.Run(ctx, "destroy", "--yes")
	if err == nil {
		return "", errors.New("destroy deleted a protected stack")
	}
	if err := r.refusedFor(output); err != nil {
		return "", err
	}
	if left := len(r.Cloud.List()); left != objects {
		return "", fmt.Errorf("destroy was refused, but %d of %d objects are gone", objects-left, objects)
	}
	return "refused, and all objects are still there", nil
}

// teardown lifts the protection, and fails unless a warning says so.
func (r *run) teardown(ctx context.Context) (string, error) {
	if err := r.SetConfig(ctx, "openhands:teardown", "true"); err != nil {
		return "", err
	}
	output, err := r.Run(ctx, "up", "--yes", "--skip-preview")
	if err != nil {
		return "", err
	}
	if !strings.Contains(output, "openhands:teardown is on") {
		return "", errors.New("nothing warned that the protection is off")
	}
	return "protection lifted, with a warning", nil
}
