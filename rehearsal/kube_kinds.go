package rehearsal

import (
	"errors"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
)

// kind is one kind of object, with the Go type that Kubernetes itself has for it.
type kind struct {
	apiVersion, name string
	namespaced       bool
	// object returns a new object, to decode into.
	object func() any
	// check returns what the API server, or a controller that makes the object ready, says about it and what it refers to.
	check func(r *Request, object any) error
}

// namespaced and clusterWide say where objects of a kind are.
const (
	namespaced  = true
	clusterWide = false
)

// kinds are the types that the simulated Kubernetes knows. A nil check means that the object refers to nothing but its namespace.
var kinds = map[string]kind{
	namespaceType:    kindOf[corev1.Namespace]("v1", "Namespace", clusterWide, nil),
	kubeAccountType:  kindOf[corev1.ServiceAccount]("v1", "ServiceAccount", namespaced, nil),
	accountPatchType: kindOf("v1", "ServiceAccount", namespaced, checkAccountPatch),
	configMapType:    kindOf("v1", "ConfigMap", namespaced, checkConfigMap),
	secretType:       kindOf[corev1.Secret]("v1", "Secret", namespaced, nil),
	kubeServiceType:  kindOf[corev1.Service]("v1", "Service", namespaced, nil),
	quotaType:        kindOf[corev1.ResourceQuota]("v1", "ResourceQuota", namespaced, nil),
	limitRangeType:   kindOf[corev1.LimitRange]("v1", "LimitRange", namespaced, nil),

	deploymentType: kindOf("apps/v1", "Deployment", namespaced, checkDeployment),
	cronJobType:    kindOf("batch/v1", "CronJob", namespaced, checkCronJob),
	priorityType:   kindOf[schedulingv1.PriorityClass]("scheduling.k8s.io/v1", "PriorityClass", clusterWide, nil),

	roleType:        kindOf[rbacv1.Role]("rbac.authorization.k8s.io/v1", "Role", namespaced, nil),
	roleBindingType: kindOf("rbac.authorization.k8s.io/v1", "RoleBinding", namespaced, checkRoleBinding),

	networkPolicyType: kindOf[networkingv1.NetworkPolicy]("networking.k8s.io/v1", "NetworkPolicy", namespaced, nil),
	ingressClassType:  kindOf[networkingv1.IngressClass]("networking.k8s.io/v1", "IngressClass", clusterWide, nil),
	domainPolicyType:  kindOf("networking.gke.io/v1alpha1", "FQDNNetworkPolicy", namespaced, checkDomainPolicy),

	mutationType:         kindOf[admissionv1.MutatingAdmissionPolicy](admission, "MutatingAdmissionPolicy", clusterWide, nil),
	mutationTargetType:   kindOf(admission, "MutatingAdmissionPolicyBinding", clusterWide, checkMutationBinding),
	validationType:       kindOf[admissionv1.ValidatingAdmissionPolicy](admission, "ValidatingAdmissionPolicy", clusterWide, nil),
	validationTargetType: kindOf(admission, "ValidatingAdmissionPolicyBinding", clusterWide, checkValidationBinding),

	gatewayType:       kindOf("gateway.networking.k8s.io/v1", "Gateway", namespaced, checkGateway),
	routeType:         kindOf("gateway.networking.k8s.io/v1", "HTTPRoute", namespaced, checkRoute),
	backendPolicyType: kindOf("networking.gke.io/v1", "GCPBackendPolicy", namespaced, checkBackendPolicy),
	gatewayPolicyType: kindOf("networking.gke.io/v1", "GCPGatewayPolicy", namespaced, checkGatewayPolicy),
	healthPolicyType:  kindOf("networking.gke.io/v1", "HealthCheckPolicy", namespaced, checkHealthCheckPolicy),
}

const admission = "admissionregistration.k8s.io/v1"

func kindOf[T any](apiVersion, name string, namespaced bool, check func(*Request, *T) error) kind {
	k := kind{apiVersion: apiVersion, name: name, namespaced: namespaced, object: func() any { return new(T) }}
	k.check = func(r *Request, object any) error {
		if check == nil {
			return nil
		}
		return check(r, object.(*T))
	}
	return k
}

// KubernetesRules are the rules of Kubernetes for the simulated cloud.
func KubernetesRules() map[string]Rule {
	rules := map[string]Rule{}
	for typ, k := range kinds {
		rules[typ] = Rule{Check: k.checkObject, Create: k.create}
	}
	namespace := rules[namespaceType]
	namespace.Remove = removeNamespace
	rules[namespaceType] = namespace
	return rules
}

// create gives an object its id, <namespace>/<name>.
func (k kind) create(r *Request) error {
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

// removeNamespace deletes what is in the namespace with it.
func removeNamespace(r *Request) (string, error) {
	for _, o := range KubernetesObjects(r.Inventory) {
		if o.Inputs.Str("metadata.namespace") == r.ID {
			r.Drop(o)
		}
	}
	return "", nil
}

// KubernetesObjects returns the objects that are in the cluster.
func KubernetesObjects(inventory *Inventory) []*Object {
	var out []*Object
	for _, o := range inventory.Everything() {
		if strings.HasPrefix(o.Type, "kubernetes:") {
			out = append(out, o)
		}
	}
	return out
}
