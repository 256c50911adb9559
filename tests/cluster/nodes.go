package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// fakeNode annotates the nodes that kwok looks after.
	fakeNode      = "kwok.x-k8s.io/node"
	fakeNodeValue = "fake"

	// diskZone labels a node with the zone whose disks it can attach.
	diskZone    = "topology.gke.io/zone"
	defaultZone = "zone-a"

	// What a node of GKE offers with the defaults for its disk and its pods.
	ephemeralStorage = "47060071478"
	podsPerNode      = "110"
)

// NodePool is a group of like nodes.
type NodePool struct {
	Name        string
	Labels      map[string]string // besides those that every node has: the name of the pool, the host name, the operating system, the zone
	Taints      []corev1.Taint
	Nodes       int
	CPU, Memory string // allocatable to pods, such as 3920m and 13Gi
}

// AddNodes makes the nodes of a pool, unless they exist, and returns when they take pods.
func (c *Cluster) AddNodes(ctx context.Context, pool NodePool) error {
	resources := corev1.ResourceList{}
	for name, value := range map[corev1.ResourceName]string{
		corev1.ResourceCPU:              pool.CPU,
		corev1.ResourceMemory:           pool.Memory,
		corev1.ResourceEphemeralStorage: ephemeralStorage,
		corev1.ResourcePods:             podsPerNode,
	} {
		quantity, err := resource.ParseQuantity(value)
		if err != nil {
			return fmt.Errorf("node pool %s: %s: %w", pool.Name, name, err)
		}
		resources[name] = quantity
	}
	for i := range pool.Nodes {
		node := pool.node(i, resources)
		_, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("node %s: %w", node.Name, err)
		}
		c.mu.Lock()
		c.nodes.Insert(node.Name)
		c.mu.Unlock()
	}
	return c.await(ctx, kwok, "the nodes of "+pool.Name, func(ctx context.Context) error {
		for i := range pool.Nodes {
			node, err := c.client.CoreV1().Nodes().Get(ctx, pool.nodeName(i), metav1.GetOptions{})
			if err != nil {
				return err
			}
			if !ready(node) {
				return fmt.Errorf("%s is not ready", node.Name)
			}
		}
		return nil
	})
}

func (p NodePool) nodeName(i int) string { return fmt.Sprintf("%s-%d", p.Name, i) }

func (p NodePool) node(i int, resources corev1.ResourceList) *corev1.Node {
	name := p.nodeName(i)
	labels := map[string]string{
		corev1.LabelHostname:            name,
		corev1.LabelOSStable:            string(corev1.Linux),
		corev1.LabelArchStable:          "amd64",
		corev1.LabelTopologyZone:        defaultZone,
		"cloud.google.com/gke-nodepool": p.Name,
	}
	maps.Copy(labels, p.Labels)
	labels[diskZone] = labels[corev1.LabelTopologyZone]
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: map[string]string{fakeNode: fakeNodeValue}},
		Spec:       corev1.NodeSpec{Taints: p.Taints},
		Status:     corev1.NodeStatus{Allocatable: resources, Capacity: resources},
	}
}

func ready(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(condition corev1.NodeCondition) bool {
		return condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue
	})
}
