// Package probe reads the rules of a provider's fields out of the provider itself. It is compiled inside the provider's own module, so that it sees the
// schema as the provider's authors wrote it: conflicts and defaults are in no interface that the finished provider offers.
//
// It must compile with any version of the bridge from 3.89 on, and with nothing outside the modules that every bridged provider needs.
package probe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Field is what a provider knows about one field of a type. The names are those of the facts files, and so is the order.
type Field struct {
	Type          string   `json:"type"` // bool, int, float, string, list, set, map
	Required      bool     `json:"required,omitempty"`
	Computed      bool     `json:"computed,omitempty"`   // the cloud chooses a value where the program sets none
	OutputOnly    bool     `json:"outputOnly,omitempty"` // the program cannot set it
	Replaces      bool     `json:"replaces,omitempty"`   // a change replaces the resource
	Secret        bool     `json:"secret,omitempty"`
	Default       any      `json:"default,omitempty"`
	MaxItems      int      `json:"maxItems,omitempty"`
	ConflictsWith []string `json:"conflictsWith,omitempty"` // the provider's own paths
	ExactlyOneOf  []string `json:"exactlyOneOf,omitempty"`  // the provider's own paths
	Fields        Fields   `json:"fields,omitempty"`        // of a block
}

// Fields are the fields of a type or of a block, by Pulumi's names.
type Fields map[string]*Field

// Format writes a facts file: types and fields in alphabetical order, a line for each field of a type, so that the difference between two versions of a
// provider can be read line by line.
func Format(types map[string]Fields) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("{\n")
	for i, typ := range slices.Sorted(maps.Keys(types)) {
		if i > 0 {
			out.WriteString(",\n")
		}
		fmt.Fprintf(&out, "%q: {\n", typ)
		for j, name := range slices.Sorted(maps.Keys(types[typ])) {
			if j > 0 {
				out.WriteString(",\n")
			}
			line, err := oneLine(types[typ][name])
			if err != nil {
				return nil, fmt.Errorf("field %s of %s: %w", name, typ, err)
			}
			fmt.Fprintf(&out, "  %q: %s", name, line)
		}
		out.WriteString("\n}")
	}
	out.WriteString("\n}\n")
	return out.Bytes(), nil
}

// oneLine writes a value as JSON with a space after each comma and colon that is no part of a string.
func oneLine(value any) (string, error) {
	var raw bytes.Buffer
	encoder := json.NewEncoder(&raw)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", err
	}
	var line strings.Builder
	quoted, escaped := false, false
	for _, char := range strings.TrimSpace(raw.String()) {
		line.WriteRune(char)
		switch {
		case escaped:
			escaped = false
		case char == '\\':
			escaped = quoted
		case char == '"':
			quoted = !quoted
		case !quoted && (char == ',' || char == ':'):
			line.WriteByte(' ')
		}
	}
	return line.String(), nil
}
