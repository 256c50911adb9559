package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// publicHost is that of the stacks: the server's, or the one below which each instance has its own.
	publicHost = "openhands.example.com"
	// assertion is the header with what Identity-Aware Proxy signs.
	assertion = "X-Goog-Iap-Jwt-Assertion"
)

// doorPod is what the objects of the API server say of the door.
type doorPod struct {
	files    map[string]string // of its ConfigMap
	mount    string            // where they are
	keys     map[string]string // files of its Secret; none where its applications have no keys
	keyMount string            // where those are
	command  []string
	user     int
	readOnly bool // the root file system
	public   int  // ports
	probe    int
	memory   float64 // its limit, in MiB
	image    string
}

// file is one of the door's, as JSON.
type file = map[string]any

// change edits one of the files.
func (p doorPod) change(name string, edit func(file)) (doorPod, error) {
	var content file
	if err := json.Unmarshal([]byte(p.files[name]), &content); err != nil {
		return p, fmt.Errorf("%s: %w", name, err)
	}
	edit(content)
	raw, err := json.Marshal(content)
	if err != nil {
		return p, err
	}
	p.files = maps.Clone(p.files)
	p.files[name] = string(raw)
	return p, nil
}

// door reads what the API server has of the door.
func (d *deployment) door(ctx context.Context) (doorPod, error) {
	found, err := d.admin.AppsV1().Deployments(appNamespace).Get(ctx, doorName, metav1.GetOptions{})
	if err != nil {
		return doorPod{}, err
	}
	files, err := d.admin.CoreV1().ConfigMaps(appNamespace).Get(ctx, doorName, metav1.GetOptions{})
	if err != nil {
		return doorPod{}, err
	}
	spec := found.Spec.Template.Spec
	if len(spec.Containers) != 1 || spec.Volumes[0].ConfigMap == nil || spec.Volumes[0].ConfigMap.Name != doorName {
		return doorPod{}, errors.New("the door's pod has other containers or volumes than the tests know")
	}
	container := spec.Containers[0]
	pod := doorPod{
		files: files.Data, mount: container.VolumeMounts[0].MountPath, command: container.Command,
		user: int(*spec.SecurityContext.RunAsUser), readOnly: *container.SecurityContext.ReadOnlyRootFilesystem,
		memory: float64(container.Resources.Limits.Memory().Value()) / (1 << 20), image: container.Image,
	}
	for n, volume := range spec.Volumes[1:] {
		if volume.Secret == nil || pod.keys != nil {
			return doorPod{}, fmt.Errorf("the tests do not know volume %s of the door's pod", volume.Name)
		}
		secret, err := d.admin.CoreV1().Secrets(appNamespace).Get(ctx, volume.Secret.SecretName, metav1.GetOptions{})
		if err != nil {
			return doorPod{}, err
		}
		pod.keys, pod.keyMount = map[string]string{}, container.VolumeMounts[n+1].MountPath
		for name, value := range secret.Data {
			pod.keys[name] = string(value)
		}
	}
	for _, port := range container.Ports {
		switch port.Name {
		case "http":
			pod.public = int(port.ContainerPort)
		case "probe":
			pod.probe = int(port.ContainerPort)
		}
	}
	return pod, nil
}

// doors counts those that were started: each has a network of its own.
var doors atomic.Int32

// startedDoor is Envoy in a pod's place. Kill it.
type startedDoor struct {
	*running
	pod       doorPod
	link      *link
	directory string // that the files are in, as a kubelet writes them
	versions  int    // of the files
}

// startDoor starts the door in a box in which an authority, in PEM, vouches for certificates. dir is for its files. It does not wait.
func startDoor(ctx context.Context, envoy, dir string, pod doorPod, authority []byte) (*startedDoor, error) {
	number := int(doors.Add(1))
	d := &startedDoor{pod: pod, link: newLink(number), directory: filepath.Join(dir, fmt.Sprintf("door-%d", number), "files")}
	if err := os.MkdirAll(d.directory, 0o755); err != nil {
		return nil, err
	}
	if err := d.write(pod.files); err != nil {
		return nil, err
	}
	other := filepath.Dir(d.directory)
	for name, content := range map[string]string{"resolv.conf": resolvConf(appNamespace, d.link.nearby), "authorities": string(authority)} {
		if err := os.WriteFile(filepath.Join(other, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	b := &box{
		mounts: []mount{
			{"/usr/bin", "/usr/bin", true}, {"/usr/sbin", "/usr/sbin", true}, {"/usr/lib", "/usr/lib", true}, {"/usr/lib64", "/usr/lib64", true},
			{"/dev", "/dev", false},
			{envoy, "/usr/local/bin/envoy", true},
			{filepath.Join(other, "resolv.conf"), "/etc/resolv.conf", true},
			{filepath.Join(other, "authorities"), "/etc/ssl/certs/ca-certificates.crt", true},
			{d.directory, pod.mount, true},
		},
		user: pod.user, readOnly: pod.readOnly, dir: "/", network: d.link,
		// A line of the log is written within a tenth of a second, in place of ten.
		command: append(append([]string{}, pod.command...), "--file-flush-interval-msec", "100"),
	}
	if pod.keys != nil {
		keys := filepath.Join(other, "keys")
		if err := os.Mkdir(keys, 0o755); err != nil {
			return nil, err
		}
		for name, value := range pod.keys {
			if err := os.WriteFile(filepath.Join(keys, name), []byte(value), 0o644); err != nil {
				return nil, err
			}
		}
		b.mounts = append(b.mounts, mount{keys, pod.keyMount, true})
	}
	var err error
	d.running, err = b.start(ctx)
	return d, err
}

// write puts files where the door looks for them, as a kubelet does when a ConfigMap changes: it moves the link ..data.
func (d *startedDoor) write(files map[string]string) error {
	d.versions++
	version := fmt.Sprintf("..version-%d", d.versions)
	if err := os.Mkdir(filepath.Join(d.directory, version), 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(d.directory, version, name), []byte(content), 0o644); err != nil {
			return err
		}
		err := os.Symlink(filepath.Join("..data", name), filepath.Join(d.directory, name))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	moving := filepath.Join(d.directory, "..data_tmp")
	if err := os.Symlink(version, moving); err != nil {
		return err
	}
	return os.Rename(moving, filepath.Join(d.directory, "..data"))
}

// await returns when the kubelet would send requests.
func (d *startedDoor) await() error {
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if d.ended() {
			return fmt.Errorf("the door has ended: %w\n%s", d.err, d.log.tail())
		}
		response, err := client.Get(fmt.Sprintf("http://%s/ready", net.JoinHostPort(d.link.inside, strconv.Itoa(d.pod.probe))))
		if err == nil {
			if err := response.Body.Close(); err != nil {
				return err
			}
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("the door does not get ready\n%s", d.log.tail())
}

// way is how requests come to the door.
type way func(ctx context.Context) (net.Conn, error)

// loadBalancer is the way of the load balancer.
func (d *startedDoor) loadBalancer(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(loadBalancer)}}
	return dialer.DialContext(ctx, "tcp4", net.JoinHostPort(d.link.inside, strconv.Itoa(d.pod.public)))
}

// portForward is the way of kubectl port-forward: it dials inside of the pod.
func (d *startedDoor) portForward(ctx context.Context) (net.Conn, error) {
	runtime.LockOSThread() // the network is the thread's
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	theirs, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", d.cmd.Process.Pid))
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	if err := unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	connection, dialed := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp4", "127.0.0.1:3000")
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err // the thread stays locked, and ends with the goroutine
	}
	runtime.UnlockOSThread()
	return connection, dialed
}

// client sends requests on a way.
func (w way) client() *http.Client {
	return &http.Client{
		Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return w(ctx) }, DisableCompression: true, MaxIdleConnsPerHost: 200,
		},
	}
}

// entry is a line of the door's own log.
type entry struct {
	Severity, Name, Message, Way, Person, Address, Method, Host, Path, Reason string
	Status, Received, Sent, Duration                                          int
}

// entries are the lines about requests. The error tells of a line that is no JSON.
func (d *startedDoor) entries() (entries []entry, err error) {
	for _, line := range strings.Split(strings.TrimSpace(d.log.String()), "\n") {
		if line == "" {
			continue
		}
		var e entry
		decoder := json.NewDecoder(bytes.NewReader([]byte(line)))
		if err := decoder.Decode(&e); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		if e.Name == "door" {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// memory is the most that the door has had, in MiB.
func (d *startedDoor) memory() (float64, error) {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	raw, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(children)), "status"))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kib, err := strconv.Atoi(fields[1])
			return float64(kib) / 1024, err
		}
	}
	return 0, errors.New("the kernel does not say how much memory the door has had")
}
