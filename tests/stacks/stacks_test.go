package stacks

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"openhands-gcp/rehearsal"
	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/stacks"
	"openhands-gcp/stacks/places"
)

var rehearse = flag.Bool("rehearse", false, "rehearse the stacks, which takes half a minute for each")

const root = "../.."

// values are those of a stack file, by the paths of their keys.
type values map[string]any

// needs are what a stack file of a profile must have beside project, region and profile.
var needs = map[string]func(zone string) values{
	"dev":    func(zone string) values { return values{"gcp:zone": zone} },
	"single": func(zone string) values { return values{"gcp:zone": zone} },
	"prod": func(string) values {
		return values{"openhands:exposure.host": "openhands.example.com", "openhands:exposure.login.members": []any{"group:users@example.com"}}
	},
}

// wayIn opens a stack to the internet, whatever its profile.
var wayIn = values{
	"openhands:exposure.mode": "gateway", "openhands:exposure.host": "openhands.example.com",
	"openhands:exposure.login.members": []any{"group:users@example.com"},
}

// company is what else a stack must say where a key has another value than its profile's; nil takes a key away.
var company = map[string]values{
	"openhands:cluster.access.connectGateway.enabled=false": {
		"openhands:cluster.access.publicEndpoint.authorizedRanges": []any{"203.0.113.7/32"},
	},
	"openhands:app.runtime=remote": {
		"openhands:app.release": "1.11.0", "openhands:app.remoteRuntimeUrl": "https://runtime.example.com",
		"openhands:sandboxApiKey": values{"secure": "encrypted"},
	},
	"openhands:app.line=canvas": with(wayIn, values{
		"openhands:exposure.login.members": nil,
		"openhands:instances": []any{
			values{"name": "ann", "members": []any{"user:ann@example.com"}}, values{"name": "team", "members": []any{"group:team@example.com"}},
		},
	}),
	"openhands:exposure.mode=none":                                  {"openhands:exposure.host": nil, "openhands:exposure.login.members": nil},
	"openhands:exposure.mode=gateway":                               wayIn,
	"openhands:exposure.armor.adaptiveProtection=false":             wayIn,
	"openhands:exposure.armor.wafEnforce=true":                      with(wayIn, values{"openhands:exposure.armor.wafRules": []any{"sqli-v33-stable"}}),
	"openhands:exposure.dangerouslyOpenToEveryoneWithoutLogin=true": with(wayIn, values{"openhands:exposure.login.members": nil}),
	"openhands:database.highAvailability=true":                      {"openhands:database.backups.pointInTimeDays": 3},
}

// refused are the values that no stack of a profile may have, with the beginning of the reason; of any profile, where it is "".
var refused = map[string]map[string]string{
	"prod": {
		"openhands:cluster.deletionProtection=false":  "profile prod does not run unprotected",
		"openhands:database.deletionProtection=false": "profile prod does not run unprotected",
		"openhands:bucket.deletionProtection=false":   "profile prod does not run unprotected",
		"openhands:registry.deletionProtection=false": "profile prod does not run unprotected",
	},
	"single": {"openhands:app.line=server": "profile single runs Agent Canvas"},
}

// never are values that no stack may have today, and that something else refuses than the check of the configuration.
var never = map[string]string{
	"openhands:cluster.releaseChannel=STABLE": "it has no version with minVersion 1.36",
}

// flip is a key that has not its profile's value.
type flip struct {
	what   string // key=value, or "nothing"
	values values
}

// row is a good stack.
type row struct {
	name   string
	values values
}

// TestGoodStacks rehearses every region, and every boolean and enum flipped, in every profile. A row has one of both.
func TestGoodStacks(t *testing.T) {
	var options engine.Options
	if *rehearse {
		options = build(t)
	}
	for _, profile := range profiles(t) {
		t.Run(profile, func(t *testing.T) {
			for _, row := range rows(t, profile) {
				t.Run(row.name, func(t *testing.T) {
					_, err := stacks.Load(source(t, profile, row.values))
					require.NoError(t, err)
					if *rehearse {
						t.Parallel()
						play(t, options, profile, row.values)
					}
				})
			}
		})
	}
}

// profiles are those of the schema.
func profiles(t *testing.T) []string {
	t.Helper()
	property, ok := stacks.Schema().Properties.Get("openhands:profile")
	require.True(t, ok)
	var names []string
	for _, name := range property.Enum {
		names = append(names, fmt.Sprint(name))
	}
	assert.ElementsMatch(t, names, slices.Collect(maps.Keys(needs)), "say what the stack file of a profile needs")
	return names
}

// rows pairs regions and flips, so that each comes once at least.
func rows(t *testing.T, profile string) []row {
	t.Helper()
	flips := flips(t, profile)
	var out []row
	for i := range max(len(places.Regions), len(flips)) {
		region, flip := places.Regions[i%len(places.Regions)], flips[i%len(flips)]
		zones := places.Zones(region)
		out = append(out, row{region + "," + flip.what, stackFile(profile, region, zones[i%len(zones)], flip.values)})
	}
	return out
}

// flips are the booleans and enums of the configuration, each with another value than the profile's.
func flips(t *testing.T, profile string) []flip {
	t.Helper()
	out := []flip{{"nothing", nil}}
	raw, err := json.Marshal(stacks.Defaults(stacks.Profile(profile)))
	require.NoError(t, err)
	var defaults map[string]any
	require.NoError(t, json.Unmarshal(raw, &defaults))
	seen := map[string]bool{}
	for _, key := range others("", stacks.Schema(), defaults) {
		what := fmt.Sprintf("%s=%v", key.path, key.value)
		if config := stacks.Defaults(stacks.Profile(profile)); key.path == "openhands:profile" || !config.Has(key.path) {
			continue
		}
		seen[what] = true
		if _, ok := never[what]; ok {
			continue
		}
		region := places.Regions[0]
		changed := with(values{key.path: key.value}, company[what])
		_, err := stacks.Load(source(t, profile, stackFile(profile, region, region+"-a", changed)))
		if why := refused[profile][what]; why != "" {
			require.ErrorContains(t, err, why, "%s", what)
			continue
		}
		require.NoError(t, err, "%s: say in this test what else a stack needs with it, or that it is refused", what)
		out = append(out, flip{what, changed})
	}
	for what := range refused[profile] {
		assert.True(t, seen[what], "%s is no boolean or enum", what)
	}
	return out
}

// other is a key with another value.
type other struct {
	path  string
	value any
}

// others lists every other value of the booleans and enums of a schema.
func others(path string, schema *jsonschema.Schema, defaults map[string]any) []other {
	var out []other
	for pair := schema.Properties.Oldest(); pair != nil; pair = pair.Next() {
		at, property := strings.TrimPrefix(path+"."+pair.Key, "."), pair.Value
		switch {
		case property.Properties != nil && property.Properties.Len() > 0:
			inner, _ := defaults[pair.Key].(map[string]any)
			out = append(out, others(at, property, inner)...)
		case property.Type == "boolean":
			out = append(out, other{at, defaults[pair.Key] != true})
		case len(property.Enum) > 0:
			for _, value := range property.Enum {
				if value != defaults[pair.Key] {
					out = append(out, other{at, value})
				}
			}
		}
	}
	return out
}

// with merges values, of which the later ones win.
func with(all ...values) values {
	out := values{}
	for _, v := range all {
		maps.Copy(out, v)
	}
	return out
}

// stackFile is the configuration of a stack file.
func stackFile(profile, region, zone string, changed values) values {
	flat := with(values{"gcp:project": "my-openhands-" + profile, "gcp:region": region, "openhands:profile": profile}, needs[profile](zone), changed)
	file := values{}
	for path, value := range flat {
		if value == nil {
			continue
		}
		steps, at := strings.Split(path, "."), file
		for _, step := range steps[:len(steps)-1] {
			if at[step] == nil {
				at[step] = values{}
			}
			at = at[step].(values)
		}
		at[steps[len(steps)-1]] = value
	}
	return file
}

// source is a stack file as the engine hands it to the program.
func source(t *testing.T, stack string, file values) stacks.Source {
	t.Helper()
	source := stacks.Source{Stack: stack, Values: map[string]string{}}
	for key, value := range file {
		if object, ok := value.(values); ok && object["secure"] != nil {
			value = object["secure"]
			source.SecretKeys = append(source.SecretKeys, key)
		}
		text, ok := value.(string)
		if !ok {
			raw, err := json.Marshal(value)
			require.NoError(t, err)
			text = string(raw)
		}
		source.Values[key] = text
	}
	return source
}

// build compiles the CLI and the program. The program is copied, so that another rehearsal of this tree does not change it meanwhile.
func build(t *testing.T) engine.Options {
	t.Helper()
	absolute, err := filepath.Abs(root)
	require.NoError(t, err)
	options := engine.Options{Root: absolute, Output: os.Stderr}
	require.NoError(t, options.Build(t.Context()))
	program, err := os.ReadFile(options.Program)
	require.NoError(t, err)
	options.Program = filepath.Join(t.TempDir(), "openhands")
	require.NoError(t, os.WriteFile(options.Program, program, 0o755))
	return options
}

// play rehearses a stack, with all steps that it has.
func play(t *testing.T, options engine.Options, stack string, file values) {
	t.Helper()
	options.Root, options.Stack = t.TempDir(), stack
	project, err := os.ReadFile(filepath.Join(root, "Pulumi.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(options.Root, "Pulumi.yaml"), project, 0o600))
	raw, err := yaml.Marshal(values{"config": file})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(options.Root, "Pulumi."+stack+".yaml"), raw, 0o600))
	var output bytes.Buffer
	options.Output = io.Writer(&output)
	if err := rehearsal.Rehearse(t.Context(), rehearsal.Options{Options: options}); err != nil {
		t.Errorf("this stack is good, and its rehearsal fails: %v\n%s\n%s", err, raw, output.String())
	}
}
