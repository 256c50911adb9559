package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	table "openhands-gcp/release"
)

// sandboxPort is the one of the action server in a sandbox. The addresses of all Services are this machine, so there is one action server at a time.
const sandboxPort = 8080

// podName is what the runtime calls the pod of a conversation.
func podName(conversation string) string { return "openhands-runtime-" + conversation }

// micromamba stands in for the program by which the sandbox's image finds its Python environment: micromamba run -n openhands <command>.
const micromamba = "#!/bin/sh\nshift 3\nexec \"$@\"\n"

// startActionServer starts the server that runs commands in a sandbox of the default release.
func (i *installation) startActionServer(ctx context.Context, workspace string) (*running, error) {
	return i.startActionServerOf(ctx, table.DefaultRelease(table.Server), workspace)
}

// startActionServerOf starts that of a release, as the pod of a conversation would, and returns when it answers. The image of sandboxes has an editor and a
// browser too, which are not there: the command asks for none.
func (i *installation) startActionServerOf(ctx context.Context, release, workspace string) (*running, error) {
	dir, err := os.MkdirTemp(i.dir, "sandbox-")
	if err != nil {
		return nil, err
	}
	for _, d := range []string{workspace, filepath.Join(dir, "tmp"), filepath.Join(dir, "root")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "micromamba"), []byte(micromamba), 0o755); err != nil {
		return nil, err
	}
	b := &box{
		mounts: append(base(i.releases[release], i.python),
			mount{workspace, "/workspace", false}, mount{filepath.Join(dir, "tmp"), "/tmp", false}, mount{filepath.Join(dir, "root"), "/root", false},
			mount{filepath.Join(dir, "micromamba"), "/openhands/micromamba/bin/micromamba", true}),
		dir: "/openhands/code",
		env: map[string]string{
			"PATH": "/app/.venv/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "PYTHONUNBUFFERED": "1", "SU_TO_USER": "false",
		},
		command: []string{
			"python", "-u", "-m", "openhands.runtime.action_execution_server", fmt.Sprint(sandboxPort), "--working-dir", "/workspace",
			"--plugins", "agent_skills", "jupyter", "--username", "root", "--user-id", "0", "--no-enable-browser",
		},
	}
	// The interpreter may be in the home directory, over which the box's own is mounted: it comes after.
	slices.SortStableFunc(b.mounts, func(a, b mount) int { return strings.Count(a.target, "/") - strings.Count(b.target, "/") })
	r, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	for range 1200 { // four minutes: OpenHands itself waits five
		response, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/alive", sandboxPort))
		if err == nil {
			if err := response.Body.Close(); err != nil {
				return nil, err
			}
			if response.StatusCode == http.StatusOK {
				return r, nil
			}
		}
		if r.ended() {
			return nil, fmt.Errorf("the action server has ended: %w\n%s", r.err, r.log.tail())
		}
		time.Sleep(200 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("the action server does not answer\n%s", r.log.tail()), r.kill())
}

// sandboxObjects are the objects in the namespace of the sandboxes that belong to a conversation, as kind/name. What is on its way out is not among them.
func (i *installation) sandboxObjects(ctx context.Context, conversation string) (names []string, err error) {
	add := func(kind string, meta metav1.ObjectMeta) {
		if meta.DeletionTimestamp == nil && strings.HasPrefix(meta.Name, podName(conversation)) {
			names = append(names, kind+"/"+strings.TrimPrefix(meta.Name, podName(conversation)))
		}
	}
	options := metav1.ListOptions{}
	pods, err := i.admin.CoreV1().Pods(sandboxNamespace).List(ctx, options)
	if err != nil {
		return nil, err
	}
	for _, o := range pods.Items {
		add("pod", o.ObjectMeta)
	}
	services, err := i.admin.CoreV1().Services(sandboxNamespace).List(ctx, options)
	if err != nil {
		return nil, err
	}
	for _, o := range services.Items {
		add("service", o.ObjectMeta)
	}
	claims, err := i.admin.CoreV1().PersistentVolumeClaims(sandboxNamespace).List(ctx, options)
	if err != nil {
		return nil, err
	}
	for _, o := range claims.Items {
		add("volume", o.ObjectMeta)
	}
	ingresses, err := i.admin.NetworkingV1().Ingresses(sandboxNamespace).List(ctx, options)
	if err != nil {
		return nil, err
	}
	for _, o := range ingresses.Items {
		add("ingress", o.ObjectMeta)
	}
	slices.Sort(names)
	return names, nil
}

// What a conversation has while it runs, and what is left of it when it is closed or deleted.
var (
	allObjects = []string{"ingress/-ingress-code", "pod/", "service/-svc", "service/-svc-code", "volume/-pvc"}
	onlyVolume = []string{"volume/-pvc"}
)

// fail marks a sandbox as a kubelet does whose container was killed for its memory.
func (i *installation) fail(ctx context.Context, conversation string) error {
	pod, err := i.admin.CoreV1().Pods(sandboxNamespace).Get(ctx, podName(conversation), metav1.GetOptions{})
	if err != nil {
		return err
	}
	pod.Status.Phase = corev1.PodFailed
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name:  pod.Spec.Containers[0].Name,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}},
	}}
	for n := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[n]; c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
			c.Status = corev1.ConditionFalse
		}
	}
	_, err = i.admin.CoreV1().Pods(sandboxNamespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}
