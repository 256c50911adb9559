package state

import (
	"slices"
	"strings"
)

// Graph is what waits for what in a deployment.
type Graph struct {
	resources map[string]Resource
	order     []string            // URNs, as in the export: what a resource waits for stands before it
	waits     map[string][]string // URN -> URNs it waits for, directly
}

// Resource returns the resource with a URN. ok is false where there is none.
func (g *Graph) Resource(urn string) (r Resource, ok bool) {
	r, ok = g.resources[urn]
	return r, ok
}

// Resources returns all resources. What a resource waits for stands before it.
func (g *Graph) Resources() []Resource {
	out := make([]Resource, len(g.order))
	for i, urn := range g.order {
		out[i] = g.resources[urn]
	}
	return out
}

// Waits returns the URNs that a resource waits for directly.
func (g *Graph) Waits(urn string) []string { return g.waits[urn] }

// NewGraph builds the graph of a stack's state. A resource waits for its dependencies, its provider, and its parent's registration, which in turn
// waits for what the parent depends on.
func NewGraph(export *Export) *Graph {
	g := &Graph{resources: map[string]Resource{}, waits: map[string][]string{}}
	for _, r := range export.Deployment.Resources {
		g.resources[r.URN] = r
		g.order = append(g.order, r.URN)
		waits := slices.Clone(r.Dependencies)
		if r.Parent != "" {
			waits = append(waits, r.Parent)
		}
		if i := strings.LastIndex(r.Provider, "::"); i > 0 {
			waits = append(waits, r.Provider[:i])
		}
		g.waits[r.URN] = waits
	}
	return g
}

// WaitsFor reports whether a resource is created after another one for sure.
func (g *Graph) WaitsFor(urn, on string) bool {
	seen := map[string]bool{}
	var visit func(string) bool
	visit = func(u string) bool {
		for _, w := range g.waits[u] {
			if w == on {
				return true
			}
			if !seen[w] {
				seen[w] = true
				if visit(w) {
					return true
				}
			}
		}
		return false
	}
	return visit(urn)
}

// Component is the place of a resource in the tree of components, such as Network or OpenHandsApp / Server; empty for the stack and the providers.
func (g *Graph) Component(urn string) string {
	var path []string
	for r, ok := g.resources[urn]; ok; r, ok = g.resources[r.Parent] {
		if !r.Custom && r.Type != StackType {
			path = append(path, r.Type[strings.LastIndex(r.Type, ":")+1:])
		}
	}
	slices.Reverse(path)
	return strings.Join(path, " / ")
}

// Countable returns the resources that exist in a cloud: neither components nor providers.
func (g *Graph) Countable() []Resource {
	return slices.DeleteFunc(g.Resources(), func(r Resource) bool { return !r.Custom || strings.HasPrefix(r.Type, "pulumi:") })
}
