package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/cloud/facts"
	"openhands-gcp/rehearsal/providers"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/stacks"
)

// otherValues has, for every key of the configuration, a value that is not the default of prod.
var otherValues = map[string]any{
	"gcp:project":                        "another-project",
	"gcp:region":                         "europe-west4",
	"gcp:zone":                           "us-central1-f",
	"openhands:profile":                  "dev",
	"openhands:labels":                   map[string]any{"team": "platform"},
	"openhands:teardown":                 true,
	"openhands:network.nodesCidr":        "10.1.0.0/22",
	"openhands:network.podsCidr":         "10.17.0.0/16",
	"openhands:network.servicesCidr":     "10.33.0.0/20",
	"openhands:network.controlPlaneCidr": "172.16.1.0/28",
	"openhands:network.peeringCidr":      "10.65.0.0/20",
	"openhands:network.flowLogSampling":  0.0,

	"openhands:cluster.minVersion":                             "1.36.1",
	"openhands:cluster.releaseChannel":                         "RAPID",
	"openhands:cluster.access.connectGateway.enabled":          false,
	"openhands:cluster.access.connectGateway.members":          []any{"user:ann@example.com"},
	"openhands:cluster.access.securityGroup":                   "gke-security-groups@example.com",
	"openhands:cluster.access.publicEndpoint.authorizedRanges": []any{"203.0.113.7/32"},
	"openhands:cluster.maintenance.days":                       []any{"MO", "TU"},
	"openhands:cluster.maintenance.startHour":                  20,
	"openhands:cluster.maintenance.hours":                      8,
	"openhands:cluster.appPool.machineType":                    "n2-standard-4",
	"openhands:cluster.appPool.minNodes":                       2,
	"openhands:cluster.appPool.maxNodes":                       4,
	"openhands:cluster.fqdnNetworkPolicy":                      true,

	"openhands:app.runtime":               "remote",
	"openhands:app.release":               "1.11.0",
	"openhands:app.image":                 "ghcr.io/example/openhands:0.62.0",
	"openhands:app.sandboxImage":          "ghcr.io/example/runtime:0.62-own",
	"openhands:app.doorImage":             "docker.io/example/envoy:v1.40.1",
	"openhands:app.doorImageDigest":       "sha256:" + strings.Repeat("2", 64),
	"openhands:app.remoteRuntimeUrl":      "https://runtime.example.com",
	"openhands:app.cpuRequest":            2.0,
	"openhands:app.memoryGiB":             8,
	"openhands:app.line":                  "canvas",
	"openhands:instances":                 []any{map[string]any{"name": "bob", "members": []any{"user:bob@example.com"}}},
	"openhands:app.imageDigest":           "sha256:" + strings.Repeat("0", 64),
	"openhands:app.sandboxImageDigest":    "sha256:" + strings.Repeat("1", 64),
	"openhands:app.egress.allowedDomains": []any{"api.anthropic.com"},
	"openhands:app.egress.allowedRanges":  []any{"160.79.104.0/23"},
	"openhands:app.extraEnv":              map[string]any{"HTTPS_PROXY": "http://proxy:3128"},
	"openhands:sandboxApiKey":             "key",
	"openhands:secretEnv":                 map[string]any{"GITHUB_TOKEN": "token"},

	"openhands:observability.notificationEmails": []any{"ops@example.com"},

	"openhands:sandboxes.cpuLimit":              6,
	"openhands:sandboxes.volumeGiB":             40,
	"openhands:sandboxes.max":                   40,
	"openhands:sandboxes.cpuRequest":            3.5,
	"openhands:sandboxes.memoryRequestGiB":      12,
	"openhands:sandboxes.pool.machineType":      "n2-standard-8",
	"openhands:sandboxes.pool.maxNodes":         9,
	"openhands:sandboxes.pool.spot":             true,
	"openhands:sandboxes.warm":                  1,
	"openhands:sandboxes.keepUnusedVolumeDays":  7,
	"openhands:sandboxes.maxVolumes":            100,
	"openhands:sandboxes.egress.allowedDomains": []any{"github.com", "*.githubusercontent.com"},
	"openhands:sandboxes.egress.allowedRanges":  []any{"140.82.112.0/20"},

	"openhands:exposure.mode":                                  "none",
	"openhands:exposure.host":                                  "other.example.com",
	"openhands:exposure.dnsZone":                               "example",
	"openhands:exposure.login.members":                         []any{"domain:example.com"},
	"openhands:exposure.login.clientId":                        "123456789012-abc.apps.googleusercontent.com",
	"openhands:iapClientSecret":                                "secret",
	"openhands:exposure.armor.requestsPerMinute":               600,
	"openhands:exposure.armor.allowedRanges":                   []any{"192.0.2.0/24"},
	"openhands:exposure.armor.deniedRanges":                    []any{"198.51.100.0/24"},
	"openhands:exposure.armor.adaptiveProtection":              false,
	"openhands:exposure.armor.wafRules":                        []any{"sqli-v33-stable"},
	"openhands:exposure.armor.wafEnforce":                      true,
	"openhands:exposure.dangerouslyOpenToEveryoneWithoutLogin": true,

	"openhands:database.version":                 "POSTGRES_16",
	"openhands:database.tier":                    "db-custom-4-15360",
	"openhands:database.highAvailability":        false,
	"openhands:database.maxConnections":          300,
	"openhands:database.diskSizeGiB":             30,
	"openhands:database.diskLimitGiB":            0,
	"openhands:database.backups.retained":        20,
	"openhands:database.backups.startTime":       "04:30",
	"openhands:database.backups.pointInTimeDays": 0,
	"openhands:database.maintenance.day":         3,
	"openhands:database.maintenance.hour":        5,

	"openhands:machine.members":                     []any{"user:bob@example.com"},
	"openhands:machine.operators":                   []any{"user:ops@example.com"},
	"openhands:machine.machineType":                 "e2-standard-4",
	"openhands:machine.spot":                        true,
	"openhands:machine.dataDisk.sizeGiB":            80,
	"openhands:machine.dataDisk.fromSnapshot":       "before",
	"openhands:machine.dataDisk.snapshots.hour":     5,
	"openhands:machine.dataDisk.snapshots.keepDays": 3,
	"openhands:machine.dataDisk.deletionProtection": false,
	"openhands:machine.nightStop.stop":              "22:00",
	"openhands:machine.nightStop.start":             "06:00",
	"openhands:machine.nightStop.days":              []any{"SA"},
	"openhands:machine.nightStop.timeZone":          "Europe/Berlin",

	"openhands:bucket.location":                  "EU",
	"openhands:bucket.softDeleteDays":            0,
	"openhands:bucket.oldVersionDays":            10,
	"openhands:registry.keepNewest":              5,
	"openhands:registry.deleteUntaggedAfterDays": 3,
	"openhands:registry.immutableTags":           false,
}

// notAlone are the keys that cannot change on their own in prod: with what else, and on which stack.
var notAlone = map[string]struct {
	stack string
	with  map[string]any // before and after
	also  map[string]any // after
}{
	"openhands:cluster.access.connectGateway.enabled": {
		stack: "prod", with: map[string]any{"openhands:cluster.access.publicEndpoint.authorizedRanges": []any{"203.0.113.7/32"}},
	},
	"openhands:database.backups.pointInTimeDays": {stack: "prod", with: map[string]any{"openhands:database.highAvailability": false}},
	"gcp:zone":          {stack: "dev"},
	"openhands:profile": {stack: "dev", also: map[string]any{"openhands:exposure.mode": "none"}},
	// The way in is a whole.
	"openhands:exposure.mode":           {stack: "prod", also: map[string]any{"openhands:exposure": map[string]any{}}},
	"openhands:exposure.login.clientId": {stack: "prod", also: map[string]any{"openhands:iapClientSecret": "secret"}},
	"openhands:iapClientSecret": {
		stack: "prod",
		with:  map[string]any{"openhands:exposure.login.clientId": "123456789012-abc.apps.googleusercontent.com", "openhands:iapClientSecret": "before"},
	},
	"openhands:exposure.armor.wafEnforce": {
		stack: "prod", with: map[string]any{"openhands:exposure.armor.wafRules": []any{"sqli-v33-stable"}},
	},
	"openhands:exposure.dangerouslyOpenToEveryoneWithoutLogin": {stack: "prod", also: map[string]any{"openhands:exposure.login": map[string]any{}}},
	"openhands:app.egress.allowedDomains":                      {stack: "prod", with: map[string]any{"openhands:cluster.fqdnNetworkPolicy": true}},
	"openhands:app.egress.allowedRanges":                       {stack: "prod", with: map[string]any{"openhands:cluster.fqdnNetworkPolicy": true}},
	"openhands:sandboxes.egress.allowedDomains":                {stack: "prod", with: map[string]any{"openhands:cluster.fqdnNetworkPolicy": true}},
	"openhands:app.line": {stack: "prod", also: map[string]any{
		"openhands:exposure":  map[string]any{"host": "openhands.example.com"},
		"openhands:instances": []any{map[string]any{"name": "bob", "members": []any{"user:bob@example.com"}}},
	}},
	"openhands:instances": {stack: "team"},
	// A release has one runtime, and a runtime its settings.
	"openhands:app.runtime":          {stack: "prod", also: remoteRuntime},
	"openhands:app.release":          {stack: "prod", also: remoteRuntime},
	"openhands:app.remoteRuntimeUrl": {stack: "prod", with: remoteRuntime},
	"openhands:sandboxApiKey":        {stack: "prod", with: remoteRuntime},
	// A machine is on a stack of its own, and its schedule is a whole.
	"openhands:machine.members":                     {stack: "single"},
	"openhands:machine.operators":                   {stack: "single"},
	"openhands:machine.machineType":                 {stack: "single"},
	"openhands:machine.spot":                        {stack: "single"},
	"openhands:machine.dataDisk.sizeGiB":            {stack: "single"},
	"openhands:machine.dataDisk.fromSnapshot":       {stack: "single"},
	"openhands:machine.dataDisk.snapshots.hour":     {stack: "single"},
	"openhands:machine.dataDisk.snapshots.keepDays": {stack: "single"},
	"openhands:machine.dataDisk.deletionProtection": {stack: "single"},
	"openhands:machine.nightStop.stop":              {stack: "single", with: nightStop},
	"openhands:machine.nightStop.start":             {stack: "single", with: nightStop},
	"openhands:machine.nightStop.days":              {stack: "single", with: nightStop},
	"openhands:machine.nightStop.timeZone":          {stack: "single", with: nightStop},
	// prod cannot turn protection off, and dev can turn it on.
	"openhands:cluster.deletionProtection":  {stack: "dev"},
	"openhands:database.deletionProtection": {stack: "dev"},
	"openhands:bucket.deletionProtection":   {stack: "dev"},
	"openhands:registry.deletionProtection": {stack: "dev"},
}

// nightStop is a schedule.
var nightStop = map[string]any{"openhands:machine.nightStop": map[string]any{"stop": "20:00", "start": "07:00", "timeZone": "UTC"}}

// remoteRuntime are the settings of the other runtime.
var remoteRuntime = map[string]any{
	"openhands:app.runtime": "remote", "openhands:app.release": "1.11.0",
	"openhands:app.remoteRuntimeUrl": "https://other.example.com", "openhands:sandboxApiKey": "other",
}

// TestEveryKeyChangesSomething walks all keys of the configuration. A key that changes no resource is a lie to whoever sets it, and one that replaces the
// cluster without a word a trap.
func TestEveryKeyChangesSomething(t *testing.T) {
	keys := leaves("", stacks.Schema())
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		t.Run(key, func(t *testing.T) {
			value, known := otherValues[key]
			special, isSpecial := notAlone[key]
			if !known && isSpecial {
				value, known = true, true
			}
			require.True(t, known, "give the key another value in this test")
			stack := "prod"
			if isSpecial {
				stack = special.stack
			}
			before := nested(t, stackFile(t, stack), special.with)
			after := nested(t, nested(t, before, special.also), map[string]any{key: value})
			if key == "openhands:profile" { // from dev, whose file has a zone
				after[key] = "prod"
				delete(after, "gcp:zone")
			}
			from, err := deployed(t, stack, before, nil)
			require.NoError(t, err)
			to, err := deployed(t, stack, after, nil)
			require.NoError(t, err)
			assert.NotEqual(t, fingerprint(t, from), fingerprint(t, to))
			assert.NotEmpty(t, keys[key].Description, "the comment above its field in stacks/config.go")
			if stack == "single" {
				return
			}
			assert.Equal(t, replacesCluster(t, from, to) || replacesCluster(t, to, from), strings.Contains(keys[key].Description, "replaces the cluster"),
				"its description says whether another value replaces the cluster")
		})
	}
}

// replacesCluster reports whether the provider replaces the cluster, or the network that it lies in, where the configuration changes.
func replacesCluster(t *testing.T, from, to *providers.Mocks) bool {
	t.Helper()
	schema, err := facts.Load("gcp")
	require.NoError(t, err)
	for typ, name := range map[string]string{types.Network: "openhands-vpc", types.Subnetwork: "openhands-subnet", types.Cluster: "openhands-cluster"} {
		_, end, _ := strings.Cut(typ, "/")
		_, end, _ = strings.Cut(end, ":")
		old, wanted := find(t, from, end, name), find(t, to, end, name)
		inputs := resource.NewPropertyMapFromMap(wanted.Inputs)
		inputs["name"] = resource.NewPropertyValue(old.Outputs["name"]) // the provider keeps the name that it made up
		diff := schema.Diff(plugin.DiffRequest{
			Type: tokens.Type(typ), OldOutputs: resource.NewPropertyMapFromMap(old.Outputs), NewInputs: inputs, IgnoreChanges: wanted.IgnoreChanges,
		})
		for _, d := range diff {
			if d.Kind.IsReplace() {
				return true
			}
		}
	}
	return false
}

// leaves returns the keys of a schema that hold values, by their paths.
func leaves(path string, schema *jsonschema.Schema) map[string]*jsonschema.Schema {
	if schema.Type != "object" || schema.Properties == nil || schema.Properties.Len() == 0 {
		return map[string]*jsonschema.Schema{path: schema}
	}
	out := map[string]*jsonschema.Schema{}
	for pair := schema.Properties.Oldest(); pair != nil; pair = pair.Next() {
		at := pair.Key
		if path != "" {
			at = path + "." + pair.Key
		}
		maps.Copy(out, leaves(at, pair.Value))
	}
	return out
}

// nested returns a configuration with values at paths.
func nested(t *testing.T, config map[string]string, changes map[string]any) map[string]string {
	t.Helper()
	out := maps.Clone(config)
	for _, path := range slices.Sorted(maps.Keys(changes)) {
		value := changes[path]
		key, rest, inObject := strings.Cut(path, ".")
		if !inObject {
			text, isText := value.(string)
			if !isText {
				encoded, err := json.Marshal(value)
				require.NoError(t, err)
				text = string(encoded)
			}
			out[key] = text
			continue
		}
		object := map[string]any{}
		if present, set := out[key]; set {
			require.NoError(t, json.Unmarshal([]byte(present), &object))
		}
		at := object
		steps := strings.Split(rest, ".")
		for _, step := range steps[:len(steps)-1] {
			next, ok := at[step].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[step] = next
			}
			at = next
		}
		at[steps[len(steps)-1]] = value
		encoded, err := json.Marshal(object)
		require.NoError(t, err)
		out[key] = string(encoded)
	}
	return out
}

// fingerprint is all that the program registers.
func fingerprint(t *testing.T, mocks *providers.Mocks) string {
	t.Helper()
	type registered struct {
		URN     string
		Protect bool
		Inputs  map[string]any
	}
	var all []registered
	for _, r := range mocks.Resources() {
		all = append(all, registered{r.URN, r.Protect, r.Inputs})
	}
	encoded, err := json.Marshal(all)
	require.NoError(t, err)
	return string(encoded)
}

// TestBadConfigurationRegistersNothing shows that a stack with a mistake in its file is refused before anything is touched.
func TestBadConfigurationRegistersNothing(t *testing.T) {
	config := stackFile(t, "dev")
	config["openhands:netwrok"] = `{}`
	config["gcp:credentials"] = "key.json"
	mocks, err := deployed(t, "dev", config, nil)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "stack dev: 2 problems in the configuration; nothing was changed")
	assert.Contains(t, err.Error(), "openhands:netwrok: unknown key: did you mean openhands:network?")
	assert.Contains(t, err.Error(), "gcp:credentials")
	assert.Empty(t, mocks.Resources())
}
