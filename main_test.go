package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
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

// goldenStacks are the stack files in tests/golden, by which every test of the program goes: the files in the root are a person's own.
func goldenStacks(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("tests/golden/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var stacks []string
	for _, file := range files {
		stacks = append(stacks, strings.TrimSuffix(filepath.Base(file), ".yaml"))
	}
	return stacks
}

// stackFile reads the configuration of a golden stack, as the engine hands it to the program.
func stackFile(t *testing.T, stack string) map[string]string {
	t.Helper()
	return runInfo(t, "tests/golden/"+stack+".yaml").Config
}

// deployed runs the program on mocks.
func deployed(t *testing.T, stack string, config map[string]string, prepare func(*providers.Mocks, *pulumi.RunInfo)) (*providers.Mocks, error) {
	t.Helper()
	mocks, err := providers.NewMocks(stack, config["gcp:project"], config["gcp:region"])
	require.NoError(t, err)
	mocks.Cloud.Configuration = func() string { return fmt.Sprint(config) }
	source := &stacks.Source{}
	err = pulumi.RunErr(deploy(source), mocks.Option(), func(info *pulumi.RunInfo) {
		info.Config = config
		for _, key := range []string{"openhands:sandboxApiKey", "openhands:iapClientSecret", "openhands:secretEnv"} {
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

// everyStack runs a test on the golden stacks, as a preview and as an update.
func everyStack(t *testing.T, test func(t *testing.T, stack string, mocks *providers.Mocks)) {
	eachOf(t, goldenStacks(t), test)
}

// everyCluster is everyStack without the stacks that are one machine.
func everyCluster(t *testing.T, test func(t *testing.T, stack string, mocks *providers.Mocks)) {
	eachOf(t, slices.DeleteFunc(goldenStacks(t), func(stack string) bool {
		return stackFile(t, stack)["openhands:profile"] == "single"
	}), test)
}

func eachOf(t *testing.T, stacks []string, test func(t *testing.T, stack string, mocks *providers.Mocks)) {
	for _, stack := range stacks {
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

// TestEachProtectionIsItsOwn: where all are on, or all off, a plan does not show that two are swapped.
func TestEachProtectionIsItsOwn(t *testing.T) {
	for part, protected := range map[string]string{
		"cluster": "openhands-cluster", "database": "openhands-postgres", "bucket": "openhands-files", "registry": "openhands-images",
	} {
		t.Run(part, func(t *testing.T) {
			mocks, err := deployed(t, "dev", nested(t, stackFile(t, "dev"), map[string]any{"openhands:" + part + ".deletionProtection": true}), nil)
			require.NoError(t, err)
			var names []string
			for _, r := range mocks.Resources() {
				if r.Protect {
					names = append(names, r.Name())
				}
			}
			assert.Equal(t, []string{protected}, names)
		})
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
	everyCluster(t, func(t *testing.T, _ string, mocks *providers.Mocks) {
		graph := graphOf(t, mocks)
		cluster := find(t, mocks, "Cluster", "openhands-cluster")
		early := []providers.Registered{find(t, mocks, "RepositoryIamMember", "openhands-ghcr-reader")}
		for _, r := range mocks.Resources() {
			if strings.Contains(r.URN, "openhands:gcp:CloudSqlPostgres$") {
				assert.Falsef(t, graph.WaitsFor(cluster.URN, r.URN), "the cluster waits for %s", r.URN)
			}
			if slices.ContainsFunc([]string{"CloudSqlPostgres", "StorageBucket", "WorkloadIdentity$gcp:serviceaccount/account", "Entrance"}, func(of string) bool {
				return strings.Contains(r.URN, "openhands:gcp:"+of)
			}) && r.Custom {
				early = append(early, r)
			}
		}
		for _, early := range early {
			assert.Falsef(t, graph.WaitsFor(early.URN, cluster.URN), "%s waits for the cluster", early.URN)
		}

		timeline, err := timeline.New(graph)
		require.NoError(t, err)
		assert.Less(t, timeline.Records, timeline.Cluster, "what the DNS records need")
		assert.LessOrEqual(t, timeline.Total.Seconds(), 1.1*timeline.Shortest.Seconds(), "critical path: %v", timeline.Critical)
	})
}

// TestProjectFileDescribesTheKeys compares Pulumi.yaml, which `pulumi config` and the Pulumi console show, with the type.
func TestProjectFileDescribesTheKeys(t *testing.T) {
	raw, err := os.ReadFile("Pulumi.yaml")
	require.NoError(t, err)
	var project struct {
		Config map[string]struct {
			Type        string `yaml:"type"`
			Default     any    `yaml:"default"`
			Description string `yaml:"description"`
		} `yaml:"config"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &project))
	delete(project.Config, "pulumi:disable-default-providers")
	none := map[string]any{"object": map[string]any{}, "array": []any{}, "string": "", "boolean": false}
	var want []string
	for pair := stacks.Schema().Properties.Oldest(); pair != nil; pair = pair.Next() {
		key, own := strings.CutPrefix(pair.Key, "openhands:")
		if !own {
			continue
		}
		want = append(want, key)
		assert.Empty(t, project.Config[key].Type, "%s: with a type, the CLI stops at the first mistake, in words of its own", key)
		assert.Equal(t, none[pair.Value.Type], project.Config[key].Default, "%s: without a default, the CLI stops where it is missing", key)
		assert.NotEmpty(t, project.Config[key].Description, key)
	}
	assert.ElementsMatch(t, want, slices.Collect(maps.Keys(project.Config)))
}
