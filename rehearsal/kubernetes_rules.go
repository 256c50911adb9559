package rehearsal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Types of Kubernetes that the rules name.
const (
	namespaceType        = "kubernetes:core/v1:Namespace"
	kubeAccountType      = "kubernetes:core/v1:ServiceAccount"
	accountPatchType     = "kubernetes:core/v1:ServiceAccountPatch"
	configMapType        = "kubernetes:core/v1:ConfigMap"
	secretType           = "kubernetes:core/v1:Secret"
	claimType            = "kubernetes:core/v1:PersistentVolumeClaim"
	quotaType            = "kubernetes:core/v1:ResourceQuota"
	deploymentType       = "kubernetes:apps/v1:Deployment"
	roleType             = "kubernetes:rbac.authorization.k8s.io/v1:Role"
	roleBindingType      = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
	networkPolicyType    = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
	ingressClassType     = "kubernetes:networking.k8s.io/v1:IngressClass"
	storageClassType     = "kubernetes:storage.k8s.io/v1:StorageClass"
	mutationType         = "kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicy"
	mutationTargetType   = "kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicyBinding"
	validationType       = "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy"
	validationTargetType = "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicyBinding"
	kubeServiceType      = "kubernetes:core/v1:Service"
	cronJobType          = "kubernetes:batch/v1:CronJob"
	priorityType         = "kubernetes:scheduling.k8s.io/v1:PriorityClass"
	gatewayType          = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
	routeType            = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
	backendPolicyType    = "kubernetes:networking.gke.io/v1:GCPBackendPolicy"
	gatewayPolicyType    = "kubernetes:networking.gke.io/v1:GCPGatewayPolicy"
	healthPolicyType     = "kubernetes:networking.gke.io/v1:HealthCheckPolicy"
	domainPolicyType     = "kubernetes:networking.gke.io/v1alpha1:FQDNNetworkPolicy"
)

// checkReferences is what the API server, and the controllers that make an object ready, say about an object and what it refers to.
func checkReferences(r *request) error {
	clusters := r.cloud.all(clusterType)
	if len(clusters) == 0 {
		return errors.New("configured Kubernetes cluster is unreachable: there is no cluster")
	}
	r.needObject(clusters[0], "the cluster")
	object, err := decodeObject(r.typ, r.inputs)
	if err != nil {
		return err
	}
	name := r.inputs.str("metadata.name")
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return fmt.Errorf("metadata.name: %q: %s", name, strings.Join(problems, ", "))
	}
	namespace := r.inputs.str("metadata.namespace")
	if kubernetesTypes[r.typ].namespaced {
		if namespace == "" {
			return errors.New("metadata.namespace: is missing, and the object would land in default")
		}
		if !slices.Contains(gkeNamespaces, namespace) {
			if _, err := r.need(namespaceType, "metadata.namespace", namespace); err != nil {
				return err
			}
		}
	}
	switch object := object.(type) {
	case *corev1.PersistentVolumeClaim:
		return r.checkClaim(object)
	case *corev1.ConfigMap:
		for key := range object.Data {
			if problems := validation.IsConfigMapKey(key); len(problems) > 0 {
				return fmt.Errorf("data: %q: %s", key, strings.Join(problems, ", "))
			}
		}
	case *rbacv1.RoleBinding:
		if _, err := r.needIn(roleType, "roleRef.name", namespace, object.RoleRef.Name); err != nil {
			return err
		}
		for _, s := range object.Subjects {
			if _, err := r.needIn(kubeAccountType, "subjects", s.Namespace, s.Name); err != nil {
				return err
			}
		}
	case *appsv1.Deployment:
		if object.Spec.Selector == nil || !contained(object.Spec.Selector.MatchLabels, object.Spec.Template.Labels) {
			return errors.New("spec.selector: does not match the labels of spec.template")
		}
		return r.checkPod(namespace, &object.Spec.Template.Spec)
	case *batchv1.CronJob:
		return r.checkPod(namespace, &object.Spec.JobTemplate.Spec.Template.Spec)
	case *gatewayv1.Gateway:
		return errors.Join(r.gatewayAPI(clusters[0]), r.checkGateway(object))
	case *gatewayv1.HTTPRoute:
		return errors.Join(r.gatewayAPI(clusters[0]), r.checkRoute(object))
	case *GCPBackendPolicy:
		return errors.Join(r.gatewayAPI(clusters[0]), r.checkBackendPolicy(object))
	case *GCPGatewayPolicy:
		if policy := object.Spec.Default.SSLPolicy; policy != "" {
			if _, err := r.need(tlsPolicyType, "spec.default.sslPolicy", policy); err != nil {
				return err
			}
		}
		return r.gatewayAPI(clusters[0])
	case *HealthCheckPolicy:
		return errors.Join(r.gatewayAPI(clusters[0]), r.checkTarget(namespace, object.Spec.TargetRef))
	case *FQDNNetworkPolicy:
		if !clusters[0].inputs.is("enableFqdnNetworkPolicy") {
			return errors.New("no matches for kind FQDNNetworkPolicy: the cluster's enableFqdnNetworkPolicy is off")
		}
	}
	switch r.typ {
	case mutationTargetType:
		_, err := r.need(mutationType, "spec.policyName", r.inputs.str("spec.policyName"))
		return err
	case validationTargetType:
		_, err := r.need(validationType, "spec.policyName", r.inputs.str("spec.policyName"))
		return err
	case accountPatchType:
		if name != "default" {
			_, err := r.needIn(kubeAccountType, "metadata.name", namespace, name)
			return err
		}
	}
	return nil
}

// needIn returns an object of a namespace.
func (r *request) needIn(typ, path, namespace, name string) (*object, error) {
	return r.need(typ, path, namespace+"/"+name)
}

func (r *request) checkClaim(claim *corev1.PersistentVolumeClaim) error {
	if claim.Spec.StorageClassName == nil {
		return errors.New("spec.storageClassName: is not stated, and the default class is another one on every cluster")
	}
	if class := *claim.Spec.StorageClassName; !slices.Contains(gkeStorageClasses, class) {
		if _, err := r.need(storageClassType, "spec.storageClassName", class); err != nil {
			return err
		}
	}
	if r.old != nil {
		before, after := r.old.inputs.str("spec.resources.requests.storage"), r.inputs.str("spec.resources.requests.storage")
		if old, err := decodeObject(claimType, r.old.inputs); err == nil && claim.Spec.Resources.Requests.Storage().Cmp(*old.(*corev1.PersistentVolumeClaim).Spec.Resources.Requests.Storage()) < 0 {
			return fmt.Errorf("spec.resources.requests.storage: %s is less than %s: a volume cannot shrink", after, before)
		}
	}
	return nil
}

// gatewayAPI fails where the cluster does not bring the kinds of the Gateway API.
func (r *request) gatewayAPI(cluster *object) error {
	if cluster.inputs.str("gatewayApiConfig.channel") != "CHANNEL_STANDARD" || cluster.inputs.is("addonsConfig.httpLoadBalancing.disabled") {
		return errors.New("no matches for this kind: the cluster has no Gateway API")
	}
	return nil
}

// checkTarget wants the Service that a policy is for.
func (r *request) checkTarget(namespace string, target TargetRef) error {
	if target.Group != "" || target.Kind != "Service" {
		return fmt.Errorf("spec.targetRef: %s/%s is not a Service", target.Group, target.Kind)
	}
	_, err := r.needIn(kubeServiceType, "spec.targetRef", namespace, target.Name)
	return err
}

func (r *request) checkBackendPolicy(policy *GCPBackendPolicy) error {
	if err := r.checkTarget(policy.Namespace, policy.Spec.TargetRef); err != nil {
		return err
	}
	backend := policy.Spec.Default
	if backend.SecurityPolicy != "" {
		if _, err := r.need(armorType, "spec.default.securityPolicy", backend.SecurityPolicy); err != nil {
			return err
		}
	}
	if backend.IAP == nil {
		return nil
	}
	if err := r.enabled("iap"); err != nil {
		return err
	}
	if (backend.IAP.ClientID == "") != (backend.IAP.OAuth2ClientSecret == nil) {
		return errors.New("spec.default.iap: clientID and oauth2ClientSecret go together")
	}
	if backend.IAP.OAuth2ClientSecret == nil {
		return nil
	}
	secret, err := r.needIn(secretType, "spec.default.iap.oauth2ClientSecret", policy.Namespace, backend.IAP.OAuth2ClientSecret.Name)
	if err == nil && labelsOf(secret.inputs, "stringData")["key"] == "" {
		return fmt.Errorf("spec.default.iap.oauth2ClientSecret: Secret %s has no value of the name key", secret.id)
	}
	return err
}

// checkPod says what would keep a pod from becoming ready: the engine waits for that.
func (r *request) checkPod(namespace string, pod *corev1.PodSpec) error {
	if len(pod.Containers) == 0 {
		return errors.New("spec.template.spec.containers: is required")
	}
	if account := pod.ServiceAccountName; account != "" && account != "default" {
		if _, err := r.needIn(kubeAccountType, "serviceAccountName", namespace, account); err != nil {
			return err
		}
	}
	if class := pod.PriorityClassName; class != "" {
		if _, err := r.need(priorityType, "priorityClassName", class); err != nil {
			return err
		}
	}
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil {
			if _, err := r.needIn(configMapType, "volumes", namespace, v.ConfigMap.Name); err != nil {
				return err
			}
		}
		if v.PersistentVolumeClaim != nil {
			if _, err := r.needIn(claimType, "volumes", namespace, v.PersistentVolumeClaim.ClaimName); err != nil {
				return err
			}
		}
	}
	for _, container := range pod.Containers {
		if problems := validation.IsDNS1123Label(container.Name); len(problems) > 0 {
			return fmt.Errorf("containers: %q: %s", container.Name, strings.Join(problems, ", "))
		}
		if container.Image == "" {
			return fmt.Errorf("containers: %s: image is required", container.Name)
		}
		for _, mount := range container.VolumeMounts {
			if !volumes[mount.Name] {
				return fmt.Errorf("volumeMounts: %q is no volume of the pod", mount.Name)
			}
		}
		for _, from := range container.EnvFrom {
			if from.ConfigMapRef != nil {
				if _, err := r.needIn(configMapType, "envFrom.configMapRef", namespace, from.ConfigMapRef.Name); err != nil {
					return err
				}
			}
			if from.SecretRef != nil {
				if _, err := r.needIn(secretType, "envFrom.secretRef", namespace, from.SecretRef.Name); err != nil {
					return err
				}
			}
		}
	}
	if err := r.checkPodSecurity(namespace, pod); err != nil {
		return err
	}
	node, err := r.cloud.schedule(pod.NodeSelector, pod.Tolerations)
	if err != nil {
		return err
	}
	r.needObject(node, "nodes to run on")
	return nil
}

// contained reports whether all labels are among others.
func contained(labels, others map[string]string) bool {
	for key, value := range labels {
		if others[key] != value {
			return false
		}
	}
	return len(labels) > 0
}

// checkPodSecurity holds what the level "restricted" asks of a pod, where its namespace enforces it.
// https://kubernetes.io/docs/concepts/security/pod-security-standards/
func (r *request) checkPodSecurity(namespace string, pod *corev1.PodSpec) error {
	o := r.cloud.find(namespaceType, namespace)
	if o == nil || labelsOf(o.inputs, "metadata.labels")["pod-security.kubernetes.io/enforce"] != "restricted" {
		return nil
	}
	refuse := func(why string) error { return fmt.Errorf("violates PodSecurity \"restricted\": %s", why) }
	s := pod.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot {
		return refuse("runAsNonRoot must be true")
	}
	if s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		return refuse("seccompProfile must be RuntimeDefault")
	}
	if pod.HostNetwork || pod.HostPID || pod.HostIPC {
		return refuse("host namespaces")
	}
	for _, v := range pod.Volumes {
		if v.HostPath != nil {
			return refuse("hostPath volumes")
		}
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
			return refuse("allowPrivilegeEscalation must be false")
		}
		if s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") {
			return refuse("capabilities must drop ALL")
		}
	}
	return nil
}

// schedule returns a node pool whose nodes have the labels, and no taint that is not tolerated.
func (c *Cloud) schedule(selector map[string]string, tolerations []corev1.Toleration) (*object, error) {
	var why []string
	for _, pool := range c.all(nodePoolType) {
		labels := labelsOf(pool.inputs, "nodeConfig.labels")
		if len(selector) > 0 && !contained(selector, labels) {
			why = append(why, fmt.Sprintf("pool %s has labels %v", pool.outputs.str("name"), labels))
			continue
		}
		if taint := untolerated(pool, tolerations); taint != "" {
			why = append(why, fmt.Sprintf("pool %s has the untolerated taint %s", pool.outputs.str("name"), taint))
			continue
		}
		return pool, nil
	}
	return nil, fmt.Errorf("no node matches the selector %v: %s", selector, strings.Join(why, "; "))
}

// taintEffects are Kubernetes' words for those of GKE's API.
var taintEffects = map[string]string{"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}

// untolerated returns a taint of the pool's nodes that is not tolerated. That of GKE Sandbox is tolerated by the RuntimeClass.
func untolerated(pool *object, tolerations []corev1.Toleration) string {
	for _, item := range pool.inputs.list("nodeConfig.taints") {
		m, _ := item.(map[string]any)
		taint := values(m)
		effect := taintEffects[taint.str("effect")]
		tolerated := slices.ContainsFunc(tolerations, func(t corev1.Toleration) bool {
			return t.Key == taint.str("key") && (t.Effect == "" || string(t.Effect) == effect) &&
				(t.Operator == corev1.TolerationOpExists || t.Value == taint.str("value"))
		})
		if !tolerated {
			return fmt.Sprintf("%s=%s:%s", taint.str("key"), taint.str("value"), effect)
		}
	}
	return ""
}

// labelsOf returns the string values of a map.
func labelsOf(v values, path string) map[string]string {
	out := map[string]string{}
	if m, ok := v.at(path).(map[string]any); ok {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			out[key] = fmt.Sprint(m[key])
		}
	}
	return out
}
