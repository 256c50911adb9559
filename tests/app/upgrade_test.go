package app

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	table "openhands-gcp/release"
)

// serverStack is a stack file of a release of the server.
func serverStack(r table.Release) string {
	file := stackFile + "  openhands:app:\n    release: " + r.Version + "\n"
	if r.Runtimes[0] == table.Remote {
		file = strings.Replace(remoteStackFile, "release: 1.11.0", "release: "+r.Version, 1)
	}
	return file
}

// canvasStack is a stack file of a release of Agent Canvas.
func canvasStack(r table.Release) string {
	return strings.Replace(teamStackFile, "line: canvas", "line: canvas\n    release: "+r.Version, 1)
}

// restart gives the stack another stack file as somebody does who has restored the data: what runs is deleted first.
func (d *deployment) restart(ctx context.Context, file string) error {
	for _, workload := range []string{"**Deployment::" + application, "**StatefulSet::*"} {
		if _, err := d.engine.Run(ctx, "destroy", "--yes", "--skip-preview", "--target", workload, "--target-dependents"); err != nil {
			return err
		}
	}
	return d.change(ctx, file)
}

// TestReleasesOfTheServer goes every way of the table from one release to another, with what a person has saved: forward, and back where nothing was migrated.
// Where something was, the update is refused, and so is the start.
func TestReleasesOfTheServer(t *testing.T) {
	i := theInstallation(t)
	t.Cleanup(func() {
		i.sweep(t)
		require.NoError(t, i.restart(context.Background(), stackFile))
	})
	for _, r := range table.Of(table.Server) {
		for _, from := range r.From {
			old, known := table.Find(table.Server, from)
			require.True(t, known)
			t.Run("from "+from+" to "+r.Version, func(t *testing.T) { i.upgrade(t, old, r) })
		}
	}
}

// upgrade goes from one release to another, and tries to go back.
func (i *installation) upgrade(t *testing.T, old, next table.Release) {
	i.sweep(t)
	require.NoError(t, i.restart(t.Context(), serverStack(old)))
	require.NoError(t, i.emptyDatabase(t.Context()))
	s := i.starts(t, nil)
	defer func() { require.NoError(t, s.kill()) }()
	i.isOf(t, s, old)
	s.must(t, http.StatusOK, http.MethodPost, settingsPath(old), i.settingsOf(old))
	i.knows(t, s, old)
	conversation, workspace := "", filepath.Join(i.dir, "workspace-"+old.Version)
	if next.Runtimes[0] == table.Kubernetes {
		actions, err := i.startActionServerOf(context.Background(), old.Version, workspace)
		require.NoError(t, err)
		defer func() { require.NoError(t, actions.kill()) }()
		conversation = i.converse(t, s, workspace)
	}

	s = i.replace(t, s, serverStack(next))
	i.isOf(t, s, next)
	if old.Runtimes[0] == next.Runtimes[0] {
		i.knows(t, s, next)
	} else {
		settings := s.must(t, http.StatusOK, http.MethodGet, settingsPath(next), nil)
		assert.Contains(t, settings, `"language":"en"`)
		assert.NotContains(t, settings, i.model.address, "the newer server does not take the model over: say otherwise in docs/upgrading.md")
	}
	if conversation != "" {
		assert.Contains(t, s.must(t, http.StatusOK, http.MethodGet, "/api/conversations", nil), conversation)
		i.resume(t, s, conversation, workspace) // its sandbox is still the older release's
	}

	if old.CheckFrom(next.Version) == nil {
		s.must(t, http.StatusOK, http.MethodPost, settingsPath(next), map[string]any{"language": "de"})
		s = i.replace(t, s, serverStack(old))
		i.isOf(t, s, old)
		i.knows(t, s, old)
		assert.Contains(t, s.must(t, http.StatusOK, http.MethodGet, settingsPath(old), nil), `"language":"de"`)
		return
	}
	require.ErrorContains(t, i.change(t.Context(), serverStack(old)), "there is no way back: write openhands:app.release: "+next.Version)
	require.NoError(t, s.kill())
	// Somebody has deleted what runs, and has not restored the database.
	require.NoError(t, i.restart(t.Context(), serverStack(old)))
	refused, err := i.startServer(context.Background(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, refused.kill()) }()
	require.ErrorContains(t, refused.await(), "the server has ended")
	assert.Contains(t, refused.log.String(), "is at revision "+next.Schema+", which this release of OpenHands does not know")
	i.isAt(t, next)
}

// replace stops the server, gives the stack another stack file, and starts what it describes then. In a cluster, the image is pulled in between.
func (i *installation) replace(t *testing.T, s *server, file string) *server {
	t.Helper()
	begun := time.Now()
	stopped, byItself, err := s.stop(s.grace())
	require.NoError(t, err)
	assert.True(t, byItself, "it ends within its grace period")
	updated := time.Now()
	require.NoError(t, i.change(t.Context(), file))
	update := time.Since(updated)
	next := i.starts(t, nil)
	t.Logf("away for %s: it stopped within %s, and the next release was ready after another %s", (time.Since(begun) - update).Round(time.Second/10),
		stopped.Round(time.Second/10), (time.Since(begun) - update - stopped).Round(time.Second/10))
	return next
}

// isOf fails unless a release runs, with its own migrations.
func (i *installation) isOf(t *testing.T, s *server, r table.Release) {
	t.Helper()
	assert.Equal(t, r.Version, release(s.template.Spec.Containers[0].Image))
	s.answersItsProbes(t)
	i.isAt(t, r)
}

// isAt fails unless the database is at the last migration of a release.
func (i *installation) isAt(t *testing.T, r table.Release) {
	t.Helper()
	revision, err := i.query(t.Context(), "SELECT version_num FROM alembic_version")
	require.NoError(t, err)
	assert.Equal(t, r.Schema, revision)
}

// settingsPath is where a release has what a person enters.
func settingsPath(r table.Release) string {
	if r.Runtimes[0] == table.Remote {
		return "/api/v1/settings"
	}
	return "/api/settings"
}

// settingsOf are the settings as a release takes them.
func (i *installation) settingsOf(r table.Release) map[string]any {
	if r.Runtimes[0] == table.Remote {
		return map[string]any{"language": "en", "agent_settings_diff": map[string]any{"llm": map[string]any{
			"model": "openai/gpt-4o", "api_key": "key-of-a-person", "base_url": i.model.address,
		}}}
	}
	return i.settings()
}

// knows fails unless the settings are there, and what is kept in the database can be listed.
func (i *installation) knows(t *testing.T, s *server, r table.Release) {
	t.Helper()
	settings := s.must(t, http.StatusOK, http.MethodGet, settingsPath(r), nil)
	assert.Contains(t, settings, i.model.address)
	if r.Runtimes[0] == table.Remote {
		s.must(t, http.StatusOK, http.MethodGet, "/api/v1/app-conversations/search", nil)
		return
	}
	s.must(t, http.StatusOK, http.MethodGet, "/api/conversations", nil)
}

// TestReleasesOfCanvas goes every way of the table with an instance: forward, where a person finds everything again.
func TestReleasesOfCanvas(t *testing.T) {
	i := theInstance(t)
	t.Cleanup(func() { require.NoError(t, i.restart(context.Background(), teamStackFile)) })
	for _, r := range table.Of(table.Canvas) {
		for _, from := range r.From {
			old, known := table.Find(table.Canvas, from)
			require.True(t, known)
			t.Run("from "+from+" to "+r.Version, func(t *testing.T) { upgradeInstance(t, i.deployment, old, r) })
		}
	}
}

func upgradeInstance(t *testing.T, d *deployment, old, next table.Release) {
	require.NoError(t, d.restart(t.Context(), canvasStack(old)))
	i, err := d.instance(t.Context(), "alice")
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(i.kept))
	s := i.starts(t, nil)
	defer func() { require.NoError(t, s.kill()) }()
	assert.Equal(t, old.Schema, i.migrated(t, s))
	s.must(t, http.StatusOK, http.MethodPut, "/api/settings/secrets", map[string]any{"name": "TOKEN", "value": "a-secret-of-alice"})
	s.profile(t, i.model.address)
	tree := s.workTree(t)
	s.run(t, "echo work > "+tree+"/work.txt")
	s.must(t, http.StatusCreated, http.MethodPost, "/api/automation/v1/preset/prompt", map[string]any{
		"name": "weekly", "prompt": "Say hello.", "trigger": map[string]any{"type": "cron", "schedule": "0 9 * * 1"},
	})
	conversations := s.conversations(t)
	require.NotEmpty(t, conversations)

	begun := time.Now()
	i.stops(t, s)
	stopped := time.Since(begun)
	require.NoError(t, d.change(t.Context(), canvasStack(next)))
	i, err = d.instance(t.Context(), "alice")
	require.NoError(t, err)
	begun = time.Now()
	s = i.starts(t, nil)
	t.Logf("away for %s", (stopped + time.Since(begun)).Round(time.Second/10))
	assert.Equal(t, next.Schema, i.migrated(t, s))
	assert.Equal(t, "a-secret-of-alice", s.must(t, http.StatusOK, http.MethodGet, "/api/settings/secrets/TOKEN", nil))
	assert.Contains(t, s.must(t, http.StatusOK, http.MethodGet, "/api/profiles/default", nil, "X-Expose-Secrets", "plaintext"), "key-of-a-person")
	assert.Equal(t, "work", s.run(t, "cat "+tree+"/work.txt"))
	assert.Equal(t, conversations, s.conversations(t))
	assert.Contains(t, s.must(t, http.StatusOK, http.MethodGet, "/api/automation/v1", nil), "weekly")
	require.NotEqual(t, old.Schema, next.Schema, "say in this test how one goes back")
	require.ErrorContains(t, d.change(t.Context(), canvasStack(old)), "there is no way back: write openhands:app.release: "+next.Version)
}

// migrated is the last migration of the instance's automations.
func (i *instance) migrated(t *testing.T, s *startedInstance) string {
	t.Helper()
	s.must(t, http.StatusOK, http.MethodGet, "/api/automation/health", nil)
	return s.run(t, `python3 -c 'import sqlite3, os
print(sqlite3.connect(os.path.expanduser("~/.openhands/automation/automations.db")).execute("SELECT version_num FROM alembic_version").fetchone()[0])'`)
}

// conversations are the ids of those that a person sees.
func (s *startedInstance) conversations(t *testing.T) (ids []string) {
	t.Helper()
	var found struct{ Items []struct{ ID string } }
	answer := s.must(t, http.StatusOK, http.MethodGet, "/api/conversations/search", nil)
	require.NoError(t, json.Unmarshal([]byte(answer), &found), answer)
	for _, item := range found.Items {
		ids = append(ids, item.ID)
	}
	return ids
}
