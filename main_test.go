package main

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/providers"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/timeline"
	"openhands-gcp/stacks"
)

// stackFile reads the configuration of a stack's own file, as the engine hands it to the program.
func stackFile(t *testing.T, stack string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("Pulumi." + stack + ".yaml")
	require.NoError(t, err)
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &file))
	config := map[string]string{}
	for key, value := range file.Config {
		text, isText := value.(string)
		if !isText {
			encoded, err := json.Marshal(value)
			require.NoError(t, err)
			text = string(encoded)
		}
		config[key] = text
	}
	return config
}

// deployed runs the program on mocks.
func deployed(t *testing.T, stack string, config map[string]string, prepare func(*providers.Mocks, *pulumi.RunInfo)) (*providers.Mocks, error) {
	t.Helper()
	mocks, err := providers.NewMocks(stack, config["gcp:project"], config["gcp:region"])
	require.NoError(t, err)
	source := &stacks.Source{}
	err = pulumi.RunErr(deploy(source), mocks.Option(), func(info *pulumi.RunInfo) {
		info.Config = config
		for _, key := range []string{"openhands:sandboxApiKey", "openhands:iapClientSecret"} {
			if config[key] != "" {
				info.ConfigSecretKeys = append(info.ConfigSecretKeys, key)
			}
		}
		if prepare != nil {
			prepare(mocks, info)
		}
	}, captureConfig(source))
	return mocks, err
}

// graphOf returns the deployment's graph.
func graphOf(t *testing.T, mocks *providers.Mocks) *state.Graph {
	t.Helper()
	raw, err := mocks.Export()
	require.NoError(t, err)
	export, err := state.Parse(raw)
	require.NoError(t, err)
	return state.NewGraph(export)
}

// find returns the one resource of a name, where the name belongs to one of the type.
func find(t *testing.T, mocks *providers.Mocks, typ, name string) providers.Registered {
	t.Helper()
	for _, r := range mocks.Resources() {
		if r.Custom && r.Name() == name && strings.HasSuffix(r.Type, ":"+typ) {
			return r
		}
	}
	require.Failf(t, "no such resource", "%s %s", typ, name)
	return providers.Registered{}
}

// everyStack runs a test on both stacks, as a preview and as an update.
func everyStack(t *testing.T, test func(t *testing.T, stack string, mocks *providers.Mocks)) {
	for _, stack := range []string{"dev", "prod"} {
		for _, dryRun := range []bool{true, false} {
			name := stack + "/up"
			if dryRun {
				name = stack + "/preview"
			}
			t.Run(name, func(t *testing.T) {
				mocks, err := deployed(t, stack, stackFile(t, stack), func(_ *providers.Mocks, info *pulumi.RunInfo) { info.DryRun = dryRun })
				require.NoError(t, err)
				test(t, stack, mocks)
			})
		}
	}
}

func TestStateHoldsNothingPublicAndNoSecretInClear(t *testing.T) {
	everyStack(t, func(t *testing.T, _ string, mocks *providers.Mocks) {
		raw, err := mocks.Export()
		require.NoError(t, err)
		problems, err := checks.State(raw)
		require.NoError(t, err)
		assert.Empty(t, problems)
	})
}

func TestNothingUsesWhatItDoesNotWaitFor(t *testing.T) {
	everyStack(t, func(t *testing.T, _ string, mocks *providers.Mocks) {
		assert.Empty(t, checks.Order(mocks.Cloud, graphOf(t, mocks)))
	})
}

func TestURNsAreUniqueAndTheSameInPreviewAndUpdate(t *testing.T) {
	seen := map[string][]string{}
	everyStack(t, func(t *testing.T, stack string, mocks *providers.Mocks) {
		var urns []string
		for _, r := range mocks.Resources() {
			urns = append(urns, r.URN)
		}
		assert.Len(t, slices.Compact(slices.Clone(urns)), len(urns), "duplicates")
		if before, known := seen[stack]; known {
			assert.Equal(t, before, urns)
		}
		seen[stack] = urns
	})
}

// TestEverythingWaitsForTheAPIs looks at transitive edges: DependsOn on a component is not inherited by its children as such.
func TestEverythingWaitsForTheAPIs(t *testing.T) {
	everyStack(t, func(t *testing.T, _ string, mocks *providers.Mocks) {
		graph := graphOf(t, mocks)
		var apis []string
		for _, r := range mocks.Resources() {
			if r.Type == "gcp:projects/service:Service" {
				apis = append(apis, r.URN)
			}
		}
		require.NotEmpty(t, apis)
		for _, r := range mocks.Resources() {
			if !r.Custom || slices.Contains(apis, r.URN) || strings.HasPrefix(r.Type, "pulumi:") {
				continue
			}
			for _, api := range apis {
				assert.Truef(t, graph.WaitsFor(r.URN, api), "%s does not wait for %s", r.URN, api)
			}
		}
	})
}

// TestTheSlowOnesDoNotWaitForEachOther guards the critical path.
func TestTheSlowOnesDoNotWaitForEachOther(t *testing.T) {
	everyStack(t, func(t *testing.T, _ string, mocks *providers.Mocks) {
		graph := graphOf(t, mocks)
		cluster, database := find(t, mocks, "Cluster", "openhands-cluster"), find(t, mocks, "DatabaseInstance", "openhands-postgres")
		assert.False(t, graph.WaitsFor(cluster.URN, database.URN), "the cluster waits for the database")
		assert.False(t, graph.WaitsFor(database.URN, cluster.URN), "the database waits for the cluster")
		for _, early := range []providers.Registered{find(t, mocks, "Account", "openhands-account"), find(t, mocks, "BucketIAMMember", "openhands-writer"), find(t, mocks, "RepositoryIamMember", "openhands-ghcr-reader")} {
			assert.Falsef(t, graph.WaitsFor(early.URN, cluster.URN), "%s waits for the cluster", early.URN)
		}

		timeline, err := timeline.New(graph)
		require.NoError(t, err)
		assert.LessOrEqual(t, timeline.Total.Seconds(), 1.1*timeline.Shortest.Seconds(), "critical path: %v", timeline.Critical)
	})
}

func TestProtectionIsOnInProdOnly(t *testing.T) {
	stateful := []string{"openhands-cluster", "openhands-postgres", "openhands-files", "openhands-images"}
	everyStack(t, func(t *testing.T, stack string, mocks *providers.Mocks) {
		var protected []string
		for _, r := range mocks.Resources() {
			if r.Protect {
				protected = append(protected, r.Name())
			}
		}
		if stack == "prod" {
			assert.ElementsMatch(t, stateful, protected)
		} else {
			assert.Empty(t, protected)
		}
		wanted := stack == "prod"
		assert.Equal(t, wanted, find(t, mocks, "Cluster", "openhands-cluster").Inputs["deletionProtection"])
		database := find(t, mocks, "DatabaseInstance", "openhands-postgres")
		assert.Equal(t, wanted, database.Inputs["deletionProtection"])
		assert.Equal(t, wanted, database.Inputs["settings"].(map[string]any)["deletionProtectionEnabled"])
		assert.Equal(t, !wanted, find(t, mocks, "Bucket", "openhands-files").Inputs["forceDestroy"])
	})
}

// TestWhoMayActAsTheApplication: the namespace and the name of the Kubernetes service account are the application's.
func TestWhoMayActAsTheApplication(t *testing.T) {
	everyStack(t, func(t *testing.T, stack string, mocks *providers.Mocks) {
		binding := find(t, mocks, "IAMMember", "openhands-binding")
		assert.Equal(t, "serviceAccount:my-openhands-"+stack+".svc.id.goog[openhands/openhands]", binding.Inputs["member"])
		writer := find(t, mocks, "BucketIAMMember", "openhands-writer")
		assert.Equal(t, "serviceAccount:openhands-"+stack+"-app@my-openhands-"+stack+".iam.gserviceaccount.com", writer.Inputs["member"])
	})
}

func TestTeardownLiftsEveryProtection(t *testing.T) {
	config := stackFile(t, "prod")
	config["openhands:teardown"] = "true"
	mocks, err := deployed(t, "prod", config, nil)
	require.NoError(t, err)
	for _, r := range mocks.Resources() {
		assert.Falsef(t, r.Protect, "%s is protected", r.URN)
		for key, value := range r.Inputs {
			if strings.HasPrefix(key, "deletionProtection") {
				assert.Equalf(t, false, value, "%s: %s", r.URN, key)
			}
		}
	}
	settings := find(t, mocks, "DatabaseInstance", "openhands-postgres").Inputs["settings"].(map[string]any)
	assert.Equal(t, false, settings["deletionProtectionEnabled"])
}

func TestPhysicalNamesAreWithinGoogleCloudsLimits(t *testing.T) {
	const generated = 8 // a dash and seven hexadecimal digits
	limits := map[string]int{"Cluster": 40, "NodePool": 40, "DatabaseInstance": 60, "Bucket": 63}
	name := regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	everyStack(t, func(t *testing.T, _ string, mocks *providers.Mocks) {
		for _, r := range mocks.Resources() {
			typ := r.Type[strings.LastIndex(r.Type, ":")+1:]
			if !r.Custom || typ == "Service" || strings.Contains(strings.ToLower(typ), "iammember") || strings.HasPrefix(r.Type, "pulumi:") {
				continue
			}
			limit, special := limits[typ]
			if !special {
				limit = 63
			}
			assert.Regexp(t, name, r.Name())
			assert.LessOrEqualf(t, len(r.Name())+generated, limit, "%s %s", typ, r.Name())
		}
	})
}

func TestLabelsReachEverythingThatCarriesThem(t *testing.T) {
	config := stackFile(t, "prod")
	config["openhands:labels"] = `{"team":"platform"}`
	mocks, err := deployed(t, "prod", config, nil)
	require.NoError(t, err)
	want := map[string]any{"app": "openhands", "stack": "prod", "managed-by": "pulumi", "team": "platform"}
	provider := find(t, mocks, "gcp", "gcp")
	assert.Equal(t, want, decoded(t, provider.Inputs["defaultLabels"]), "all that takes them from the provider")
	assert.Equal(t, want, find(t, mocks, "Cluster", "openhands-cluster").Inputs["resourceLabels"])
	assert.Equal(t, want, find(t, mocks, "DatabaseInstance", "openhands-postgres").Inputs["settings"].(map[string]any)["userLabels"])
}

// decoded undoes the JSON in which the SDK hands objects to a provider's configuration.
func decoded(t *testing.T, value any) any {
	t.Helper()
	text, isText := value.(string)
	if !isText {
		return value
	}
	var out any
	require.NoError(t, json.Unmarshal([]byte(text), &out))
	return out
}

// TestProjectFileDescribesTheKeys compares Pulumi.yaml, which `pulumi config` and the Pulumi console show, with the type.
func TestProjectFileDescribesTheKeys(t *testing.T) {
	raw, err := os.ReadFile("Pulumi.yaml")
	require.NoError(t, err)
	var project struct {
		Config map[string]struct {
			Type        string `yaml:"type"`
			Description string `yaml:"description"`
		} `yaml:"config"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &project))
	delete(project.Config, "pulumi:disable-default-providers")
	var want []string
	for pair := stacks.Schema().Properties.Oldest(); pair != nil; pair = pair.Next() {
		key, own := strings.CutPrefix(pair.Key, "openhands:")
		if !own {
			continue
		}
		want = append(want, key)
		assert.Equal(t, pair.Value.Type, project.Config[key].Type, key)
		assert.NotEmpty(t, project.Config[key].Description, key)
	}
	assert.ElementsMatch(t, want, slices.Collect(maps.Keys(project.Config)))
}
