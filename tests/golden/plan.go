package golden

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/values"
)

// Plan is what a program registered.
type Plan struct {
	Logs      []string // what the program told the engine, e.g. warning: ...
	Resources []*Resource
	Outputs   map[resource.URN]resource.PropertyMap // of components and of the stack
}

// Resource is one registration, with the program's inputs as they were: no defaults, no generated names.
type Resource struct {
	URN     resource.URN
	Inputs  resource.PropertyMap
	request *pulumirpc.RegisterResourceRequest
}

// Type is the type's token, e.g. gcp:compute/network:Network.
func (r *Resource) Type() string { return string(r.URN.Type()) }

func (r *Resource) isProvider() bool { return strings.HasPrefix(r.Type(), "pulumi:providers:") }

// Graph is what waits for what in the plan.
func (p *Plan) Graph() *state.Graph {
	export := &state.Export{}
	for _, r := range p.Resources {
		export.Deployment.Resources = append(export.Deployment.Resources, state.Resource{
			URN: string(r.URN), Type: r.Type(), Custom: r.request.GetCustom(), Parent: r.request.GetParent(), Provider: r.request.GetProvider(),
			Inputs: values.Of(r.Inputs), Dependencies: r.request.GetDependencies(),
		})
	}
	return state.NewGraph(export)
}

// Label names a resource as the plan does: its type without the provider's name, and its name.
func Label(u resource.URN) string {
	parts := strings.Split(string(u.Type()), ":")
	if len(parts) != 3 {
		return string(u.Type()) + " " + u.Name()
	}
	module, kind := parts[1], parts[2]
	switch parts[0] {
	case "openhands":
		return kind + " " + u.Name()
	case "pulumi":
		return parts[1] + "." + kind + " " + u.Name()
	case "kubernetes":
		return module + "." + kind + " " + u.Name()
	}
	module, _, _ = strings.Cut(module, "/")
	return module + "." + kind + " " + u.Name()
}

// symbol stands for a property of the resource where other resources use it.
func (r *Resource) symbol(path string) string { return fmt.Sprintf("${%s: %s}", Label(r.URN), path) }

// samples are values of properties that the program computes with, so that no symbol can stand for them. Each is the value of one property only.
var samples = map[string]string{
	"gcp:container/cluster:Cluster privateClusterConfig.publicEndpoint": "34.90.1.10",
}

// output is the value of a property that the resource has once it exists.
func (r *Resource) output(path string) string {
	if sample, ok := samples[r.Type()+" "+path]; ok {
		return sample
	}
	return r.symbol(path)
}

// children returns the resources below each other one, in order of their labels.
func (p *Plan) children() map[resource.URN][]*Resource {
	below := map[resource.URN][]*Resource{}
	for _, r := range p.Resources {
		parent := resource.URN(r.request.GetParent())
		below[parent] = append(below[parent], r)
	}
	for _, resources := range below {
		slices.SortFunc(resources, func(a, b *Resource) int { return cmp.Compare(Label(a.URN), Label(b.URN)) })
	}
	return below
}

// Component is a component of the plan with the types of the resources that belong to it, and not to one below it.
type Component struct {
	Path  []string // names of the components' types from the top, itself the last
	Types map[string]int
}

// Components returns the components in the order of the tree.
func (p *Plan) Components() []Component {
	below := p.children()
	var found []Component
	var walk func(parent *Resource, path []string)
	walk = func(parent *Resource, path []string) {
		for _, r := range below[parent.URN] {
			if r.request.GetCustom() {
				continue
			}
			kind, _, _ := strings.Cut(Label(r.URN), " ")
			c := Component{Path: append(slices.Clone(path), kind), Types: map[string]int{}}
			for _, child := range below[r.URN] {
				if child.request.GetCustom() {
					c.Types[child.Type()]++
				}
			}
			found = append(found, c)
			walk(r, c.Path)
		}
	}
	walk(below[""][0], nil)
	return found
}

// waitsFor lists what the program makes a resource wait for, beside what its inputs name. A component whose resources are all among them stands for them.
func (p *Plan) waitsFor(r *Resource) []string {
	named := fmt.Sprint(r.Inputs)
	waits := map[resource.URN]bool{}
	for _, dependency := range r.request.GetDependencies() {
		if on := resource.URN(dependency); !strings.Contains(named, "${"+Label(on)+": ") {
			waits[on] = true
		}
	}
	var labels []string
	for parent, resources := range p.children() {
		all := len(resources) > 1 && !slices.ContainsFunc(resources, func(child *Resource) bool { return !waits[child.URN] })
		if !all {
			continue
		}
		labels = append(labels, "all of "+Label(parent))
		for _, child := range resources {
			delete(waits, child.URN)
		}
	}
	for urn := range maps.Keys(waits) {
		labels = append(labels, Label(urn))
	}
	slices.Sort(labels)
	return labels
}
