// Package facts holds what the providers know about the fields of their types: type, required, default, replacement, outputs. It checks inputs against
// that, fills in defaults, and finds differences as the providers do.
package facts

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"unicode"
)

// factFiles are dumped from the schemas of the providers whose versions are in the files' names: the fields of every type that the program uses, under
// Pulumi's names. Paths in conflictsWith and exactlyOneOf are the provider's own.
//
//go:embed *.json
var factFiles embed.FS

// field is what a provider knows about one field of a type.
type field struct {
	Type          string   `json:"type"` // bool, int, float, string, list, set, map
	Required      bool     `json:"required"`
	Computed      bool     `json:"computed"`   // the cloud chooses a value where the program sets none
	OutputOnly    bool     `json:"outputOnly"` // the program cannot set it
	Replaces      bool     `json:"replaces"`   // a change replaces the resource
	Secret        bool     `json:"secret"`
	Default       any      `json:"default"`
	MaxItems      int      `json:"maxItems"`
	ConflictsWith []string `json:"conflictsWith"`
	ExactlyOneOf  []string `json:"exactlyOneOf"`
	Fields        fields   `json:"fields"` // of a block
}

type fields map[string]*field

// block reports whether the field is a single nested object. The provider has it as a list of at most one; Pulumi flattens it.
func (f *field) block() bool { return f.MaxItems == 1 && f.Fields != nil }

// blocks reports whether the field is a list or set of nested objects.
func (f *field) blocks() bool { return f.MaxItems != 1 && f.Fields != nil }

// Load reads the facts of a provider: gcp or random.
func Load(provider string) (*Schema, error) {
	names, err := fs.Glob(factFiles, provider+"-*.json")
	if err != nil || len(names) != 1 {
		return nil, fmt.Errorf("facts of provider %s: there are %d files, and one is needed", provider, len(names))
	}
	raw, err := factFiles.ReadFile(names[0])
	if err != nil {
		return nil, fmt.Errorf("facts of provider %s: %w", provider, err)
	}
	s := &Schema{Version: strings.TrimSuffix(strings.TrimPrefix(names[0], provider+"-"), ".json"), provider: provider}
	if err := json.Unmarshal(raw, &s.types); err != nil {
		return nil, fmt.Errorf("facts of provider %s: %w", provider, err)
	}
	return s, nil
}

// resolve turns a path of the provider, such as private_cluster_config.0.master_ipv4_cidr_block, into Pulumi's names. Pulumi writes lists in the
// plural, which the provider's schema does not say: the name that exists is the right one.
func (fs fields) resolve(path string) []string {
	var names []string
	for _, part := range strings.Split(path, ".") {
		if part == "0" {
			continue
		}
		name := camelCase(part)
		for _, candidate := range []string{name, name + "s", strings.TrimSuffix(name, "y") + "ies"} {
			if f, ok := fs[candidate]; ok {
				names, fs = append(names, candidate), f.Fields
				break
			}
		}
	}
	return names
}

func camelCase(snake string) string {
	var b strings.Builder
	upper := false
	for _, r := range snake {
		switch {
		case r == '_':
			upper = true
		case upper:
			b.WriteRune(unicode.ToUpper(r))
			upper = false
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
