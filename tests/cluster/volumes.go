package cluster

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-helpers/storage/volume"
)

// disks does what the provisioner of the CSI driver of persistent disks does: makes the volumes that claims ask for, and deletes those that are
// released. It leaves the binding to the real controller. Its queue holds claims, by namespace and name, and volumes, which have no namespace.
type disks struct {
	client  kubernetes.Interface
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
	nodes   corelisters.NodeLister
	queue   workqueue.TypedRateLimitingInterface[cache.ObjectName]
}

// startDisks returns a function that ends it.
func startDisks(client kubernetes.Interface) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	factory := informers.NewSharedInformerFactory(client, 0)
	d := &disks{
		client:  client,
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		volumes: factory.Core().V1().PersistentVolumes().Lister(),
		classes: factory.Storage().V1().StorageClasses().Lister(),
		nodes:   factory.Core().V1().Nodes().Lister(),
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]()),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.run(ctx, factory)
	}()
	return func() {
		cancel()
		d.queue.ShutDown()
		<-done
		factory.Shutdown()
	}
}

func (d *disks) run(ctx context.Context, factory informers.SharedInformerFactory) {
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { d.enqueue(ctx, object) },
		UpdateFunc: func(_, object any) { d.enqueue(ctx, object) },
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().PersistentVolumeClaims().Informer(),
		factory.Core().V1().PersistentVolumes().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			utilruntime.HandleErrorWithContext(ctx, err, "Disks are not provisioned")
			return
		}
	}
	factory.StartWithContext(ctx)
	factory.WaitForCacheSync(ctx.Done())
	for {
		key, shutdown := d.queue.Get()
		if shutdown {
			return
		}
		if err := d.sync(ctx, key); err != nil {
			if ctx.Err() == nil {
				utilruntime.HandleErrorWithContext(ctx, err, "Disk not provisioned or deleted, trying again", "object", key)
			}
			d.queue.AddRateLimited(key)
		} else {
			d.queue.Forget(key)
		}
		d.queue.Done(key)
	}
}

func (d *disks) enqueue(ctx context.Context, object any) {
	key, err := cache.ObjectToName(object)
	if err != nil {
		utilruntime.HandleErrorWithContext(ctx, err, "Disk ignored")
		return
	}
	d.queue.Add(key)
}

func (d *disks) sync(ctx context.Context, key cache.ObjectName) error {
	var err error
	if key.Namespace == "" {
		var released *corev1.PersistentVolume
		if released, err = d.volumes.Get(key.Name); err == nil {
			err = d.release(ctx, released)
		}
	} else {
		var claim *corev1.PersistentVolumeClaim
		if claim, err = d.claims.PersistentVolumeClaims(key.Namespace).Get(key.Name); err == nil {
			err = d.provision(ctx, claim)
		}
	}
	if apierrors.IsNotFound(err) {
		return nil // deleted since, or of a class that does not exist yet, which the controller looks for again
	}
	return err
}

// provision makes the volume of a claim once the scheduler has chosen a node for the pod that uses it, or at once if the class says so.
func (d *disks) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil || claim.Annotations[volume.AnnStorageProvisioner] != diskDriver {
		return nil
	}
	class, err := d.classes.Get(volume.GetPersistentVolumeClaimClass(claim))
	if err != nil {
		return err
	}
	selected := claim.Annotations[volume.AnnSelectedNode]
	if selected == "" && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer {
		return nil
	}
	zone := defaultZone
	if selected != "" {
		node, err := d.nodes.Get(selected)
		if err != nil {
			return fmt.Errorf("node selected for the claim %s/%s: %w", claim.Namespace, claim.Name, err)
		}
		zone = node.Labels[diskZone]
	}
	_, err = d.client.CoreV1().PersistentVolumes().Create(ctx, disk(claim, class, zone), metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("disk of the claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	return nil
}

func disk(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, zone string) *corev1.PersistentVolume {
	name := "pvc-" + string(claim.UID)
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{volume.AnnDynamicallyProvisioned: diskDriver},
			Finalizers:  []string{volume.PVDeletionProtectionFinalizer},
		},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: claim.Spec.AccessModes,
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
			},
			MountOptions:                  class.MountOptions,
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: diskDriver, FSType: "ext4", VolumeHandle: "projects/test/zones/" + zone + "/disks/" + name,
			}},
			StorageClassName: class.Name,
			VolumeMode:       claim.Spec.VolumeMode,
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: diskZone, Operator: corev1.NodeSelectorOpIn, Values: []string{zone}}},
			}}}},
		},
	}
}

// release deletes a volume that nobody claims any more, and lets go of one that is being deleted.
func (d *disks) release(ctx context.Context, released *corev1.PersistentVolume) error {
	volumes := d.client.CoreV1().PersistentVolumes()
	if released.Spec.CSI == nil || released.Spec.CSI.Driver != diskDriver || released.Status.Phase == corev1.VolumeBound {
		return nil
	}
	if released.DeletionTimestamp == nil {
		if released.Status.Phase != corev1.VolumeReleased || released.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
			return nil
		}
		return volumes.Delete(ctx, released.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(released.UID))})
	}
	i := slices.Index(released.Finalizers, volume.PVDeletionProtectionFinalizer)
	if i < 0 {
		return nil
	}
	freed := released.DeepCopy()
	freed.Finalizers = slices.Delete(freed.Finalizers, i, i+1)
	_, err := volumes.Update(ctx, freed, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return nil // the update that it conflicts with comes here next
	}
	return err
}
