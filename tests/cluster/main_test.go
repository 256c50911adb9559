package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"openhands-gcp/tests/cluster"
)

const patience = 30 * time.Second

// started tells that a test needed the cluster.
var started bool

// shared is the cluster of all tests here, started by the first that needs it.
var shared = sync.OnceValues(func() (*cluster.Cluster, error) {
	return cluster.Start(context.Background(), cluster.Options{
		Root: filepath.Join("..", ".."),
		CRDs: []map[string]any{widgets},
	})
})

// widgets is a definition that no cluster has by itself.
var widgets = map[string]any{
	"apiVersion": "apiextensions.k8s.io/v1",
	"kind":       "CustomResourceDefinition",
	"metadata":   map[string]any{"name": "widgets.example.com"},
	"spec": map[string]any{
		"group": "example.com",
		"names": map[string]any{"kind": "Widget", "plural": "widgets"},
		"scope": "Cluster",
		"versions": []any{map[string]any{
			"name": "v1", "served": true, "storage": true,
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}},
		}},
	},
}

func TestMain(m *testing.M) {
	code := m.Run()
	if started {
		if err := closeShared(); err != nil {
			fmt.Fprintln(os.Stderr, "close the cluster:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// closeShared closes the cluster, and fails if that leaves a process.
func closeShared() error {
	c, err := shared()
	if err != nil {
		return nil // the tests have reported it
	}
	server, err := url.Parse(c.Admin().Host)
	if err != nil {
		return err
	}
	if err := c.Close(); err != nil { // which waits for each process
		return err
	}
	if connection, err := net.DialTimeout("tcp", server.Host, time.Second); err == nil {
		return errors.Join(fmt.Errorf("the API server still answers at %s", server.Host), connection.Close())
	}
	return nil
}

// start returns the cluster and a client of it that may do everything.
func start(t *testing.T) (*cluster.Cluster, kubernetes.Interface) {
	t.Helper()
	started = true
	c, err := shared()
	require.NoError(t, err)
	require.NoError(t, c.AddNodes(t.Context(), cluster.NodePool{Name: "app", Nodes: 1, CPU: "3920m", Memory: "13Gi"}))
	client, err := kubernetes.NewForConfig(c.Admin())
	require.NoError(t, err)
	return c, client
}

// namespace makes one and deletes it with the test, without waiting.
func namespace(t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	made, err := client.CoreV1().Namespaces().Create(
		t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{},
	)
	require.NoError(t, err)
	t.Cleanup(func() {
		err := client.CoreV1().Namespaces().Delete(context.Background(), made.Name, metav1.DeleteOptions{})
		if !apierrors.IsNotFound(err) {
			assert.NoError(t, err)
		}
	})
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		_, err := client.CoreV1().ServiceAccounts(made.Name).Get(context.Background(), "default", metav1.GetOptions{})
		assert.NoError(t, err)
	}, patience, 50*time.Millisecond)
	return made.Name
}

func podSpec() corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "example.invalid/image"}}}
}
