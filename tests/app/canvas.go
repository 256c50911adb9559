package app

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// teamStackFile is a stack of instances of Agent Canvas.
const teamStackFile = `config:
  gcp:project: my-openhands-app
  gcp:region: us-central1
  openhands:profile: prod
  openhands:app:
    line: canvas
  openhands:exposure:
    host: ` + publicHost + `
  openhands:instances:
    - name: alice
      members: [user:alice@example.com]
    - name: platform
      members: [group:platform@example.com]
`

// instanceNamespace is that of the instances.
const instanceNamespace = "openhands-instances"

// canvasImage is what the image of Agent Canvas sets by itself.
var canvasImage = map[string]string{
	"PATH": "/app/.venv/bin:/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "LOG_JSON": "true",
	"OH_ACP_SKILL_SOURCING": "openhands_managed", "CHROME_BIN": "/usr/bin/chromium", "CHROMIUM_FLAGS": "--no-sandbox --disable-dev-shm-usage --disable-gpu",
}

// canvasStart stands in for the entrypoint of the image.
//
//go:embed canvas-start.sh
var canvasStart []byte

// instance is one of Agent Canvas, as the program describes it.
type instance struct {
	*deployment
	name string
	venv string // directory of the release
	// container is what the description says of the container, in whose image canvasStart is the command. dir is for what ends with the container.
	container func(ctx context.Context, dir string) (*box, error)
	kept      string // directory of the machine that outlives the container
	port      int
	probe     string        // path that answers 200 while it is well
	patience  time.Duration // until it is
	grace     time.Duration // between the stop signal and the end
}

// instance returns one of the stack's, by its pod.
func (d *deployment) instance(ctx context.Context, name string) (*instance, error) {
	found, err := d.admin.AppsV1().StatefulSets(instanceNamespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	pod := found.Spec.Template.Spec
	if len(pod.Containers) != 1 {
		return nil, fmt.Errorf("the pod of instance %s has %d containers", name, len(pod.Containers))
	}
	container := pod.Containers[0]
	venv, known := d.canvases[release(container.Image)]
	if !known {
		return nil, fmt.Errorf("image %s: its release is not installed", container.Image)
	}
	for _, probe := range []*corev1.Probe{container.LivenessProbe, container.ReadinessProbe} {
		if probe.HTTPGet.Path != container.StartupProbe.HTTPGet.Path {
			return nil, fmt.Errorf("instance %s has probes of different paths", name)
		}
	}
	i := &instance{
		deployment: d, name: name, venv: venv, port: int(container.Ports[0].ContainerPort), probe: container.StartupProbe.HTTPGet.Path,
		patience: time.Duration(container.StartupProbe.PeriodSeconds*container.StartupProbe.FailureThreshold) * time.Second,
		grace:    time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second,
	}
	for _, v := range pod.Volumes {
		if v.PersistentVolumeClaim != nil {
			i.kept = d.disk(instanceNamespace, v.PersistentVolumeClaim.ClaimName)
		}
	}
	i.container = func(ctx context.Context, dir string) (*box, error) {
		return d.boxOf(ctx, instanceNamespace, pod, dir, canvasImage)
	}
	return i, nil
}

// startedInstance is a container that was started. Kill it.
type startedInstance struct {
	*running
	key string // of its API
	url string
}

// box is the instance's container with a command.
func (i *instance) box(ctx context.Context, command ...string) (*box, error) {
	dir, err := os.MkdirTemp(i.dir, "instance-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	b, err := i.container(ctx, dir)
	if err != nil {
		return nil, err
	}
	start, resolver := filepath.Join(dir, "start"), filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(start, canvasStart, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(resolver, []byte(resolvConf(instanceNamespace, "127.0.0.1")), 0o644); err != nil {
		return nil, err
	}
	b.dir, b.command = "/", command
	b.mounts = append(append(base(i.venv, i.python), mount{start, canvasEntry, true}, mount{resolver, "/etc/resolv.conf", true}), b.mounts...)
	return b, nil
}

// canvasEntry is where canvasStart is.
const canvasEntry = "/opt/agent-canvas/start"

// start starts the instance's container, or what change makes of it, and returns when it answers.
func (i *instance) start(ctx context.Context, change func(*box)) (*startedInstance, error) {
	b, err := i.box(ctx, canvasEntry)
	if err != nil {
		return nil, err
	}
	s := &startedInstance{key: b.env["LOCAL_BACKEND_API_KEY"], url: fmt.Sprintf("http://127.0.0.1:%d", i.port)}
	if change != nil {
		change(b)
	}
	if s.running, err = b.start(ctx); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(i.patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if s.ended() {
			return nil, fmt.Errorf("the instance has ended: %w\n%s", s.err, s.log.tail())
		}
		if status, _, err := s.call(http.MethodGet, i.probe, nil); err == nil && status == http.StatusOK {
			return s, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("it does not answer for %s\n%s", i.patience, s.log.tail()), s.kill())
}

// call makes a request with the key, or with headers instead, and a JSON body, unless that is nil.
func (s *startedInstance) call(method, path string, body any, header ...string) (status int, answer string, err error) {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, "", err
		}
		content = bytes.NewReader(raw)
	}
	request, err := http.NewRequest(method, s.url+path, content)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Session-API-Key", s.key)
	for n := 0; n+1 < len(header); n += 2 {
		request.Header.Set(header[n], header[n+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(raw)), err
}
