package app

import (
	"context"
	"encoding/json"
	"flag"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
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
	d := stand(t, teamStackFile, func(ctx context.Context, t *tools) (*deployment, error) {
		return deployOnCluster(ctx, t, teamStackFile)
	})
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
	took, byItself, err := s.stop(i.grace)
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

// profile has the default agent use a model.
func (s *startedInstance) profile(t *testing.T, model string) {
	t.Helper()
	s.must(t, http.StatusCreated, http.MethodPost, "/api/profiles/default", map[string]any{
		"llm": map[string]any{"model": "openai/gpt-4o", "base_url": model, "api_key": "key-of-a-person"}, "include_secrets": true,
	})
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

// visit is a browser that has logged in, in front of the load balancer and the door.
func (i *instance) visit(t *testing.T) *browser {
	t.Helper()
	world := newDoorWorldOf(t, i.deployment)
	d := world.start(t, world.deployed)
	balancer, err := startLoadBalancer(publicHost, d.loadBalancer, func() (string, error) { return world.google.sign(claims(nil)) })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, balancer.close()) })
	b, err := startBrowser(publicHost, browserAddress)
	require.NoError(t, err)
	t.Cleanup(b.close)
	return b
}

// onboards are the steps of a person who opens the page for the first time, enters the model, and has a conversation.
func (i *instance) onboards(b *browser) []func() error {
	return []func() error{
		func() error { return b.open("https://" + i.name + "." + publicHost + "/") },
		func() error { return b.await("Help improve OpenHands") }, // although no telemetry is sent
		func() error { return b.click(`input[type=checkbox]`) },
		func() error { return b.click(`//button[text()='Confirm preferences']`) },
		func() error { return b.click(`[data-testid=onboarding-agent-next]`) },
		func() error { return b.click(`[data-testid=sdk-section-advanced-toggle]`) },
		func() error { return b.enter(`[data-testid=llm-custom-model-input]`, "openai/gpt-4o") },
		func() error { return b.enter(`[data-testid=base-url-input]`, i.model.address) },
		func() error { return b.enter(`[data-testid=llm-api-key-input]`, "key-of-a-person") },
		func() error { return shot(b, "canvas-model") },
		func() error { return b.click(`[data-testid=onboarding-llm-next]`) },
		func() error { return b.enter(`[data-testid=onboarding-hello-input]`, "What is forty and two?") },
		func() error { return b.click(`[data-testid=submit-button]`) },
		func() error { return b.await("That is all.") },
		func() error { return b.click(`//*[starts-with(text(), 'Ran')]/following::*[name() = 'svg'][1]`) },
		func() error { return b.await(modelProof) },
		func() error { return shot(b, "canvas") },
		func() error { return b.enter(`[data-testid=chat-input]`, longMessage) },
		func() error { return b.click(`[data-testid=submit-button]`) },
		func() error { return b.await(longCommand) },
	}
}

// shot leaves a picture of the page, where it is wanted.
func shot(b *browser, name string) error {
	if *pictures == "" {
		return nil
	}
	picture, err := b.picture()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(*pictures, name+".png"), picture, 0o644)
}

// encrypted is what the instance makes of a secret.
var encrypted = regexp.MustCompile(`gAAAA[\w=-]+`)

// storedSecrets are those of settings and secrets on the volume, as they are encrypted.
func (i *instance) storedSecrets(t *testing.T) (secrets []string) {
	t.Helper()
	for _, file := range []string{"settings.json", "secrets.json"} {
		raw, err := os.ReadFile(filepath.Join(i.kept, ".openhands", file))
		require.NoError(t, err)
		secrets = append(secrets, encrypted.FindAllString(string(raw), -1)...)
	}
	return secrets
}

// TestCanvas is the life of an instance of Agent Canvas: it starts on an empty volume, a person works in its page, its pod is stopped and comes back. Each
// part needs those before it.
func TestCanvas(t *testing.T) {
	i := theInstance(t)
	require.NoError(t, os.RemoveAll(i.kept))
	var s *startedInstance
	defer func() { require.NoError(t, s.kill()) }()
	var tree string
	b := i.visit(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"starts on an empty volume", func(t *testing.T) {
			s = i.starts(t, nil)
			s.must(t, http.StatusOK, http.MethodGet, "/api/automation/health", nil)
		}},
		{"lets in who has the key", func(t *testing.T) {
			for _, path := range []string{"/api/settings", "/api/conversations/search", "/api/settings/secrets", "/api/automation/v1"} {
				s.must(t, http.StatusUnauthorized, http.MethodGet, path, nil, "X-Session-API-Key", "")
				s.must(t, http.StatusUnauthorized, http.MethodGet, path, nil, "X-Session-API-Key", "another")
				s.must(t, http.StatusOK, http.MethodGet, path, nil)
			}
			assert.Contains(t, s.must(t, http.StatusOK, http.MethodGet, "/", nil, "X-Session-API-Key", ""), s.key, "who can load the page has the key")
		}},
		{"works in a browser, through the door", func(t *testing.T) {
			for _, step := range i.onboards(b) {
				require.NoError(t, step())
			}
			assert.Equal(t, modelProof, s.run(t, "cat ~/workspace/project/*/proof.txt"))
			host := i.name + "." + publicHost
			for _, socket := range b.sockets {
				assert.True(t, strings.HasPrefix(socket, "wss://"+host+"/sockets/"), socket)
			}
			assert.NotEmpty(t, b.sockets)
			assert.Empty(t, b.refused)
			// Fonts, icons and the question for a newer version come from strangers; the page works without them. No telemetry.
			assert.Subset(t, []string{host, "cdn.simpleicons.org", "fonts.googleapis.com", "registry.npmjs.org"}, slices.Collect(maps.Keys(b.hosts)))
		}},
		{"keeps secrets", func(t *testing.T) {
			s.must(t, http.StatusOK, http.MethodPut, "/api/settings/secrets", map[string]any{"name": "TOKEN", "value": "a-secret-of-alice"})
		}},
		{"keeps work trees on the volume", func(t *testing.T) {
			s.profile(t, i.model.address)
			tree = s.workTree(t)
			assert.True(t, strings.HasPrefix(tree, "/home/openhands/workspace/.worktrees/"), tree)
			s.run(t, "echo work > "+tree+"/work.txt")
		}},
		{"stops while a command runs", func(t *testing.T) { i.stops(t, s) }},
		{"knows what it knew", func(t *testing.T) {
			s = i.starts(t, nil)
			assert.Equal(t, "a-secret-of-alice", s.must(t, http.StatusOK, http.MethodGet, "/api/settings/secrets/TOKEN", nil))
			assert.Contains(t, s.must(t, http.StatusOK, http.MethodGet, "/api/settings", nil, "X-Expose-Secrets", "plaintext"), "key-of-a-person")
			assert.Equal(t, "work", s.run(t, "cat "+tree+"/work.txt"))
			address, err := b.address()
			require.NoError(t, err)
			require.NoError(t, b.open(address))
			require.NoError(t, b.await("That is all."))
		}},
		{"needs no other place to write to", func(t *testing.T) {
			assert.NotContains(t, s.log.String(), "Read-only file system")
			assert.NotContains(t, s.log.String(), "No space left")
		}},
		{"loses its secrets under another key", func(t *testing.T) {
			i.stops(t, s)
			s = i.starts(t, with(map[string]string{"OH_SECRET_KEY": "another"}))
			before := i.storedSecrets(t)
			require.NotEmpty(t, before)
			s.must(t, http.StatusNotFound, http.MethodGet, "/api/settings/secrets/TOKEN", nil)
			assert.Subset(t, i.storedSecrets(t), before, "so far they are only not read")
			s.must(t, http.StatusOK, http.MethodPut, "/api/settings/secrets", map[string]any{"name": "OTHER", "value": "another"})
			s.must(t, http.StatusOK, http.MethodPatch, "/api/settings", map[string]any{"agent_settings_diff": map[string]any{"agent_kind": "openhands"}})
			after := i.storedSecrets(t)
			for _, secret := range before {
				assert.NotContains(t, after, secret)
			}
		}},
	} {
		if !t.Run(part.name, part.run) {
			t.Log(s.log.tail())
			break
		}
	}
}

// TestCanvasOnAMachine starts Agent Canvas as the units of a single machine do.
func TestCanvasOnAMachine(t *testing.T) {
	d := stand(t, machineStackFile, func(ctx context.Context, t *tools) (*deployment, error) {
		return deployMachine(ctx, t, machineStackFile)
	})
	i, err := d.machine(t.Context())
	require.NoError(t, err)
	s := i.starts(t, nil)
	defer func() { require.NoError(t, s.kill()) }()
	s.must(t, http.StatusUnauthorized, http.MethodGet, "/api/settings", nil, "X-Session-API-Key", "")
	s.must(t, http.StatusOK, http.MethodPut, "/api/settings/secrets", map[string]any{"name": "TOKEN", "value": "a-secret-of-ann"})
	s.profile(t, i.model.address)
	tree := s.workTree(t)
	s.run(t, "echo work > "+tree+"/work.txt")
	i.stops(t, s)
	s = i.starts(t, nil)
	assert.Equal(t, "a-secret-of-ann", s.must(t, http.StatusOK, http.MethodGet, "/api/settings/secrets/TOKEN", nil))
	assert.Equal(t, "work", s.run(t, "cat "+tree+"/work.txt"))
	assert.NotContains(t, s.log.String(), "Read-only file system")
	assert.NoFileExists(t, filepath.Join(i.kept, ".openhands", "agent-canvas", "secret-key.txt"), "the machine has made the key")
}

// facts are what can be seen of a started instance. What it asks for outside of the cluster, it does when somebody consents to telemetry, and has a
// conversation and an automation.
func (i *instance) facts(t *testing.T, s *startedInstance) map[string]any {
	t.Helper()
	page := s.must(t, http.StatusOK, http.MethodGet, "/", nil)
	status, _, err := s.call(http.MethodGet, "/api/settings", nil)
	require.NoError(t, err)
	if status == http.StatusUnauthorized { // the page has the other key
		_, after, _ := strings.Cut(page, `__AGENT_CANVAS_SESSION_API_KEY__="`)
		s.key, _, _ = strings.Cut(after, `"`)
	}
	s.must(t, http.StatusOK, http.MethodPatch, "/api/settings", map[string]any{
		"misc_settings_diff": map[string]any{"app_preferences": map[string]any{"user_consents_to_analytics": true}},
	})
	s.must(t, http.StatusOK, http.MethodPost, "/api/automation/v1/telemetry/consent", map[string]any{"consent_granted": true, "frontend_distinct_id": "x"})
	s.profile(t, i.model.address)
	tree := s.workTree(t)
	s.must(t, http.StatusCreated, http.MethodPost, "/api/automation/v1/preset/prompt", map[string]any{
		"name": "weekly", "prompt": "Say hello.", "trigger": map[string]any{"type": "cron", "schedule": "0 9 * * 1"},
	})
	editor := s.must(t, http.StatusOK, http.MethodGet, "/api/vscode/status", nil)
	require.NoError(t, s.kill())
	return map[string]any{
		"the key of the Secret opens it": status == http.StatusOK,
		"the page sends no telemetry":    strings.Contains(page, "__AGENT_CANVAS_DO_NOT_TRACK__=true"),
		"the editor is off":              strings.Contains(editor, `"enabled":false`),
		"work trees":                     path.Dir(path.Dir(tree)),
		"strangers":                      strings.Join(i.dns.strangers(), " "),
	}
}

// withoutVariable is what changes in an instance without one of its variables. Those that change nothing stay: another release may need them.
var withoutVariable = map[string]map[string]any{
	"HOME":                           nil, // it does not start
	"LOCAL_BACKEND_API_KEY":          {"the key of the Secret opens it": false},
	"OH_CONVERSATION_WORKTREE_ROOT":  {"work trees": "/tmp/conversation-worktrees"}, // which end with the pod
	"OH_ENABLE_VSCODE":               {"the editor is off": false},
	"AGENT_CANVAS_DISABLE_TELEMETRY": {"the page sends no telemetry": false},
	"VITE_DO_NOT_TRACK":              {"strangers": "github.com us.i.posthog.com"},
	"LITELLM_LOCAL_MODEL_COST_MAP":   {"strangers": "github.com raw.githubusercontent.com"},
	"DO_NOT_TRACK":                   {}, // the image sets it where VITE_DO_NOT_TRACK is set
	"LOG_JSON":                       {}, // the image sets it
	"OH_ENABLE_VNC":                  {}, // this release has no desktop
}

// TestCanvasWithoutAVariable takes each variable in turn from an instance, and looks for what that changes.
func TestCanvasWithoutAVariable(t *testing.T) {
	i := theInstance(t)
	container, err := i.container(t.Context(), t.TempDir())
	require.NoError(t, err)
	for name := range withoutVariable {
		assert.Contains(t, container.env, name)
	}
	for name := range container.env {
		_, expected := withoutVariable[name]
		_, ofImage := canvasImage[name]
		assert.True(t, expected || ofImage, "%s: what is it for?", name)
	}
	without := func(t *testing.T, name string) map[string]any {
		require.NoError(t, os.RemoveAll(i.kept))
		i.dns.strangers()
		s, err := i.start(context.Background(), func(b *box) {
			delete(b.env, name)
			if value, found := canvasImage[name]; found {
				b.env[name] = value
			}
		})
		if err != nil {
			t.Logf("%.300s", err)
			return nil
		}
		defer func() { require.NoError(t, s.kill()) }()
		return i.facts(t, s)
	}
	complete := without(t, "")
	require.Equal(t, map[string]any{
		"the key of the Secret opens it": true, "the page sends no telemetry": true, "the editor is off": true,
		"work trees": "/home/openhands/workspace/.worktrees", "strangers": "github.com",
	}, complete)
	for _, name := range slices.Sorted(maps.Keys(withoutVariable)) {
		t.Run(name, func(t *testing.T) {
			if value, found := canvasImage[name]; found && value == container.env[name] {
				assert.Empty(t, withoutVariable[name], "the image has the same")
				return
			}
			var expected map[string]any
			if changes := withoutVariable[name]; changes != nil {
				expected = maps.Clone(complete)
				maps.Copy(expected, changes)
			}
			assert.Equal(t, expected, without(t, name))
		})
	}
}
