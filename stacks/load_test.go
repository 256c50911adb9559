package stacks_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/stacks"
)

// exposed is the minimal exposure of prod with other values.
func exposed(changes string) map[string]string {
	merged := map[string]any{"host": "openhands.example.com", "login": map[string]any{"members": []any{"group:users@example.com"}}}
	var other map[string]any
	if err := json.Unmarshal([]byte(changes), &other); err != nil {
		panic(err)
	}
	for key, value := range other {
		inner, isObject := value.(map[string]any)
		if present, both := merged[key].(map[string]any); isObject && both {
			maps.Copy(present, inner)
			continue
		}
		merged[key] = value
	}
	text, err := json.Marshal(merged)
	if err != nil {
		panic(err)
	}
	return map[string]string{"openhands:exposure": string(text)}
}

func minimal(profile string) map[string]string {
	values := map[string]string{
		"gcp:project":       "my-project",
		"gcp:region":        "us-central1",
		"openhands:profile": profile,
	}
	if profile != "prod" {
		values["gcp:zone"] = "us-central1-a"
	} else {
		values["openhands:exposure"] = `{"host":"openhands.example.com","login":{"members":["group:users@example.com"]}}`
	}
	return values
}

func TestAStackFileOverridesSingleValuesOfItsProfile(t *testing.T) {
	values := minimal("prod")
	values["openhands:database"] = `{"tier":"db-custom-4-15360","backups":{"retained":30}}`
	values["pulumi:disable-default-providers"] = `["*"]`
	config, err := stacks.Load(stacks.Source{Stack: "prod", Values: values})
	require.NoError(t, err)

	want := stacks.Defaults(stacks.Prod)
	want.Stack, want.Project, want.Region = "prod", "my-project", "us-central1"
	want.Exposure.Host, want.Exposure.Login.Members = "openhands.example.com", []string{"group:users@example.com"}
	want.Database.Tier = "db-custom-4-15360"
	want.Database.Backups.Retained = 30
	assert.Equal(t, &want, config)
}

func TestEmptyObjectsOfTheProjectFileChangeNothing(t *testing.T) {
	values := minimal("dev")
	for _, key := range []string{"network", "cluster", "sandboxes", "database", "bucket", "registry", "labels", "secretEnv"} {
		values["openhands:"+key] = "{}"
	}
	values["openhands:teardown"] = "false"
	config, err := stacks.Load(stacks.Source{Stack: "dev", Values: values})
	require.NoError(t, err)
	assert.Equal(t, stacks.Defaults(stacks.Dev).Network, config.Network)
	assert.Equal(t, stacks.Defaults(stacks.Dev).Cluster, config.Cluster)
	assert.False(t, config.Teardown)
}

func TestAllProblemsAreReportedTogether(t *testing.T) {
	values := minimal("dev")
	values["gcp:project"] = "X"
	values["openhands:network"] = `{"podsCidr":"10.0.0.0/16"}`
	values["openhands:database"] = `{"tier":"large"}`
	_, err := stacks.Load(stacks.Source{Stack: "dev", Values: values})
	var failure *stacks.Error
	require.ErrorAs(t, err, &failure)
	assert.Len(t, failure.Problems, 3)

	values["openhands:sandboxes"] = `{"maximum":3,"cpuRequest":"1"}`
	values["openhands:typo"] = "x"
	_, err = stacks.Load(stacks.Source{Stack: "dev", Values: values})
	require.ErrorAs(t, err, &failure)
	var paths []string
	for _, p := range failure.Problems {
		paths = append(paths, p.Path)
	}
	want := []string{
		"gcp:project", "openhands:database.tier", "openhands:network.podsCidr", "openhands:sandboxes.cpuRequest", "openhands:sandboxes.maximum",
		"openhands:typo",
	}
	assert.Equal(t, want, paths)

	// Without a valid profile too.
	values["openhands:profile"] = "production"
	_, err = stacks.Load(stacks.Source{Stack: "dev", Values: values})
	require.ErrorAs(t, err, &failure)
	assert.Len(t, failure.Problems, len(want)+1)
}

// TestEveryBadItemOfAListIsReported, and each with what the first check of it finds.
func TestEveryBadItemOfAListIsReported(t *testing.T) {
	values := minimal("dev")
	values["openhands:cluster"] = `{"access":{"connectGateway":{"members":["ann@example.com","user:bob@example.com","domain:example.com"]}},
		"maintenance":{"days":["SA",7,"SUN"]}}`
	_, err := stacks.Load(stacks.Source{Stack: "dev", Values: values})
	require.Error(t, err)
	for _, says := range []string{
		`members: "ann@example.com" is not one whom`, "members: domain:example.com: Kubernetes knows users and groups", "days[1]: is a number",
		`days: "SUN" is not a day`,
	} {
		assert.Contains(t, err.Error(), says)
	}
	assert.Contains(t, err.Error(), "stack dev: 4 problems")
}

// TestOfASectionThatIsNotReadNothingElseIsSaid: its keys stand elsewhere, and nothing is missing.
func TestOfASectionThatIsNotReadNothingElseIsSaid(t *testing.T) {
	values := minimal("prod")
	values["openhands:exposure"], values["openhands:host"] = "null", "openhands.example.com"
	_, err := stacks.Load(stacks.Source{Stack: "prod", Values: values})
	var failure *stacks.Error
	require.ErrorAs(t, err, &failure)
	var paths []string
	for _, p := range failure.Problems {
		paths = append(paths, p.Path)
	}
	assert.Equal(t, []string{"openhands:exposure", "openhands:host"}, paths)
}

// TestNoMessageShowsAnUnknownSecret: a key that does not exist may hold a secret all the same.
func TestNoMessageShowsAnUnknownSecret(t *testing.T) {
	const hidden = "hunter2-hunter2"
	for _, key := range []string{
		"openhands:region", "openhands:sandboxes.max", "openhands:tier", "openhands:notificationEmails", "openhands:secretEnv.TOKEN", "openhands:foo",
	} {
		for _, value := range []string{hidden, `["` + hidden + `"]`, `{"a":"` + hidden + `"}`} {
			values := minimal("dev")
			values[key] = value
			_, err := stacks.Load(stacks.Source{Stack: "dev", Values: values, SecretKeys: []string{key}})
			require.Error(t, err)
			assert.NotContains(t, err.Error(), hidden)
		}
	}
}

func TestAnEncryptedValueThatIsNoSecretIsRefused(t *testing.T) {
	values := minimal("dev")
	values["openhands:labels"] = `{"team":"hidden-value"}`
	_, err := stacks.Load(stacks.Source{Stack: "dev", Values: values, SecretKeys: []string{"openhands:labels"}})
	require.Error(t, err)
	assert.Contains(t, err.Error(), "openhands:labels: is encrypted, but it is not a secret")
	assert.NotContains(t, err.Error(), "hidden-value")
}

// TestNoMessageShowsAnEncryptedValue puts one at every place of the configuration.
func TestNoMessageShowsAnEncryptedValue(t *testing.T) {
	const hidden = "hunter2-hunter2"
	var places func(schema *jsonschema.Schema) []any
	places = func(schema *jsonschema.Schema) []any {
		found := []any{hidden, []any{hidden}, map[string]any{"not-a-name": hidden}}
		if schema.Properties == nil {
			return found
		}
		for pair := schema.Properties.Oldest(); pair != nil; pair = pair.Next() {
			for _, value := range places(pair.Value) {
				found = append(found, map[string]any{pair.Key: value})
			}
		}
		return found
	}
	tried := 0
	for pair := stacks.Schema().Properties.Oldest(); pair != nil; pair = pair.Next() {
		for _, value := range places(pair.Value) {
			values := minimal("prod")
			text, isText := value.(string)
			if !isText {
				raw, err := json.Marshal(value)
				require.NoError(t, err)
				text = string(raw)
			}
			values[pair.Key] = text
			tried++
			if _, err := stacks.Load(stacks.Source{Stack: "prod", Values: values, SecretKeys: []string{pair.Key}}); err != nil {
				assert.NotContains(t, err.Error(), hidden)
			}
		}
	}
	assert.Greater(t, tried, 200)
}

// TestProfiles has the defaults that the documentation promises.
func TestProfiles(t *testing.T) {
	for profile, want := range map[string]string{
		"dev":  `{"appMax":2,"sandboxNodes":1,"location":"us-central1-a","bucket":"us-central1","connections":100,"warnings":3}`,
		"prod": `{"appMax":3,"sandboxNodes":6,"location":"us-central1","bucket":"us-central1","connections":200,"warnings":3}`,
	} {
		config, err := stacks.Load(stacks.Source{Stack: profile, Values: minimal(profile)})
		require.NoError(t, err)
		got, err := json.Marshal(map[string]any{
			"appMax": config.Cluster.AppPool.MaxNodes, "sandboxNodes": config.SandboxNodes(), "location": config.ClusterLocation(),
			"bucket": config.BucketLocation(), "connections": config.Database.MaxConnections, "warnings": len(config.Warnings()),
		})
		require.NoError(t, err)
		assert.JSONEq(t, want, string(got), profile)
	}
}

func TestSandboxNodesFollowFromTheNumberAndTheSizeOfSandboxes(t *testing.T) {
	// Of an e2-standard-4 (3.92 vCPU and 13.3 GiB allocatable), 3.42 vCPU and 12.3 GiB are left beside GKE's own pods.
	for _, c := range []struct {
		profile, sandboxes string
		nodes              int
		warns              string
	}{
		{"dev", `{"max":3,"cpuRequest":1,"memoryRequestGiB":2}`, 1, ""},
		{"dev", `{"max":4,"cpuRequest":1,"memoryRequestGiB":2}`, 2, ""},                                            // 3 a node, by CPU
		{"dev", `{"max":4,"cpuRequest":0.5,"memoryRequestGiB":4}`, 2, ""},                                          // 3 a node, by memory
		{"dev", `{"max":200,"cpuRequest":0.1,"memoryRequestGiB":1,"pool":{"machineType":"e2-highmem-16"}}`, 3, ""}, // 95 a node, by pods
		{"dev", `{"max":3,"warm":3}`, 1, ""},                                                                       // a placeholder makes way
		{"dev", `{"max":3,"pool":{"maxNodes":5}}`, 5, ""},
		// 7 on an e2-standard-8, and a node of slack for each of three zones.
		{"prod", `{"max":20}`, 6, ""},
		{"prod", `{"max":7}`, 4, ""},
		{"prod", `{"max":20,"warm":2}`, 7, ""}, // a placeholder makes way in its own zone only
		{"prod", `{"max":20,"pool":{"maxNodes":6}}`, 6, ""},
		{
			"prod", `{"max":20,"pool":{"maxNodes":3}}`, 3,
			"openhands:sandboxes.pool.maxNodes is 3: 20 sandboxes and 0 warm ones at 7 a node need 3 nodes, and one of slack for each of the 3 zones",
		},
	} {
		values := minimal(c.profile)
		values["openhands:sandboxes"] = c.sandboxes
		config, err := stacks.Load(stacks.Source{Stack: "dev", Values: values})
		require.NoError(t, err)
		assert.Equal(t, c.nodes, config.SandboxNodes(), c.sandboxes)
		about := slices.DeleteFunc(config.Warnings(), func(w string) bool { return !strings.Contains(w, "maxNodes") })
		if c.warns == "" {
			assert.Empty(t, about, c.sandboxes)
			continue
		}
		require.Len(t, about, 1, c.sandboxes)
		assert.Contains(t, about[0], c.warns)
	}
}

func TestCapacityOfTheRanges(t *testing.T) {
	for _, c := range []struct {
		network string
		want    stacks.Capacity
	}{
		{`{}`, stacks.Capacity{Nodes: 256, Pods: 28160, Services: 4096}},
		{`{"nodesCidr":"10.0.0.0/26"}`, stacks.Capacity{Nodes: 60, Pods: 6600, Services: 4096}},
		{`{"podsCidr":"10.16.0.0/20"}`, stacks.Capacity{Nodes: 16, Pods: 1760, Services: 4096}},
		{`{"servicesCidr":"10.32.0.0/27"}`, stacks.Capacity{Nodes: 256, Pods: 28160, Services: 32}},
	} {
		values := minimal("dev")
		values["openhands:network"] = c.network
		config, err := stacks.Load(stacks.Source{Stack: "dev", Values: values})
		require.NoError(t, err)
		assert.Equal(t, c.want, config.Ranges().Capacity(), c.network)
	}
}

func TestTeardownWarnsAndLiftsProtection(t *testing.T) {
	values := minimal("prod")
	values["openhands:teardown"] = "true"
	config, err := stacks.Load(stacks.Source{Stack: "prod", Values: values})
	require.NoError(t, err)
	assert.False(t, config.Protect(config.Database.DeletionProtection))
	assert.Contains(t, config.Warnings()[0], "nothing of stack prod is protected")
}

// TestWarnings has what every preview says until somebody does something about it.
func TestWarnings(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		set  map[string]string
		want []string
	}{
		"tags": {nil, []string{
			"openhands:app.doorImageDigest: docker.io/envoyproxy/envoy:distroless-v1.40.0 has no digest",
			"openhands:app.imageDigest: ghcr.io/openhands/openhands:0.62.0 has no digest",
			"openhands:app.sandboxImageDigest: ghcr.io/openhands/runtime:0.62-nikolaik has no digest",
		}},
		"digests": {
			map[string]string{"openhands:app": `{"imageDigest":"` + digest + `","sandboxImageDigest":"` + digest + `","doorImageDigest":"` + digest + `"}`},
			nil,
		},
		"images of one's own": {map[string]string{
			"openhands:app": `{"image":"ghcr.io/me/openhands@` + digest + `",
				"sandboxImage":"ghcr.io/me/runtime:0.62-own","doorImage":"ghcr.io/me/envoy:1@` + digest + `"}`,
		}, []string{"openhands:app.sandboxImage: ghcr.io/me/runtime:0.62-own has no digest"}},
		"a database whose user keeps its privileges": {map[string]string{
			"openhands:app":      `{"imageDigest":"` + digest + `","sandboxImageDigest":"` + digest + `","doorImageDigest":"` + digest + `"}`,
			"openhands:database": `{"version":"POSTGRES_16"}`,
		}, []string{"openhands:database.version is POSTGRES_16: from PostgreSQL 16 on, the server cannot give up"}},
	} {
		t.Run(name, func(t *testing.T) {
			values := minimal("prod")
			maps.Copy(values, c.set)
			config, err := stacks.Load(stacks.Source{Stack: "prod", Values: values})
			require.NoError(t, err)
			require.Len(t, config.Warnings(), len(c.want))
			for n, warning := range config.Warnings() {
				assert.Contains(t, warning, c.want[n])
			}
		})
	}
}

// TestProgramsNeedAClientOfOnesOwn: the tokens by which most of them log in are for a client, and Google's own takes none.
func TestProgramsNeedAClientOfOnesOwn(t *testing.T) {
	values := minimal("prod")
	for login, warns := range map[string]bool{
		`"members":["serviceAccount:ci@my-tools.iam.gserviceaccount.com"]`:                                                          true,
		`"members":["user:somebody@example.com"]`:                                                                                   false,
		`"members":["serviceAccount:ci@my-tools.iam.gserviceaccount.com"],"clientId":"123456789012-abc.apps.googleusercontent.com"`: false,
	} {
		values["openhands:exposure"] = `{"host":"openhands.example.com","login":{` + login + `}}`
		source := stacks.Source{Stack: "prod", Values: values}
		if strings.Contains(login, "clientId") {
			values["openhands:iapClientSecret"], source.SecretKeys = "secret", []string{"openhands:iapClientSecret"}
		} else {
			delete(values, "openhands:iapClientSecret")
		}
		config, err := stacks.Load(source)
		require.NoError(t, err, login)
		assert.Equal(
			t, warns, strings.Contains(strings.Join(config.Warnings(), "\n"), "ci@my-tools.iam.gserviceaccount.com cannot log in by OIDC tokens"),
			login,
		)
	}
}
