package facts

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"openhands-gcp/rehearsal/values"
)

// checkInputs reports unknown and missing fields, wrong types, outputs that were set, and fields that exclude each other. Values that are not known
// yet pass, as they do in the real provider's preview.
func checkInputs(fs fields, inputs resource.PropertyMap) []plugin.CheckFailure {
	c := &checker{root: fs, inputs: inputs}
	c.object("", fs, inputs)
	slices.SortFunc(c.failures, func(a, b plugin.CheckFailure) int {
		return strings.Compare(string(a.Property)+a.Reason, string(b.Property)+b.Reason)
	})
	return c.failures
}

type checker struct {
	root     fields
	inputs   resource.PropertyMap
	failures []plugin.CheckFailure
}

func (c *checker) fail(path, format string, args ...any) {
	c.failures = append(c.failures, plugin.CheckFailure{Property: resource.PropertyKey(path), Reason: fmt.Sprintf(format, args...)})
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (c *checker) object(path string, fs fields, object resource.PropertyMap) {
	for key, value := range object {
		name := string(key)
		f, ok := fs[name]
		switch {
		case strings.HasPrefix(name, "__"): // the engine's own
		case !ok:
			c.fail(join(path, name), "the provider has no such field")
		case f.OutputOnly:
			c.fail(join(path, name), "is an output and cannot be set")
		default:
			c.value(join(path, name), f, value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fs)) {
		f := fs[name]
		_, set := object[resource.PropertyKey(name)]
		if f.Required && !set {
			c.fail(join(path, name), "is required")
		}
		if set {
			for _, other := range f.ConflictsWith {
				if names := c.root.resolve(other); c.isSet(names) {
					c.fail(join(path, name), "conflicts with %s", strings.Join(names, "."))
				}
			}
		}
		c.exactlyOne(path, name, f)
	}
}

// exactlyOne counts which fields of a group are set, once a group.
func (c *checker) exactlyOne(path, name string, f *field) {
	if len(f.ExactlyOneOf) == 0 {
		return
	}
	var members, set []string
	for _, member := range f.ExactlyOneOf {
		names := c.root.resolve(member)
		members = append(members, strings.Join(names, "."))
		if c.isSet(names) {
			set = append(set, strings.Join(names, "."))
		}
	}
	if join(path, name) == slices.Min(members) && len(set) != 1 {
		c.fail(path, "exactly one of %s must be set, found %d", strings.Join(members, ", "), len(set))
	}
}

func (c *checker) isSet(names []string) bool {
	value := resource.NewProperty(c.inputs)
	for _, name := range names {
		value = values.Plain(value)
		if !value.IsObject() {
			return false
		}
		next, ok := value.ObjectValue()[resource.PropertyKey(name)]
		if !ok || next.IsNull() {
			return false
		}
		value = next
	}
	return len(names) > 0
}

func (c *checker) value(path string, f *field, v resource.PropertyValue) {
	v = values.Plain(v)
	if values.Unknown(v) || v.IsNull() {
		return
	}
	switch {
	case f.block():
		if !v.IsObject() {
			c.fail(path, "must be an object, is a %s", v.TypeString())
			return
		}
		c.object(path, f.Fields, v.ObjectValue())
	case f.Type == "list" || f.Type == "set":
		if !v.IsArray() {
			c.fail(path, "must be a list, is a %s", v.TypeString())
			return
		}
		if f.MaxItems > 0 && len(v.ArrayValue()) > f.MaxItems {
			c.fail(path, "has %d items, at most %d are allowed", len(v.ArrayValue()), f.MaxItems)
		}
		for i, item := range v.ArrayValue() {
			at := fmt.Sprintf("%s[%d]", path, i)
			if item = values.Plain(item); values.Unknown(item) || !f.blocks() {
				continue
			}
			if !item.IsObject() {
				c.fail(at, "must be an object, is a %s", item.TypeString())
				continue
			}
			c.object(at, f.Fields, item.ObjectValue())
		}
	case f.Type == "map":
		if !v.IsObject() {
			c.fail(path, "must be a map, is a %s", v.TypeString())
		}
	default:
		c.scalar(path, f, v)
	}
}

func (c *checker) scalar(path string, f *field, v resource.PropertyValue) {
	ok := map[string]bool{
		"bool":   v.IsBool(),
		"string": v.IsString(),
		"float":  v.IsNumber(),
		"int":    v.IsNumber() && v.NumberValue() == math.Trunc(v.NumberValue()),
	}[f.Type]
	if !ok {
		c.fail(path, "must be a %s, is a %s", f.Type, v.TypeString())
	}
}
