package app

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// settings are what a person enters in the web page.
func (i *installation) settings() map[string]any {
	return map[string]any{
		"llm_model": "openai/gpt-4o", "llm_api_key": "key-of-a-person", "llm_base_url": i.model.address, "agent": "CodeActAgent", "language": "en",
		"confirmation_mode": false, "enable_default_condenser": false,
	}
}

// TestTheServer is the life of an installation of the default release: it starts on an empty database, a person works with it, its pod is stopped and
// comes back. Each part needs those before it.
func TestTheServer(t *testing.T) {
	i := theInstallation(t)
	require.NoError(t, i.emptyDatabase(t.Context()))
	t.Cleanup(func() { i.sweep(t) })
	var s *server
	var first, second string
	workspace := filepath.Join(i.dir, "workspace")
	actions, err := i.startActionServer(context.Background(), workspace)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, actions.kill()) }) // the last that was started
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"starts on an empty database", func(t *testing.T) {
			s = i.starts(t, nil)
			s.answersItsProbes(t)
			assert.Equal(
				t, "<html><title>stub of the web page</title></html>", s.must(t, 200, http.MethodGet, "/ready", nil),
				"the page answers it: it proves nothing",
			)
			revision, err := i.query(t.Context(), "SELECT version_num FROM alembic_version")
			require.NoError(t, err)
			assert.Equal(t, "002", revision)
		}},
		{"speaks TLS with the database", func(t *testing.T) {
			s.must(t, 200, http.MethodGet, "/api/conversations", nil)
			connections, err := i.query(
				t.Context(), "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = "+quoteSQL(databaseUser),
			)
			require.NoError(t, err)
			assert.Equal(t, "t", connections)
		}},
		{"lists conversations", func(t *testing.T) {
			assert.JSONEq(t, `{"results":[],"next_page_id":null}`, s.must(t, 200, http.MethodGet, "/api/conversations", nil))
		}},
		{"starts no agent in its own pod", func(t *testing.T) {
			status, _, err := s.call(http.MethodPost, "/api/v1/sandboxes", nil)
			require.NoError(t, err)
			assert.Equal(t, http.StatusMethodNotAllowed, status, "the web page takes no POST, and the newer interface is not there")
		}},
		{"needs no volume", func(t *testing.T) {
			claims, err := i.admin.CoreV1().PersistentVolumeClaims(appNamespace).List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			assert.Empty(t, claims.Items)
		}},
		{"leaves the database's user what it needs", func(t *testing.T) {
			role, err := i.query(
				t.Context(),
				"SELECT rolcreaterole, rolcreatedb, pg_has_role(rolname, '"+owner+"', 'member') FROM pg_roles WHERE rolname = '"+databaseUser+"'",
			)
			require.NoError(t, err)
			assert.Equal(t, "f|f|f", role)
			for what, sql := range map[string]string{
				"a user": "CREATE ROLE other", "a database": "CREATE DATABASE other", "its own way back": "GRANT " + owner + " TO " + databaseUser,
			} {
				_, err := i.query(t.Context(), "SET ROLE "+databaseUser+"; "+sql)
				assert.ErrorContainsf(t, err, "ERROR:", what)
			}
		}},
		{"keeps settings in the bucket", func(t *testing.T) {
			s.must(t, 404, http.MethodGet, "/api/settings", nil)
			s.must(t, 200, http.MethodPost, "/api/settings", i.settings())
			assert.Contains(t, i.objects(t), "settings.json")
		}},
		{"throttles by the address that the load balancer saw", func(t *testing.T) {
			assert.NotContains(t, s.burst(t, manyPeople), http.StatusTooManyRequests)
			assert.Contains(t, s.burst(t, func(int) string { return "203.0.113.250" }), http.StatusTooManyRequests, "one person")
		}},
		{"runs a conversation", func(t *testing.T) {
			first = i.converse(t, s, workspace)
			assert.Contains(t, i.objects(t), "sessions/"+first+"/events/0.json")
			i.isHardened(t, first)
		}},
		{"closes the oldest for one more", func(t *testing.T) {
			second = i.converse(t, s, workspace)
			third := i.converse(t, s, workspace)
			assert.Equal(t, "STOPPED", s.status(t, first))
			i.has(t, first, onlyVolume)
			i.has(t, third, allObjects)
			s.must(t, 200, http.MethodDelete, "/api/conversations/"+third, nil)
			i.has(t, third, nil)
		}},
		{"continues a closed conversation", func(t *testing.T) {
			i.resume(t, s, first, workspace)
			i.has(t, first, allObjects)
		}},
		{"goes on when a sandbox was killed for its memory", func(t *testing.T) {
			pod, err := i.admin.CoreV1().Pods(sandboxNamespace).Get(t.Context(), podName(first), metav1.GetOptions{})
			require.NoError(t, err)
			require.Equal(t, corev1.RestartPolicyAlways, pod.Spec.RestartPolicy)
			require.NoError(t, actions.kill())
			s.fails(t, first)
			actions, err = i.startActionServer(context.Background(), workspace) // as a kubelet does
			require.NoError(t, err)
			before := proofs(t, workspace)
			s.say(t, first, "and now")
			i.awaitProof(t, s, workspace, before)
		}},
		{"goes on when a sandbox was evicted, once it is stopped and started", func(t *testing.T) {
			require.NoError(t, i.fail(t.Context(), first))
			require.NoError(t, actions.kill())
			s.fails(t, first)
			s.must(t, 200, http.MethodPost, "/api/conversations/"+first+"/stop", nil)
			i.has(t, first, onlyVolume)
			var err error
			actions, err = i.startActionServer(context.Background(), workspace)
			require.NoError(t, err)
			i.resume(t, s, first, workspace)
			i.has(t, first, allObjects)
		}},
		{"writes nothing at its state path", func(t *testing.T) {
			written, err := filepath.Glob(filepath.Join(s.volume("state"), "*"))
			require.NoError(t, err)
			assert.Empty(t, written)
		}},
		{"stops without deleting", func(t *testing.T) {
			took, byItself, err := s.stop(s.grace())
			require.NoError(t, err)
			assert.True(t, byItself, "it ends within the grace period")
			t.Logf("stopped after %s", took)
			i.has(t, first, allObjects)
			i.has(t, second, allObjects)
			assertSeverities(t, s)
		}},
		{"waits for a database that is away", func(t *testing.T) {
			require.NoError(t, i.postgres.stop())
			var err error
			s, err = i.startServer(context.Background(), nil)
			require.NoError(t, err)
			t.Cleanup(func() {
				if t.Failed() {
					require.NoError(t, s.kill())
				}
			})
			require.Eventually(t, func() bool { return strings.Contains(s.log.String(), "does not answer (") }, time.Minute, 200*time.Millisecond)
			assert.Contains(t, s.log.String(), "database openhands at 10.")
			require.NoError(t, i.postgres.start(t.Context()))
			require.NoError(t, s.await())
		}},
		{"knows what it knew", func(t *testing.T) {
			assert.Contains(t, s.must(t, 200, http.MethodGet, "/api/settings", nil), i.model.address)
			list := s.must(t, 200, http.MethodGet, "/api/conversations", nil)
			assert.Contains(t, list, first)
			assert.Contains(t, list, second)
			i.resume(t, s, first, workspace)
		}},
		{"asks for no more than roles/storage.objectUser", func(t *testing.T) {
			for _, permission := range i.storage.needed() {
				assert.Contains(
					t,
					[]string{"storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list", "storage.objects.update"},
					permission,
				)
			}
		}},
	} {
		if !t.Run(part.name, part.run) {
			break
		}
	}
	if s != nil {
		require.NoError(t, s.kill())
	}
}
