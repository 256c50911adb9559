package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"openhands-gcp/tools/facts/probe"
)

// demoProvider is the source of a provider in the layout of Pulumi's own: it takes a default from the Terraform provider that it wraps, and refuses to
// start without a version, as those do.
const demoProvider = `package demo

import (
	"example.com/upstream"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"

	"example.com/pulumi-demo/provider/v2/pkg/version"
)

func Provider() tfbridge.ProviderInfo {
	if version.Version == "" {
		panic("no version")
	}
	thing := &schema.Resource{Schema: map[string]*schema.Schema{
		"host_name": {Type: schema.TypeString, Required: true, ForceNew: true},
		"tier": {Type: schema.TypeString, Optional: true, Default: upstream.Tier, ConflictsWith: []string{"host_name"}},
	}}
	return tfbridge.ProviderInfo{
		P: shimv2.NewProvider(&schema.Provider{ResourcesMap: map[string]*schema.Resource{"demo_thing": thing, "demo_other": thing}}),
		Resources: map[string]*tfbridge.ResourceInfo{
			"demo_thing": {Tok: "demo:index/thing:Thing"},
			"demo_other": {Tok: "demo:index/other:Other"},
		},
	}
}
`

const demoPatch = `--- a/upstream.go
+++ b/upstream.go
@@ -1,3 +1,3 @@
 package upstream
 
-const Tier = "theirs"
+const Tier = "patched"
`

const demoThing = `"demo:index/thing:Thing": {
  "hostName": {"type": "string", "required": true, "replaces": true},
  "tier": {"type": "string", "default": "patched", "conflictsWith": ["host_name"]}
}`

// demoRepository makes the provider's repository, with the Terraform provider as a submodule of it, and returns its address.
func demoRepository(t *testing.T) string {
	t.Helper()
	for name, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1",
		"GIT_CONFIG_KEY_0": "protocol.file.allow", "GIT_CONFIG_VALUE_0": "always", // Submodules from this machine.
		"GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@example.com", "GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@example.com",
	} {
		t.Setenv(name, value)
	}
	own, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	sums, err := os.ReadFile("go.sum")
	require.NoError(t, err)
	module := regexp.MustCompile(`(?m)^module .*`).ReplaceAllString(string(own), "module example.com/pulumi-demo/provider/v2") +
		"\nrequire example.com/upstream v0.0.0\n\nreplace example.com/upstream => ../upstream\n"

	upstream := commit(t, map[string]string{"go.mod": "module example.com/upstream\n", "upstream.go": "package upstream\n\nconst Tier = \"theirs\"\n"})
	repo := commit(t, map[string]string{
		"provider/go.mod":                 module,
		"provider/go.sum":                 string(sums),
		"provider/resources.go":           demoProvider,
		"provider/pkg/version/version.go": "package version\n\nvar Version string\n",
		"patches/0001-tier.patch":         demoPatch,
		"sdk/large.txt":                   "not needed\n",
	})
	command(t, repo, "git", "submodule", "--quiet", "add", "file://"+upstream, "upstream")
	command(t, repo, "git", "commit", "--quiet", "-m", "upstream")
	command(t, repo, "git", "tag", "v2.1.0")
	return "file://" + repo
}

func commit(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	command(t, dir, "git", "init", "--quiet")
	command(t, dir, "git", "add", ".")
	command(t, dir, "git", "commit", "--quiet", "-m", "first")
	return dir
}

func command(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	printed, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", printed)
}

// runs calls the command and returns what it prints.
func runs(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(context.Background(), args, &out)
	return out.String(), err
}

func TestAnUpgradeIsOneCommand(t *testing.T) {
	repo, dir := demoRepository(t), t.TempDir()
	source := filepath.Join(t.TempDir(), "source")
	old, upgraded := filepath.Join(dir, "demo-2.0.9.json"), filepath.Join(dir, "demo-2.1.0.json")
	require.NoError(t, os.WriteFile(old, []byte(`{"demo:index/thing:Thing": {}}`), 0o644))
	program := filepath.Join(t.TempDir(), "go.mod")
	require.NoError(t, os.WriteFile(program, []byte("module m\n\nrequire github.com/pulumi/pulumi-demo/sdk/v2 v2.1.0\n"), 0o644))
	args := []string{"-provider=demo", "-repo=" + repo, "-facts=" + dir, "-gomod=" + program, "-source=" + source}

	_, err := runs(t, args...)
	require.NoError(t, err)
	facts, err := os.ReadFile(upgraded)
	require.NoError(t, err)
	require.Equal(t, "{\n"+demoThing+"\n}\n", string(facts))
	require.NoFileExists(t, old, "two versions of the same facts")
	require.NoDirExists(t, filepath.Join(source, "sdk"), "the SDKs are downloaded for nothing")
	require.NoDirExists(t, filepath.Join(source, "provider", "cmd"), "the reader is written into the source")

	printed, err := runs(t, args...)
	require.NoError(t, err, "a source that is there already")
	require.Contains(t, printed, "as before")

	printed, err = runs(t, append(args, "-add=demo:index/other:Other")...)
	require.NoError(t, err)
	require.Contains(t, printed, "4 lines are new or different, 0 are gone")
	facts, err = os.ReadFile(upgraded)
	require.NoError(t, err)
	require.Equal(t, "{\n"+strings.Replace(demoThing, "thing:Thing", "other:Other", 1)+",\n"+demoThing+"\n}\n", string(facts))

	_, err = runs(t, append(args, "-add=demo:gone/thing:Thing")...)
	require.ErrorContains(t, err, "the provider has no type demo:gone/thing:Thing; it has demo:index/thing:Thing")
	_, err = runs(t, append(args, "-version=2.2.0")...)
	require.ErrorContains(t, err, "is not a checkout of v2.2.0")
	after, err := os.ReadFile(upgraded)
	require.NoError(t, err)
	require.Equal(t, string(facts), string(after), "a failure must leave the facts as they are")
}

func TestWhatTheCommandRefuses(t *testing.T) {
	empty, two := t.TempDir(), t.TempDir()
	for _, name := range []string{"demo-1.0.0.json", "demo-2.0.0.json", "demo-beta-1.0.0.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(two, name), []byte("{}"), 0o644))
	}
	repo := "-repo=file://" + filepath.Join(empty, "nowhere")
	for want, args := range map[string][]string{
		"no provider named":               {},
		"is no flag":                      {"-provider=demo", "demo:a/b:B"},
		"requires no SDK of provider dem": {"-provider=dem"},
		"no types named":                  {"-provider=demo", "-version=1.0.0", "-facts=" + empty},
		`"gcp:a/b:B" is no type`:          {"-provider=demo", "-version=1.0.0", "-facts=" + empty, "-types=gcp:a/b:B"},
		"demo-2.0.0.json hold facts of":   {"-provider=demo", "-version=1.0.0", "-facts=" + two},
		"the directory of the facts":      {"-provider=demo", "-version=1.0.0", "-facts=" + filepath.Join(empty, "nowhere")},
		"version 1.0.0 of file://":        {"-provider=demo", "-version=1.0.0", "-facts=" + empty, "-types=demo:a/b:B", repo},
	} {
		_, err := runs(t, args...)
		require.ErrorContains(t, err, want)
	}
}

// The facts in the repository must read as the command writes them: a line changed by hand, or a name that the reader does not know, would be lost
// without a word at the next run.
func TestFactsReadAsTheyAreWritten(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(factsDir, "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "no facts in %s", factsDir)
	for _, file := range files {
		written, err := os.ReadFile(file)
		require.NoError(t, err)
		decoder := json.NewDecoder(bytes.NewReader(written))
		decoder.DisallowUnknownFields()
		decoder.UseNumber()
		types := map[string]probe.Fields{}
		require.NoError(t, decoder.Decode(&types), file)
		again, err := probe.Format(types)
		require.NoError(t, err, file)
		require.Equal(t, string(written), string(again), file)
	}
}

func TestVersionsAreThoseOfTheProgram(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(factsDir, "*.json"))
	require.NoError(t, err)
	for _, file := range files {
		provider, version, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
		required, err := versionOf(goMod, provider)
		require.NoError(t, err)
		require.Equal(t, required, version, "%s is of another version than the program's SDK: run make facts PROVIDER=%s", file, provider)
	}
}
