package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"openhands-gcp/release"
)

const (
	serverWorkload = "deployment/openhands"
	serverSelector = "app.kubernetes.io/name=openhands,app.kubernetes.io/component=server"
	serverSettings = "openhands-environment" // ConfigMap
)

// serverConversation goes through the door to the page of the Python server, and has a conversation there.
func (w *walk) serverConversation(ctx context.Context) {
	var way *tunnel
	defer func() {
		if way != nil {
			way.stop()
		}
	}()
	rest := []string{"conversation", "sandbox", "command", "metadata", "database", "neighbour", "bucket", "removed"}
	if !w.station(ctx, "page", func(ctx context.Context) (found string, err error) {
		if w.LoginAs != "" && w.public(w.Outputs.URL) {
			return w.pageThroughLogin(ctx, w.Outputs.URL)
		}
		if way, err = w.forward(ctx); err != nil {
			return "", err
		}
		return pageAt(ctx, w.Outputs.AppNamespace, "http://"+way.address, "localhost")
	}) {
		w.skip(ctx, "the page does not open", rest...)
		return
	}
	c := &serverConversation{walk: w, mark: newMark()}
	if !w.station(ctx, "conversation", func(ctx context.Context) (found string, err error) {
		if way == nil {
			if way, err = w.forward(ctx); err != nil {
				return "", err
			}
		}
		c.api = "http://" + way.address
		return c.converse(ctx)
	}) {
		w.skip(ctx, "there was no conversation", rest[1:len(rest)-1]...)
	} else {
		w.judge(ctx, c.sandbox(), c.report, c.targets)
		w.station(ctx, "bucket", func(context.Context) (string, error) { return c.bucket() })
	}
	if c.agent != nil {
		w.station(context.WithoutCancel(ctx), "removed", func(ctx context.Context) (string, error) { return c.remove(ctx) })
	}
}

// serverConversation is one with the Python server.
type serverConversation struct {
	*walk
	mark  string
	api   string // of the server, through the door
	agent *agent
	// namespace is that of the sandboxes.
	namespace string
	own       bool // somebody has entered a model, which is neither asked nor changed
	id        string
	targets   []target
	pod       corev1.Pod
	report    report
}

// converse has a conversation in which the agent runs one command, and returns when the command has printed all.
func (c *serverConversation) converse(ctx context.Context) (string, error) {
	variables, err := c.cluster.variables(ctx, c.Outputs.AppNamespace, serverSettings)
	if err != nil {
		return "", err
	}
	if variables["RUNTIME"] != string(release.Kubernetes) {
		return "", notHere("the runtime is not this cluster's: its conversations run where app.remoteRuntimeUrl leads")
	}
	c.namespace = variables["KUBERNETES_NAMESPACE"]
	if err := c.makeRoom(ctx, variables["MAX_CONCURRENT_CONVERSATIONS"]); err != nil {
		return "", err
	}
	if c.targets, err = c.places(ctx); err != nil {
		return "", err
	}
	command := command(c.mark, c.targets)
	c.agent, err = startAgent(c.cluster.exec(c.Outputs.AppNamespace, serverWorkload, "server"), map[string]any{
		"line": release.Server, "mark": c.mark, "command": command, "tool": "execute_bash", "port": c.serverPort(),
		"end": map[string]any{"message": "done", "task_completed": "true"}, "bucket": c.Outputs.BucketName,
	})
	if err != nil {
		return "", whyNot("exec in "+serverWorkload, err)
	}
	var begun struct {
		Left  int
		Model string
	}
	if err := c.agent.ask(map[string]any{"do": "begin"}, &begun, 2*time.Minute); err != nil {
		return "", fail("`pulumi stack output bucketName`: may the server's identity use it?", "the server does not reach its bucket: %v", err)
	}
	c.own = begun.Model == "own"
	request := map[string]any{"initial_user_msg": "This is a check of the installation. " + c.mark}
	if c.own {
		// Somebody's model is asked for nothing: the actions are given, and the first message is blank, as a title is made of what it says.
		replay, err := json.Marshal([]any{
			map[string]any{"source": "user", "action": "message", "args": map[string]any{"content": " "}},
			map[string]any{"source": "agent", "action": "run", "args": map[string]any{"command": command, "security_risk": 0}},
			map[string]any{"source": "agent", "action": "finish", "args": map[string]any{"final_thought": "done"}},
		})
		if err != nil {
			return "", err
		}
		request = map[string]any{"replay_json": string(replay)}
	}
	// An interrupt waits until it is known which conversation is to be removed.
	if err := c.begin(context.WithoutCancel(ctx), request); err != nil {
		return "", err
	}
	if err := c.await(ctx); err != nil {
		return "", err
	}
	found := "with a stub model"
	if c.own {
		found = "with given actions: somebody's model is in the settings, and was neither asked nor changed"
	}
	if begun.Left > 0 {
		found += "; what an earlier check had left was removed"
	}
	return found, nil
}

// begin begins the conversation, and gives it the title by which another check would know it.
func (c *serverConversation) begin(ctx context.Context, request any) error {
	var started struct {
		ID string `json:"conversation_id"`
	}
	if err := c.call(ctx, http.MethodPost, "/api/conversations", request, &started); err != nil {
		return err
	}
	c.id = started.ID
	if err := c.agent.ask(map[string]any{"do": "mine", "conversation": c.id}, &struct{}{}, time.Minute); err != nil {
		return err
	}
	return c.call(ctx, http.MethodPatch, "/api/conversations/"+c.id, map[string]any{"title": c.mark}, nil)
}

// serverPort is that of the stack's openCommand: the door listens at the application's own.
func (c *serverConversation) serverPort() int {
	fields := strings.Fields(c.Outputs.OpenCommand)
	port, _ := strconv.Atoi(forwarded.FindStringSubmatch(fields[len(fields)-1])[1]) // it was matched when the way was opened
	return port
}

// makeRoom refuses to start a conversation that would close somebody's, or after which the next one that a person starts would.
func (c *serverConversation) makeRoom(ctx context.Context, limit string) error {
	most, err := strconv.Atoi(limit)
	if err != nil {
		return fmt.Errorf("MAX_CONCURRENT_CONVERSATIONS is %q: %w", limit, err)
	}
	var list struct {
		Results []struct{ Status, Title string }
	}
	if err := c.call(ctx, http.MethodGet, "/api/conversations?limit=100", nil, &list); err != nil {
		return err
	}
	running := 0
	for _, conversation := range list.Results {
		if (conversation.Status == "RUNNING" || conversation.Status == "STARTING") && !strings.HasPrefix(conversation.Title, product) {
			running++
		}
	}
	if running > 0 && running+1 >= most {
		return notHere(fmt.Sprintf("%d conversations run, and openhands:sandboxes.max is %d: with the check's, one more would close somebody's", running, most))
	}
	return nil
}

// places are what a sandbox must not reach, and its own port.
func (c *serverConversation) places(ctx context.Context) ([]target, error) {
	targets := []target{
		{own, "itself", "127.0.0.1", strconv.Itoa(release.ActionServerPort)},
		{"metadata", "the metadata server", metadataServer, "80"},
	}
	if c.Outputs.DatabaseHost != "" {
		targets = append(targets, target{"database", "the database", c.Outputs.DatabaseHost, "5432"})
	}
	neighbours, err := c.cluster.neighbours(ctx, c.Outputs.AppNamespace)
	if err != nil {
		return nil, err
	}
	targets = append(targets, neighbours...)
	pods, err := c.cluster.pods(ctx, c.namespace, "app="+release.SandboxName)
	for _, pod := range pods {
		if pod.Status.PodIP != "" && pod.DeletionTimestamp == nil {
			return append(targets, target{"neighbour", "another sandbox", pod.Status.PodIP, strconv.Itoa(release.ActionServerPort)}), nil
		}
	}
	return targets, err
}

// neighbours are the API server and what runs in a namespace of the application.
func (c *cluster) neighbours(ctx context.Context, namespace string) ([]target, error) {
	targets := []target{}
	for _, where := range []string{"default", namespace} {
		services, err := c.services(ctx, where)
		if err != nil {
			return nil, err
		}
		for _, s := range services {
			what := "Service " + s.Name
			switch {
			case where == "default" && s.Name != "kubernetes":
				continue
			case where == "default":
				what = "the API server"
			}
			targets = append(targets, target{"neighbour", what, s.Spec.ClusterIP, strconv.Itoa(int(s.Spec.Ports[0].Port))})
		}
	}
	return targets, nil
}

// await returns when the command has printed all that it has to say.
func (c *serverConversation) await(ctx context.Context) error {
	look := fmt.Sprintf("`kubectl --namespace=%s get pods,events --sort-by=.metadata.creationTimestamp`; "+
		"`kubectl --namespace=%s logs %s`; README.md, \"When something is wrong\"", c.namespace, c.Outputs.AppNamespace, serverWorkload)
	confirmed := false
	for deadline := time.Now().Add(c.Patience); time.Now().Before(deadline); {
		pods, err := c.cluster.pods(ctx, c.namespace, "session="+c.id)
		if err != nil {
			return err
		}
		for _, pod := range pods {
			c.pod = pod
			c.audience.Progress("its sandbox is " + strings.ToLower(string(pod.Status.Phase)))
		}
		state, reason, err := c.look(ctx)
		if err != nil {
			return err
		}
		if c.report.dir != "" {
			return nil
		}
		switch state {
		case "awaiting_user_confirmation": // somebody's settings ask for it; a second answer would be one to another question
			if confirmed {
				break
			}
			confirmed = true
			err := c.call(ctx, http.MethodPost, "/api/conversations/"+c.id+"/events", map[string]any{
				"action": "change_agent_state", "args": map[string]any{"agent_state": "user_confirmed"},
			}, nil)
			if err != nil {
				return err
			}
		case "error", "finished", "rejected", "stopped":
			return fail(look, "the agent is in the state %q, and its command has not come to an end: %s", state, reason)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
	where := "no pod has come for it"
	if c.pod.Name != "" {
		where = "its pod " + c.pod.Name + " is " + strings.ToLower(string(c.pod.Status.Phase))
	}
	return fail(look, "the agent has not run its command within %s: %s", c.Patience, where)
}

// look reads what the conversation has come to.
func (c *serverConversation) look(ctx context.Context) (state, reason string, err error) {
	var page struct {
		Events []struct {
			Observation string
			Content     string
			Extras      struct {
				State  string `json:"agent_state"`
				Reason string
			}
		}
	}
	if err := c.call(ctx, http.MethodGet, "/api/conversations/"+c.id+"/events?limit=100", nil, &page); err != nil {
		return "", "", err
	}
	for _, event := range page.Events {
		switch event.Observation {
		case "agent_state_changed":
			state, reason = event.Extras.State, event.Extras.Reason
		case "run":
			if r, complete := readReport(c.mark, event.Content); complete {
				c.report = r
			}
		}
	}
	return state, reason, nil
}

func (c *serverConversation) sandbox() sandbox {
	class := ""
	if c.pod.Spec.RuntimeClassName != nil {
		class = *c.pod.Spec.RuntimeClassName
	}
	return sandbox{
		what: "pod " + c.pod.Name, class: class,
		see: fmt.Sprintf("`kubectl --namespace=%s get pod %s --output=yaml`; `kubectl get mutatingadmissionpolicies`", c.pod.Namespace, c.pod.Name),
	}
}

// bucket looks for what the command has printed, in an object of the bucket.
func (c *serverConversation) bucket() (string, error) {
	var found struct {
		Objects int
		Proof   string
	}
	if err := c.agent.ask(map[string]any{"do": "objects", "conversation": c.id}, &found, time.Minute); err != nil {
		return "", err
	}
	if found.Proof == "" {
		return "", fail("FILE_STORE and FILE_STORE_PATH of ConfigMap "+serverSettings,
			"the bucket %s has %d events of the conversation, and none with what the command printed: it is lost at the next restart",
			c.Outputs.BucketName, found.Objects)
	}
	return "gs://" + c.Outputs.BucketName + "/" + found.Proof, nil
}

// remove takes everything back, and looks whether it is gone.
func (c *serverConversation) remove(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, tidyUp)
	defer cancel()
	var pods []corev1.Pod
	is := func(there bool) error {
		return until(ctx, 30*time.Second, func() (bool, error) {
			var err error
			pods, err = c.cluster.pods(ctx, c.namespace, "session="+c.id)
			return (len(pods) > 0 && pods[0].DeletionTimestamp == nil) == there, err
		})
	}
	// A conversation that is deleted while the server makes its sandbox would leave that behind.
	if c.id != "" && c.report.dir == "" {
		if err := is(true); err == nil {
			time.Sleep(settling)
		}
	}
	var removed struct{ Removed int }
	err := c.agent.ask(map[string]any{"do": "end"}, &removed, tidyUp)
	if err = errors.Join(err, c.agent.close()); err != nil {
		return "", fail("the next check removes it", "not all was removed: %v", err)
	}
	if c.id == "" {
		return "no conversation had begun", nil
	}
	if err := is(false); err != nil {
		return "", fail("`kubectl --namespace="+c.namespace+" get pods`: the clean-up removes it, an hour later at the latest", "its sandbox is still there: %v", err)
	}
	if c.own {
		return "the conversation with its sandbox, volume and objects", nil
	}
	return "the conversation with its sandbox, volume and objects, and the stub's settings", nil
}

// settling is how long after the pod the server has made the last of the sandbox's other objects.
const settling = 2 * time.Second

// until waits until something is so.
func until(ctx context.Context, patience time.Duration, so func() (bool, error)) error {
	for deadline := time.Now().Add(patience); ; {
		if is, err := so(); is || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it took longer than %s", patience)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// client asks the application, through a tunnel.
var client = &http.Client{
	Timeout:       2 * time.Minute,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// call asks the server through the door. Nobody's answer is read into an error but the server's own message.
func (c *serverConversation) call(ctx context.Context, method, path string, body, answer any) error {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.api+path, content)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, withoutAddress(err))
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		var told struct{ Message string }
		_ = json.Unmarshal(raw, &told) // an answer without a message is one of a proxy
		return fail("`kubectl --namespace="+c.Outputs.AppNamespace+" logs "+serverWorkload+"`",
			"%s %s answers %d (%s): %s", method, path, response.StatusCode, response.Header.Get("Server"), told.Message)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("%s %s answers something else than JSON: %w", method, path, err)
	}
	return nil
}
