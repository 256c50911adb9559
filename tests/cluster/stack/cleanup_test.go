package stack_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// janitor runs the clean-up's own script, as its own service account, against the API server and a server that answers as OpenHands does.
type janitor struct {
	*installation
	script      string // path
	environment []string

	mu      sync.Mutex        // protects what follows
	answers map[string]string // what the server says of a conversation; it has an error for all others
	next    map[string]string // what it says from the second time on
	meet    map[string]func() // what happens while it is asked
}

func (i *installation) newJanitor(t *testing.T) *janitor {
	t.Helper()
	j := &janitor{installation: i, answers: map[string]string{}, next: map[string]string{}, meet: map[string]func(){}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		j.mu.Lock()
		defer j.mu.Unlock()
		sid := strings.TrimPrefix(r.URL.Path, "/api/conversations/")
		answer, known := j.answers[sid]
		if next, changes := j.next[sid]; changes {
			j.answers[sid] = next
		}
		if event, happens := j.meet[sid]; happens {
			event()
			delete(j.meet, sid)
		}
		if !known {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)

	// The script, from the object that the CronJob mounts.
	script, err := i.admin.CoreV1().ConfigMaps(appNamespace).Get(t.Context(), "openhands-cleanup", metav1.GetOptions{})
	require.NoError(t, err)
	dir := t.TempDir()
	j.script = filepath.Join(dir, "cleanup.py")
	require.NoError(t, os.WriteFile(j.script, []byte(script.Data["cleanup.py"]), 0o600))

	_, config := i.as(t, appNamespace, "openhands-cleanup")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte(config.BearerToken), 0o600))
	ca := config.CAData
	if len(ca) == 0 {
		ca, err = os.ReadFile(config.CAFile)
		require.NoError(t, err)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600))
	at, err := url.Parse(config.Host)
	require.NoError(t, err)
	j.environment = []string{
		"PATH=" + os.Getenv("PATH"), "SERVICE_ACCOUNT_DIR=" + dir,
		"KUBERNETES_SERVICE_HOST=" + at.Hostname(), "KUBERNETES_SERVICE_PORT=" + at.Port(), "SANDBOX_NAMESPACE=" + sandboxNamespace, "SERVER_URL=" + server.URL,
	}
	return j
}

// says sets what the server says of a conversation.
func (j *janitor) says(sid, answer string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.next, sid)
	j.answers[sid] = answer
}

// later sets what the server says from the second time on.
func (j *janitor) later(sid, answer string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next[sid] = answer
}

// during lets something happen while the server is asked.
func (j *janitor) during(sid string, event func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.meet[sid] = event
}

// run is one run of the CronJob.
func (j *janitor) run(t *testing.T, environment ...string) (output string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", j.script)
	cmd.Env = append(slices.Clone(j.environment), environment...)
	raw, err := cmd.CombinedOutput()
	return string(raw), err
}

// left lists what is among the sandboxes, of all kinds that a conversation has.
func (j *janitor) left(t *testing.T) []string {
	t.Helper()
	var names []string
	add := func(kind string, meta metav1.ObjectMeta) {
		if meta.DeletionTimestamp == nil {
			names = append(names, kind+" "+strings.TrimPrefix(meta.Name, "openhands-runtime-"))
		}
	}
	ctx, all := context.Background(), metav1.ListOptions{}
	pods, err := j.admin.CoreV1().Pods(sandboxNamespace).List(ctx, all)
	require.NoError(t, err)
	for _, o := range pods.Items {
		add("pod", o.ObjectMeta)
	}
	services, err := j.admin.CoreV1().Services(sandboxNamespace).List(ctx, all)
	require.NoError(t, err)
	for _, o := range services.Items {
		add("service", o.ObjectMeta)
	}
	ingresses, err := j.admin.NetworkingV1().Ingresses(sandboxNamespace).List(ctx, all)
	require.NoError(t, err)
	for _, o := range ingresses.Items {
		add("ingress", o.ObjectMeta)
	}
	claims, err := j.admin.CoreV1().PersistentVolumeClaims(sandboxNamespace).List(ctx, all)
	require.NoError(t, err)
	for _, o := range claims.Items {
		add("volume", o.ObjectMeta)
	}
	slices.Sort(names)
	return names
}

func whole(sid string) []string {
	return []string{"ingress " + sid + "-ingress-code", "pod " + sid, "service " + sid + "-svc", "service " + sid + "-svc-code", "volume " + sid + "-pvc"}
}

const (
	running = `{"conversation_id":"x","status":"RUNNING","num_connections":0}`
	stopped = `{"conversation_id":"x","status":"STOPPED","num_connections":0}`
)

// Waiting times that are over at once, and such that never are.
var (
	atOnce = []string{"KEEP_MINUTES=0", "KEEP_VOLUME_DAYS=1000"}
	later  = []string{"KEEP_MINUTES=60", "KEEP_VOLUME_DAYS=1000"}
)

// TestAnEndedPodGoesAtOnce: while it has the conversation's name, the conversation cannot go on.
func TestAnEndedPodGoesAtOnce(t *testing.T) {
	i := install(t)
	t.Cleanup(func() { i.sweep(t) })
	j := i.newJanitor(t)
	for _, sid := range []string{"evicted", "alive"} {
		j.says(sid, running)
		require.NoError(t, i.converse(t, sid).start(t.Context()))
	}
	pod, err := i.admin.CoreV1().Pods(sandboxNamespace).Get(t.Context(), i.converse(t, "evicted").name(), metav1.GetOptions{})
	require.NoError(t, err)
	pod.Status.Phase, pod.Status.Reason, pod.Status.Message = corev1.PodFailed, "Evicted", "The node was low on resource: memory."
	_, err = i.admin.CoreV1().Pods(sandboxNamespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	require.NoError(t, err)

	output, err := j.run(t, later...)
	require.NoError(t, err, output)
	assert.Contains(t, output, "Failed; Evicted; The node was low on resource: memory.")
	left := append(whole("alive"), "volume evicted-pvc")
	slices.Sort(left)
	assert.Equal(t, left, j.left(t))
	require.NoError(t, i.converse(t, "evicted").start(t.Context()), "the conversation goes on")
}

func TestCleanUpTakesOnlyWhatNoAgentUses(t *testing.T) {
	i := install(t)
	t.Cleanup(func() { i.sweep(t) })
	j := i.newJanitor(t)
	for sid, says := range map[string]string{
		"live": running, "starting": `{"status":"STARTING","num_connections":0}`, "failing": `{"status":"ERROR","num_connections":0}`,
		"watched": `{"status":"STOPPED","num_connections":1}`, "stranded": stopped, "forgotten": `null`, "odd": `{"detail":"?"}`,
	} {
		j.says(sid, says)
		require.NoError(t, i.converse(t, sid).start(t.Context()))
	}
	require.NoError(t, i.converse(t, "mute").start(t.Context())) // the server answers with an error
	// What a crash in the middle leaves: no pod, and Services that keep the next pod from ever getting its own.
	j.says("half", stopped)
	half := i.converse(t, "half")
	require.NoError(t, half.start(t.Context()))
	now := int64(0)
	require.NoError(t, half.client.CoreV1().Pods(sandboxNamespace).Delete(t.Context(), half.name(), metav1.DeleteOptions{GracePeriodSeconds: &now}))
	// A conversation that was closed in good order: its work is on the volume.
	j.says("paused", stopped)
	paused := i.converse(t, "paused")
	require.NoError(t, paused.start(t.Context()))
	require.NoError(t, paused.stop(t.Context(), false))

	var alive []string
	for _, sid := range []string{"live", "starting", "failing", "watched", "odd", "mute", "forgotten"} {
		alive = append(alive, whole(sid)...)
	}
	alive = append(alive, "volume paused-pvc", "volume half-pvc", "volume stranded-pvc")
	slices.Sort(alive)

	before := j.left(t)
	output, err := j.run(t, later...)
	require.NoError(t, err, output)
	assert.Contains(t, output, `"session": "mute"`)
	assert.Equal(t, before, j.left(t), "the first time is only noted")
	_, err = j.run(t, later...)
	require.NoError(t, err)
	assert.Equal(t, before, j.left(t), "the time is not over")
	_, err = j.run(t, atOnce...)
	require.NoError(t, err)
	assert.Equal(t, alive, j.left(t))

	// What works again is no longer noted, and is safe from a later run.
	j.says("mute", stopped)
	_, err = j.run(t, later...)
	require.NoError(t, err)
	assert.True(t, j.noted(t, "mute"))
	j.says("mute", running)
	_, err = j.run(t, atOnce...)
	require.NoError(t, err)
	assert.False(t, j.noted(t, "mute"))
	assert.Subset(t, j.left(t), whole("mute"))
	require.NoError(t, i.converse(t, "half").start(t.Context()), "the conversation starts again, with its volume")
}

// noted reports whether the pod of a conversation carries the note.
func (j *janitor) noted(t *testing.T, sid string) bool {
	t.Helper()
	pod, err := j.admin.CoreV1().Pods(sandboxNamespace).Get(t.Context(), "openhands-runtime-"+sid, metav1.GetOptions{})
	require.NoError(t, err)
	return pod.Annotations["openhands.dev/unused-since"] != ""
}

// TestCleanUpKeepsVolumesForDays: people's work goes last, and never while a pod has it.
func TestCleanUpKeepsVolumesForDays(t *testing.T) {
	i := install(t)
	t.Cleanup(func() { i.sweep(t) })
	j := i.newJanitor(t)
	j.says("old", stopped)
	c := i.converse(t, "old")
	require.NoError(t, c.start(t.Context()))
	never, soon := "KEEP_VOLUME_DAYS=0", "KEEP_VOLUME_DAYS=0.00000001"
	for range 3 {
		_, err := j.run(t, "KEEP_MINUTES=1000", soon)
		require.NoError(t, err)
	}
	assert.Equal(t, whole("old"), j.left(t), "a pod has it")
	require.NoError(t, c.stop(t.Context(), false))
	for range 3 {
		_, err := j.run(t, "KEEP_MINUTES=0", never)
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"volume old-pvc"}, j.left(t), "kept for ever")
	now := time.Now().UTC()
	note := func(since, seen string) {
		_, err := i.admin.CoreV1().PersistentVolumeClaims(sandboxNamespace).Patch(t.Context(), "openhands-runtime-old-pvc", types.MergePatchType,
			fmt.Appendf(
				nil, `{"metadata":{"annotations":{"openhands.dev/unused-since":%q,"openhands.dev/unused-seen":%q}}}`, since, seen,
			), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	longAgo, ago, justNow, ahead := now.AddDate(-1, 0, 0).Format(time.RFC3339), now.Add(-3*time.Hour).Format(time.RFC3339), now.Format(time.RFC3339),
		now.AddDate(0, 0, 1).Format(time.RFC3339)
	for what, notes := range map[string][2]string{
		"nobody looked for hours":     {longAgo, ago},
		"not our note":                {"long ago", justNow},
		"not our time":                {"2020-01-01", justNow},
		"not our time of looking":     {longAgo, "2020-01-01"},
		"from the future":             {ahead, justNow},
		"looked at in the future":     {longAgo, ahead},
		"nothing says when it looked": {longAgo, ""},
	} {
		note(notes[0], notes[1])
		_, err := j.run(t, "KEEP_MINUTES=0", soon)
		require.NoError(t, err)
		assert.Equal(t, []string{"volume old-pvc"}, j.left(t), what)
	}
	note(longAgo, justNow)
	_, err := j.run(t, "KEEP_MINUTES=0", "KEEP_VOLUME_DAYS=400")
	require.NoError(t, err)
	assert.Equal(t, []string{"volume old-pvc"}, j.left(t), "the time is not over")
	_, err = j.run(t, "KEEP_MINUTES=0", "KEEP_VOLUME_DAYS=300")
	require.NoError(t, err)
	assert.Empty(t, j.left(t))
}

// TestCleanUpAsksAgainRightBefore: somebody may come back while it runs, and must find the sandbox and the volume.
func TestCleanUpAsksAgainRightBefore(t *testing.T) {
	i := install(t)
	t.Cleanup(func() { i.sweep(t) })
	j := i.newJanitor(t)
	j.says("back", stopped)
	c := i.converse(t, "back")
	require.NoError(t, c.start(t.Context()))
	everything := []string{"KEEP_MINUTES=0", "KEEP_VOLUME_DAYS=0.00000001"}
	_, err := j.run(t, everything...)
	require.NoError(t, err)
	j.later("back", running) // from the second answer on
	_, err = j.run(t, everything...)
	require.NoError(t, err)
	assert.Equal(t, whole("back"), j.left(t))

	// Of the volume alone: its pod appears after the list was made.
	j.says("back", stopped)
	require.NoError(t, c.stop(t.Context(), false))
	_, err = j.run(t, everything...)
	require.NoError(t, err)
	j.during("back", func() { require.NoError(t, c.start(context.Background())) })
	_, err = j.run(t, everything...)
	require.NoError(t, err)
	assert.Equal(t, whole("back"), j.left(t))
}

// TestCleanUpNotesWhatAnEarlierConfigurationLetIn: a pod with an image that is refused by now is a stranded one like others.
func TestCleanUpNotesWhatAnEarlierConfigurationLetIn(t *testing.T) {
	i := install(t)
	j := i.newJanitor(t)
	j.says("older", stopped)
	c := i.converse(t, "older")
	require.NoError(t, c.start(t.Context()))
	policies := i.admin.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	before, err := policies.Get(t.Context(), "openhands-sandboxes", metav1.GetOptions{})
	require.NoError(t, err)
	newer := i.converse(t, "newer")
	refused := func() bool {
		_, err := i.tryPod(context.Background(), newer, func(*corev1.Pod) {})
		return err != nil
	}
	set := func(validations []admissionv1.Validation) {
		policy, err := policies.Get(context.Background(), before.Name, metav1.GetOptions{})
		require.NoError(t, err)
		policy.Spec.Validations = validations
		_, err = policies.Update(context.Background(), policy, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		set(before.Spec.Validations)
		require.Eventually(t, func() bool { return !refused() }, 15*time.Second, 50*time.Millisecond)
		i.sweep(t)
	})
	set([]admissionv1.Validation{{Expression: `object.spec.containers.all(c, c.image.startsWith("elsewhere/"))`}})
	require.Eventually(t, refused, 15*time.Second, 50*time.Millisecond)
	output, err := j.run(t, later...)
	require.NoError(t, err, output)
	assert.True(t, j.noted(t, "older"))
}

func TestCleanUpWithoutTheServerTouchesNothing(t *testing.T) {
	i := install(t)
	t.Cleanup(func() { i.sweep(t) })
	j := i.newJanitor(t)
	require.NoError(t, i.converse(t, "unknown").start(t.Context()))
	for range 3 {
		_, err := j.run(t, append(slices.Clone(atOnce), "SERVER_URL=http://127.0.0.1:1")...)
		require.Error(t, err)
	}
	assert.Equal(t, whole("unknown"), j.left(t))
	assert.False(t, j.noted(t, "unknown"))
}

// TestEveryLineOfTheCleanUpsRoleIsNeeded takes one verb after the other away: the run fails, or something stays.
func TestEveryLineOfTheCleanUpsRoleIsNeeded(t *testing.T) {
	i := install(t)
	roles := i.admin.RbacV1().Roles(sandboxNamespace)
	before, err := roles.Get(t.Context(), "openhands-cleanup", metav1.GetOptions{})
	require.NoError(t, err)
	set := func(rules []rbacv1.PolicyRule) {
		role, err := roles.Get(context.Background(), before.Name, metav1.GetOptions{})
		require.NoError(t, err)
		role.Rules = rules
		_, err = roles.Update(context.Background(), role, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	t.Cleanup(func() { set(before.Rules); i.sweep(t) })
	everything := []string{"KEEP_MINUTES=0", "KEEP_VOLUME_DAYS=0.00000001"}
	for r, rule := range before.Rules {
		for _, verb := range rule.Verbs {
			t.Run(verb+" "+rule.Resources[0], func(t *testing.T) {
				j := i.newJanitor(t)
				j.says("x", stopped)
				require.NoError(t, i.converse(t, "x").start(t.Context()))
				rules := slices.Clone(before.Rules)
				rules[r].Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(v string) bool { return v == verb })
				set(rules)
				client, _ := i.as(t, appNamespace, "openhands-cleanup")
				awaitForbidden(t, client, sandboxNamespace, verb, rule)
				failed := false
				for range 4 { // notes, deletion; and the same for the volume, once the pod is gone
					_, err := j.run(t, everything...)
					failed = failed || err != nil
				}
				assert.True(t, failed)
				assert.NotEmpty(t, j.left(t))
				set(before.Rules)
				i.sweep(t)
			})
		}
	}
}

// TestTheCleanUpsPodIsAdmitted starts the CronJob's job by hand: its namespace takes only what the level restricted of Pod Security allows.
func TestTheCleanUpsPodIsAdmitted(t *testing.T) {
	i := install(t)
	job, err := i.admin.BatchV1().CronJobs(appNamespace).Get(t.Context(), "openhands-cleanup", metav1.GetOptions{})
	require.NoError(t, err)
	run, err := i.admin.BatchV1().Jobs(appNamespace).Create(
		t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{GenerateName: "by-hand-"}, Spec: job.Spec.JobTemplate.Spec}, metav1.CreateOptions{},
	)
	require.NoError(t, err)
	assert.EventuallyWithT(t, func(t *assert.CollectT) {
		run, err := i.admin.BatchV1().Jobs(appNamespace).Get(context.Background(), run.Name, metav1.GetOptions{})
		assert.NoError(t, err)
		assert.EqualValues(t, 1, run.Status.Succeeded)
	}, 30*time.Second, 100*time.Millisecond)
}
