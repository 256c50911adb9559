package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"openhands-gcp/release"
)

const instanceContainer = "canvas"

// instanceConversation opens the page of an instance, and has a conversation in it.
func (w *walk) instanceConversation(ctx context.Context, name string) {
	address := w.Outputs.URLs[name]
	w.station(ctx, "page", func(ctx context.Context) (string, error) {
		switch {
		case !w.public(address):
			way, err := w.forward(ctx)
			if err != nil {
				return "", err
			}
			defer way.stop()
			return pageAt(ctx, w.Outputs.AppNamespace, "http://"+way.address, hostOf(address))
		case w.LoginAs != "":
			return w.pageThroughLogin(ctx, address)
		}
		return "", notHere("only who has logged in comes to an instance: name a service account of its members by LOGIN_AS")
	})
	if w.results[len(w.results)-1].Verdict == Failed {
		w.skip(ctx, "the page does not open", "conversation", "sandbox", "command", "metadata", "neighbour", "volume", "removed")
		return
	}
	w.converse(ctx, func(ctx context.Context, c *instanceConversation) (*exec.Cmd, error) { return c.inPod(ctx, name) })
}

// machine walks the way to Agent Canvas on a single machine.
func (w *walk) machine(ctx context.Context) {
	if !w.station(ctx, "page", func(ctx context.Context) (string, error) {
		way, err := w.tunnelToMachine(ctx)
		if err != nil {
			return "", err
		}
		defer way.stop()
		if _, err := pageAt(ctx, "", "http://"+way.address, "localhost"); err != nil {
			return "", err
		}
		return "opens through the tunnel of Identity-Aware Proxy", nil
	}) {
		w.skip(ctx, "the page does not open", "conversation", "sandbox", "command", "metadata", "volume", "removed")
		return
	}
	w.converse(ctx, func(_ context.Context, c *instanceConversation) (*exec.Cmd, error) { return c.onMachine() })
}

// tunnelToMachine opens the way of the stack's openCommand, at another port of this machine.
func (w *walk) tunnelToMachine(ctx context.Context) (*tunnel, error) {
	fields := strings.Fields(w.Outputs.OpenCommand)
	if len(fields) < 2 || fields[0] != "gcloud" {
		return nil, fmt.Errorf("output openCommand is %q, and not a tunnel of gcloud", w.Outputs.OpenCommand)
	}
	t, err := openTunnel(ctx, w.Gcloud, func(port int) []string {
		var arguments []string
		for _, f := range fields[1:] {
			if strings.HasPrefix(f, "--local-host-port=") {
				f = "--local-host-port=localhost:" + strconv.Itoa(port)
			}
			arguments = append(arguments, f)
		}
		return arguments
	})
	if err != nil && ctx.Err() == nil {
		return nil, fail("openhands:machine.access: are you among its members, and does the machine run? docs/single.md", "no tunnel: %v", err)
	}
	return t, err
}

// instanceConversation is one in an instance of Agent Canvas. Its model comes with the request: the instance's own settings are neither read nor changed.
type instanceConversation struct {
	*walk
	mark      string
	release   release.Release
	directory string
	agent     *agent
	id        string
	box       sandbox
	kept      []string // mount points of what outlives the container
	targets   []target
	report    report
	look      string
}

// inPod looks for the pod of an instance, and returns the command into it.
func (c *instanceConversation) inPod(ctx context.Context, name string) (*exec.Cmd, error) {
	pods, err := c.cluster.pods(ctx, c.Outputs.InstanceNamespace, "openhands.dev/instance="+name)
	if err != nil {
		return nil, err
	}
	c.look = fmt.Sprintf("`kubectl --namespace=%s describe pod %s-0`; docs/instances.md", c.Outputs.InstanceNamespace, name)
	var pod *corev1.Pod
	for i, p := range pods {
		if p.DeletionTimestamp == nil && p.Status.Phase == corev1.PodRunning {
			pod = &pods[i]
		}
	}
	if pod == nil {
		return nil, fail(c.look, "instance %s has no pod that runs", name)
	}
	c.box = sandbox{what: "pod " + pod.Name, see: fmt.Sprintf("`kubectl --namespace=%s get pod %s --output=yaml`", pod.Namespace, pod.Name)}
	if pod.Spec.RuntimeClassName != nil {
		c.box.class = *pod.Spec.RuntimeClassName
	}
	for _, m := range pod.Spec.Containers[0].VolumeMounts {
		for _, v := range pod.Spec.Volumes {
			if v.Name == m.Name && v.PersistentVolumeClaim != nil {
				c.kept = append(c.kept, m.MountPath)
			}
		}
	}
	c.places()
	for _, namespace := range []string{c.Outputs.AppNamespace, c.Outputs.InstanceNamespace} {
		neighbours, err := c.cluster.neighbours(ctx, namespace)
		if err != nil {
			return nil, err
		}
		for _, t := range neighbours {
			if t.what != "Service "+name && (namespace == c.Outputs.AppNamespace || t.what != "the API server") && len(c.targets) < mostTargets {
				c.targets = append(c.targets, t)
			}
		}
	}
	return c.cluster.exec(pod.Namespace, "pod/"+pod.Name, instanceContainer), nil
}

// mostTargets keeps the command short where there are many instances.
const mostTargets = 8

// onMachine is the command into the machine's container.
func (c *instanceConversation) onMachine() (*exec.Cmd, error) {
	fields := strings.Fields(c.Outputs.SSHCommand)
	if len(fields) < 2 || fields[0] != "gcloud" {
		return nil, fmt.Errorf("output sshCommand is %q, and not one of gcloud", c.Outputs.SSHCommand)
	}
	c.look = "openhands:machine.access.operators: are you among them? docs/single.md"
	c.box = sandbox{what: "the container", machine: true, see: "`docker inspect openhands` on the machine"}
	for _, kept := range c.release.Instance.Kept {
		c.kept = append(c.kept, path.Join(c.release.Instance.Home, kept))
	}
	c.places()
	quoted := make([]string, len(bootstrap))
	for i, argument := range bootstrap {
		quoted[i] = "'" + argument + "'"
	}
	command := "--command=sudo docker exec --interactive openhands " + strings.Join(quoted, " ")
	return exec.Command(c.Gcloud, append(fields[1:len(fields):len(fields)], "--quiet", command)...), nil
}

// places are the instance's own port, and the metadata server.
func (c *instanceConversation) places() {
	c.targets = []target{
		{own, "itself", "127.0.0.1", strconv.Itoa(c.release.Port)},
		{"metadata", "the metadata server", metadataServer, "80"},
	}
}

// converse walks the stations of the conversation.
func (w *walk) converse(ctx context.Context, into func(context.Context, *instanceConversation) (*exec.Cmd, error)) {
	c := &instanceConversation{walk: w, mark: newMark()}
	rest := []string{"sandbox", "command", "metadata", "volume"}
	if c.station(ctx, "conversation", func(ctx context.Context) (_ string, err error) {
		version := release.DefaultRelease(release.Canvas) // what is asked of it here is the same in all
		if c.release, err = release.Lookup(release.Canvas, version, release.Itself); err != nil {
			return "", err
		}
		c.directory = path.Join(c.release.Instance.Home, "workspace", c.mark)
		cmd, err := into(ctx, c)
		if err != nil {
			return "", err
		}
		rest = append(afterConversation(c.targets), "volume")
		return c.run(ctx, cmd)
	}) {
		c.judge(ctx, c.box, c.report, c.targets)
		c.station(ctx, "volume", func(context.Context) (string, error) { return c.volume() })
	} else {
		c.skip(ctx, "there was no conversation", rest...)
	}
	if c.agent != nil {
		c.station(context.WithoutCancel(ctx), "removed", func(context.Context) (string, error) { return c.remove() })
	}
}

// run has the conversation, whose command prints all that it has to say.
func (c *instanceConversation) run(ctx context.Context, cmd *exec.Cmd) (string, error) {
	command := command(c.mark, c.targets)
	var err error
	c.agent, err = startAgent(cmd, map[string]any{
		"line": "instance", "mark": c.mark, "command": command, "tool": "terminal", "end": map[string]any{"message": "That is all."},
		"port": c.release.Port, "key": c.release.Instance.KeyVariable, "header": c.release.Instance.KeyHeader, "directory": path.Dir(c.directory),
	})
	if err != nil {
		if c.box.machine {
			return "", fail(c.look, "no command runs in the container: %v", err)
		}
		return "", whyNot("exec in "+c.box.what, err)
	}
	var begun struct{ Left int }
	if err := c.agent.ask(map[string]any{"do": "begin"}, &begun, time.Minute); err != nil {
		return "", err
	}
	var info struct {
		ID     string
		Status string `json:"execution_status"`
	}
	if err := c.call(http.MethodPost, "/api/conversations", map[string]any{
		"agent": map[string]any{
			"kind": "Agent", "llm": map[string]any{"usage_id": "check", "model": "openai/gpt-4o", "api_key": product, "base_url": c.agent.model},
			"tools": []any{map[string]any{"name": "terminal"}},
		},
		"workspace": map[string]any{"kind": "LocalWorkspace", "working_dir": c.directory}, "worktree": false, "autotitle": false,
		"tags": map[string]any{"openhandscheck": "true"},
		"initial_message": map[string]any{
			"role": "user", "content": []any{map[string]any{"type": "text", "text": "This is a check of the installation. " + c.mark}}, "run": true,
		},
	}, &info); err != nil {
		return "", err
	}
	c.id = info.ID
	if err := c.agent.ask(map[string]any{"do": "mine", "conversation": c.id}, &struct{}{}, time.Minute); err != nil {
		return "", err
	}
	for deadline := time.Now().Add(c.Patience); time.Now().Before(deadline); {
		// The state first: what it tells of is among the events then.
		if err := c.call(http.MethodGet, "/api/conversations/"+c.id, nil, &info); err != nil {
			return "", err
		}
		var page struct{ Items []json.RawMessage }
		if err := c.call(http.MethodGet, "/api/conversations/"+c.id+"/events/search", nil, &page); err != nil {
			return "", err
		}
		for _, item := range page.Items {
			if r, complete := readReport(c.mark, strings.Join(textsOf(item), "\n")); complete {
				c.report = r
				found := "with a stub model, beside the settings of the instance, which were neither read nor changed"
				if begun.Left > 0 {
					found += "; what an earlier check had left was removed"
				}
				return found, nil
			}
		}
		if info.Status == "error" || info.Status == "stuck" || info.Status == "finished" {
			return "", fail(c.look, "the agent is in the state %q, and its command has not come to an end", info.Status)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return "", fail(c.look, "the agent has not run its command within %s", c.Patience)
}

// textsOf are the texts of an event, wherever they are in it. The command itself is among them, and is no output: it has no line that begins with the mark.
func textsOf(raw json.RawMessage) (texts []string) {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return nil // it was read from JSON
	}
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case string:
			texts = append(texts, v)
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, name := range sorted(v) {
				walk(v[name])
			}
		}
	}
	walk(value)
	return texts
}

// call asks the instance with the key that its container has.
func (c *instanceConversation) call(method, path string, body, answer any) error {
	var got struct {
		Status int
		Answer json.RawMessage
	}
	if err := c.agent.ask(map[string]any{"do": "call", "method": method, "path": path, "body": body}, &got, 3*time.Minute); err != nil {
		return fail(c.look, "%s %s: %v", method, path, err)
	}
	if got.Status != http.StatusOK && got.Status != http.StatusCreated {
		return fail(c.look, "%s %s answers %d: %s", method, path, got.Status, firstLine(got.Answer))
	}
	return json.Unmarshal(got.Answer, answer)
}

// volume looks for the file where it outlives the container.
func (c *instanceConversation) volume() (string, error) {
	var found struct {
		Found bool
		Mount string
	}
	name := path.Join(c.report.dir, fileOf)
	if err := c.agent.ask(map[string]any{"do": "file", "path": name}, &found, time.Minute); err != nil {
		return "", fail(c.look, "%s cannot be read: %v", name, err)
	}
	if !found.Found {
		return "", fail(c.look, "%s does not have what the command wrote", name)
	}
	for _, point := range c.kept {
		if found.Mount == point {
			return fmt.Sprintf("the command's file is at %s, on the volume at %s", name, point), nil
		}
	}
	return "", fail(c.look, "%s is on what is mounted at %s, which ends with the container, and not on the volume (%s)",
		name, found.Mount, strings.Join(c.kept, ", "))
}

// remove takes everything back, and looks whether it is gone.
func (c *instanceConversation) remove() (string, error) {
	var removed struct{ Removed int }
	err := c.agent.ask(map[string]any{"do": "end"}, &removed, tidyUp)
	if err == nil && c.id != "" {
		var got struct{ Status int }
		err = c.agent.ask(map[string]any{"do": "call", "method": http.MethodGet, "path": "/api/conversations/" + c.id}, &got, time.Minute)
		if err == nil && got.Status != http.StatusNotFound {
			err = fmt.Errorf("conversation %s answers %d", c.id, got.Status)
		}
	}
	if err = errors.Join(err, c.agent.close()); err != nil {
		return "", fail("the next check removes it", "not all was removed: %v", err)
	}
	return "the conversation and its files", nil
}
