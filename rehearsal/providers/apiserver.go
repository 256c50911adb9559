package providers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/values"
)

// APIServer is a real Kubernetes API server. In a rehearsal with one, an object that the simulated cloud accepts goes to the API server too, and fails
// where that refuses it.
type APIServer interface {
	// AddNodes makes the nodes of a pool appear.
	AddNodes(ctx context.Context, pool kubernetes.NodePool) error
	// Apply creates or changes an object, and returns when the engine's provider would go on: a Deployment is available, a Gateway programmed.
	// isNew fails where the object exists.
	Apply(ctx context.Context, object map[string]any, isNew bool) error
	// Reapply applies an object as it is. changed says whether that changed it in the API server.
	Reapply(ctx context.Context, object map[string]any) (changed bool, err error)
	// Exists reports whether the object is there.
	Exists(ctx context.Context, object map[string]any) (bool, error)
	// Release takes back what was applied to an object that Kubernetes itself made.
	Release(ctx context.Context, object map[string]any) error
	// Delete returns when the object is gone.
	Delete(ctx context.Context, object map[string]any) error
	// Leftovers lists the objects that were not there before the first Apply.
	Leftovers(ctx context.Context) ([]string, error)
}

// Forwarding is the backend of the provider kubernetes in a rehearsal with a real API server.
type Forwarding struct {
	*cloud.Cloud
	api APIServer

	mu    sync.Mutex      // protects pools
	pools map[string]bool // names of those whose nodes have appeared
}

// Forward returns a backend that keeps objects in the cloud and in the API server.
func Forward(c *cloud.Cloud, api APIServer) *Forwarding {
	return &Forwarding{Cloud: c, api: api, pools: map[string]bool{}}
}

// patched reports whether a type changes an object that Kubernetes itself made.
func patched(typ string) bool { return strings.HasSuffix(typ, "Patch") }

// Create implements Backend. An object that the API server refuses is not kept in the cloud.
func (f *Forwarding) Create(typ, urn string, inputs values.Map) (string, values.Map, error) {
	id, outputs, err := f.Cloud.Create(typ, urn, inputs)
	if err != nil {
		return "", nil, err
	}
	ctx := context.Background() // the API server has timeouts of its own
	if err = f.addNodes(ctx); err == nil {
		err = f.api.Apply(ctx, inputs, !patched(typ))
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("the API server: %w", err), f.Cloud.Delete(typ, urn, id))
	}
	return id, outputs, nil
}

// Update implements Backend.
func (f *Forwarding) Update(typ, urn, id string, inputs values.Map) (values.Map, error) {
	outputs, err := f.Cloud.Update(typ, urn, id, inputs)
	if err != nil {
		return nil, err
	}
	if err := f.api.Apply(context.Background(), inputs, false); err != nil {
		return nil, fmt.Errorf("the API server: %w", err)
	}
	return outputs, nil
}

// Read implements Backend. An object that the API server has lost does not exist.
func (f *Forwarding) Read(typ, urn, id string) (inputs, outputs values.Map) {
	inputs, outputs = f.Cloud.Read(typ, urn, id)
	if outputs == nil {
		return nil, nil
	}
	if exists, err := f.api.Exists(context.Background(), inputs); err != nil || !exists {
		return nil, nil
	}
	return inputs, outputs
}

// Delete implements Backend.
func (f *Forwarding) Delete(typ, urn, id string) error {
	inputs, _ := f.Cloud.Read(typ, urn, id)
	if inputs == nil {
		return nil
	}
	forget := f.api.Delete
	if patched(typ) {
		forget = f.api.Release
	}
	if err := forget(context.Background(), inputs); err != nil {
		return fmt.Errorf("the API server: %w", err)
	}
	return f.Cloud.Delete(typ, urn, id)
}

// addNodes makes the nodes of new pools appear, before the first object that may want one.
func (f *Forwarding) addNodes(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, pool := range kubernetes.NodePools(f.Cloud.Inventory()) {
		if f.pools[pool.Name] {
			continue
		}
		if err := f.api.AddNodes(ctx, pool); err != nil {
			return err
		}
		f.pools[pool.Name] = true
	}
	return nil
}

// ChangedByRepetition applies every object again, and returns a sentence for each that this changed.
func (f *Forwarding) ChangedByRepetition(ctx context.Context) ([]string, error) {
	var changed []string
	for _, object := range kubernetes.Objects(f.Cloud.Inventory()) {
		again, err := f.api.Reapply(ctx, object.Inputs.Clone())
		if err != nil {
			return nil, err
		}
		if again {
			changed = append(changed, fmt.Sprintf("%s %s changes when it is applied again", object.Inputs.Str("kind"), object.Inputs.Str("metadata.name")))
		}
	}
	return changed, nil
}

// Leftovers lists what the API server still has of the program's objects.
func (f *Forwarding) Leftovers(ctx context.Context) ([]string, error) { return f.api.Leftovers(ctx) }
