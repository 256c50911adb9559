package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/check"
)

// outputs are those of the stack, as its CLI writes them.
func (d *deployment) outputs(t *testing.T) check.Outputs {
	t.Helper()
	raw, err := d.engine.Quiet(t.Context(), "stack", "output", "--json", "--show-secrets")
	require.NoError(t, err)
	outputs, err := check.ReadOutputs([]byte(raw))
	require.NoError(t, err)
	return outputs
}

// google is a load balancer whose login asks everybody who it is. It returns the way to it.
func google(t *testing.T, domain string, address netip.Addr) check.Network {
	t.Helper()
	certificate, authority, err := certify(domain)
	require.NoError(t, err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	require.NoError(t, err)
	login := http.RedirectHandler("https://accounts.google.com/o/oauth2/v2/auth?client_id=1", http.StatusFound)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: login}
	go server.Serve(listener) //nolint:errcheck // it ends with Close
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	authorities := x509.NewCertPool()
	require.True(t, authorities.AppendCertsFromPEM(authority))
	return check.Network{
		Resolve:     func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{address}, nil },
		Authorities: authorities,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, listener.Addr().String())
		},
	}
}

// silent shows nothing.
type silent struct{}

func (silent) Begin(string)     {}
func (silent) Progress(string)  {}
func (silent) End(check.Result) {}

// stations are the verdicts of a check with what was found, by station.
func stations(t *testing.T, options check.Options) (map[string]check.Verdict, map[string]string) {
	t.Helper()
	results, err := check.Run(t.Context(), options, silent{})
	require.NoError(t, err)
	verdicts, found := map[string]check.Verdict{}, map[string]string{}
	for _, r := range results {
		verdicts[r.Station], found[r.Station] = r.Verdict, r.Found
		t.Logf("%-12s %-7s %5.1f s  %s", r.Station, r.Verdict, r.Seconds, r.Found)
	}
	return verdicts, found
}

// object is the content of an object of the bucket; empty where there is none.
func (i *installation) object(name string) string {
	raw, err := i.storage.get("/download/storage/v1/b/" + i.storage.bucket + "/o/" + url.PathEscape(name) + "?alt=media")
	if err != nil {
		return ""
	}
	return string(raw)
}

// TestCheckTheServer has `make check` walk through the real server, behind the real door. There is no gVisor here, and no NetworkPolicy is in force: the
// sandbox shares the network of the tests. The check has to say so.
func TestCheckTheServer(t *testing.T) {
	world := newDoorWorld(t)
	i := theInstallation(t)
	require.NoError(t, i.emptyDatabase(t.Context()))
	t.Cleanup(func() { i.sweep(t) })
	s := i.starts(t, nil)
	t.Cleanup(func() { require.NoError(t, s.kill()) })
	workspace := filepath.Join(i.dir, "workspace-check")
	actions, err := i.startActionServer(context.Background(), workspace)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, actions.kill()) })
	door := world.start(t, world.deployed)
	k, err := startKubectl(i.dir, i.admin.CoreV1().RESTClient(), door.portForward, func(ctx context.Context, namespace, workload string) (*box, error) {
		if namespace != appNamespace || workload != "deployment/"+application {
			return nil, fmt.Errorf("no pod of %s/%s", namespace, workload)
		}
		return i.serverBox(ctx)
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, k.close()) })
	outputs := i.outputs(t)
	address := netip.MustParseAddr(outputs.DNSRecords[0].Data)
	options := check.Options{Outputs: outputs, Kubectl: k.program, Network: google(t, publicHost, address), Patience: 3 * time.Minute}
	here := map[string]check.Verdict{
		"name": check.OK, "certificate": check.OK, "login": check.OK, "page": check.OK, "conversation": check.OK, "sandbox": check.Failed, "command": check.OK,
		"metadata": check.OK, "database": check.Failed, "neighbour": check.Failed, "bucket": check.OK, "removed": check.OK,
	}
	leavesNothing := func(t *testing.T) {
		list := s.must(t, 200, http.MethodGet, "/api/conversations", nil)
		assert.JSONEq(t, `{"results":[],"next_page_id":null}`, list)
		for _, name := range i.objects(t) {
			assert.False(t, strings.HasPrefix(name, "sessions/"), name)
		}
		names, err := i.sandboxObjects(t.Context(), "")
		assert.NoError(t, err)
		assert.Empty(t, names)
	}
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"before anybody has entered a model", func(t *testing.T) {
			verdicts, found := stations(t, options)
			assert.Equal(t, here, verdicts)
			assert.Contains(t, found["conversation"], "with a stub model")
			assert.Contains(t, found["sandbox"], "the kernel inside does not say that it is gVisor")
			assert.Contains(t, found["database"], "the sandbox REACHES the database (10.")
			assert.Contains(t, found["neighbour"], "the sandbox REACHES")
			assert.Contains(t, found["bucket"], "gs://"+outputs.BucketName+"/sessions/")
			s.must(t, 404, http.MethodGet, "/api/settings", nil)
			leavesNothing(t)
		}},
		{"what a check has left that was killed", func(t *testing.T) {
			// The script is left alone while the settings are the stub's, and the server's pod, in which it runs, ends at that moment.
			left := i.settings()
			left["llm_api_key"] = "openhands-check"
			s.must(t, 200, http.MethodPost, "/api/settings", left)
			started := map[string]string{}
			answer := s.must(t, 200, http.MethodPost, "/api/conversations", map[string]any{})
			require.NoError(t, json.Unmarshal([]byte(answer), &started))
			s.must(t, 200, http.MethodPatch, "/api/conversations/"+started["conversation_id"], map[string]any{"title": "openhands-check-0123456789ab"})
			i.has(t, started["conversation_id"], allObjects)
			verdicts, found := stations(t, options)
			assert.Equal(t, here, verdicts)
			assert.Contains(t, found["conversation"], "what an earlier check had left was removed")
			s.must(t, 404, http.MethodGet, "/api/settings", nil)
			leavesNothing(t)
		}},
		{"with somebody's model in the settings", func(t *testing.T) {
			settings := i.settings()
			settings["confirmation_mode"] = true
			s.must(t, 200, http.MethodPost, "/api/settings", settings)
			before, asked := i.object("settings.json"), len(i.model.seen())
			require.Contains(t, before, "key-of-a-person")
			verdicts, found := stations(t, options)
			assert.Equal(t, here, verdicts)
			assert.Contains(t, found["conversation"], "neither asked nor changed")
			assert.Equal(t, before, i.object("settings.json"))
			assert.Len(t, i.model.seen(), asked, "somebody's model was asked")
			assert.NotContains(t, fmt.Sprint(found), "key-of-a-person")
			leavesNothing(t)
		}},
		{"when it is interrupted", func(t *testing.T) {
			require.NoError(t, i.storage.empty())
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for len(i.objects(t)) < 3 && t.Context().Err() == nil {
					time.Sleep(50 * time.Millisecond)
				}
				cancel()
			}()
			results, err := check.Run(ctx, options, silent{})
			require.NoError(t, err)
			last := results[len(results)-1]
			assert.Equal(t, []any{"removed", check.OK}, []any{last.Station, last.Verdict}, last.Found)
			assert.False(t, check.Passed(results))
			s.must(t, 404, http.MethodGet, "/api/settings", nil)
			leavesNothing(t)
		}},
		{"when as many conversations run as may", func(t *testing.T) {
			s.must(t, 200, http.MethodPost, "/api/settings", i.settings())
			ids := []string{i.converse(t, s, workspace), i.converse(t, s, workspace)}
			verdicts, found := stations(t, options)
			assert.Equal(t, check.Skipped, verdicts["conversation"])
			assert.Contains(t, found["conversation"], "one more would close somebody's")
			for _, id := range ids {
				assert.Equal(t, "RUNNING", s.status(t, id))
			}
		}},
	} {
		if !t.Run(part.name, part.run) {
			t.Log(s.log.tail())
			break
		}
	}
}

// TestCheckAnInstance has `make check` walk to the real Agent Canvas of a stack of instances.
func TestCheckAnInstance(t *testing.T) {
	i := theInstance(t)
	require.NoError(t, os.RemoveAll(i.kept))
	s := i.starts(t, nil)
	defer func() { require.NoError(t, s.kill()) }()
	s.profile(t, i.model.address)
	settings := func(t *testing.T) string {
		all := s.must(t, http.StatusOK, http.MethodGet, "/api/settings", nil, "X-Expose-Secrets", "plaintext")
		return regexp.MustCompile(`"current_datetime":"[^"]+"`).ReplaceAllString(all, "")
	}
	before := settings(t)
	k, err := startKubectl(i.dir, i.admin.CoreV1().RESTClient(), nil, func(ctx context.Context, namespace, workload string) (*box, error) {
		if namespace != instanceNamespace || workload != "pod/alice-0" {
			return nil, fmt.Errorf("no pod of %s/%s", namespace, workload)
		}
		return i.box(ctx)
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, k.close()) })
	outputs := i.outputs(t)
	address := netip.MustParseAddr(outputs.DNSRecords[0].Data)
	options := check.Options{
		Outputs: outputs, Instance: "alice", Kubectl: k.program, Network: google(t, "*."+publicHost, address), Patience: 2 * time.Minute,
	}
	leavesNothing := func(t *testing.T) {
		assert.NotContains(t, s.must(t, http.StatusOK, http.MethodGet, "/api/conversations/search", nil), "openhandscheck")
		assert.Empty(t, s.run(t, "ls ~/workspace | grep openhands-check || true"))
		assert.Equal(t, before, settings(t))
		assert.Empty(t, i.model.seen(), "somebody's model was asked")
	}
	verdicts, found := stations(t, options)
	assert.Equal(t, map[string]check.Verdict{
		"name": check.OK, "certificate": check.OK, "login": check.OK, "page": check.Skipped, "conversation": check.OK, "sandbox": check.Failed,
		"command": check.OK, "metadata": check.OK, "neighbour": check.Failed, "volume": check.OK, "removed": check.OK,
	}, verdicts)
	assert.Contains(t, found["sandbox"], "pod alice-0 has the RuntimeClass gvisor, and the kernel inside does not say that it is gVisor")
	assert.Contains(t, found["volume"], "on the volume at /home/openhands/workspace")
	leavesNothing(t)

	// Another check was killed, and with it the script in the container.
	s.must(t, http.StatusCreated, http.MethodPost, "/api/conversations", map[string]any{
		"agent":     map[string]any{"kind": "Agent", "llm": map[string]any{"usage_id": "x", "model": "openai/gpt-4o", "api_key": "x"}, "tools": []any{}},
		"workspace": map[string]any{"working_dir": "/home/openhands/workspace/openhands-check-0123456789ab"}, "tags": map[string]any{"openhandscheck": "true"},
	})
	s.run(t, "mkdir -p ~/workspace/openhands-check-0123456789ab")
	_, found = stations(t, options)
	assert.Contains(t, found["conversation"], "what an earlier check had left was removed")
	leavesNothing(t)
}

// TestCheckAMachine has `make check` walk to Agent Canvas as a single machine starts it.
func TestCheckAMachine(t *testing.T) {
	d := stand(t, machineStackFile, func(ctx context.Context, t *tools) (*deployment, error) {
		return deployMachine(ctx, t, machineStackFile)
	})
	i, err := d.machine(t.Context())
	require.NoError(t, err)
	s := i.starts(t, nil)
	defer func() { require.NoError(t, s.kill()) }()
	tunnel := func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", i.port))
	}
	k, err := startKubectl(i.dir, nil, tunnel, func(ctx context.Context, _, _ string) (*box, error) { return i.box(ctx) })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, k.close()) })
	verdicts, found := stations(t, check.Options{Outputs: d.outputs(t), Gcloud: k.program, Patience: 2 * time.Minute})
	assert.Equal(t, map[string]check.Verdict{
		"page": check.OK, "conversation": check.OK, "sandbox": check.Skipped, "command": check.OK, "metadata": check.OK, "volume": check.OK,
		"removed": check.OK,
	}, verdicts, found)
}
