package rehearsal

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Export is the part of `pulumi stack export` that the checks read.
type Export struct {
	Deployment struct {
		Resources []Resource `json:"resources"`
	} `json:"deployment"`
}

// Resource is one resource of a stack's state.
type Resource struct {
	URN          string         `json:"urn"`
	Type         string         `json:"type"`
	ID           string         `json:"id"`
	Custom       bool           `json:"custom"`
	Protect      bool           `json:"protect"`
	Parent       string         `json:"parent"`
	Provider     string         `json:"provider"` // <URN>::<id>
	Inputs       map[string]any `json:"inputs"`
	Outputs      map[string]any `json:"outputs"`
	Dependencies []string       `json:"dependencies"`
}

// Name is the last part of the resource's URN.
func (r Resource) Name() string { return r.URN[strings.LastIndex(r.URN, "::")+2:] }

const (
	providerPrefix = "pulumi:providers:"
	stackType      = "pulumi:pulumi:Stack"
)

func (r Resource) isProvider() bool { return strings.HasPrefix(r.Type, providerPrefix) }

// ParseExport reads the output of `pulumi stack export`.
func ParseExport(raw []byte) (*Export, error) {
	var export Export
	if err := json.Unmarshal(raw, &export); err != nil {
		return nil, fmt.Errorf("export of the stack: %w", err)
	}
	return &export, nil
}

// Graph is what waits for what in a deployment.
type Graph struct {
	resources map[string]Resource
	order     []string            // URNs, as in the export: what a resource waits for stands before it
	waits     map[string][]string // URN -> URNs it waits for, directly
}

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

// Component is the name of the component type that a resource belongs to, such as Network; empty for the stack and the providers.
func (g *Graph) Component(urn string) string {
	for r, ok := g.resources[urn]; ok; r, ok = g.resources[r.Parent] {
		if !r.Custom && r.Type != stackType {
			return r.Type[strings.LastIndex(r.Type, ":")+1:]
		}
	}
	return ""
}
