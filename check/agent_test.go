package check

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// saying is an agent in whose place a shell gives answers, one for each question.
func saying(t *testing.T, answers ...string) *agent {
	t.Helper()
	lines := []string{"read -r script", "read -r settings", `echo 'a line of the image'`, `echo '{"model": "http://127.0.0.1:1/v1"}'`}
	for _, a := range answers {
		lines = append(lines, "read -r question", "echo '"+a+"'")
	}
	a, err := startAgent(exec.Command("sh", "-c", strings.Join(append(lines, "cat >/dev/null"), "\n")), map[string]any{"mark": "m"})
	require.NoError(t, err)
	t.Cleanup(a.stop)
	return a
}

// TestWhatTheScriptFinds has the stations fail that go by what the script in the container says.
func TestWhatTheScriptFinds(t *testing.T) {
	outputs := exposed
	outputs.BucketName = "files"
	server := func(t *testing.T, answers ...string) *serverConversation {
		return &serverConversation{walk: newWalk(t, Options{Outputs: outputs}), agent: saying(t, answers...), id: "0123", report: report{dir: "/workspace"}}
	}
	instance := func(t *testing.T, answers ...string) *instanceConversation {
		return &instanceConversation{
			walk: newWalk(t, Options{Outputs: outputs}), agent: saying(t, answers...), id: "0123", kept: []string{"/home/openhands/workspace"},
			report: report{dir: "/home/openhands/workspace/x"},
		}
	}
	for name, c := range map[string]struct {
		visit func(*testing.T) (string, error)
		found string
		fails string
	}{
		"bucket": {func(t *testing.T) (string, error) {
			return server(t, `{"objects": 9, "proof": "sessions/0123/events/8.json"}`).bucket()
		}, "gs://files/sessions/0123/events/8.json", ""},
		"bucket without the events": {func(t *testing.T) (string, error) {
			return server(t, `{"objects": 0}`).bucket()
		}, "", "the bucket files has 0 events of the conversation, and none with what the command printed: it is lost at the next restart"},
		"volume": {func(t *testing.T) (string, error) {
			return instance(t, `{"found": true, "mount": "/home/openhands/workspace"}`).volume()
		}, "the command's file is at /home/openhands/workspace/x/openhands-check.txt, on the volume at /home/openhands/workspace", ""},
		"volume that is none": {func(t *testing.T) (string, error) {
			return instance(t, `{"found": true, "mount": "/home/openhands"}`).volume()
		}, "", "is on what is mounted at /home/openhands, which ends with the container, and not on the volume (/home/openhands/workspace)"},
		"volume with another file": {func(t *testing.T) (string, error) {
			return instance(t, `{"found": false, "mount": "/home/openhands/workspace"}`).volume()
		}, "", "does not have what the command wrote"},
		"volume without the file": {func(t *testing.T) (string, error) {
			return instance(t, `{"error": "FileNotFoundError: no such file"}`).volume()
		}, "", "cannot be read: FileNotFoundError"},
		"removed": {func(t *testing.T) (string, error) {
			return instance(t, `{"removed": 2}`, `{"status": 404}`).remove()
		}, "the conversation and its files", ""},
		"removed, and still there": {func(t *testing.T) (string, error) {
			return instance(t, `{"removed": 0}`, `{"status": 200}`).remove()
		}, "", "not all was removed: conversation 0123 answers 200"},
		"removed, with an error": {func(t *testing.T) (string, error) {
			return server(t, `{"error": "Forbidden: 403"}`).remove(t.Context())
		}, "", "not all was removed: Forbidden: 403"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := c.visit(t)
			if c.fails != "" {
				assert.ErrorContains(t, err, c.fails)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.found, found)
		})
	}
}

// TestACommandThatDoesNotRun has the conversation end before its command, or not at all.
func TestACommandThatDoesNotRun(t *testing.T) {
	kubectl := filepath.Join(t.TempDir(), "kubectl")
	pods := `{"items": [{"metadata": {"name": "openhands-runtime-0123"}, "status": {"phase": "Pending"}}]}`
	require.NoError(t, os.WriteFile(kubectl, []byte("#!/bin/sh\necho '"+pods+"'\n"), 0o755))
	for name, c := range map[string]struct{ events, fails string }{
		"an error of the agent": {
			`{"events": [{"observation": "agent_state_changed", "extras": {"agent_state": "error", "reason": "STATUS$ERROR_RUNTIME_DISCONNECTED"}}]}`,
			`the agent is in the state "error", and its command has not come to an end: STATUS$ERROR_RUNTIME_DISCONNECTED`,
		},
		"no node": {`{"events": []}`, "the agent has not run its command within 1ms: its pod openhands-runtime-0123 is pending"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "/api/conversations/0123/events", r.URL.Path)
				_, _ = io.WriteString(w, c.events) // the test sees that it is missing
			}))
			defer server.Close()
			w := newWalk(t, Options{Outputs: exposed, Kubectl: kubectl, Patience: time.Millisecond})
			w.cluster = &cluster{program: kubectl}
			conversation := &serverConversation{walk: w, id: "0123", api: server.URL, namespace: "openhands-sandboxes"}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			assert.EqualError(t, conversation.await(ctx), c.fails)
		})
	}
}

// TestAnAgentThatEnds says why.
func TestAnAgentThatEnds(t *testing.T) {
	_, err := startAgent(exec.Command("sh", "-c", `echo 'pods "a" is forbidden' >&2; exit 1`), nil)
	assert.EqualError(t, err, `sh: pods "a" is forbidden`)
	a := saying(t)
	var answer struct{}
	assert.Error(t, a.ask(map[string]any{"do": "x"}, &answer, 100*time.Millisecond), "nobody answers")
	// What is sent first is the script itself.
	raw, err := json.Marshal(script)
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "\n")
}
