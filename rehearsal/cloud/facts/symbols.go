package facts

import (
	"fmt"
	"strings"

	"openhands-gcp/rehearsal/types"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Symbols returns the properties of a resource as they are after its creation, with a symbol in the place of every text: the inputs, and what the facts
// of its provider say that the cloud computes. symbol gets the path of a property, e.g. secondaryIpRanges[0].rangeName. Numbers and booleans that were
// set stay as they are; those that the cloud computes are left out. What the facts call secret is secret. A provider without facts (kubernetes) computes
// nothing.
func Symbols(typ string, inputs resource.PropertyMap, symbol func(path string) string) (resource.PropertyMap, error) {
	provider, _, _ := strings.Cut(typ, ":")
	if provider == "kubernetes" {
		return symbolicObject("", nil, inputs, symbol), nil
	}
	schema, err := Load(provider)
	if err != nil {
		return nil, err
	}
	known, ok := schema.types[typ]
	if !ok {
		return nil, types.Unknown(typ)
	}
	return symbolicObject("", known, inputs, symbol), nil
}

func symbolicObject(path string, known fields, inputs resource.PropertyMap, symbol func(string) string) resource.PropertyMap {
	out := resource.PropertyMap{}
	for key, value := range inputs {
		if name := string(key); !strings.HasPrefix(name, "__") {
			out[key] = symbolicValue(join(path, name), known[name], value, symbol)
		}
	}
	for name, f := range known {
		key := resource.PropertyKey(name)
		if _, set := out[key]; !set && (f.Computed || f.OutputOnly || name == "name") {
			if value, ok := symbolicComputed(join(path, name), f, symbol); ok {
				out[key] = value
			}
		}
		if value, set := out[key]; set && f.Secret && !value.IsSecret() {
			out[key] = resource.MakeSecret(value)
		}
	}
	return out
}

func symbolicValue(path string, f *field, value resource.PropertyValue, symbol func(string) string) resource.PropertyValue {
	var inner fields
	if f != nil {
		inner = f.Fields
	}
	switch {
	case value.IsSecret():
		return resource.MakeSecret(symbolicValue(path, f, value.SecretValue().Element, symbol))
	case value.IsString():
		return resource.NewProperty(symbol(path))
	case value.IsObject():
		return resource.NewProperty(symbolicObject(path, inner, value.ObjectValue(), symbol))
	case value.IsArray():
		items := make([]resource.PropertyValue, len(value.ArrayValue()))
		for i, item := range value.ArrayValue() {
			at := fmt.Sprintf("%s[%d]", path, i)
			if items[i] = symbolicValue(at, nil, item, symbol); item.IsObject() {
				items[i] = resource.NewProperty(symbolicObject(at, inner, item.ObjectValue(), symbol))
			}
		}
		return resource.NewProperty(items)
	}
	return value
}

// symbolicComputed is a value that only the cloud knows. Lists have one item. ok is false for a type that a symbol cannot stand for.
func symbolicComputed(path string, f *field, symbol func(string) string) (value resource.PropertyValue, ok bool) {
	object := func(at string) resource.PropertyValue {
		out := resource.PropertyMap{}
		for name, inner := range f.Fields {
			if value, ok := symbolicComputed(join(at, name), inner, symbol); ok {
				out[resource.PropertyKey(name)] = value
			}
		}
		return resource.NewProperty(out)
	}
	switch {
	case f.block():
		return object(path), true
	case f.blocks():
		return resource.NewProperty([]resource.PropertyValue{object(path + "[0]")}), true
	case f.Type == "string":
		return resource.NewProperty(symbol(path)), true
	}
	return value, false
}
