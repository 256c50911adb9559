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

// canvasRelease is the release of Agent Canvas that is run: the one that the program offers.
const canvasRelease = "1.20.0"

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

// instance is one of Agent Canvas, as the objects of the API server describe it.
type instance struct {
	*deployment
	name string
	pod  corev1.PodSpec
}

// instance returns one of the stack's.
func (d *deployment) instance(ctx context.Context, name string) (*instance, error) {
	found, err := d.admin.AppsV1().StatefulSets(instanceNamespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	pod := found.Spec.Template.Spec
	if len(pod.Containers) != 1 || !strings.HasSuffix(pod.Containers[0].Image, ":"+canvasRelease) {
		return nil, fmt.Errorf("instance %s has not one container of release %s", name, canvasRelease)
	}
	return &instance{d, name, pod}, nil
}

// kept is the directory that outlives the instance's pods.
func (i *instance) kept() string {
	for _, v := range i.pod.Volumes {
		if v.PersistentVolumeClaim != nil {
			return i.disk(instanceNamespace, v.PersistentVolumeClaim.ClaimName)
		}
	}
	return ""
}

// startedInstance is a container that was started. Kill it.
type startedInstance struct {
	*running
	key string // of its API
	url string
}

// start starts the instance's container, or what change makes of it, and returns when it answers.
func (i *instance) start(ctx context.Context, change func(*box)) (*startedInstance, error) {
	dir, err := os.MkdirTemp(i.dir, "instance-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	b, err := i.boxOf(ctx, instanceNamespace, i.pod, dir, canvasImage)
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
	b.dir, b.command = "/", []string{"/opt/agent-canvas/start"}
	b.mounts = append(append(base(i.canvas, i.python), mount{start, b.command[0], true}, mount{resolver, "/etc/resolv.conf", true}), b.mounts...)
	s := &startedInstance{key: b.env["LOCAL_BACKEND_API_KEY"], url: fmt.Sprintf("http://127.0.0.1:%d", i.pod.Containers[0].Ports[0].ContainerPort)}
	if change != nil {
		change(b)
	}
	if s.running, err = b.start(ctx); err != nil {
		return nil, err
	}
	probe := i.pod.Containers[0].StartupProbe
	deadline := time.Now().Add(time.Duration(probe.PeriodSeconds*probe.FailureThreshold) * time.Second)
	for time.Now().Before(deadline) {
		if s.ended() {
			return nil, fmt.Errorf("the instance has ended: %w\n%s", s.err, s.log.tail())
		}
		if status, _, err := s.call(http.MethodGet, probe.HTTPGet.Path, nil); err == nil && status == http.StatusOK {
			return s, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("the startup probe fails\n%s", s.log.tail()), s.kill())
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
