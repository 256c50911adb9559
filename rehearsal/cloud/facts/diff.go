package facts

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"openhands-gcp/rehearsal/values"
)

// diffInputs compares what a program wants with what the cloud has, as a Terraform provider does: a field that the program leaves out keeps the
// cloud's value where the provider computes it, and is otherwise to be taken away. That is how a value that the cloud filled in by itself, in a
// field that is not computed, makes every preview dirty.
func diffInputs(fs fields, wanted, state resource.PropertyMap, ignored []string) map[string]plugin.PropertyDiff {
	d := &differ{ignored: ignored, found: map[string]plugin.PropertyDiff{}}
	d.object("", fs, wanted, state)
	return d.found
}

type differ struct {
	ignored []string
	found   map[string]plugin.PropertyDiff
}

func (d *differ) object(path string, fs fields, wanted, state resource.PropertyMap) {
	for name, f := range fs {
		at := join(path, name)
		if f.OutputOnly || slices.Contains(d.ignored, at) {
			continue
		}
		w, set := wanted[resource.PropertyKey(name)]
		w, s := values.Plain(w), values.Plain(state[resource.PropertyKey(name)])
		if !set || w.IsNull() {
			switch {
			case f.Computed:
				continue
			case f.Default != nil:
				w = resource.NewPropertyValue(f.Default)
			default:
				if !zero(s) || (f.block() && s.IsObject()) { // an empty block is a block
					d.add(at, plugin.DiffDelete, f)
				}
				continue
			}
		}
		d.value(at, f, w, s)
	}
}

func (d *differ) value(path string, f *field, wanted, state resource.PropertyValue) {
	switch {
	case values.Unknown(wanted):
		d.add(path, plugin.DiffUpdate, f)
	case f.block():
		if !state.IsObject() {
			d.add(path, plugin.DiffAdd, f)
			return
		}
		d.object(path, f.Fields, wanted.ObjectValue(), state.ObjectValue())
	case f.Type == "list" && f.blocks():
		if !state.IsArray() || len(state.ArrayValue()) != len(wanted.ArrayValue()) {
			if !(zero(wanted) && zero(state)) {
				d.add(path, plugin.DiffUpdate, f)
			}
			return
		}
		for i, item := range wanted.ArrayValue() {
			item = values.Plain(item)
			d.object(fmt.Sprintf("%s[%d]", path, i), f.Fields, item.ObjectValue(), values.Plain(state.ArrayValue()[i]).ObjectValue())
		}
	default:
		if !same(f, wanted, state) {
			d.add(path, plugin.DiffUpdate, f)
		}
	}
}

func (d *differ) add(path string, kind plugin.DiffKind, f *field) {
	if f.Replaces {
		kind = kind.AsReplace()
	}
	d.found[path] = plugin.PropertyDiff{Kind: kind}
}

// zero reports whether a value is one that Terraform cannot tell from no value.
func zero(v resource.PropertyValue) bool {
	switch v = values.Plain(v); {
	case v.IsNull():
		return true
	case v.IsBool():
		return !v.BoolValue()
	case v.IsNumber():
		return v.NumberValue() == 0
	case v.IsString():
		return v.StringValue() == ""
	case v.IsArray():
		return len(v.ArrayValue()) == 0
	case v.IsObject():
		for _, value := range v.ObjectValue() {
			if !zero(value) {
				return false
			}
		}
		return true
	}
	return false
}

// same compares values of a field; the order of a set does not count.
func same(f *field, a, b resource.PropertyValue) bool {
	if zero(a) && zero(b) {
		return true
	}
	if f.Type == "set" && a.IsArray() && b.IsArray() {
		return slices.Equal(sortedItems(a), sortedItems(b))
	}
	return canonical(a) == canonical(b)
}

func sortedItems(v resource.PropertyValue) []string {
	var items []string
	for _, item := range v.ArrayValue() {
		items = append(items, canonical(item))
	}
	slices.Sort(items)
	return items
}

// canonical returns equal text for values that Terraform takes for equal: it leaves out zero values in objects.
func canonical(v resource.PropertyValue) string {
	v = values.Plain(v)
	switch {
	case v.IsObject():
		var parts []string
		for _, key := range v.ObjectValue().StableKeys() {
			if item := v.ObjectValue()[key]; !zero(item) {
				parts = append(parts, string(key)+"="+canonical(item))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	case v.IsArray():
		var parts []string
		for _, item := range v.ArrayValue() {
			parts = append(parts, canonical(item))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case values.Unknown(v):
		return "<unknown>"
	}
	return fmt.Sprint(v.V)
}
