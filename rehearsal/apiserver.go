package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// APIServer is a real Kubernetes API server. In a rehearsal with one, every object must please it too, after it has pleased the simulated cloud.
type APIServer interface {
	// AddNodes makes the nodes of a pool appear.
	AddNodes(ctx context.Context, pool NodePool) error
	// Apply creates or changes an object, and returns when the engine's provider would go on: a Deployment is available, a Gateway programmed.
	// isNew fails where the object exists.
	Apply(ctx context.Context, object map[string]any, isNew bool) error
	// Reapply applies an object as it is. changed says whether that made a difference, which it must not.
	Reapply(ctx context.Context, object map[string]any) (changed bool, err error)
	Exists(ctx context.Context, object map[string]any) (bool, error)
	// Release gives up what was applied to an object that somebody else made.
	Release(ctx context.Context, object map[string]any) error
	// Delete returns when the object is gone.
	Delete(ctx context.Context, object map[string]any) error
	// Leftovers lists what was not there at first.
	Leftovers(ctx context.Context) ([]string, error)
}

// NodePool is a node pool as Kubernetes sees its nodes.
type NodePool struct {
	Name           string
	Labels         map[string]string
	Taints         []NodeTaint
	Nodes          int // as many as the pool may have
	CPUs, MemoryGB int // of a node
}

// NodeTaint is a taint, in Kubernetes' words.
type NodeTaint struct{ Key, Value, Effect string }

// forwarding is the backend of the kubernetes provider in a rehearsal with a real API server.
type forwarding struct {
	*Cloud
	api APIServer

	mu    sync.Mutex      // protects pools
	pools map[string]bool // whose nodes have appeared
}

// patched reports whether a type changes an object that somebody else made.
func patched(typ string) bool { return strings.HasSuffix(typ, "Patch") }

func (f *forwarding) create(typ, urn, name string, inputs values) (string, values, error) {
	id, outputs, err := f.Cloud.create(typ, urn, name, inputs)
	if err != nil {
		return "", nil, err
	}
	ctx := context.Background() // the API server has timeouts of its own
	if err = f.addNodes(ctx); err == nil {
		err = f.api.Apply(ctx, inputs, !patched(typ))
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("the API server: %w", err), f.Cloud.remove(typ, urn, id))
	}
	return id, outputs, nil
}

func (f *forwarding) update(typ, urn, id string, inputs values) (values, error) {
	outputs, err := f.Cloud.update(typ, urn, id, inputs)
	if err != nil {
		return nil, err
	}
	if err := f.api.Apply(context.Background(), inputs, false); err != nil {
		return nil, fmt.Errorf("the API server: %w", err)
	}
	return outputs, nil
}

func (f *forwarding) read(typ, urn, id string) (inputs, outputs values) {
	inputs, outputs = f.Cloud.read(typ, urn, id)
	if outputs == nil {
		return nil, nil
	}
	if exists, err := f.api.Exists(context.Background(), inputs); err != nil || !exists {
		return nil, nil
	}
	return inputs, outputs
}

func (f *forwarding) remove(typ, urn, id string) error {
	inputs, _ := f.Cloud.read(typ, urn, id)
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
	return f.Cloud.remove(typ, urn, id)
}

// addNodes makes the nodes of new pools appear, before the first object that may want one.
func (f *forwarding) addNodes(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, pool := range f.Cloud.NodePools() {
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

// changedByRepetition applies every object again, and returns those that changed.
func (f *forwarding) changedByRepetition(ctx context.Context) ([]string, error) {
	var changed []string
	for _, object := range f.Cloud.KubernetesObjects() {
		again, err := f.api.Reapply(ctx, object)
		if err != nil {
			return nil, err
		}
		if again {
			changed = append(changed, fmt.Sprintf("%s %s changes when it is applied again", object["kind"], values(object).str("metadata.name")))
		}
	}
	return changed, nil
}

var machineShape = regexp.MustCompile(`-(standard|highmem|highcpu)-([0-9]+)$`)

// NodePools returns the pools of the cluster, with what GKE adds to their nodes.
func (c *Cloud) NodePools() []NodePool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var pools []NodePool
	for _, o := range c.all(nodePoolType) {
		p := NodePool{Name: o.outputs.str("name"), Labels: labelsOf(o.inputs, "nodeConfig.labels"), Nodes: int(o.inputs.num("autoscaling.totalMaxNodeCount")), CPUs: 2, MemoryGB: 8}
		if match := machineShape.FindStringSubmatch(o.inputs.str("nodeConfig.machineType")); match != nil {
			if cpus, err := strconv.Atoi(match[2]); err == nil {
				p.CPUs, p.MemoryGB = cpus, cpus*map[string]int{"standard": 4, "highmem": 8, "highcpu": 1}[match[1]]
			}
		}
		for _, item := range o.inputs.list("nodeConfig.taints") {
			m, _ := item.(map[string]any)
			taint := values(m)
			p.Taints = append(p.Taints, NodeTaint{taint.str("key"), taint.str("value"), taintEffects[taint.str("effect")]})
		}
		if o.inputs.str("nodeConfig.sandboxConfig.sandboxType") == "gvisor" {
			p.Labels[gvisorLabel] = "gvisor"
			p.Taints = append(p.Taints, NodeTaint{gvisorLabel, "gvisor", "NoSchedule"})
		}
		pools = append(pools, p)
	}
	return pools
}

// KubernetesObjects returns the objects that the program created in the cluster, as it wrote them.
func (c *Cloud) KubernetesObjects() []map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []map[string]any
	for _, k := range slices.Sorted(maps.Keys(c.objects)) {
		if o := c.objects[k]; strings.HasPrefix(o.typ, "kubernetes:") {
			out = append(out, o.inputs.clone())
		}
	}
	return out
}
