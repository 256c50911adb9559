package rehearsal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	sigsjson "sigs.k8s.io/json"
)

// kubernetesTypes are the types that the simulated Kubernetes knows, with Kubernetes' own Go types: an object with a field that they lack is refused.
var kubernetesTypes = map[string]struct {
	apiVersion, kind string
	namespaced       bool
	object           func() any
}{
	"kubernetes:core/v1:Namespace":                                                {"v1", "Namespace", false, func() any { return &corev1.Namespace{} }},
	"kubernetes:core/v1:ServiceAccount":                                           {"v1", "ServiceAccount", true, func() any { return &corev1.ServiceAccount{} }},
	"kubernetes:core/v1:ServiceAccountPatch":                                      {"v1", "ServiceAccount", true, func() any { return &corev1.ServiceAccount{} }},
	"kubernetes:core/v1:ConfigMap":                                                {"v1", "ConfigMap", true, func() any { return &corev1.ConfigMap{} }},
	"kubernetes:core/v1:Secret":                                                   {"v1", "Secret", true, func() any { return &corev1.Secret{} }},
	"kubernetes:core/v1:Service":                                                  {"v1", "Service", true, func() any { return &corev1.Service{} }},
	"kubernetes:core/v1:PersistentVolumeClaim":                                    {"v1", "PersistentVolumeClaim", true, func() any { return &corev1.PersistentVolumeClaim{} }},
	"kubernetes:core/v1:ResourceQuota":                                            {"v1", "ResourceQuota", true, func() any { return &corev1.ResourceQuota{} }},
	"kubernetes:core/v1:LimitRange":                                               {"v1", "LimitRange", true, func() any { return &corev1.LimitRange{} }},
	"kubernetes:apps/v1:Deployment":                                               {"apps/v1", "Deployment", true, func() any { return &appsv1.Deployment{} }},
	"kubernetes:rbac.authorization.k8s.io/v1:Role":                                {"rbac.authorization.k8s.io/v1", "Role", true, func() any { return &rbacv1.Role{} }},
	"kubernetes:rbac.authorization.k8s.io/v1:RoleBinding":                         {"rbac.authorization.k8s.io/v1", "RoleBinding", true, func() any { return &rbacv1.RoleBinding{} }},
	"kubernetes:networking.k8s.io/v1:NetworkPolicy":                               {"networking.k8s.io/v1", "NetworkPolicy", true, func() any { return &networkingv1.NetworkPolicy{} }},
	"kubernetes:networking.k8s.io/v1:IngressClass":                                {"networking.k8s.io/v1", "IngressClass", false, func() any { return &networkingv1.IngressClass{} }},
	"kubernetes:storage.k8s.io/v1:StorageClass":                                   {"storage.k8s.io/v1", "StorageClass", false, func() any { return &storagev1.StorageClass{} }},
	"kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicy":          {"admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy", false, func() any { return &admissionv1.MutatingAdmissionPolicy{} }},
	"kubernetes:batch/v1:CronJob":                                                 {"batch/v1", "CronJob", true, func() any { return &batchv1.CronJob{} }},
	"kubernetes:scheduling.k8s.io/v1:PriorityClass":                               {"scheduling.k8s.io/v1", "PriorityClass", false, func() any { return &schedulingv1.PriorityClass{} }},
	"kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy":        {"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", false, func() any { return &admissionv1.ValidatingAdmissionPolicy{} }},
	"kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicyBinding": {"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", false, func() any { return &admissionv1.ValidatingAdmissionPolicyBinding{} }},
	"kubernetes:gateway.networking.k8s.io/v1:Gateway":                             {"gateway.networking.k8s.io/v1", "Gateway", true, func() any { return &gatewayv1.Gateway{} }},
	"kubernetes:gateway.networking.k8s.io/v1:HTTPRoute":                           {"gateway.networking.k8s.io/v1", "HTTPRoute", true, func() any { return &gatewayv1.HTTPRoute{} }},
	"kubernetes:networking.gke.io/v1:GCPBackendPolicy":                            {"networking.gke.io/v1", "GCPBackendPolicy", true, func() any { return &GCPBackendPolicy{} }},
	"kubernetes:networking.gke.io/v1:GCPGatewayPolicy":                            {"networking.gke.io/v1", "GCPGatewayPolicy", true, func() any { return &GCPGatewayPolicy{} }},
	"kubernetes:networking.gke.io/v1:HealthCheckPolicy":                           {"networking.gke.io/v1", "HealthCheckPolicy", true, func() any { return &HealthCheckPolicy{} }},
	"kubernetes:networking.gke.io/v1alpha1:FQDNNetworkPolicy":                     {"networking.gke.io/v1alpha1", "FQDNNetworkPolicy", true, func() any { return &FQDNNetworkPolicy{} }},
	"kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicyBinding":   {"admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding", false, func() any { return &admissionv1.MutatingAdmissionPolicyBinding{} }},
}

// immutable are the paths that cannot change in place. Of a few (volumeMode, volumeBindingMode) the provider does not know that: there the API server
// refuses, and no replacement is planned.
var immutable = map[string][]string{
	"kubernetes:apps/v1:Deployment":                       {"spec.selector"},
	"kubernetes:core/v1:PersistentVolumeClaim":            {"spec.accessModes", "spec.storageClassName", "spec.volumeName", "spec.volumeMode"},
	"kubernetes:core/v1:Secret":                           {"type"},
	"kubernetes:rbac.authorization.k8s.io/v1:RoleBinding": {"roleRef"},
	"kubernetes:scheduling.k8s.io/v1:PriorityClass":       {"value", "preemptionPolicy"},
	"kubernetes:storage.k8s.io/v1:StorageClass":           {"provisioner", "parameters", "volumeBindingMode"},
}

// decodeObject reads an object with Kubernetes' own type. Unknown fields, wrong types and wrong spellings are errors.
func decodeObject(typ string, inputs values) (any, error) {
	known, ok := kubernetesTypes[typ]
	if !ok {
		return nil, fmt.Errorf("the simulated Kubernetes does not know type %s", typ)
	}
	raw, err := json.Marshal(map[string]any(inputs))
	if err != nil {
		return nil, err
	}
	object := known.object()
	strict, err := sigsjson.UnmarshalStrict(bytes.TrimSpace(raw), object)
	if err != nil {
		return nil, err
	}
	return object, errors.Join(strict...)
}

// checkObject is what the provider says about the inputs of an object before anything is created.
func checkObject(typ string, inputs resource.PropertyMap) []failure {
	known, ok := kubernetesTypes[typ]
	if !ok {
		return []failure{{"", "the simulated Kubernetes does not know type " + typ}}
	}
	var failures []failure
	for path, want := range map[string]string{"apiVersion": known.apiVersion, "kind": known.kind} {
		if v, set := inputs[resource.PropertyKey(path)]; set && plain(v).StringValue() != want {
			failures = append(failures, failure{path, "must be " + want})
		}
	}
	if inputs.ContainsUnknowns() {
		return failures // what is not known yet cannot be decoded; the creation will
	}
	if _, err := decodeObject(typ, values(revealed(inputs).Mappable())); err != nil {
		failures = append(failures, failure{"", err.Error()})
	}
	return failures
}

// diffObject compares what a program wants with what it wanted before, as the Kubernetes provider does.
func diffObject(typ string, old, wanted resource.PropertyMap, ignored []string) map[string]plugin.PropertyDiff {
	found := map[string]plugin.PropertyDiff{}
	object := old.Diff(wanted)
	if object == nil {
		return found
	}
	for path, d := range plugin.NewDetailedDiffFromObjectDiff(object, true) {
		for _, fixed := range append([]string{"metadata.name", "metadata.namespace"}, immutable[typ]...) {
			if path == fixed || strings.HasPrefix(path, fixed+".") || strings.HasPrefix(path, fixed+"[") {
				d = d.ToReplace()
			}
		}
		found[path] = d
	}
	for _, path := range ignored {
		delete(found, path)
	}
	return found
}

func init() {
	for typ, known := range kubernetesTypes {
		kinds[typ] = &kind{check: checkReferences, create: createObject(known.namespaced)}
	}
	// What is in a namespace goes with it.
	kinds[namespaceType].remove = func(r *request) (string, error) {
		for _, o := range r.cloud.objects {
			if strings.HasPrefix(o.typ, "kubernetes:") && o.inputs.str("metadata.namespace") == r.id {
				r.cloud.drop(o)
			}
		}
		return "", nil
	}
}

// createObject gives an object its id, <namespace>/<name>.
func createObject(namespaced bool) func(*request) error {
	return func(r *request) error {
		name := r.inputs.str("metadata.name")
		if name == "" {
			return errors.New("metadata.name: is required")
		}
		r.id = name
		if namespaced {
			r.id = r.inputs.str("metadata.namespace") + "/" + name
		}
		return nil
	}
}

// Objects that GKE makes itself.
var (
	gkeNamespaces     = []string{"default", "kube-system", "kube-public", "gmp-system", "gmp-public", "gke-managed-system"}
	gkeStorageClasses = []string{"standard", "standard-rwo", "premium-rwo"}
)

// configuredKubernetes says what is wrong with the settings of the kubernetes provider.
func configuredKubernetes(settings values) []failure {
	var failures []failure
	if settings.str("clusterIdentifier") == "" {
		failures = append(failures, failure{"clusterIdentifier", "is not set: a changed kubeconfig would replace every object"})
	}
	if text := settings.str("kubeconfig"); settings.at("kubeconfig") != nil && text != "" && !strings.Contains(text, "gke-gcloud-auth-plugin") {
		failures = append(failures, failure{"kubeconfig", "does not authenticate by the exec plugin"})
	}
	return failures
}
