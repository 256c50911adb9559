package app

import (
	"context"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// imageCommand is how the image's own entrypoint starts the server, as far as a container without root can.
var imageCommand = []string{"python", "-m", "openhands.server"}

// without takes variables from the server's own; those of the image come back.
func without(names ...string) func(*box) {
	return func(b *box) {
		for _, name := range names {
			delete(b.env, name)
			if value, found := imageEnvironment[name]; found {
				b.env[name] = value
			}
		}
	}
}

// both makes one change after the other.
func both(changes ...func(*box)) func(*box) {
	return func(b *box) {
		for _, change := range changes {
			change(b)
		}
	}
}

func withImageCommand(b *box) { b.command = imageCommand }

func with(variables map[string]string) func(*box) {
	return func(b *box) { maps.Copy(b.env, variables) }
}

// dies starts the server and returns its log when it has ended by itself.
func (i *installation) dies(t *testing.T, change func(*box)) string {
	t.Helper()
	s, err := i.startServer(t.Context(), change)
	require.NoError(t, err)
	select {
	case <-s.done:
	case <-time.After(2 * time.Minute):
		require.NoError(t, s.kill())
		t.Fatalf("the server goes on\n%s", s.log.tail())
	}
	assert.Error(t, s.err, "the exit code")
	return s.log.String()
}

// TestTheImagesOwnCommand shows why the launcher is there: each part is what happens without it.
func TestTheImagesOwnCommand(t *testing.T) {
	i := theInstallation(t)
	t.Run("dies of the sandbox kinds", func(t *testing.T) {
		assert.Contains(t, i.dies(t, withImageCommand), "ProcessSandboxServiceInjector")
	})
	t.Run("dies of its first migrations", func(t *testing.T) {
		require.NoError(t, i.emptyDatabase(t.Context()))
		log := i.dies(t, both(withImageCommand, without("OH_SANDBOX_KIND", "OH_SANDBOX_SPEC_KIND")))
		assert.Contains(t, log, `type \"eventcallbackstatus\" does not exist`)
	})
	t.Run("deletes a conversation's volume when it stops", func(t *testing.T) {
		t.Cleanup(func() { i.sweep(t) })
		require.NoError(t, i.emptyDatabase(t.Context()))
		require.NoError(t, i.starts(t, nil).kill()) // the tables
		workspace := filepath.Join(i.dir, "workspace-of-the-image")
		actions, err := i.startActionServer(context.Background(), workspace)
		require.NoError(t, err)
		defer func() { require.NoError(t, actions.kill()) }()
		s := i.starts(t, both(withImageCommand, without("OH_SANDBOX_KIND", "OH_SANDBOX_SPEC_KIND")))
		defer func() { require.NoError(t, s.kill()) }()
		s.must(t, http.StatusOK, http.MethodPost, "/api/settings", i.settings())
		status, answer, err := s.call(http.MethodGet, "/api/conversations", nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusInternalServerError, status, "without the kinds, the list of conversations: %s", answer)
		conversation := i.converse(t, s, workspace)
		_, _, err = s.stop(20 * time.Second)
		require.NoError(t, err)
		i.has(t, conversation, nil)
	})
}

// TestWithoutASetting shows what two settings are for.
func TestWithoutASetting(t *testing.T) {
	i := theInstallation(t)
	s := i.starts(t, without("ENABLE_V1", "FORWARDED_ALLOW_IPS"))
	defer func() { require.NoError(t, s.kill()) }()
	t.Run("FORWARDED_ALLOW_IPS", func(t *testing.T) {
		assert.Contains(t, s.burst(t, manyPeople), http.StatusTooManyRequests, "many people are one, the load balancer")
	})
	t.Run("ENABLE_V1", func(t *testing.T) {
		status, answer, err := s.call(http.MethodPost, "/api/v1/sandboxes", nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, status, answer)
		assert.Contains(t, s.log.String(), "agent_server", "a process in the server's own pod, with its environment")
	})
}

// TestTheGuidesEnvironment shows that the settings of other guides lose what people enter.
func TestTheGuidesEnvironment(t *testing.T) {
	i := theInstallation(t)
	for _, guide := range []struct {
		name   string
		change func(*box)
	}{
		{"FILE_STORE=gcs", with(map[string]string{"FILE_STORE": "gcs"})},
		{"GOOGLE_CLOUD_BUCKET_NAME", both(without("FILE_STORE_PATH"), with(map[string]string{"GOOGLE_CLOUD_BUCKET_NAME": i.storage.bucket}))},
	} {
		t.Run(guide.name, func(t *testing.T) {
			require.NoError(t, i.storage.empty())
			s, err := i.startServer(context.Background(), guide.change)
			require.NoError(t, err)
			defer func() { require.NoError(t, s.kill()) }()
			if err := s.await(); err != nil {
				t.Logf("the server does not come up: %.300s", strings.TrimSpace(err.Error()))
				return
			}
			status, answer, err := s.call(http.MethodPost, "/api/settings", i.settings())
			require.NoError(t, err)
			t.Logf("POST /api/settings: %d %.200s", status, answer)
			assert.Empty(t, i.objects(t), "nothing reaches the bucket")
			if status != http.StatusOK {
				return
			}
			require.NoError(t, s.kill())
			again := i.starts(t, guide.change)
			defer func() { require.NoError(t, again.kill()) }()
			again.must(t, http.StatusNotFound, http.MethodGet, "/api/settings", nil)
		})
	}
}
