package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// cluster is reached by kubectl, with the stack's own kubeconfig.
type cluster struct {
	program    string
	kubeconfig string // file
}

// inCluster does something with the cluster at hand, or says at the station of the page why it is not.
func (w *walk) inCluster(ctx context.Context, visit func()) {
	dir, err := os.MkdirTemp("", "openhands-check-")
	if err == nil {
		defer os.RemoveAll(dir)
		w.cluster = &cluster{program: w.Kubectl, kubeconfig: filepath.Join(dir, "kubeconfig")}
		err = os.WriteFile(w.cluster.kubeconfig, []byte(w.Outputs.Kubeconfig), 0o600)
	}
	if err != nil {
		w.station(ctx, "page", func(context.Context) (string, error) { return "", err })
		return
	}
	visit()
}

func (c *cluster) arguments(arguments ...string) []string {
	return append([]string{"--kubeconfig=" + c.kubeconfig}, arguments...)
}

// get reads an object, or a list of them.
func (c *cluster) get(ctx context.Context, object any, arguments ...string) error {
	cmd := exec.CommandContext(ctx, c.program, c.arguments(append([]string{"get", "--output=json", "--request-timeout=30s"}, arguments...)...)...)
	var output bytes.Buffer
	said := &tail{}
	cmd.Stdout, cmd.Stderr = &output, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil || cmd.ProcessState == nil {
			return err
		}
		return whyNot("get "+strings.Join(arguments, " "), errors.New(said.last(err)))
	}
	return json.Unmarshal(output.Bytes(), object)
}

// whyNot says what keeps kubectl from it.
func whyNot(what string, err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return err
	}
	look := "`kubectl` reaches the cluster after `$(pulumi stack output credentialsCommand)`; README.md, \"Reaching the cluster\""
	if strings.Contains(strings.ToLower(err.Error()), "forbidden") {
		look = "the check needs the rights of whoever deploys; an operator's do not suffice: they may not run commands in pods. docs/check.md, \"Rights\""
	}
	return fail(look, "kubectl %s: %v", what, err)
}

// exec is the command that runs bootstrap in a container.
func (c *cluster) exec(namespace, workload, container string) *exec.Cmd {
	return exec.Command(c.program, c.arguments(append([]string{
		"exec", "--stdin", "--namespace=" + namespace, workload, "--container=" + container, "--",
	}, bootstrap...)...)...)
}

// forwarded is the port of an openCommand.
var forwarded = regexp.MustCompile(`^\d+:(\d+)$`)

// forward opens the way of the stack's openCommand, at another port of this machine.
func (w *walk) forward(ctx context.Context) (*tunnel, error) {
	fields := strings.Fields(w.Outputs.OpenCommand)
	last := len(fields) - 1
	if last < 1 || fields[0] != "kubectl" || !forwarded.MatchString(fields[last]) {
		return nil, fmt.Errorf("output openCommand is %q, and not a port-forward of kubectl", w.Outputs.OpenCommand)
	}
	port := forwarded.FindStringSubmatch(fields[last])[1]
	t, err := openTunnel(ctx, w.Kubectl, func(near int) []string {
		return w.cluster.arguments(append(fields[1:last:last], strconv.Itoa(near)+":"+port)...)
	})
	if err != nil && ctx.Err() == nil {
		return nil, whyNot("port-forward", err)
	}
	return t, err
}

// pods are those of a namespace that a selector names.
func (c *cluster) pods(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := c.get(ctx, &list, "pods", "--namespace="+namespace, "--selector="+selector)
	return list.Items, err
}

// services are those of a namespace that have an address.
func (c *cluster) services(ctx context.Context, namespace string) ([]corev1.Service, error) {
	var list corev1.ServiceList
	if err := c.get(ctx, &list, "services", "--namespace="+namespace); err != nil {
		return nil, err
	}
	var services []corev1.Service
	for _, s := range list.Items {
		if s.Spec.ClusterIP != "" && s.Spec.ClusterIP != corev1.ClusterIPNone {
			services = append(services, s)
		}
	}
	return services, nil
}

// variables are those of a ConfigMap.
func (c *cluster) variables(ctx context.Context, namespace, name string) (map[string]string, error) {
	var m corev1.ConfigMap
	err := c.get(ctx, &m, "configmap", name, "--namespace="+namespace)
	return m.Data, err
}

// tidyUp is how long the end of a check may take, whatever has stopped it.
const tidyUp = 2 * time.Minute
