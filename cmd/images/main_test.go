package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/release"
)

const sha = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"

func TestCopies(t *testing.T) {
	for version, want := range map[string]string{
		"0.62.0": "ghcr.io/openhands/openhands:0.62.0 openhands/openhands:0.62.0 openhands:app.image\n" +
			"ghcr.io/openhands/runtime:0.62-nikolaik openhands/runtime:0.62-nikolaik openhands:app.sandboxImage\n" +
			"docker.io/envoyproxy/envoy:distroless-v1.40.0 envoyproxy/envoy:distroless-v1.40.0 openhands:app.doorImage\n",
		"1.20.0": "ghcr.io/openhands/agent-canvas:1.20.0 openhands/agent-canvas:1.20.0 openhands:app.image\n" +
			"docker.io/envoyproxy/envoy:distroless-v1.40.0 envoyproxy/envoy:distroless-v1.40.0 openhands:app.doorImage\n",
	} {
		var out bytes.Buffer
		require.NoError(t, run(&out, []string{"copies", version}))
		assert.Equal(t, want, out.String())
	}
}

func TestTag(t *testing.T) {
	for ref, want := range map[string]string{
		"refs/tags/0.62.0":               "0.62.0-1a2b3c4",
		"refs/heads/main":                "0.62.0-main-1a2b3c4",
		"refs/heads/Fix/Login_of--Users": "0.62.0-fix-login-of-users-1a2b3c4",
	} {
		var out bytes.Buffer
		require.NoError(t, run(&out, []string{"tag", "0.62.0", ref, sha}))
		assert.Equal(t, want+"\n", out.String())
		released, err := release.Released("0.62.0")
		require.NoError(t, err)
		assert.NoError(t, released.CheckAppImage("europe-docker.pkg.dev/p/r/openhands:"+want), "the program refuses what the workflow builds")
	}
	long, err := tag(mustBe(t, "0.62.0"), "refs/heads/"+strings.Repeat("long-", 50), sha)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(long), 128)
}

func mustBe(t *testing.T, version string) release.Release {
	t.Helper()
	released, err := release.Released(version)
	require.NoError(t, err)
	return released
}

func TestRefusals(t *testing.T) {
	for reason, args := range map[string][]string{
		usage:                               {"copies"},
		`there is no release "latest"`:      {"copies", "latest"},
		`tag 0.61.0 is not of release 0.62`: {"tag", "0.62.0", "refs/tags/0.61.0", sha},
		"neither a tag nor a branch":        {"tag", "0.62.0", "latest", sha},
		`"1a2b3c4" is not a commit`:         {"tag", "0.62.0", "refs/tags/0.62.0", "1a2b3c4"},
		"made of published packages":        {"tag", "1.20.0", "refs/tags/1.20.0", sha},
	} {
		var out bytes.Buffer
		assert.ErrorContains(t, run(&out, args), reason)
		assert.Empty(t, out.String())
	}
}
