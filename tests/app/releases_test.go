package app

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheNewerRelease updates the stack to the release with a remote runtime, as its owner would, and starts it on an empty database. On that of older
// releases: TestReleasesOfTheServer.
func TestTheNewerRelease(t *testing.T) {
	i := theInstallation(t)
	require.NoError(t, i.change(t.Context(), remoteStackFile))
	t.Cleanup(func() {
		require.NoError(t, i.restart(context.Background(), stackFile))
		require.NoError(t, i.storage.empty())
	})
	t.Run("its settings tell nothing of the server", func(t *testing.T) { i.tellsNothing(t) })
	t.Run("starts on an empty database", func(t *testing.T) {
		require.NoError(t, i.emptyDatabase(t.Context()))
		s := i.starts(t, nil)
		defer func() { require.NoError(t, s.kill()) }()
		s.answersItsProbes(t)
		revision, err := i.query(t.Context(), "SELECT version_num FROM alembic_version")
		require.NoError(t, err)
		assert.Equal(t, "014", revision)
		s.must(t, http.StatusOK, http.MethodGet, "/api/v1/app-conversations/search", nil)
		s.must(t, http.StatusNotFound, http.MethodGet, "/api/v1/settings", nil)
		s.must(t, http.StatusOK, http.MethodPost, "/api/v1/settings", map[string]any{"language": "de"})
		assert.Contains(t, i.objects(t), "settings.json")
		written, err := filepath.Glob(filepath.Join(s.volume("state"), "*"))
		require.NoError(t, err)
		assert.Empty(t, written, "the state path")
		took, byItself, err := s.stop(s.grace())
		require.NoError(t, err)
		assert.True(t, byItself)
		t.Logf("stopped after %s", took)
		assertSeverities(t, s)
	})
	t.Run("keeps events in the bucket", func(t *testing.T) {
		output, err := i.runPython(t.Context(), `
import asyncio, uuid
from openhands.app_server.config import get_event_service
from openhands.app_server.services.injector import InjectorState
from openhands.app_server.user.specifiy_user_context import ADMIN, USER_CONTEXT_ATTR
from openhands.sdk.event import PauseEvent
async def main():
    state = InjectorState()
    setattr(state, USER_CONTEXT_ATTR, ADMIN)
    async with get_event_service(state) as events:
        await events.save_event(uuid.UUID(int=7), PauseEvent())
asyncio.run(main())
`)
		require.NoError(t, err, output)
		assert.True(t, strings.Contains(strings.Join(i.objects(t), "\n"), "00000000000000000000000000000007"), "%s", i.objects(t))
	})
}
