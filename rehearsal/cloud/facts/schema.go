package facts

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// Schema is what a provider knows about the fields of its types.
type Schema struct {
	Version string // of the provider that the facts are from

	provider string
	types    map[string]fields
}

// Types are the types that the schema has, sorted.
func (s *Schema) Types() []string { return slices.Sorted(maps.Keys(s.types)) }

// Name adds the name that the provider makes up where the program gives none. An unknown type is an error.
func (s *Schema) Name(req plugin.CheckRequest, inputs resource.PropertyMap) error {
	fs, ok := s.types[string(req.Type)]
	if !ok {
		return types.Unknown(string(req.Type))
	}
	if f, ok := fs["name"]; ok && !f.OutputOnly {
		if _, set := inputs["name"]; !set {
			inputs["name"] = autoname(req)
		}
	}
	return nil
}

// Check returns what is wrong with the inputs of a resource: unknown and missing fields, wrong types, outputs that were set, fields that exclude each
// other.
func (s *Schema) Check(typ string, inputs resource.PropertyMap) []plugin.CheckFailure {
	return checkInputs(s.types[typ], inputs)
}

// Complete adds the defaults.
func (s *Schema) Complete(typ string, inputs resource.PropertyMap) resource.PropertyMap {
	return withDefaults(s.types[typ], inputs)
}

// Diff returns the paths in which the state differs from what the program wants.
func (s *Schema) Diff(req plugin.DiffRequest) map[string]plugin.PropertyDiff {
	detailed := diffInputs(s.types[string(req.Type)], req.NewInputs, req.OldOutputs, req.IgnoreChanges)
	if decide, ok := decidedByCode[string(req.Type)]; ok {
		decide(req, detailed)
	}
	return detailed
}

// autoname keeps the name that a resource has, and makes one of the resource's name and seven hexadecimal digits where it has none, as the real
// providers do.
func autoname(req plugin.CheckRequest) resource.PropertyValue {
	if old, ok := req.Olds["name"]; ok {
		return old
	}
	if len(req.RandomSeed) == 0 {
		h := fnv.New32a()
		h.Write([]byte(req.URN)) // never fails
		return resource.NewProperty(fmt.Sprintf("%s-%07x", req.URN.Name(), h.Sum32()&0xfffffff))
	}
	return resource.NewProperty(fmt.Sprintf("%s-%s", req.URN.Name(), hex.EncodeToString(req.RandomSeed)[:7]))
}

// decidedByCode corrects the differences of the types about which the real provider decides by code, which its schema does not show.
var decidedByCode = map[string]func(plugin.DiffRequest, map[string]plugin.PropertyDiff){
	// The location is kept in upper case.
	types.Bucket: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		if wanted, state := values.Plain(req.NewInputs["location"]), values.Plain(req.OldOutputs["location"]); wanted.IsString() && state.IsString() &&
			strings.EqualFold(wanted.StringValue(), state.StringValue()) {
			delete(detailed, "location")
		}
	},
	// The primary range of a subnet can only grow in place.
	types.Subnetwork: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		const path = "ipCidrRange"
		d, changed := detailed[path]
		wanted, err1 := netip.ParsePrefix(values.Map(req.NewInputs.Mappable()).Str(path))
		state, err2 := netip.ParsePrefix(values.Map(req.OldOutputs.Mappable()).Str(path))
		if changed && (err1 != nil || err2 != nil || wanted.Bits() > state.Bits() || !wanted.Contains(state.Addr())) {
			detailed[path] = d.ToReplace()
		}
	},
	// Policies by name cannot be turned off in place.
	types.Cluster: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		const path = "enableFqdnNetworkPolicy"
		if d, changed := detailed[path]; changed && values.Map(req.OldOutputs.Mappable()).Is(path) {
			detailed[path] = d.ToReplace()
		}
	},
	// A dashboard differs where a field that the program writes does: the API adds others.
	types.Dashboard: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		const path = "dashboardJson"
		if wanted := values.Plain(req.NewInputs[path]); wanted.IsString() && sameDocument(wanted.StringValue(), values.Of(req.OldOutputs).Str(path)) {
			delete(detailed, path)
		}
	},
	types.Disk: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		const path = "size"
		wanted, state := values.Map(req.NewInputs.Mappable()), values.Map(req.OldOutputs.Mappable())
		if d, changed := detailed[path]; changed && wanted.Num(path) < state.Num(path) {
			detailed[path] = d.ToReplace()
		}
	},
	// A disk cannot shrink: a smaller one means another instance.
	types.SQLInstance: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		const path = "settings.diskSize"
		wanted, state := values.Map(req.NewInputs.Mappable()), values.Map(req.OldOutputs.Mappable())
		if d, changed := detailed[path]; changed && wanted.Num(path) < state.Num(path) {
			detailed[path] = d.ToReplace()
		}
	},
}

// sameDocument compares two JSON objects, and leaves out the fields that only the state has.
func sameDocument(wanted, state string) bool {
	var w, s map[string]any
	if json.Unmarshal([]byte(wanted), &w) != nil || json.Unmarshal([]byte(state), &s) != nil {
		return false
	}
	return reflect.DeepEqual(w, fieldsOf(w, s))
}

// fieldsOf returns the state, without the fields of its objects that the wanted value has not.
func fieldsOf(wanted, state any) any {
	switch s := state.(type) {
	case map[string]any:
		w, _ := wanted.(map[string]any)
		out := map[string]any{}
		for name, value := range s {
			if w[name] != nil {
				out[name] = fieldsOf(w[name], value)
			}
		}
		return out
	case []any:
		w, _ := wanted.([]any)
		out := slices.Clone(s)
		for i := range min(len(w), len(s)) {
			out[i] = fieldsOf(w[i], s[i])
		}
		return out
	}
	return state
}

// Planned is the state of an object as a preview knows it: what the cloud will compute is unknown, unless it is known already. old is nil at a creation.
func (s *Schema) Planned(typ string, inputs, old resource.PropertyMap) resource.PropertyMap {
	fs := s.types[typ]
	out := inputs.Copy()
	for name, f := range fs {
		key := resource.PropertyKey(name)
		if _, set := out[key]; set || (!f.Computed && !f.OutputOnly) {
			continue
		}
		if value, known := old[key]; known {
			out[key] = value
		} else if old == nil {
			out[key] = resource.MakeComputed(resource.NewProperty(""))
		}
	}
	return out
}

// State turns the cloud's answer into the properties of a resource. What the facts call secret is secret.
func (s *Schema) State(typ string, outputs values.Map) resource.PropertyMap {
	fs := s.types[typ]
	properties := resource.NewPropertyMapFromMap(outputs)
	for name, f := range fs {
		key := resource.PropertyKey(name)
		if value, ok := properties[key]; ok && f.Secret {
			properties[key] = resource.MakeSecret(value)
		}
	}
	return properties
}
