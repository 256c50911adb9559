package stack_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"openhands-gcp/tests/cluster"
	"openhands-gcp/tests/cluster/stack"
	"openhands-gcp/tests/rehearsal"
)

// everyFeature is a stack with all that is off in dev and prod.
const everyFeature = `config:
  gcp:project: my-openhands-full
  gcp:region: us-central1
  openhands:profile: prod
  openhands:cluster:
    fqdnNetworkPolicy: true
    access:
      publicEndpoint:
        authorizedRanges: [203.0.113.7/32]
  openhands:sandboxes:
    warm: 2
    egress:
      allowedDomains: [github.com, "*.githubusercontent.com"]
      allowedRanges: [192.0.2.0/24]
  openhands:exposure:
    host: openhands.example.com
    dnsZone: example
    login:
      members: [group:users@example.com, domain:example.com]
      clientId: 123456789012-abc.apps.googleusercontent.com
    armor:
      allowedRanges: [192.0.2.0/24]
      deniedRanges: [198.51.100.0/24]
      wafRules: [sqli-v33-stable]
  openhands:iapClientSecret:
    secure: v1:placeholder
`

// TestStacks plays whole lives through on one API server: every object passes strict validation and admission, a second apply changes nothing, and
// destroy leaves no object and no stuck finalizer.
func TestStacks(t *testing.T) {
	options, err := built()
	require.NoError(t, err)
	c, server, err := stack.Start(t.Context(), cluster.Options{Root: root, Output: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })

	full := t.TempDir()
	project, err := os.ReadFile(filepath.Join(root, "Pulumi.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(full, "Pulumi.yaml"), project, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(full, "Pulumi.full.yaml"), []byte(everyFeature), 0o600))

	for _, s := range []struct{ name, root string }{{"dev", options.Root}, {"prod", options.Root}, {"full", full}} {
		t.Run(s.name, func(t *testing.T) {
			var output bytes.Buffer
			o := rehearsal.Options{EngineOptions: options}
			o.Root, o.Stack, o.APIServer, o.Output = s.root, s.name, server, &output
			if err := rehearsal.Rehearse(t.Context(), o); err != nil {
				t.Fatalf("%v\n%s", err, &output)
			}
		})
	}
}
