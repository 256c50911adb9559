package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"golang.org/x/sync/errgroup"
)

const (
	defaultServiceAccount = "default"
	rootsConfigMap        = "kube-root-ca.crt"
	listsAtOnce           = 10
)

// object is what any object has, and what the API calls its type.
type object struct {
	metav1.PartialObjectMetadata
	resource schema.GroupResource
	kind     string
}

func (o object) String() string {
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	described := schema.GroupKind{Group: o.resource.Group, Kind: o.kind}
	kind := described.Kind
	if described.Group != "" {
		kind = described.Group + "/" + described.Kind
	}
	if o.DeletionTimestamp != nil {
		return fmt.Sprintf("%s %s (terminating, finalizers: %s)", kind, name, strings.Join(o.Finalizers, ", "))
	}
	return kind + " " + name
}

// Leftovers lists what was not there when Start returned and what neither Kubernetes makes for itself nor AddNodes made, by group, kind,
// namespace and name.
func (c *Cluster) Leftovers(ctx context.Context) ([]string, error) {
	objects, err := c.objects(ctx)
	if err != nil {
		return nil, fmt.Errorf("leftovers: %w", err)
	}
	var left []string
	for _, o := range objects {
		if !c.initial.Has(o.UID) && !c.own(o) {
			left = append(left, o.String())
		}
	}
	slices.Sort(left)
	return left, nil
}

func (c *Cluster) takeInitial(ctx context.Context) error {
	objects, err := c.objects(ctx)
	if err != nil {
		return fmt.Errorf("list what is there from the start: %w", err)
	}
	c.initial, c.namespaces = sets.New[types.UID](), sets.New[string]()
	for _, o := range objects {
		c.initial.Insert(o.UID)
		if o.resource == (schema.GroupResource{Resource: "namespaces"}) {
			c.namespaces.Insert(o.Name)
		}
	}
	return nil
}

// objects lists everything that is stored, once each.
func (c *Cluster) objects(ctx context.Context) ([]object, error) {
	config := c.Admin()
	config.WarningHandler = rest.NoWarnings{} // of deprecated types, which are part of everything too
	apis, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of the discovery: %w", err)
	}
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of metadata: %w", err)
	}
	lists, err := apis.ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("types of resources: %w", err)
	}
	var mu sync.Mutex
	found := map[types.UID]object{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(listsAtOnce)
	for _, list := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list"}}, lists) {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("types of resources: %w", err)
		}
		for _, api := range list.APIResources {
			group.Go(func() error {
				items, err := client.Resource(version.WithResource(api.Name)).List(ctx, metav1.ListOptions{})
				if apierrors.IsNotFound(err) {
					return nil // the definition was deleted since, and its objects with it
				}
				if err != nil {
					return fmt.Errorf("list %s: %w", api.Name, err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, item := range items.Items {
					// What has no UID, such as a component status, is made up when asked for.
					if item.UID != "" {
						found[item.UID] = object{item, schema.GroupResource{Group: version.Group, Resource: api.Name}, api.Kind}
					}
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	objects := make([]object, 0, len(found))
	for _, o := range found {
		objects = append(objects, o)
	}
	return objects, nil
}

// own tells whether Kubernetes makes the object for itself at a time of its own, or AddNodes made it.
func (c *Cluster) own(o object) bool {
	system := o.Namespace == metav1.NamespaceSystem
	switch o.resource.String() {
	case "events", "events.events.k8s.io":
		return true
	case "leases.coordination.k8s.io":
		return system || o.Namespace == "kube-node-lease"
	case "nodes", "csinodes.storage.k8s.io":
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.nodes.Has(o.Name)
	case "configmaps":
		return o.Name == rootsConfigMap && c.namespaces.Has(o.Namespace) ||
			system && (o.Name == "extension-apiserver-authentication" || o.Name == "kube-apiserver-legacy-service-account-token-tracking")
	case "serviceaccounts":
		return o.Name == defaultServiceAccount && c.namespaces.Has(o.Namespace) || system && o.madeBy(controllerManager)
	case "services", "endpoints", "endpointslices.discovery.k8s.io":
		return o.Namespace == metav1.NamespaceDefault && o.Name == "kubernetes"
	case "apiservices.apiregistration.k8s.io":
		return o.Labels["kube-aggregator.kubernetes.io/automanaged"] != ""
	case "flowschemas.flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io":
		return o.Annotations[flowcontrolv1.AutoUpdateAnnotationKey] == "true"
	}
	return strings.HasSuffix(o.resource.Group, "rbac.authorization.k8s.io") && o.Labels["kubernetes.io/bootstrapping"] != ""
}

func (o object) madeBy(manager string) bool {
	return slices.ContainsFunc(o.ManagedFields, func(fields metav1.ManagedFieldsEntry) bool { return fields.Manager == manager })
}
