package facts

import (
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"openhands-gcp/rehearsal/values"
)

// withDefaults fills in the provider's defaults, as they stand in the state after an update.
func withDefaults(fs fields, inputs resource.PropertyMap) resource.PropertyMap {
	out := resource.PropertyMap{}
	for key, value := range inputs {
		f := fs[string(key)]
		value = values.Plain(value)
		switch {
		case f == nil:
			continue // the engine's own
		case f.block() && value.IsObject():
			value = resource.NewProperty(withDefaults(f.Fields, value.ObjectValue()))
		case f.blocks() && value.IsArray():
			var items []resource.PropertyValue
			for _, item := range value.ArrayValue() {
				if item = values.Plain(item); item.IsObject() {
					item = resource.NewProperty(withDefaults(f.Fields, item.ObjectValue()))
				}
				items = append(items, item)
			}
			value = resource.NewProperty(items)
		}
		out[key] = value
	}
	for name, f := range fs {
		key := resource.PropertyKey(name)
		if _, set := out[key]; !set && f.Default != nil && !f.OutputOnly {
			out[key] = resource.NewPropertyValue(f.Default)
		}
	}
	return out
}
