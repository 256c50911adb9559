package app

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pictures is where the tests leave what the page looks like.
var pictures = flag.String("pictures", "", "directory for pictures of the page")

// theInstance returns alice's instance of the stack with instances of Agent Canvas.
func theInstance(t *testing.T) *instance {
	t.Helper()
	d := stand(t, teamStackFile, func(ctx context.Context, t *tools) (*deployment, error) { return deploy(ctx, t, teamStackFile) })
	i, err := d.instance(t.Context(), "alice")
	require.NoError(t, err)
	return i
}

// starts starts the instance, which the caller ends, and returns when it answers.
func (i *instance) starts(t *testing.T, change func(*box)) *startedInstance {
	t.Helper()
	begun := time.Now()
	s, err := i.start(context.Background(), change)
	require.NoError(t, err)
	t.Logf("started after %s", time.Since(begun).Round(time.Second/10))
	return s
}

// stops stops it within its grace period.
func (i *instance) stops(t *testing.T, s *startedInstance) {
	t.Helper()
	took, byItself, err := s.stop(time.Duration(*i.pod.TerminationGracePeriodSeconds) * time.Second)
	require.NoError(t, err)
	assert.True(t, byItself, "it ends within its grace period")
	t.Logf("stopped after %s", took.Round(time.Second/10))
}

// must makes a call that must succeed, and returns its answer.
func (s *startedInstance) must(t *testing.T, status int, method, path string, body any, header ...string) string {
	t.Helper()
	got, answer, err := s.call(method, path, body, header...)
	require.NoError(t, err)
	require.Equal(t, status, got, "%s %s: %s", method, path, answer)
	return answer
}

// run runs a command in the instance, and returns what it prints.
func (s *startedInstance) run(t *testing.T, command string) string {
	t.Helper()
	var result struct {
		ExitCode int `json:"exit_code"`
		Stdout   string
		Stderr   string
	}
	answer := s.must(t, http.StatusOK, http.MethodPost, "/api/bash/execute_bash_command", map[string]any{"command": command, "timeout": 60})
	require.NoError(t, json.Unmarshal([]byte(answer), &result), answer)
	require.Zero(t, result.ExitCode, "%s: %s", command, answer)
	return strings.TrimSpace(result.Stdout)
}

// workTree starts a conversation in a work tree of a repository, and returns its directory.
func (s *startedInstance) workTree(t *testing.T) string {
	t.Helper()
	s.run(t, `cd ~/workspace && { [ -d repository ] || git init -q repository; } && cd repository &&
		git -c user.name=alice -c user.email=alice@example.com commit -q --allow-empty -m first`)
	var profiles struct {
		Active string `json:"active_agent_profile_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(s.must(t, http.StatusOK, http.MethodGet, "/api/agent-profiles", nil)), &profiles))
	var conversation struct {
		Workspace struct {
			WorkingDir string `json:"working_dir"`
		}
	}
	answer := s.must(t, http.StatusCreated, http.MethodPost, "/api/conversations", map[string]any{
		"agent_profile_id": profiles.Active, "workspace": map[string]any{"working_dir": "/home/openhands/workspace/repository"}, "worktree": true,
	})
	require.NoError(t, json.Unmarshal([]byte(answer), &conversation), answer)
	return conversation.Workspace.WorkingDir
}

// onboards opens the page of the instance as a person does for the first time, enters the model, and has a conversation.
func (i *instance) onboards(t *testing.T) {
	t.Helper()
	world := newDoorWorldOf(t, i.deployment)
	d := world.start(t, world.deployed)
	balancer, err := startLoadBalancer(publicHost, d.loadBalancer, func() (string, error) { return world.google.sign(claims(nil)) })
	require.NoError(t, err)
	defer func() { require.NoError(t, balancer.close()) }()
	b, err := startBrowser(publicHost, browserAddress)
	require.NoError(t, err)
	defer b.close()
	const message = "What is forty and two?"
	for _, step := range []func() error{
		func() error { return b.open("https://" + i.name + "." + publicHost + "/") },
		func() error { return b.await("Help improve OpenHands") },
		func() error { return b.click(`input[type=checkbox]`) },
		func() error { return i.shot(b, "canvas-consent") },
		func() error { return b.click(`//button[text()='Confirm preferences']`) },
		func() error { return b.click(`[data-testid=onboarding-agent-next]`) },
		func() error { return b.click(`[data-testid=sdk-section-advanced-toggle]`) },
		func() error { return b.enter(`[data-testid=llm-custom-model-input]`, "openai/gpt-4o") },
		func() error { return b.enter(`[data-testid=base-url-input]`, i.model.address) },
		func() error { return b.enter(`[data-testid=llm-api-key-input]`, "key-of-a-person") },
		func() error { return i.shot(b, "canvas-model") },
		func() error { return b.click(`[data-testid=onboarding-llm-next]`) },
		func() error { return b.enter(`[data-testid=onboarding-hello-input]`, message) },
		func() error { return b.click(`[data-testid=submit-button]`) },
		func() error { return b.await("That is all.") },
		func() error { return b.click(`//*[starts-with(text(), 'Ran')]/following::*[name() = 'svg'][1]`) },
		func() error { return b.await(modelProof) },
		func() error { return i.shot(b, "canvas-conversation") },
	} {
		err := step()
		if err != nil {
			i.shot(b, "failed")
		}
		require.NoError(t, err)
	}
	t.Log(b.hosts, b.sockets, b.refused)
}

// shot leaves a picture of the page, where it is wanted.
func (i *instance) shot(b *browser, name string) error {
	if *pictures == "" {
		return nil
	}
	picture, err := b.picture()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(*pictures, name+".png"), picture, 0o644)
}

// TestCanvas is the life of an instance of Agent Canvas: it starts on an empty volume, a person works in its page, its pod is stopped and comes back. Each
// part needs those before it.
func TestCanvas(t *testing.T) {
	i := theInstance(t)
	var s *startedInstance
	t.Cleanup(func() { require.NoError(t, s.kill()) })
	var tree string
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"starts on an empty volume", func(t *testing.T) {
			s = i.starts(t, nil)
			for _, probe := range []string{i.pod.Containers[0].StartupProbe.HTTPGet.Path, "/ready", "/api/automation/health"} {
				s.must(t, http.StatusOK, http.MethodGet, probe, nil)
			}
		}},
		{"lets in who has the key", func(t *testing.T) {
			for _, path := range []string{"/api/settings", "/api/conversations/search", "/api/settings/secrets", "/api/automation/v1"} {
				s.must(t, http.StatusUnauthorized, http.MethodGet, path, nil, "X-Session-API-Key", "")
				s.must(t, http.StatusUnauthorized, http.MethodGet, path, nil, "X-Session-API-Key", "another")
				s.must(t, http.StatusOK, http.MethodGet, path, nil)
			}
			assert.Contains(t, s.must(t, http.StatusOK, http.MethodGet, "/", nil, "X-Session-API-Key", ""), s.key, "who can load the page has the key")
		}},
		{"works in a browser", func(t *testing.T) {
			i.onboards(t)
			assert.Equal(t, modelProof, s.run(t, "cat ~/workspace/project/*/proof.txt"))
		}},
		{"keeps secrets", func(t *testing.T) {
			s.must(t, http.StatusOK, http.MethodPut, "/api/settings/secrets", map[string]any{"name": "TOKEN", "value": "a-secret-of-alice"})
		}},
		{"keeps work trees on the volume", func(t *testing.T) {
			tree = s.workTree(t)
			assert.True(t, strings.HasPrefix(tree, "/home/openhands/workspace/.worktrees/"), tree)
			s.run(t, "echo work > "+tree+"/work.txt")
		}},
		{"stops", func(t *testing.T) { i.stops(t, s) }},
		{"knows what it knew", func(t *testing.T) {
			s = i.starts(t, nil)
			assert.Equal(t, "a-secret-of-alice", s.must(t, http.StatusOK, http.MethodGet, "/api/settings/secrets/TOKEN", nil))
			assert.Equal(t, "work", s.run(t, "cat "+tree+"/work.txt"))
		}},
		{"needs no other place to write to", func(t *testing.T) {
			for _, complaint := range []string{"Read-only file system", "Permission denied", "No space left"} {
				assert.NotContains(t, s.log.String(), complaint)
			}
		}},
		{"asks for no stranger", func(t *testing.T) { assert.Empty(t, i.dns.strangers()) }},
	} {
		if !t.Run(part.name, part.run) {
			t.Log(s.log.tail())
			break
		}
	}
}

// facts are what can be seen of a started instance.
func (i *instance) facts(t *testing.T, s *startedInstance) map[string]string {
	t.Helper()
	facts := map[string]string{}
	status, _, err := s.call(http.MethodGet, "/api/settings", nil)
	require.NoError(t, err)
	facts["key of the Secret"] = http.StatusText(status)
	page := s.must(t, http.StatusOK, http.MethodGet, "/", nil)
	facts["page tells"] = map[bool]string{false: "whom it likes", true: "nobody"}[strings.Contains(page, "__AGENT_CANVAS_DO_NOT_TRACK__=true")]
	if status != http.StatusOK {
		_, after, _ := strings.Cut(page, `__AGENT_CANVAS_SESSION_API_KEY__="`)
		s.key, _, _ = strings.Cut(after, `"`)
	}
	_, facts["editor"], err = s.call(http.MethodGet, "/api/vscode/status", nil)
	require.NoError(t, err)
	facts["work trees"], _, _ = strings.Cut(s.workTree(t), "/repository")
	facts["work trees"] = filepath.Dir(facts["work trees"])
	s.must(t, http.StatusOK, http.MethodPatch, "/api/settings", map[string]any{
		"misc_settings_diff": map[string]any{"app_preferences": map[string]any{"user_consents_to_analytics": true}, "telemetry": map[string]any{"consent": "granted"}},
	})
	_, answer, err := s.call(http.MethodPost, "/api/automation/v1/telemetry/consent", map[string]any{"consent_granted": true, "frontend_distinct_id": nil})
	t.Log(answer, err)
	s.workTree(t)
	i.stops(t, s)
	facts["hosts"] = strings.Join(i.dns.strangers(), " ")
	plain := 0
	for _, line := range strings.Split(s.log.String(), "\n") {
		if line != "" && !strings.HasPrefix(line, "{") {
			plain++
		}
	}
	facts["log"] = map[bool]string{false: "JSON", true: "plain"}[plain > 60]
	t.Log(plain)
	return facts
}

// TestCanvasWithoutAVariable takes each variable in turn from an instance.
func TestCanvasWithoutAVariable(t *testing.T) {
	i := theInstance(t)
	names := []string{""}
	for _, variable := range i.pod.Containers[0].Env {
		names = append(names, variable.Name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run("without "+name, func(t *testing.T) {
			require.NoError(t, os.RemoveAll(i.kept()))
			s, err := i.start(context.Background(), func(b *box) {
				delete(b.env, name)
				if value, found := canvasImage[name]; found {
					b.env[name] = value
				}
			})
			if err != nil {
				t.Log(err)
				return
			}
			defer func() { require.NoError(t, s.kill()) }()
			t.Log(i.facts(t, s))
		})
	}
}
