// Package state reads the state of a stack: its resources, what waits for what, and what is encrypted.
package state

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"openhands-gcp/rehearsal/types"
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

// Types of the engine itself. ProviderPrefix begins the types of providers.
const (
	StackType      = "pulumi:pulumi:Stack"
	ProviderPrefix = "pulumi:providers:"
)

// IsProvider reports whether the resource is a provider.
func (r Resource) IsProvider() bool { return strings.HasPrefix(r.Type, ProviderPrefix) }

// ShortName returns the type and the name of a URN, such as compute.Network openhands-vpc.
func ShortName(urn string) string {
	parts := strings.Split(urn, "::")
	if len(parts) < 4 {
		return urn
	}
	chain := strings.Split(parts[2], "$")
	return types.Short(chain[len(chain)-1]) + " " + parts[3]
}

// Parse reads the output of `pulumi stack export`.
func Parse(raw []byte) (*Export, error) {
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

// Component is the name of the component type that a resource belongs to, such as Network; empty for the stack and the providers.
func (g *Graph) Component(urn string) string {
	for r, ok := g.resources[urn]; ok; r, ok = g.resources[r.Parent] {
		if !r.Custom && r.Type != StackType {
			return r.Type[strings.LastIndex(r.Type, ":")+1:]
		}
	}
	return ""
}

// Marker begins every secret that a rehearsal makes up. Nothing that is not encrypted may contain it.
const Marker = "rehearsal-secret-"

// Encrypted returns a value as a state has it when it is encrypted.
func Encrypted(ciphertext string) map[string]any {
	return map[string]any{resource.SigKey: resource.SecretSig, "ciphertext": ciphertext}
}

// IsEncrypted reports whether a value of a state is encrypted.
func IsEncrypted(v any) bool {
	m, ok := v.(map[string]any)
	return ok && m[resource.SigKey] != nil
}
