package stack

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Sweep deletes what conversations have left in a namespace: pods, volumes, Services and Ingresses, without a grace period. It does not wait until they
// are gone.
func Sweep(ctx context.Context, client kubernetes.Interface, namespace string) error {
	now, all := int64(0), metav1.ListOptions{}
	options := metav1.DeleteOptions{GracePeriodSeconds: &now}
	core := client.CoreV1()
	if err := core.Pods(namespace).DeleteCollection(ctx, options, all); err != nil {
		return fmt.Errorf("pods of %s: %w", namespace, err)
	}
	if err := core.PersistentVolumeClaims(namespace).DeleteCollection(ctx, options, all); err != nil {
		return fmt.Errorf("volumes of %s: %w", namespace, err)
	}
	services, err := core.Services(namespace).List(ctx, all)
	if err != nil {
		return fmt.Errorf("services of %s: %w", namespace, err)
	}
	for _, s := range services.Items {
		if err := core.Services(namespace).Delete(ctx, s.Name, options); err != nil {
			return fmt.Errorf("service %s of %s: %w", s.Name, namespace, err)
		}
	}
	if err := client.NetworkingV1().Ingresses(namespace).DeleteCollection(ctx, options, all); err != nil {
		return fmt.Errorf("ingresses of %s: %w", namespace, err)
	}
	return nil
}
