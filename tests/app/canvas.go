package app

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// canvasRelease is the release of Agent Canvas that is run.
const canvasRelease = "1.20.0"

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

// canvasPod is the pod of an instance.
func canvasPod() corev1.PodSpec {
	probe := corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/alive", Port: intstr.FromInt32(8000)}}
	return corev1.PodSpec{
		SecurityContext:               &corev1.PodSecurityContext{RunAsUser: ptr.To(int64(10001)), FSGroup: ptr.To(int64(10001))},
		TerminationGracePeriodSeconds: ptr.To(int64(60)),
		Containers: []corev1.Container{{
			SecurityContext: &corev1.SecurityContext{ReadOnlyRootFilesystem: ptr.To(true)},
			StartupProbe:    &corev1.Probe{ProbeHandler: probe, PeriodSeconds: 10, FailureThreshold: 30},
			Env: []corev1.EnvVar{
				{Name: "HOME", Value: "/home/openhands"}, {Name: "OH_CONVERSATION_WORKTREE_ROOT", Value: "/home/openhands/workspace/.worktrees"},
				{Name: "DO_NOT_TRACK", Value: "1"}, {Name: "VITE_DO_NOT_TRACK", Value: "1"}, {Name: "AGENT_CANVAS_DISABLE_TELEMETRY", Value: "1"},
				{Name: "LITELLM_LOCAL_MODEL_COST_MAP", Value: "True"}, {Name: "LOG_JSON", Value: "true"}, {Name: "OH_ENABLE_VNC", Value: "false"},
				{Name: "OH_ENABLE_VSCODE", Value: "false"}, {Name: "LOCAL_BACKEND_API_KEY", Value: "session-key-of-alice"},
			},
			VolumeMounts: []corev1.VolumeMount{
				{Name: "tmp", MountPath: "/tmp"}, {Name: "home", MountPath: "/home/openhands"},
				{Name: "kept", MountPath: "/home/openhands/.openhands", SubPath: ".openhands"},
				{Name: "kept", MountPath: "/home/openhands/workspace", SubPath: "workspace"},
			},
		}},
		Volumes: []corev1.Volume{
			{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "home", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "kept", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "alice"}}},
		},
	}
}

// instance is one of Agent Canvas: its pod, and the disk that outlives it.
type instance struct {
	venv   string // of the installed application
	python python
	dir    string // for its files: the disk, and what each start writes
	pod    corev1.PodSpec
}

// disk is the directory of the machine that the instance's disk is.
func (i *instance) disk() string { return filepath.Join(i.dir, "disk") }

// box is the container of the instance as the pod describes it.
func (i *instance) box() (*box, error) {
	container := i.pod.Containers[0]
	dir, err := os.MkdirTemp(i.dir, "start-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	start, resolver := filepath.Join(dir, "start"), filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(start, canvasStart, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(resolver, []byte(resolvConf(instanceNamespace, "127.0.0.1")), 0o644); err != nil {
		return nil, err
	}
	user := int(*i.pod.SecurityContext.RunAsUser)
	b := &box{
		user: user, readOnly: *container.SecurityContext.ReadOnlyRootFilesystem, dir: "/", command: []string{"/opt/agent-canvas/start"},
		env:    maps.Clone(canvasImage),
		mounts: append(base(i.venv, i.python), mount{start, "/opt/agent-canvas/start", true}, mount{resolver, "/etc/resolv.conf", true}),
	}
	for _, variable := range container.Env {
		b.env[variable.Name] = variable.Value
	}
	for _, m := range container.VolumeMounts {
		source := filepath.Join(dir, "volumes", m.Name)
		for _, v := range i.pod.Volumes {
			if v.Name == m.Name && v.PersistentVolumeClaim != nil {
				source = filepath.Join(i.disk(), m.SubPath)
			}
		}
		if err := writable(source, int(*i.pod.SecurityContext.FSGroup)); err != nil {
			return nil, err
		}
		b.mounts = append(b.mounts, mount{source, m.MountPath, m.ReadOnly})
	}
	return b, nil
}

// startedInstance is a container that was started. Kill it.
type startedInstance struct {
	*running
	key string // of its API
	url string
}

// start starts the instance's container, or what change makes of it, and returns when it answers.
func (i *instance) start(ctx context.Context, change func(*box)) (*startedInstance, error) {
	b, err := i.box()
	if err != nil {
		return nil, err
	}
	key := b.env["LOCAL_BACKEND_API_KEY"]
	if change != nil {
		change(b)
	}
	r, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	s := &startedInstance{running: r, key: key, url: "http://127.0.0.1:8000"}
	probe := i.pod.Containers[0].StartupProbe
	deadline := time.Now().Add(time.Duration(probe.PeriodSeconds*probe.FailureThreshold) * time.Second)
	for time.Now().Before(deadline) {
		if s.ended() {
			return s, fmt.Errorf("the instance has ended: %w\n%s", s.err, s.log.tail())
		}
		if status, _, err := s.call(http.MethodGet, probe.HTTPGet.Path, nil); err == nil && status == http.StatusOK {
			return s, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return s, errors.Join(fmt.Errorf("the startup probe fails\n%s", s.log.tail()), s.kill())
}

// call makes a request with the key and a JSON body, unless that is nil.
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
	if s.key != "" {
		request.Header.Set("X-Session-API-Key", s.key)
	}
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
