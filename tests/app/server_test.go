package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
			assert.Equal(t, "<html><title>stub of the web page</title></html>", s.must(t, 200, http.MethodGet, "/ready", nil), "the page answers it: it proves nothing")
			revision, err := i.query(t.Context(), "SELECT version_num FROM alembic_version")
			require.NoError(t, err)
			assert.Equal(t, "002", revision)
		}},
		{"speaks TLS with the database", func(t *testing.T) {
			s.must(t, 200, http.MethodGet, "/api/conversations", nil)
			connections, err := i.query(t.Context(), "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'openhands'")
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
				assert.Contains(t, []string{"storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list", "storage.objects.update"}, permission)
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

// starts starts the server, which the caller ends, and returns when it answers.
func (i *installation) starts(t *testing.T, change func(*box)) *server {
	t.Helper()
	s, err := i.startServer(context.Background(), change)
	require.NoError(t, err)
	if err := s.await(); err != nil {
		require.NoError(t, s.kill())
		require.NoError(t, err)
	}
	return s
}

// answersItsProbes makes the calls of the kubelet as the Deployment declares them.
func (s *server) answersItsProbes(t *testing.T) {
	t.Helper()
	container := s.template.Spec.Containers[0]
	s.must(t, 200, http.MethodGet, container.LivenessProbe.HTTPGet.Path, nil)
	s.must(t, 200, http.MethodGet, container.ReadinessProbe.HTTPGet.Path, nil)
}

func (s *server) grace() time.Duration {
	return time.Duration(*s.template.Spec.TerminationGracePeriodSeconds) * time.Second
}

// burst makes more calls at once than one address may, through a load balancer, and returns the status of each.
func (s *server) burst(t *testing.T, from func(int) string) []int {
	t.Helper()
	statuses := make([]int, 60)
	var calls sync.WaitGroup
	for n := range statuses {
		calls.Go(func() {
			status, err := s.forward("/api/options/agents", from(n))
			assert.NoError(t, err)
			statuses[n] = status
		})
	}
	calls.Wait()
	return statuses
}

// manyPeople are as many addresses as there are calls.
func manyPeople(n int) string { return fmt.Sprintf("203.0.113.%d", n) }

func (i *installation) objects(t *testing.T) []string {
	t.Helper()
	names, err := i.storage.objects()
	require.NoError(t, err)
	return names
}

// proofs counts how often the command of the model has run.
func proofs(t *testing.T, workspace string) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(workspace, "proof.txt"))
	if os.IsNotExist(err) {
		return 0
	}
	require.NoError(t, err)
	return strings.Count(string(raw), modelProof)
}

// awaitProof waits until the command of the model has run once more, and the model has seen what it printed.
func (i *installation) awaitProof(t *testing.T, s *server, workspace string, before int) {
	t.Helper()
	ran := assert.Eventually(t, func() bool {
		seen := i.model.seen()
		return proofs(t, workspace) > before && strings.Contains(seen[len(seen)-1], modelProof)
	}, 90*time.Second, 200*time.Millisecond)
	require.Truef(t, ran, "the agent has not run the command\n%s", s.log.tail())
}

// converse starts a conversation with a message, and returns its id when the agent has run the model's command.
func (i *installation) converse(t *testing.T, s *server, workspace string) string {
	t.Helper()
	before := proofs(t, workspace)
	var started struct {
		ID string `json:"conversation_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(s.must(t, 200, http.MethodPost, "/api/conversations", map[string]any{"initial_user_msg": "prove it"})), &started))
	i.awaitProof(t, s, workspace, before)
	i.has(t, started.ID, allObjects)
	return started.ID
}

// resume opens a conversation again and sends it a message.
func (i *installation) resume(t *testing.T, s *server, conversation, workspace string) {
	t.Helper()
	before := proofs(t, workspace)
	_, last := s.lastState(t, conversation)
	s.must(t, 200, http.MethodPost, "/api/conversations/"+conversation+"/start", map[string]any{"providers_set": []string{}})
	var state string
	// A message that comes while the conversation is loading is lost, as it would be from the web page, which waits for this too.
	ready := assert.Eventually(t, func() bool {
		var id int
		state, id = s.lastState(t, conversation)
		return id > last && state == "awaiting_user_input"
	}, time.Minute, 200*time.Millisecond)
	require.Truef(t, ready, "the agent is %s\n%s", state, s.log.tail())
	s.say(t, conversation, "once more")
	i.awaitProof(t, s, workspace, before)
}

// say sends a message to a conversation.
func (s *server) say(t *testing.T, conversation, message string) {
	t.Helper()
	s.must(t, 200, http.MethodPost, "/api/conversations/"+conversation+"/message", map[string]any{"message": message})
}

// fails sends a message to a conversation whose sandbox is gone, and waits until the person sees an error.
func (s *server) fails(t *testing.T, conversation string) {
	t.Helper()
	s.say(t, conversation, "are you there")
	require.Eventually(t, func() bool {
		state, _ := s.lastState(t, conversation)
		return state == "error"
	}, time.Minute, 200*time.Millisecond)
}

// lastState is what the agent of a conversation said last about itself, and the number of that event.
func (s *server) lastState(t *testing.T, conversation string) (state string, id int) {
	t.Helper()
	var last struct {
		Events []struct {
			ID          int
			Observation string
			Extras      struct {
				State string `json:"agent_state"`
			}
		}
	}
	answer := s.must(t, 200, http.MethodGet, "/api/conversations/"+conversation+"/events?reverse=true&limit=50", nil)
	require.NoError(t, json.Unmarshal([]byte(answer), &last))
	for _, event := range last.Events {
		if event.Observation == "agent_state_changed" {
			return event.Extras.State, event.ID
		}
	}
	return "", -1
}

// status is what the server says of a conversation.
func (s *server) status(t *testing.T, conversation string) string {
	t.Helper()
	var about struct{ Status string }
	require.NoError(t, json.Unmarshal([]byte(s.must(t, 200, http.MethodGet, "/api/conversations/"+conversation, nil)), &about))
	return about.Status
}

// has waits until the objects of a conversation are these.
func (i *installation) has(t *testing.T, conversation string, objects []string) {
	t.Helper()
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		got, err := i.sandboxObjects(context.Background(), conversation)
		assert.NoError(t, err)
		assert.Equal(t, objects, got)
	}, 20*time.Second, 100*time.Millisecond)
}

// isHardened looks at what admission has made of the runtime's pod and Ingress.
func (i *installation) isHardened(t *testing.T, conversation string) {
	t.Helper()
	pod, err := i.admin.CoreV1().Pods(sandboxNamespace).Get(t.Context(), podName(conversation), metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "gvisor", *pod.Spec.RuntimeClassName)
	assert.False(t, *pod.Spec.AutomountServiceAccountToken)
	assert.Equal(t, "default", pod.Spec.ServiceAccountName)
	assert.Equal(t, "RuntimeDefault", string(pod.Spec.SecurityContext.SeccompProfile.Type))
	assert.Equal(t, "4", pod.Spec.Containers[0].Resources.Limits.Cpu().String())
	node, err := i.admin.CoreV1().Nodes().Get(t.Context(), pod.Spec.NodeName, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "sandbox", node.Labels["openhands.dev/pool"])
	ingress, err := i.admin.NetworkingV1().Ingresses(sandboxNamespace).Get(t.Context(), podName(conversation)+"-ingress-code", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "openhands-unserved", *ingress.Spec.IngressClassName)
}

// sweep removes what conversations have left, and what the bucket has.
func (i *installation) sweep(t *testing.T) {
	t.Helper()
	ctx, now, all := context.Background(), int64(0), metav1.ListOptions{}
	options := metav1.DeleteOptions{GracePeriodSeconds: &now}
	require.NoError(t, i.admin.CoreV1().Pods(sandboxNamespace).DeleteCollection(ctx, options, all))
	require.NoError(t, i.admin.CoreV1().PersistentVolumeClaims(sandboxNamespace).DeleteCollection(ctx, options, all))
	services, err := i.admin.CoreV1().Services(sandboxNamespace).List(ctx, all)
	require.NoError(t, err)
	for _, service := range services.Items {
		require.NoError(t, i.admin.CoreV1().Services(sandboxNamespace).Delete(ctx, service.Name, options))
	}
	require.NoError(t, i.admin.NetworkingV1().Ingresses(sandboxNamespace).DeleteCollection(ctx, options, all))
	require.NoError(t, i.storage.empty())
}

// assertSeverities looks at every line that the server has written.
func assertSeverities(t *testing.T, s *server) {
	t.Helper()
	scanner := bufio.NewScanner(strings.NewReader(s.log.String()))
	scanner.Buffer(nil, 16<<20)
	count := 0
	for ; scanner.Scan(); count++ {
		var line struct{ Severity, Message string }
		if assert.NoErrorf(t, json.Unmarshal(scanner.Bytes(), &line), "%s", scanner.Text()) {
			assert.Truef(t, slices.Contains([]string{"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}, line.Severity), "%s", scanner.Text())
		}
	}
	require.NoError(t, scanner.Err())
	assert.NotZero(t, count)
}
