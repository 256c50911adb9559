package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// imageEnvironment is what the application's image sets by itself (containers/app/Dockerfile).
var imageEnvironment = map[string]string{
	"PATH": "/app/.venv/bin:/usr/local/bin:/usr/bin:/bin", "VIRTUAL_ENV": "/app/.venv", "HOME": "/home/openhands",
	"RUN_AS_OPENHANDS": "true", "OPENHANDS_USER_ID": "42420", "SANDBOX_LOCAL_RUNTIME_URL": "http://host.docker.internal", "USE_HOST_NETWORK": "false",
	"WORKSPACE_BASE": "/opt/workspace_base", "SANDBOX_USER_ID": "0", "FILE_STORE": "local", "FILE_STORE_PATH": "/.openhands",
	"INIT_GIT_IN_EMPTY_WORKSPACE": "1",
}

const tokenDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// serverBox is the server's container as the objects of the API server describe it. Nothing is added but where the emulator is and what a kubelet adds:
// the address of the API server, the token, the name server.
func (i *installation) serverBox(ctx context.Context) (*box, error) {
	template, err := i.template(ctx)
	if err != nil {
		return nil, err
	}
	pod, container := template.Spec, template.Spec.Containers[0]
	venv, known := i.releases[release(container.Image)]
	if !known {
		return nil, fmt.Errorf("image %s: its release is not installed", container.Image)
	}
	dir, err := os.MkdirTemp(i.dir, "server-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	b, err := i.boxOf(ctx, appNamespace, pod, dir, imageEnvironment)
	if err != nil {
		return nil, err
	}
	api, err := url.Parse(i.cluster.Admin().Host)
	if err != nil {
		return nil, err
	}
	maps.Copy(b.env, map[string]string{
		"STORAGE_EMULATOR_HOST":   i.storage.address,
		"KUBERNETES_SERVICE_HOST": api.Hostname(), "KUBERNETES_SERVICE_PORT": api.Port(),
	})
	files := []mount{}
	for name, content := range map[string]string{
		"index.html": "<html><title>stub of the web page</title></html>\n", "resolv.conf": resolvConf(appNamespace, "127.0.0.1"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	files = append(files, mount{filepath.Join(dir, "index.html"), "/app/frontend/build/index.html", true},
		mount{filepath.Join(dir, "resolv.conf"), "/etc/resolv.conf", true})
	b.mounts = slices.Concat(base(venv, i.python), files, b.mounts)
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		token, err := i.token(ctx, dir, pod.ServiceAccountName)
		if err != nil {
			return nil, err
		}
		b.mounts = append(b.mounts, mount{token, tokenDir, true})
	}
	return b, nil
}

// boxOf is the container of a pod in a namespace: its user, its command, its environment over that of its image, and its volumes, of which those that end
// with the pod are in dir.
func (d *deployment) boxOf(ctx context.Context, namespace string, pod corev1.PodSpec, dir string, image map[string]string) (*box, error) {
	container := pod.Containers[0]
	if pod.SecurityContext == nil || pod.SecurityContext.RunAsUser == nil || container.SecurityContext == nil ||
		container.SecurityContext.ReadOnlyRootFilesystem == nil {
		return nil, errors.New("the pod says neither its user nor whether its root file system can be written")
	}
	b := &box{
		user: int(*pod.SecurityContext.RunAsUser), readOnly: *container.SecurityContext.ReadOnlyRootFilesystem,
		dir: container.WorkingDir, command: slices.Concat(container.Command, container.Args), env: maps.Clone(image),
	}
	variables, err := d.variables(ctx, namespace, container)
	if err != nil {
		return nil, err
	}
	maps.Copy(b.env, variables)
	b.mounts, err = d.volumes(ctx, namespace, dir, pod, container)
	return b, err
}

// disk is the directory that a claim of a namespace stands for.
func (d *deployment) disk(namespace, claim string) string {
	return filepath.Join(d.dir, "disks", namespace, claim)
}

// volumes mounts what a kubelet would.
func (d *deployment) volumes(ctx context.Context, namespace, dir string, pod corev1.PodSpec, container corev1.Container) (mounts []mount, err error) {
	for _, m := range container.VolumeMounts {
		source := filepath.Join(dir, "volumes", m.Name)
		for _, v := range pod.Volumes {
			switch {
			case v.Name != m.Name:
				continue
			case v.EmptyDir != nil:
				err = writable(source, int(*pod.SecurityContext.FSGroup))
			case v.ConfigMap != nil:
				err = d.configMap(ctx, namespace, v.ConfigMap.Name, source)
			case v.PersistentVolumeClaim != nil:
				source = filepath.Join(d.disk(namespace, v.PersistentVolumeClaim.ClaimName), m.SubPath)
				err = writable(source, int(*pod.SecurityContext.FSGroup))
			default:
				err = fmt.Errorf("volume %s is of a kind that the tests do not know", v.Name)
			}
		}
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, mount{source, m.MountPath, m.ReadOnly})
	}
	return mounts, nil
}

// writable makes a volume that belongs to root and a group.
func writable(dir string, group int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(os.Chown(dir, 0, group), os.Chmod(dir, 0o775|os.ModeSetgid))
}

func (d *deployment) configMap(ctx context.Context, namespace, name, dir string) error {
	m, err := d.admin.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for file, content := range m.Data {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// token writes the files that a kubelet gives to a pod of a service account.
func (i *installation) token(ctx context.Context, dir, account string) (string, error) {
	config, err := i.cluster.ServiceAccount(ctx, appNamespace, account)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "token")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	for name, content := range map[string][]byte{"token": []byte(config.BearerToken), "ca.crt": config.CAData, "namespace": []byte(appNamespace)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// server is a started server.
type server struct {
	*running
	template *corev1.PodTemplateSpec
	mounts   []mount
	url      string
}

// volume is the directory of the machine that one of the pod's volumes is.
func (s *server) volume(name string) string {
	for _, m := range s.mounts {
		if filepath.Base(m.source) == name {
			return m.source
		}
	}
	return ""
}

// startServer starts the server's container, or what change makes of it. It does not wait.
func (i *installation) startServer(ctx context.Context, change func(*box)) (*server, error) {
	template, err := i.template(ctx)
	if err != nil {
		return nil, err
	}
	b, err := i.serverBox(ctx)
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(b)
	}
	r, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	return &server{r, template, b.mounts, fmt.Sprintf("http://127.0.0.1:%d", template.Spec.Containers[0].Ports[0].ContainerPort)}, nil
}

// await returns when the startup probe succeeds. It fails when the server ends before, or when a kubelet would give up.
func (s *server) await() error {
	probe := s.template.Spec.Containers[0].StartupProbe
	deadline := time.Now().Add(time.Duration(probe.PeriodSeconds*probe.FailureThreshold) * time.Second)
	for time.Now().Before(deadline) {
		if s.ended() {
			return fmt.Errorf("the server has ended: %w\n%s", s.err, s.log.tail())
		}
		if status, _, err := s.call(http.MethodGet, probe.HTTPGet.Path, nil); err == nil && status == http.StatusOK {
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("the startup probe fails for %s\n%s", time.Duration(probe.PeriodSeconds*probe.FailureThreshold)*time.Second, s.log.tail())
}

// client keeps no connection: the image's own command closes idle ones after 5 seconds, and a call that is sent just then fails.
var client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
	DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, DisableKeepAlives: true,
}}

// throughLoadBalancer is a client whose calls come from a load balancer.
var throughLoadBalancer = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
	DialContext: (&net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(loadBalancer)}}).DialContext,
}}

// call makes a request with a JSON body, unless that is nil.
func (s *server) call(method, path string, body any) (status int, answer string, err error) {
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
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(raw)), err
}

// forward makes a request as a load balancer does that has seen somebody's address, and returns the status.
func (s *server) forward(path, from string) (int, error) {
	request, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("X-Forwarded-For", from)
	response, err := throughLoadBalancer.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// runPython runs a script as the server: with its environment, its user, its file system. It returns what the script prints.
func (i *installation) runPython(ctx context.Context, script string, change ...func(*box)) (string, error) {
	b, err := i.serverBox(ctx)
	if err != nil {
		return "", err
	}
	b.command = []string{"python", "-c", script}
	for _, c := range change {
		c(b)
	}
	r, err := b.start(ctx)
	if err != nil {
		return "", err
	}
	<-r.done
	return r.log.String(), r.err
}
