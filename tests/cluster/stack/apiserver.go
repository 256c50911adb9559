package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/tests/cluster"
)

const (
	fieldManager = "rehearsal"
	// patience is for everything that takes a controller's work.
	patience = time.Minute
	pause    = 50 * time.Millisecond
)

// APIServer is the API server of a cluster, as a rehearsal wants it.
type APIServer struct {
	cluster *cluster.Cluster
	client  dynamic.Interface
	mapper  meta.RESTMapper
}

// Start starts a cluster that knows the kinds of GKE. Close it.
func Start(ctx context.Context, options cluster.Options) (*cluster.Cluster, *APIServer, error) {
	definitions, err := kubernetes.CustomResourceDefinitions()
	if err != nil {
		return nil, nil, err
	}
	options.CRDs = append(options.CRDs, definitions...)
	c, err := cluster.Start(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	a := &APIServer{cluster: c}
	discover, err := discovery.NewDiscoveryClientForConfig(c.Admin())
	if err == nil {
		a.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(discover))
		a.client, err = dynamic.NewForConfig(c.Admin())
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("client of the API server: %w", err), c.Close())
	}
	return c, a, nil
}

// AddNodes implements providers.APIServer. All nodes that a pool may have are there: nothing scales it.
func (a *APIServer) AddNodes(ctx context.Context, pool kubernetes.NodePool) error {
	var taints []corev1.Taint
	for _, t := range pool.Taints {
		taints = append(taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)})
	}
	cpu, memory := pool.Allocatable()
	return a.cluster.AddNodes(ctx, cluster.NodePool{
		Name: pool.Name, Labels: pool.Labels, Taints: taints, Nodes: pool.Nodes,
		CPU: fmt.Sprintf("%dm", cpu), Memory: fmt.Sprintf("%dMi", memory),
	})
}

// locate reads an object, and says where objects of its kind are.
func (a *APIServer) locate(object map[string]any) (*unstructured.Unstructured, dynamic.ResourceInterface, error) {
	wanted, err := decode(object)
	if err != nil {
		return nil, nil, err
	}
	kind := wanted.GroupVersionKind()
	mapping, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", kind, err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return wanted, a.client.Resource(mapping.Resource).Namespace(wanted.GetNamespace()), nil
	}
	return wanted, a.client.Resource(mapping.Resource), nil
}

// Apply implements providers.APIServer, with strict validation of the fields.
func (a *APIServer) Apply(ctx context.Context, object map[string]any, isNew bool) error {
	wanted, resource, err := a.locate(object)
	if err != nil {
		return err
	}
	if isNew {
		switch _, err := resource.Get(ctx, wanted.GetName(), metav1.GetOptions{}); {
		case err == nil:
			return fmt.Errorf("%s %s is there already", wanted.GetKind(), wanted.GetName())
		case !apierrors.IsNotFound(err):
			return err
		}
	}
	if _, err := a.apply(ctx, resource, wanted); err != nil {
		return err
	}
	return a.await(ctx, resource, wanted)
}

// decode takes numbers as JSON has them: whole ones are integers.
func decode(object map[string]any) (*unstructured.Unstructured, error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	out := &unstructured.Unstructured{}
	return out, out.UnmarshalJSON(raw)
}

func (a *APIServer) apply(ctx context.Context, resource dynamic.ResourceInterface, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	raw, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	force := object.GetKind() == "ServiceAccount" // which a controller of Kubernetes may have made
	applied, err := resource.Patch(ctx, object.GetName(), types.ApplyPatchType, raw, metav1.PatchOptions{
		FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict, Force: &force,
	})
	if err != nil {
		return nil, fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return applied, nil
}

// noted are the conditions that GKE's controllers, which are not here, note on objects of a kind.
var noted = map[string]string{"Gateway": "Programmed", "GCPBackendPolicy": "Attached"}

// await waits for what the engine's provider waits for.
func (a *APIServer) await(ctx context.Context, resource dynamic.ResourceInterface, object *unstructured.Unstructured) error {
	annotations := object.GetAnnotations()
	if annotations["pulumi.com/skipAwait"] == "true" {
		return nil
	}
	if object.GetKind() == "Deployment" {
		return a.awaitCondition(ctx, resource, object, "Available")
	}
	wanted := annotations["pulumi.com/waitFor"]
	if wanted == "" {
		return nil
	}
	if err := a.program(ctx, resource, object, noted[object.GetKind()]); err != nil {
		return err
	}
	found, err := resource.Get(ctx, object.GetName(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	ends, err := kubernetes.WaitEnds(wanted, found.Object)
	if err == nil && !ends {
		err = fmt.Errorf("the wait for %s does not end: %v", wanted, found.Object["status"])
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

func (a *APIServer) awaitCondition(ctx context.Context, resource dynamic.ResourceInterface, object *unstructured.Unstructured, condition string) error {
	var last *unstructured.Unstructured
	err := wait.PollUntilContextTimeout(ctx, pause, patience, true, func(ctx context.Context) (bool, error) {
		found, err := resource.Get(ctx, object.GetName(), metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		last = found
		return observed(last) && conditionTrue(last, condition), nil
	})
	if err != nil && last != nil {
		status, _, statusErr := unstructured.NestedMap(last.Object, "status")
		return fmt.Errorf(
			"%s %s does not become %s: %v, %s: %w", object.GetKind(), object.GetName(), condition, status, a.unready(object.GetNamespace()),
			errors.Join(err, statusErr),
		)
	}
	return err
}

// unready says what the pods of a namespace lack.
func (a *APIServer) unready(namespace string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	list, err := a.client.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	pods := []string{"its namespace's pods"}
	for _, pod := range list.Items {
		if !conditionTrue(&pod, string(corev1.PodReady)) {
			pods = append(pods, fmt.Sprintf("%s: %v", pod.GetName(), pod.Object["status"]))
		}
	}
	return strings.Join(pods, "\n")
}

// observed reports whether the controller has seen the last change.
func observed(object *unstructured.Unstructured) bool {
	seen, found, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	return err == nil && (!found || seen >= object.GetGeneration())
}

func conditionTrue(object *unstructured.Unstructured, name string) bool {
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	return err == nil && slices.ContainsFunc(conditions, func(item any) bool {
		c, _ := item.(map[string]any)
		return c["type"] == name && c["status"] == "True"
	})
}

// program says of an object what a controller of GKE would say.
func (a *APIServer) program(ctx context.Context, resource dynamic.ResourceInterface, object *unstructured.Unstructured, condition string) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{map[string]any{
		"type": condition, "status": "True", "reason": "Rehearsed", "message": "", "lastTransitionTime": metav1.Now(),
	}}}})
	if err != nil {
		return err
	}
	_, err = resource.Patch(ctx, object.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "gke"}, "status")
	if err != nil {
		return fmt.Errorf("status of %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

// Reapply implements providers.APIServer. What the engine did not wait for must be ready by then too.
func (a *APIServer) Reapply(ctx context.Context, object map[string]any) (changed bool, err error) {
	wanted, resource, err := a.locate(object)
	if err != nil {
		return false, err
	}
	if wanted.GetKind() == "Deployment" {
		if err := a.awaitCondition(ctx, resource, wanted, "Available"); err != nil {
			return false, err
		}
	}
	// Controllers write into the status at any time: only if it differs every time did this apply change something.
	for range 5 {
		before, err := resource.Get(ctx, wanted.GetName(), metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		after, err := a.apply(ctx, resource, wanted)
		if err != nil {
			return false, err
		}
		if before.GetResourceVersion() == after.GetResourceVersion() {
			return false, nil
		}
	}
	return true, nil
}

// Exists implements providers.APIServer.
func (a *APIServer) Exists(ctx context.Context, object map[string]any) (bool, error) {
	wanted, resource, err := a.locate(object)
	if err != nil {
		return false, err
	}
	_, err = resource.Get(ctx, wanted.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Release implements providers.APIServer.
func (a *APIServer) Release(ctx context.Context, object map[string]any) error {
	wanted, resource, err := a.locate(object)
	if err != nil {
		return err
	}
	nothing := &unstructured.Unstructured{}
	nothing.SetGroupVersionKind(wanted.GroupVersionKind())
	nothing.SetName(wanted.GetName())
	nothing.SetNamespace(wanted.GetNamespace())
	_, err = a.apply(ctx, resource, nothing)
	return err
}

// Delete implements providers.APIServer.
func (a *APIServer) Delete(ctx context.Context, object map[string]any) error {
	wanted, resource, err := a.locate(object)
	if err != nil {
		return err
	}
	foreground := metav1.DeletePropagationForeground
	if err := resource.Delete(ctx, wanted.GetName(), metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("delete %s %s: %w", wanted.GetKind(), wanted.GetName(), err)
	}
	var left *unstructured.Unstructured
	err = wait.PollUntilContextTimeout(ctx, pause, patience, true, func(ctx context.Context) (bool, error) {
		found, err := resource.Get(ctx, wanted.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err == nil {
			left = found
		}
		return false, err
	})
	if err != nil && left != nil {
		return fmt.Errorf("%s %s does not go (finalizers %v): %w", wanted.GetKind(), wanted.GetName(), left.GetFinalizers(), err)
	}
	return err
}

// Leftovers implements providers.APIServer. What the controllers still have in hand gets a while.
func (a *APIServer) Leftovers(ctx context.Context) (left []string, err error) {
	err = wait.PollUntilContextTimeout(ctx, pause, patience/6, true, func(ctx context.Context) (bool, error) {
		left, err = a.cluster.Leftovers(ctx)
		return len(left) == 0, err
	})
	if wait.Interrupted(err) {
		return left, nil
	}
	return left, err
}
