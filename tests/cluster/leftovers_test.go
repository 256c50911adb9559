package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

func TestLeftovers(t *testing.T) {
	c, client := start(t)
	// Those of other tests go with their namespaces.
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		left, err := c.Leftovers(context.Background())
		require.NoError(t, err)
		assert.Empty(t, left)
	}, time.Minute, 200*time.Millisecond)
	leftovers := func() []string {
		left, err := c.Leftovers(t.Context())
		require.NoError(t, err)
		return left
	}

	maps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	_, err := maps.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "left", Finalizers: []string{"example.com/hold"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	untyped, err := dynamic.NewForConfig(c.Admin())
	require.NoError(t, err)
	custom := untyped.Resource(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "widgets"})
	_, err = custom.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget", "metadata": map[string]any{"name": "left"},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	assert.Equal(t, []string{"ConfigMap default/left", "example.com/Widget left"}, leftovers())

	require.NoError(t, custom.Delete(t.Context(), "left", metav1.DeleteOptions{}))
	require.NoError(t, maps.Delete(t.Context(), "left", metav1.DeleteOptions{}))
	assert.Equal(t, []string{"ConfigMap default/left (terminating, finalizers: example.com/hold)"}, leftovers())

	_, err = maps.Patch(t.Context(), "left", types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	assert.Empty(t, leftovers())
}
