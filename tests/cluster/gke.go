package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// diskDriver is the CSI driver of Google's persistent disks.
const diskDriver = "pd.csi.storage.gke.io"

const (
	sandboxKey   = "sandbox.gke.io/runtime"
	sandboxValue = "gvisor"
)

// createGKE makes what GKE itself makes in a cluster, as far as a program that deploys to it may refer to it.
func (c *Cluster) createGKE(ctx context.Context) error {
	for _, name := range []string{"gmp-system", "gmp-public"} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := c.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("namespace %s: %w", name, err)
		}
	}
	sandbox := &nodev1.RuntimeClass{
		ObjectMeta: metav1.ObjectMeta{Name: sandboxValue},
		Handler:    sandboxValue,
		Scheduling: &nodev1.Scheduling{
			NodeSelector: map[string]string{sandboxKey: sandboxValue},
			Tolerations: []corev1.Toleration{
				{Key: sandboxKey, Operator: corev1.TolerationOpEqual, Value: sandboxValue, Effect: corev1.TaintEffectNoSchedule},
			},
		},
	}
	if _, err := c.client.NodeV1().RuntimeClasses().Create(ctx, sandbox, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("runtime class %s: %w", sandboxValue, err)
	}
	for _, class := range []*storagev1.StorageClass{
		storageClass("standard-rwo", "pd-balanced", storagev1.VolumeBindingWaitForFirstConsumer, true),
		storageClass("premium-rwo", "pd-ssd", storagev1.VolumeBindingWaitForFirstConsumer, false),
		storageClass("standard", "pd-standard", storagev1.VolumeBindingImmediate, false),
	} {
		if _, err := c.client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("storage class %s: %w", class.Name, err)
		}
	}
	return nil
}

func storageClass(name, disk string, mode storagev1.VolumeBindingMode, isDefault bool) *storagev1.StorageClass {
	reclaim, expand := corev1.PersistentVolumeReclaimDelete, true
	class := &storagev1.StorageClass{
		ObjectMeta:           metav1.ObjectMeta{Name: name},
		Provisioner:          diskDriver,
		Parameters:           map[string]string{"type": disk},
		ReclaimPolicy:        &reclaim,
		AllowVolumeExpansion: &expand,
		VolumeBindingMode:    &mode,
	}
	if isDefault {
		class.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	}
	return class
}

// gatewayAPI reads the definitions of the Gateway API's standard channel, which GKE installs, from its module.
func gatewayAPI(ctx context.Context, module string) ([]map[string]any, error) {
	dir, err := moduleProperty(ctx, module, "sigs.k8s.io/gateway-api", "{{.Dir}}")
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(dir, "config", "crd", "standard", "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("definitions of the Gateway API: %w", err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("definitions of the Gateway API: none in %s", dir)
	}
	var definitions []map[string]any
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("definitions of the Gateway API: %w", err)
		}
		var definition map[string]any
		if err := yaml.Unmarshal(raw, &definition); err != nil {
			return nil, fmt.Errorf("definitions of the Gateway API: %s: %w", path, err)
		}
		definitions = append(definitions, definition)
	}
	return definitions, nil
}

// installDefinitions returns when the API server accepts objects of all of them.
func (c *Cluster) installDefinitions(ctx context.Context, definitions []map[string]any) error {
	client, err := apiextensions.NewForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("client of definitions: %w", err)
	}
	resources := client.ApiextensionsV1().CustomResourceDefinitions()
	for _, definition := range definitions {
		var typed apiextensionsv1.CustomResourceDefinition
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(definition, &typed); err != nil {
			return fmt.Errorf("read a definition: %w", err)
		}
		if _, err := resources.Create(ctx, &typed, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("definition %s: %w", typed.Name, err)
		}
	}
	return c.await(ctx, apiServer, "the definitions", func(ctx context.Context) error {
		list, err := resources.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, definition := range list.Items {
			if !established(definition.Status.Conditions) {
				return fmt.Errorf("%s is not established", definition.Name)
			}
		}
		return nil
	})
}

func established(conditions []apiextensionsv1.CustomResourceDefinitionCondition) bool {
	for _, condition := range conditions {
		if condition.Type == apiextensionsv1.Established {
			return condition.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}

// awaitControllers returns when every namespace has what controllers put into it, without which it takes no pods.
func (c *Cluster) awaitControllers(ctx context.Context) error {
	return c.await(ctx, controllerManager, "the controllers", func(ctx context.Context) error {
		namespaces, err := c.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, namespace := range namespaces.Items {
			_, account := c.client.CoreV1().ServiceAccounts(namespace.Name).Get(ctx, defaultServiceAccount, metav1.GetOptions{})
			_, roots := c.client.CoreV1().ConfigMaps(namespace.Name).Get(ctx, rootsConfigMap, metav1.GetOptions{})
			if err := errors.Join(account, roots); err != nil {
				return err
			}
		}
		return nil
	})
}
