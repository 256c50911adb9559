package stack_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/kubernetes"

	"openhands-gcp/rehearsal"
	"openhands-gcp/tests/cluster"
	"openhands-gcp/tests/cluster/stack"
)

// everyFeature is a stack with all that is off in dev and prod.
const everyFeature = `config:
  gcp:project: my-openhands-full
  gcp:region: us-central1
  openhands:profile: prod
  openhands:cluster:
    access:
      connectGateway:
        members: [user:ann@example.com, group:platform@example.com]
      securityGroup: gke-security-groups@example.com
      publicEndpoint:
        authorizedRanges: [198.51.100.7/32]
  openhands:sandboxes:
    warm: 2
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

// listedEgress is a stack whose server and sandboxes reach only what is listed. The second range holds the control plane's public address.
const listedEgress = `config:
  gcp:project: my-openhands-listed
  gcp:region: us-central1
  gcp:zone: us-central1-a
  openhands:profile: dev
  openhands:cluster:
    fqdnNetworkPolicy: true
    access:
      publicEndpoint:
        authorizedRanges: [198.51.100.7/32]
  openhands:app:
    egress:
      allowedRanges: [140.82.112.0/20]
  openhands:sandboxes:
    egress:
      allowedDomains: [github.com, "*.githubusercontent.com"]
      allowedRanges: [140.82.112.0/20, 34.90.1.0/24]
`

var (
	listed             = place{what: "listed range", address: "140.82.112.5"}
	alsoListed         = place{what: "other listed range", address: "34.90.1.80"}
	publicControlPlane = place{what: "control plane's public address", address: "34.90.1.10"}
	unlisted           = place{what: "internet beside the list", address: "93.184.215.14"}
)

// TestStacks plays whole lives through on one API server: every object passes strict validation and admission, a second apply changes nothing, and
// destroy leaves no object and no stuck finalizer, though a conversation was running.
func TestStacks(t *testing.T) {
	options, err := built()
	require.NoError(t, err)
	c, apiServer, err := stack.Start(t.Context(), cluster.Options{Root: root})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	admin, err := kubernetes.NewForConfig(c.Admin())
	require.NoError(t, err)

	other := t.TempDir()
	project, err := os.ReadFile(filepath.Join(root, "Pulumi.yaml"))
	require.NoError(t, err)
	for name, content := range map[string]string{"Pulumi.yaml": string(project), "Pulumi.full.yaml": everyFeature, "Pulumi.listed.yaml": listedEgress} {
		require.NoError(t, os.WriteFile(filepath.Join(other, name), []byte(content), 0o600))
	}
	internetRows := connections
	publicRows := append([]connection{{sandbox, publicControlPlane, tcp, 443, false}, {sandbox, unlisted, tcp, 443, true}}, internetRows...)
	listedRows := []connection{
		{sandbox, listed, tcp, 443, true}, {sandbox, alsoListed, tcp, 22, true}, {sandbox, unlisted, tcp, 443, false}, {
			sandbox, publicControlPlane, tcp, 443, false,
		},
		{server, listed, tcp, 443, true}, {server, listed, tcp, 22, false}, {server, unlisted, tcp, 443, false},
		{loadBalancer1, door, tcp, 8080, false}, {door, unlisted, tcp, 443, false}, // dev has no load balancer, and no login
	}
	for _, row := range internetRows {
		if row.to.what != internet.what && row.from.what != loadBalancer1.what && row.from.what != loadBalancer2.what {
			listedRows = append(listedRows, row)
		}
	}
	for _, s := range []struct {
		name, root string
		rows       []connection
	}{
		{"dev", options.Root, nil}, {"prod", options.Root, internetRows}, {"full", other, publicRows}, {"listed", other, listedRows},
		{"team", options.Root, instanceRows},
	} {
		passed := t.Run(s.name, func(t *testing.T) {
			i := &installation{cluster: c, server: apiServer, admin: admin, account: "openhands-" + s.name + "-server"}
			var once sync.Once
			up := func() {
				if s.rows != nil {
					assert.Empty(t, wrongIn(i.networkPolicies(t), s.rows))
				}
				if s.name == "team" {
					i.checkInstances(t)
					return
				}
				require.NoError(t, i.awaitAdmission(t.Context()))
				require.NoError(t, i.converse(t, "running").start(t.Context()))
			}
			var output bytes.Buffer
			o := rehearsal.Options{Options: options}
			o.Root, o.Stack, o.Output = s.root, s.name, &output
			o.APIServer = observed{apiServer, func() { once.Do(up) }}
			if err := rehearsal.Rehearse(t.Context(), o); err != nil {
				t.Fatalf("%v\n%s", err, &output)
			}
		})
		if !passed {
			break // what it left would be in the way of the next
		}
	}
}

// observed is an API server that lets something happen once the stack is up.
type observed struct {
	*stack.APIServer
	up func()
}

func (o observed) Reapply(ctx context.Context, object map[string]any) (bool, error) {
	o.up()
	return o.APIServer.Reapply(ctx, object)
}

// wrongIn are the connections of a table that policies treat otherwise than it says.
func wrongIn(policies []networkingv1.NetworkPolicy, rows []connection) []string {
	var out []string
	for _, u := range []union{evaluate(policies, true), evaluate(policies, false)} {
		for _, c := range rows {
			if got := u.allows(c); got != c.allowed {
				out = append(out, c.String()+" is otherwise")
			}
		}
	}
	return out
}
