package kubernetes

import (
	"errors"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/types"
)

// kind is one kind of object, with the Go type that Kubernetes itself has for it.
type kind struct {
	apiVersion, name string
	namespaced       bool
	// object returns a new object, to decode into.
	object func() any
	// check returns what the API server, or a controller that makes the object ready, says about it and what it refers to.
	check func(r *cloud.Request, object any) error
}

// namespaced and clusterWide say where objects of a kind are.
const (
	namespaced  = true
	clusterWide = false
)

const admission = "admissionregistration.k8s.io/v1"

// kinds are the types that the simulated Kubernetes knows. Those with a nil check refer to nothing but their namespace.
var kinds = map[string]kind{
	types.Namespace:              kindOf[corev1.Namespace]("v1", "Namespace", clusterWide, nil),
	types.KubernetesAccount:      kindOf[corev1.ServiceAccount]("v1", "ServiceAccount", namespaced, nil),
	types.KubernetesAccountPatch: kindOf("v1", "ServiceAccount", namespaced, checkAccountPatch),
	types.ConfigMap:              kindOf("v1", "ConfigMap", namespaced, checkConfigMap),
	types.Secret:                 kindOf[corev1.Secret]("v1", "Secret", namespaced, nil),
	types.KubernetesService:      kindOf[corev1.Service]("v1", "Service", namespaced, nil),
	types.ResourceQuota:          kindOf[corev1.ResourceQuota]("v1", "ResourceQuota", namespaced, nil),
	types.VolumeClaimPatch:       kindOf("v1", "PersistentVolumeClaim", namespaced, checkVolumeClaim),
	types.LimitRange:             kindOf[corev1.LimitRange]("v1", "LimitRange", namespaced, nil),

	types.StatefulSet:   kindOf("apps/v1", "StatefulSet", namespaced, checkStatefulSet),
	types.Deployment:    kindOf("apps/v1", "Deployment", namespaced, checkDeployment),
	types.CronJob:       kindOf("batch/v1", "CronJob", namespaced, checkCronJob),
	types.PriorityClass: kindOf[schedulingv1.PriorityClass]("scheduling.k8s.io/v1", "PriorityClass", clusterWide, nil),

	types.DisruptionBudget: kindOf[policyv1.PodDisruptionBudget]("policy/v1", "PodDisruptionBudget", namespaced, nil),

	types.Role:        kindOf[rbacv1.Role]("rbac.authorization.k8s.io/v1", "Role", namespaced, nil),
	types.RoleBinding: kindOf("rbac.authorization.k8s.io/v1", "RoleBinding", namespaced, checkRoleBinding),

	types.NetworkPolicy:     kindOf[networkingv1.NetworkPolicy]("networking.k8s.io/v1", "NetworkPolicy", namespaced, nil),
	types.IngressClass:      kindOf[networkingv1.IngressClass]("networking.k8s.io/v1", "IngressClass", clusterWide, nil),
	types.FQDNNetworkPolicy: kindOf("networking.gke.io/v1alpha1", "FQDNNetworkPolicy", namespaced, checkDomainPolicy),

	types.MutatingPolicy:          kindOf[admissionv1.MutatingAdmissionPolicy](admission, "MutatingAdmissionPolicy", clusterWide, nil),
	types.MutatingPolicyBinding:   kindOf(admission, "MutatingAdmissionPolicyBinding", clusterWide, checkMutationBinding),
	types.ValidatingPolicy:        kindOf[admissionv1.ValidatingAdmissionPolicy](admission, "ValidatingAdmissionPolicy", clusterWide, nil),
	types.ValidatingPolicyBinding: kindOf(admission, "ValidatingAdmissionPolicyBinding", clusterWide, checkValidationBinding),

	types.Gateway:           kindOf("gateway.networking.k8s.io/v1", "Gateway", namespaced, checkGateway),
	types.HTTPRoute:         kindOf("gateway.networking.k8s.io/v1", "HTTPRoute", namespaced, checkRoute),
	types.BackendPolicy:     kindOf("networking.gke.io/v1", "GCPBackendPolicy", namespaced, checkBackendPolicy),
	types.GatewayPolicy:     kindOf("networking.gke.io/v1", "GCPGatewayPolicy", namespaced, checkGatewayPolicy),
	types.HealthCheckPolicy: kindOf("networking.gke.io/v1", "HealthCheckPolicy", namespaced, checkHealthCheckPolicy),
}

// kindOf returns the kind whose objects have type T. check may be nil.
func kindOf[T any](apiVersion, name string, namespaced bool, check func(*cloud.Request, *T) error) kind {
	k := kind{apiVersion: apiVersion, name: name, namespaced: namespaced, object: func() any { return new(T) }}
	k.check = func(r *cloud.Request, object any) error {
		if check == nil {
			return nil
		}
		return check(r, object.(*T))
	}
	return k
}

// Rules returns the rules of all kinds, for cloud.New.
func Rules() map[string]cloud.Rule {
	rules := map[string]cloud.Rule{}
	for typ, k := range kinds {
		rules[typ] = cloud.Rule{Check: k.checkObject, Create: k.create, Update: checkUpdate, Upsert: strings.HasSuffix(typ, "Patch")}
	}
	namespace := rules[types.Namespace]
	namespace.Remove = removeNamespace
	rules[types.Namespace] = namespace
	return rules
}

// create gives an object its id, <namespace>/<name>.
func (k kind) create(r *cloud.Request) error {
	name := r.Inputs.Str("metadata.name")
	if name == "" {
		return errors.New("metadata.name: is required")
	}
	r.ID = name
	if k.namespaced {
		r.ID = r.Inputs.Str("metadata.namespace") + "/" + name
	}
	return nil
}

// removeNamespace deletes the objects of the namespace too.
func removeNamespace(r *cloud.Request) (string, error) {
	for _, o := range Objects(r.Inventory) {
		if o.Inputs.Str("metadata.namespace") == r.ID {
			r.Drop(o)
		}
	}
	return "", nil
}

// Objects returns the objects that are in the cluster.
func Objects(inventory *cloud.Inventory) []*cloud.Object {
	var out []*cloud.Object
	for _, o := range inventory.Everything() {
		if strings.HasPrefix(o.Type, "kubernetes:") {
			out = append(out, o)
		}
	}
	return out
}
