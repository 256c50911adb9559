package stacks_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/stacks"
)

var update = flag.Bool("update", false, "write docs/configuration.md and docs/quotas.md")

const referencePath = "../docs/configuration.md"

// TestConfigurationReferenceIsCurrent compares the documentation with the types and the profiles. `make docs` writes it anew.
func TestConfigurationReferenceIsCurrent(t *testing.T) {
	want := reference(t)
	if *update {
		require.NoError(t, os.WriteFile(referencePath, []byte(want), 0o644))
	}
	got, err := os.ReadFile(referencePath)
	require.NoError(t, err)
	assert.Equal(t, want, string(got), "run `make docs`")
}

const quotasPath = "../docs/quotas.md"

// The marks around what TestQuotasOfTheProfilesAreCurrent writes.
const (
	quotasBegin = "<!-- quotas: written by `make docs` -->\n"
	quotasEnd   = "<!-- end of quotas -->\n"
)

// TestQuotasOfTheProfilesAreCurrent compares docs/quotas.md with the arithmetic. `make docs` writes it anew.
func TestQuotasOfTheProfilesAreCurrent(t *testing.T) {
	var b strings.Builder
	for _, profile := range []string{"dev", "prod"} {
		config, err := stacks.Load(stacks.Source{Stack: profile, Values: minimal(profile)})
		require.NoError(t, err)
		fmt.Fprintf(&b, "\n| %s | at the start | with all nodes | during an upgrade |\n|---|---|---|---|\n", profile)
		for _, q := range config.Quotas() {
			fmt.Fprintf(&b, "| `%s` | %d | %d | %d |\n", q.Name, q.Start, q.All, q.Upgrade)
		}
		fmt.Fprintf(&b, "\nEach node of the sandboxes has %d GB, each workspace %d. %d workspaces may be kept, which are %d GB.\n",
			config.SandboxDiskGB(), config.Sandboxes.VolumeGiB, config.MaxVolumes(), config.MaxVolumes()*config.Sandboxes.VolumeGiB)
	}
	b.WriteString("\n")
	raw, err := os.ReadFile(quotasPath)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(raw), quotasBegin)
	require.True(t, ok)
	written, after, ok := strings.Cut(rest, quotasEnd)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile(quotasPath, []byte(before+quotasBegin+b.String()+quotasEnd+after), 0o644))
		return
	}
	assert.Equal(t, b.String(), written, "run `make docs`")
}

// profiles are the columns of the reference.
var profiles = []stacks.Profile{stacks.Dev, stacks.Prod, stacks.Single}

func reference(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`# Configuration

Written by ` + "`make docs`" + ` from the types in ` + "`stacks/`" + `; a test compares it, and loads every example.
A stack file holds only what you decide: what it leaves out has the default of the profile. Unknown keys, wrong types and values that do not fit together are
refused before anything is touched, all in one message.

A dot in this page means *below it, indented by two blanks*: ` + "`max` of `openhands:sandboxes`" + ` is written like this, and the
command below it writes it for you.

` + "```yaml" + `
config:
  openhands:sandboxes:
    max: 12
` + "```\n\n```sh" + `
pulumi config set --path openhands:sandboxes.max 12
` + "```" + `

`)
	for _, c := range concerns {
		fmt.Fprintf(&b, "- [%s](#%s)\n", c.title, strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(c.title, ",", "")), " ", "-"))
	}
	defaults := map[string]map[string]any{}
	for _, profile := range profiles {
		raw, err := json.Marshal(stacks.Defaults(profile))
		require.NoError(t, err)
		var values map[string]any
		require.NoError(t, json.Unmarshal(raw, &values))
		defaults[string(profile)] = values
	}
	for _, c := range concerns {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```yaml\n%s```\n", c.title, c.about, c.example)
		inTable := false
		for i, key := range c.keys {
			property, ok := stacks.Schema().Properties.Get(key)
			require.True(t, ok, "%s is no key", key)
			if property.Properties != nil && property.Properties.Len() > 0 {
				fmt.Fprintf(&b, "\nBelow `%s`:\n", key)
				head(&b)
				inner := map[string]map[string]any{}
				for profile, values := range defaults {
					inner[profile], _ = values[key].(map[string]any)
				}
				rows(&b, key, "", property, inner)
				inTable = false
				continue
			}
			if i > 0 && !inTable {
				b.WriteString("\nBeside it:\n")
			}
			if !inTable {
				head(&b)
				inTable = true
			}
			row(&b, key, key, property, defaults, key)
			items(&b, key, property)
		}
	}

	dev := stacks.Defaults(stacks.Dev)
	capacity := dev.Ranges().Capacity()
	fmt.Fprintf(&b, `
## What the default ranges hold

%d nodes (a /24 of the pods' range each), %d pods (%d a node) and %d Services. A range that is too small for the pools' maximum is refused, with the arithmetic.
`, capacity.Nodes, capacity.Pods, stacks.PodsPerNode, capacity.Services)
	return b.String()
}

// head begins a table.
func head(b *strings.Builder) {
	b.WriteString("\n| key | type |")
	for _, profile := range profiles {
		fmt.Fprintf(b, " %s |", profile)
	}
	b.WriteString(" what it is |\n|---|---|" + strings.Repeat("---|", len(profiles)) + "---|\n")
}

// rows are the keys below a key, whose paths begin there.
func rows(b *strings.Builder, key, path string, schema *jsonschema.Schema, defaults map[string]map[string]any) {
	for pair := schema.Properties.Oldest(); pair != nil; pair = pair.Next() {
		at, property := strings.TrimPrefix(path+"."+pair.Key, "."), pair.Value
		inner := map[string]map[string]any{}
		for profile, values := range defaults {
			inner[profile], _ = values[pair.Key].(map[string]any)
		}
		if property.Properties != nil && property.Properties.Len() > 0 {
			rows(b, key, at, property, inner)
			continue
		}
		row(b, key+"."+at, at, property, defaults, pair.Key)
	}
}

// row is a key: its path in the configuration, and as it is written.
func row(b *strings.Builder, path, written string, property *jsonschema.Schema, defaults map[string]map[string]any, last string) {
	fmt.Fprintf(b, "| `%s` | %s |", written, kindOf(property))
	for _, profile := range profiles {
		text := ""
		if config := stacks.Defaults(profile); config.Has(path) {
			text = cell(defaults[string(profile)][last])
		}
		fmt.Fprintf(b, " %s |", text)
	}
	fmt.Fprintf(b, " %s |\n", property.Description)
}

// items are the keys of the items of a list.
func items(b *strings.Builder, key string, property *jsonschema.Schema) {
	if property.Items == nil || property.Items.Properties == nil {
		return
	}
	for pair := property.Items.Properties.Oldest(); pair != nil; pair = pair.Next() {
		fmt.Fprintf(b, "| `%s` of an item | %s |%s %s |\n", pair.Key, kindOf(pair.Value), strings.Repeat("  |", len(profiles)), pair.Value.Description)
	}
}

func kindOf(property *jsonschema.Schema) string {
	switch {
	case len(property.Enum) > 0:
		words := make([]string, len(property.Enum))
		for i, v := range property.Enum {
			words[i] = fmt.Sprint(v)
		}
		return strings.Join(words, ", ")
	case property.Minimum != "":
		return fmt.Sprintf("%s, %s to %s", property.Type, property.Minimum, property.Maximum)
	case property.Type == "object":
		return "map of strings"
	case property.Type == "array" && property.Items != nil && property.Items.Type == "object":
		return "list of objects"
	case property.Type == "array":
		return "list of strings"
	}
	return property.Type
}

func cell(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		if value == "" {
			return ""
		}
		return "`" + value + "`"
	case []any:
		words := make([]string, len(value))
		for i, v := range value {
			words[i] = fmt.Sprint(v)
		}
		return strings.Join(words, ", ")
	}
	return fmt.Sprint(value)
}
