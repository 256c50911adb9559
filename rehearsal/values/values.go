// Package values holds the properties of objects as plain Go values, and turns Pulumi's properties into them.
package values

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Map has the properties of an object: string, bool, float64, []any, map[string]any. Methods take a path such as
// settings.ipConfiguration.ipv4Enabled, and return the zero value where nothing, or something of another type, is at the path.
type Map map[string]any

// At returns the value at a path, or nil.
func (v Map) At(path string) any {
	var current any = map[string]any(v)
	for _, step := range strings.Split(path, ".") {
		m, ok := current.(map[string]any)
		if !ok {
			return nil
		}
		current = m[step]
	}
	return current
}

// Str returns the string at a path.
func (v Map) Str(path string) string {
	s, _ := v.At(path).(string)
	return s
}

// Num returns the number at a path.
func (v Map) Num(path string) float64 {
	n, _ := v.At(path).(float64)
	return n
}

// Is returns the bool at a path.
func (v Map) Is(path string) bool {
	b, _ := v.At(path).(bool)
	return b
}

// Maps returns the objects of the list at a path, and skips items that are none.
func (v Map) Maps(path string) []Map {
	list, _ := v.At(path).([]any)
	var out []Map
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// Strs returns the strings of the list at a path, and skips items that are none.
func (v Map) Strs(path string) []string {
	list, _ := v.At(path).([]any)
	var out []string
	for _, item := range list {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Labels returns the map at a path with its values as text. The map is new, and never nil.
func (v Map) Labels(path string) map[string]string {
	out := map[string]string{}
	m, _ := v.At(path).(map[string]any)
	for key, value := range m {
		out[key] = fmt.Sprint(value)
	}
	return out
}

// Set writes a value at a path, and makes the maps on the way.
func (v Map) Set(path string, value any) {
	steps := strings.Split(path, ".")
	current := map[string]any(v)
	for _, step := range steps[:len(steps)-1] {
		next, ok := current[step].(map[string]any)
		if !ok {
			next = map[string]any{}
			current[step] = next
		}
		current = next
	}
	current[steps[len(steps)-1]] = value
}

// Clone returns a deep copy.
func (v Map) Clone() Map {
	out := Map{}
	for key, value := range v {
		out[key] = cloneValue(value)
	}
	return out
}

func cloneValue(value any) any {
	switch value := value.(type) {
	case map[string]any:
		return map[string]any(Map(value).Clone())
	case []any:
		out := make([]any, len(value))
		for i, item := range value {
			out[i] = cloneValue(item)
		}
		return out
	}
	return value
}

// Of returns properties as plain values, secrets in clear.
func Of(properties resource.PropertyMap) Map { return Reveal(properties).Mappable() }

// Reveal returns properties without the marks of secrets.
func Reveal(properties resource.PropertyMap) resource.PropertyMap {
	out := resource.PropertyMap{}
	for key, value := range properties {
		out[key] = reveal(value)
	}
	return out
}

func reveal(v resource.PropertyValue) resource.PropertyValue {
	switch v = Plain(v); {
	case v.IsObject():
		return resource.NewProperty(Reveal(v.ObjectValue()))
	case v.IsArray():
		items := make([]resource.PropertyValue, len(v.ArrayValue()))
		for i, item := range v.ArrayValue() {
			items[i] = reveal(item)
		}
		return resource.NewProperty(items)
	}
	return v
}

// Plain takes off what the engine wraps around one value, and not around what is in it: secrets, and outputs that are known.
func Plain(v resource.PropertyValue) resource.PropertyValue {
	for {
		switch {
		case v.IsSecret():
			v = v.SecretValue().Element
		case v.IsOutput() && v.OutputValue().Known:
			v = v.OutputValue().Element
		default:
			return v
		}
	}
}

// Unknown reports whether a preview does not know the value yet.
func Unknown(v resource.PropertyValue) bool {
	return v.IsComputed() || (v.IsOutput() && !v.OutputValue().Known)
}
