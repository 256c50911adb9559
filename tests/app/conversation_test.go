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

	"openhands-gcp/tests/cluster/stack"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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
	if !ran {
		seen := i.model.seen()
		last := seen[len(seen)-1]
		require.Failf(t, "the agent has not run the command", "the model saw at last %s\n%s", last[max(0, len(last)-2000):], s.log.tail())
	}
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
	require.NoError(t, stack.Sweep(context.Background(), i.admin, sandboxNamespace))
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
