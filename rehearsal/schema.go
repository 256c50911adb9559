package rehearsal

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

// factSchema is the schema of a provider whose facts were dumped.
type factSchema struct {
	provider string
	types    map[string]fields
}

func (s factSchema) named(req plugin.CheckRequest, inputs resource.PropertyMap) error {
	fs, ok := s.types[string(req.Type)]
	if !ok {
		return fmt.Errorf("the simulated provider %s does not know type %s; it knows %s", s.provider, req.Type, strings.Join(slices.Sorted(maps.Keys(s.types)), ", "))
	}
	if f, ok := fs["name"]; ok && !f.OutputOnly {
		if _, set := inputs["name"]; !set {
			inputs["name"] = autoname(req)
		}
	}
	return nil
}

func (s factSchema) check(typ string, inputs resource.PropertyMap) []failure {
	return checkInputs(s.types[typ], inputs)
}

func (s factSchema) complete(typ string, inputs resource.PropertyMap) resource.PropertyMap {
	return withDefaults(s.types[typ], inputs)
}

func (s factSchema) diff(req plugin.DiffRequest) map[string]plugin.PropertyDiff {
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

// decidedByCode are the differences about which the real provider decides by code, so that its schema does not show it.
var decidedByCode = map[string]func(plugin.DiffRequest, map[string]plugin.PropertyDiff){
	// The location is kept in upper case.
	bucketType: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		if wanted, state := plain(req.NewInputs["location"]), plain(req.OldOutputs["location"]); wanted.IsString() && state.IsString() &&
			strings.EqualFold(wanted.StringValue(), state.StringValue()) {
			delete(detailed, "location")
		}
	},
	// The primary range of a subnet can only grow in place.
	subnetworkType: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		const path = "ipCidrRange"
		d, changed := detailed[path]
		wanted, err1 := netip.ParsePrefix(values(req.NewInputs.Mappable()).str(path))
		state, err2 := netip.ParsePrefix(values(req.OldOutputs.Mappable()).str(path))
		if changed && (err1 != nil || err2 != nil || wanted.Bits() > state.Bits() || !wanted.Contains(state.Addr())) {
			detailed[path] = d.ToReplace()
		}
	},
	// Policies by name cannot be turned off in place.
	clusterType: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		const path = "enableFqdnNetworkPolicy"
		if d, changed := detailed[path]; changed && values(req.OldOutputs.Mappable()).is(path) {
			detailed[path] = d.ToReplace()
		}
	},
	// A disk cannot shrink: a smaller one means another instance.
	sqlInstanceType: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		const path = "settings.diskSize"
		wanted, state := values(req.NewInputs.Mappable()), values(req.OldOutputs.Mappable())
		if d, changed := detailed[path]; changed && wanted.num(path) < state.num(path) {
			detailed[path] = d.ToReplace()
		}
	},
}

// planned is the state of an object as a preview knows it: what the cloud will compute is unknown, unless it is known already.
func (s factSchema) planned(typ string, inputs, old resource.PropertyMap) resource.PropertyMap {
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

// state turns the cloud's answer into the properties of a resource; what the facts call secret is secret.
func (s factSchema) state(typ string, outputs values) resource.PropertyMap {
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

// kubernetesSchema is the schema of Kubernetes: its own Go types.
type kubernetesSchema struct{}

// named refuses a generated name: every object here is referred to by others, or by people.
func (kubernetesSchema) named(req plugin.CheckRequest, inputs resource.PropertyMap) error {
	metadata := plain(inputs["metadata"])
	if _, known := kubernetesTypes[string(req.Type)]; !known {
		return fmt.Errorf("the simulated Kubernetes does not know type %s", req.Type)
	}
	if !metadata.IsObject() || !metadata.ObjectValue().HasValue("name") {
		return fmt.Errorf("%s %s: metadata.name is not set", req.Type, req.URN.Name())
	}
	return nil
}

func (kubernetesSchema) check(typ string, inputs resource.PropertyMap) []failure {
	return checkObject(typ, inputs)
}

func (kubernetesSchema) complete(_ string, inputs resource.PropertyMap) resource.PropertyMap {
	return inputs
}

func (kubernetesSchema) diff(req plugin.DiffRequest) map[string]plugin.PropertyDiff {
	return diffObject(string(req.Type), req.OldInputs, req.NewInputs, req.IgnoreChanges)
}

func (kubernetesSchema) planned(_ string, inputs, _ resource.PropertyMap) resource.PropertyMap {
	return inputs
}

// state is what was sent. The values of a Secret are secret.
func (kubernetesSchema) state(typ string, outputs values) resource.PropertyMap {
	properties := resource.NewPropertyMapFromMap(outputs)
	if typ == secretType {
		for _, key := range []resource.PropertyKey{"data", "stringData"} {
			if value, ok := properties[key]; ok {
				properties[key] = resource.MakeSecret(value)
			}
		}
	}
	return properties
}
