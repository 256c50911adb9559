package stack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// generated is one kind of what a conversation has.
type generated struct {
	resource runtimeschema.GroupVersionResource
	openAPI  string // where the API server has the schemas of its group
	schema   string
	kind     string
	suffix   string // of the name
	own      func(*conversation) (any, error)

	// harmless are the fields that may differ, as patterns of path.Match, with the reason.
	harmless map[string]string
}

// numbered is harmless for kinds whose versions the API server does not count.
var numbered = map[string]string{"metadata.generation": "a number that nothing reads; the API server counts it for more kinds with every release"}

var kindsOfAConversation = []generated{
	{
		resource: corev1.SchemeGroupVersion.WithResource("pods"), openAPI: "api/v1", schema: "io.k8s.api.core.v1.Pod", kind: "Pod",
		own: func(c *conversation) (any, error) { return c.pod() },
		harmless: map[string]string{
			"spec.containers[[]0].image":                       "another tag of the sandboxes' own image, or an image of the installation's registry",
			"spec.containers[[]0].command*":                    "an agent runs in a sandbox what it wants",
			"spec.containers[[]0].env[[]*":                     "a variable with a value is no more than a command: what names a Secret is refused",
			"spec.containers[[]0].volumeMounts[[]0].mountPath": "where its own volume is inside of a sandbox",
		},
	},
	{
		resource: corev1.SchemeGroupVersion.WithResource("services"), openAPI: "api/v1", schema: "io.k8s.api.core.v1.Service", kind: "Service", suffix: "-svc",
		own:      func(c *conversation) (any, error) { return c.service("-svc", "http", "execution-server", 8080), nil },
		harmless: numbered,
	},
	{
		resource: corev1.SchemeGroupVersion.WithResource("services"), openAPI: "api/v1", schema: "io.k8s.api.core.v1.Service", kind: "Service",
		suffix:   "-svc-code",
		own:      func(c *conversation) (any, error) { return c.service("-svc-code", "vscode", "code", 8081), nil },
		harmless: numbered,
	},
	{
		resource: corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims"), openAPI: "api/v1", schema: "io.k8s.api.core.v1.PersistentVolumeClaim",
		kind: "PersistentVolumeClaim", suffix: "-pvc",
		own:      func(c *conversation) (any, error) { return c.claim(), nil },
		harmless: numbered,
	},
	{
		resource: runtimeschema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"}, openAPI: "apis/networking.k8s.io/v1",
		schema: "io.k8s.api.networking.v1.Ingress", kind: "Ingress", suffix: "-ingress-code",
		own: func(c *conversation) (any, error) { return c.ingress(), nil },
	},
}

// attempts is how many requests are on their way at a time.
const attempts = 8

// TestWhateverDiffersFromTheRuntimesShapesIsRefused lets the server's account create, in dry runs, the runtime's objects with every field of the API changed,
// one at a time.
func TestWhateverDiffersFromTheRuntimesShapesIsRefused(t *testing.T) {
	i := install(t)
	c := i.converse(t, "generated")
	_, config := i.as(t, appNamespace, serverAccount)
	server, admin := dynamicClient(t, config), dynamicClient(t, i.cluster.Admin())
	bare := i.bareNamespace(t)
	for _, kind := range kindsOfAConversation {
		t.Run(kind.kind+kind.suffix, func(t *testing.T) {
			made, err := kind.own(c)
			require.NoError(t, err)
			own, err := runtime.DefaultUnstructuredConverter.ToUnstructured(made)
			require.NoError(t, err)
			own["apiVersion"], own["kind"] = kind.resource.GroupVersion().String(), kind.kind
			delete(own, "status")
			own = asDecoded(t, own)
			create := func(ctx context.Context, client dynamic.Interface, namespace string, object map[string]any) (map[string]any, error) {
				created, err := client.Resource(kind.resource).Namespace(namespace).Create(ctx, &unstructured.Unstructured{Object: object}, dryRun)
				if err != nil {
					return nil, err
				}
				return asked(object, created.Object), nil
			}
			accepted, err := create(t.Context(), server, sandboxNamespace, own)
			require.NoError(t, err, "the runtime's own")
			shapes := newGenerator(t, i.admin, kind.openAPI).change(own, kind.schema)
			letIn := make([]bool, len(shapes))
			var refusedHere atomic.Int32 // and let in where there are no such rules
			each(t, len(shapes), func(ctx context.Context, n int) error {
				got, err := create(ctx, server, sandboxNamespace, shapes[n].object)
				if err == nil {
					letIn[n] = !reflect.DeepEqual(got, accepted)
					return nil
				}
				if unexpected(err) {
					return fmt.Errorf("%s %s: %w", shapes[n].field, shapes[n].change, err)
				}
				elsewhere := runtime.DeepCopyJSON(shapes[n].object)
				if err := unstructured.SetNestedField(elsewhere, bare, "metadata", "namespace"); err != nil {
					return err
				}
				if _, err := create(ctx, admin, bare, elsewhere); err == nil {
					refusedHere.Add(1)
				}
				return nil
			})
			used := map[string]bool{}
			for n, shape := range shapes {
				if !letIn[n] {
					continue
				}
				pattern := kind.harmlessPattern(t, shape.field)
				used[pattern] = true
				assert.NotEmptyf(t, pattern, "%s %s is let in", shape.field, shape.change)
			}
			for pattern := range kind.harmless {
				assert.Truef(t, used[pattern], "%s is no longer let in: take it from the list of what is harmless", pattern)
			}
			assert.GreaterOrEqual(t, int(refusedHere.Load()), 30, "shapes that are fine elsewhere")
			t.Logf("%d shapes, %d of which a namespace without rules lets in and this one refuses", len(shapes), refusedHere.Load())
		})
	}
}

// TestTheCleanUpChangesNoField patches every field of a conversation's objects, one at a time, with the clean-up's token.
func TestTheCleanUpChangesNoField(t *testing.T) {
	i := install(t)
	c := i.converse(t, "patched")
	require.NoError(t, c.start(t.Context()))
	t.Cleanup(func() { i.sweep(t) })
	_, config := i.as(t, appNamespace, "openhands-cleanup")
	cleanup, admin := dynamicClient(t, config), dynamicClient(t, i.cluster.Admin())
	for _, kind := range kindsOfAConversation {
		t.Run(kind.kind+kind.suffix, func(t *testing.T) {
			live, err := admin.Resource(kind.resource).Namespace(sandboxNamespace).Get(t.Context(), c.name()+kind.suffix, metav1.GetOptions{})
			require.NoError(t, err)
			before := kept(live.Object)
			shapes := newGenerator(t, i.admin, kind.openAPI).change(before, kind.schema)
			each(t, len(shapes), func(ctx context.Context, n int) error {
				shape := shapes[n]
				patch, err := mergePatch(before, shape.object)
				if err != nil {
					return err
				}
				after, err := cleanup.Resource(kind.resource).Namespace(sandboxNamespace).Patch(ctx, live.GetName(), types.MergePatchType, patch,
					metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
				switch {
				case err != nil && unexpected(err):
					return fmt.Errorf("%s %s: %w", shape.field, shape.change, err)
				case err == nil:
					assert.Equalf(t, before, kept(after.Object), "%s %s is let in", shape.field, shape.change)
				}
				return nil
			})
			assert.GreaterOrEqual(t, len(shapes), 30)
		})
	}
}

// each calls a function for every number below a limit, several at a time.
func each(t *testing.T, limit int, call func(context.Context, int) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(attempts)
	for n := range limit {
		group.Go(func() error { return call(ctx, n) })
	}
	require.NoError(t, group.Wait())
}

// unexpected reports whether an error is none about the object.
func unexpected(err error) bool {
	return !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) && !apierrors.IsConflict(err)
}

// harmlessPattern is the pattern that a field matches, if there is one.
func (g *generated) harmlessPattern(t *testing.T, field string) string {
	t.Helper()
	for pattern := range g.harmless {
		matches, err := path.Match(pattern, field)
		require.NoError(t, err)
		if matches {
			return pattern
		}
	}
	return ""
}

// asked is what was created without what the API server chooses or notes itself, and without an address that nobody asked for.
func asked(wanted, created map[string]any) map[string]any {
	out := kept(created)
	for _, field := range []string{"clusterIP", "clusterIPs"} {
		want, _, _ := unstructured.NestedFieldNoCopy(wanted, "spec", field)
		got, _, _ := unstructured.NestedFieldNoCopy(out, "spec", field)
		if !reflect.DeepEqual(want, got) {
			unstructured.RemoveNestedField(out, "spec", field)
		}
	}
	unstructured.RemoveNestedField(out, "metadata", "annotations", "kubernetes.io/limit-ranger")
	unstructured.RemoveNestedField(out, "metadata", "uid")
	unstructured.RemoveNestedField(out, "metadata", "creationTimestamp")
	return out
}

// kept is an object without its status, its version and who wrote what.
func kept(object map[string]any) map[string]any {
	out := runtime.DeepCopyJSON(object)
	delete(out, "status")
	unstructured.RemoveNestedField(out, "metadata", "managedFields")
	unstructured.RemoveNestedField(out, "metadata", "resourceVersion")
	return out
}

// asDecoded is an object as a client reads it: without empty fields.
func asDecoded(t *testing.T, object map[string]any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(object)
	require.NoError(t, err)
	out := &unstructured.Unstructured{}
	require.NoError(t, out.UnmarshalJSON(raw))
	unstructured.RemoveNestedField(out.Object, "metadata", "creationTimestamp")
	return out.Object
}

func mergePatch(before, after map[string]any) ([]byte, error) {
	was, err := json.Marshal(before)
	if err != nil {
		return nil, err
	}
	is, err := json.Marshal(after)
	if err != nil {
		return nil, err
	}
	return jsonmergepatch.CreateThreeWayJSONMergePatch(was, is, was)
}

func dynamicClient(t *testing.T, config *rest.Config) dynamic.Interface {
	t.Helper()
	config = rest.CopyConfig(config)
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	return client
}

// bareNamespace makes a namespace that none of the program's rules are about.
func (i *installation) bareNamespace(t *testing.T) string {
	t.Helper()
	namespaces := i.admin.CoreV1().Namespaces()
	made, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bare-"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, namespaces.Delete(context.Background(), made.Name, metav1.DeleteOptions{})) })
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := i.admin.CoreV1().ServiceAccounts(made.Name).Get(t.Context(), "default", metav1.GetOptions{})
		assert.NoError(c, err)
	}, 30*time.Second, 50*time.Millisecond)
	return made.Name
}
