package kubernetes

import (
	"errors"
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// gatewayAPI fails where the cluster does not bring the kinds of the Gateway API.
func gatewayAPI(r *cloud.Request) error {
	cluster := clusterOf(r.Inventory).Inputs
	if cluster.Str("gatewayApiConfig.channel") != "CHANNEL_STANDARD" || cluster.Is("addonsConfig.httpLoadBalancing.disabled") {
		return errors.New("no matches for this kind: the cluster has no Gateway API")
	}
	return nil
}

// checkGateway checks what GKE's controller needs before the Gateway is programmed.
func checkGateway(r *cloud.Request, gateway *gatewayv1.Gateway) error {
	if err := gatewayAPI(r); err != nil {
		return err
	}
	if class := gateway.Spec.GatewayClassName; class != "gke-l7-global-external-managed" {
		return fmt.Errorf("spec.gatewayClassName: %q is not that of a global external load balancer", class)
	}
	for _, address := range gateway.Spec.Addresses {
		if address.Type == nil || *address.Type != gatewayv1.NamedAddressType {
			return errors.New("spec.addresses: GKE takes a reserved address by type NamedAddress")
		}
		o, err := r.Need(types.Address, "spec.addresses", address.Value)
		if err != nil {
			return err
		}
		if o.Inputs.Str("addressType") == "INTERNAL" {
			return fmt.Errorf("spec.addresses: %s is an internal address", address.Value)
		}
	}
	// Without it the engine goes on as soon as the object exists, while the load balancer comes minutes later, or never.
	if gateway.Annotations[waitFor] != "condition=Programmed" {
		return errors.New("nothing waits until the Gateway is programmed")
	}
	certificates := gateway.Annotations["networking.gke.io/certmap"]
	for _, listener := range gateway.Spec.Listeners {
		if listener.Protocol != gatewayv1.HTTPSProtocolType {
			continue
		}
		if (certificates == "") == (listener.TLS == nil) {
			return fmt.Errorf("spec.listeners: %s needs either the annotation networking.gke.io/certmap or a tls block", listener.Name)
		}
	}
	if certificates != "" {
		if _, err := r.Need(types.CertificateMap, "networking.gke.io/certmap", certificates); err != nil {
			return err
		}
	}
	return nil
}

// checkRoute checks what GKE's load balancer can do with an HTTPRoute.
func checkRoute(r *cloud.Request, route *gatewayv1.HTTPRoute) error {
	if err := gatewayAPI(r); err != nil {
		return err
	}
	for _, rule := range route.Spec.Rules {
		if rule.Timeouts != nil {
			return errors.New("spec.rules: GKE ignores timeouts: they belong into a GCPBackendPolicy")
		}
		for _, filter := range rule.Filters {
			if f := filter.RequestRedirect; f != nil && f.StatusCode != nil && *f.StatusCode != 301 && *f.StatusCode != 302 {
				return fmt.Errorf("spec.rules: GKE redirects by 301 and 302, not by %d", *f.StatusCode)
			}
		}
		for _, backend := range rule.BackendRefs {
			if _, err := needIn(r, types.KubernetesService, "spec.rules", route.Namespace, string(backend.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkTarget fails unless a policy is for a Service that exists.
func checkTarget(r *cloud.Request, namespace string, target TargetRef) error {
	if target.Group != "" || target.Kind != "Service" {
		return fmt.Errorf("spec.targetRef: %s/%s is not a Service", target.Group, target.Kind)
	}
	_, err := needIn(r, types.KubernetesService, "spec.targetRef", namespace, target.Name)
	return err
}

func checkBackendPolicy(r *cloud.Request, policy *GCPBackendPolicy) error {
	if err := gatewayAPI(r); err != nil {
		return err
	}
	if err := checkTarget(r, policy.Namespace, policy.Spec.TargetRef); err != nil {
		return err
	}
	if err := endsWithAttached(policy.Annotations[waitFor]); err != nil {
		return err
	}
	if err := needRoute(r, policy); err != nil {
		return err
	}
	backend := policy.Spec.Default
	if backend.SecurityPolicy != "" {
		if _, err := r.Need(types.SecurityPolicy, "spec.default.securityPolicy", backend.SecurityPolicy); err != nil {
			return err
		}
	}
	if backend.IAP == nil {
		return nil
	}
	if err := r.Enabled("iap"); err != nil {
		return err
	}
	if (backend.IAP.ClientID == "") != (backend.IAP.OAuth2ClientSecret == nil) {
		return errors.New("spec.default.iap: clientID and oauth2ClientSecret go together")
	}
	if backend.IAP.OAuth2ClientSecret == nil {
		return nil
	}
	secret, err := needIn(r, types.Secret, "spec.default.iap.oauth2ClientSecret", policy.Namespace, backend.IAP.OAuth2ClientSecret.Name)
	if err == nil && secret.Inputs.Labels("stringData")["key"] == "" {
		return fmt.Errorf("spec.default.iap.oauth2ClientSecret: Secret %s has no value of the name key", secret.ID)
	}
	return err
}

// endsWithAttached fails unless a wait of the provider for Kubernetes ends when the policy is in force, and not before. GKE notes that as a condition of the
// policy, or of the policy at each Gateway, and has changed from the one to the other.
// https://github.com/GoogleCloudPlatform/gke-gateway-api/blob/main/apis/networking/v1/gcpbackendpolicy_types.go
func endsWithAttached(wait string) error {
	for status, inForce := range map[string]bool{"True": true, "False": false} {
		conditions := map[string]any{"conditions": []any{
			map[string]any{"type": "Other", "status": "True"}, map[string]any{"type": "Attached", "status": status},
		}}
		for where, object := range map[string]map[string]any{"conditions": conditions, "ancestors": {"ancestors": []any{conditions}}} {
			ends, err := WaitEnds(wait, map[string]any{"status": object})
			if err != nil {
				return err
			}
			if ends != inForce {
				return fmt.Errorf("%s: %q: with Attached=%s in status.%s the wait must end: %t", waitFor, wait, status, where, inForce)
			}
		}
	}
	return nil
}

// needRoute fails where no Gateway leads to the Service of a policy: GKE does not look at such a policy, and the wait for it does not end.
func needRoute(r *cloud.Request, policy *GCPBackendPolicy) error {
	for _, route := range r.All(types.HTTPRoute) {
		leads := func(rule values.Map) bool {
			return slices.ContainsFunc(rule.Maps("backendRefs"), func(backend values.Map) bool { return backend.Str("name") == policy.Spec.TargetRef.Name })
		}
		if route.Inputs.Str("metadata.namespace") != policy.Namespace || !slices.ContainsFunc(route.Inputs.Maps("spec.rules"), leads) {
			continue
		}
		for _, parent := range route.Inputs.Maps("spec.parentRefs") {
			if gateway := r.Find(types.Gateway, policy.Namespace+"/"+parent.Str("name")); gateway != nil {
				r.NeedObject(route, "the route to its Service")
				r.NeedObject(gateway, "the Gateway that it is for")
				return nil
			}
		}
	}
	return fmt.Errorf("timed out waiting for Attached: no Gateway leads to Service %s", policy.Spec.TargetRef.Name)
}

func checkGatewayPolicy(r *cloud.Request, policy *GCPGatewayPolicy) error {
	if name := policy.Spec.Default.SSLPolicy; name != "" {
		if _, err := r.Need(types.SSLPolicy, "spec.default.sslPolicy", name); err != nil {
			return err
		}
	}
	return gatewayAPI(r)
}

func checkHealthCheckPolicy(r *cloud.Request, policy *HealthCheckPolicy) error {
	if err := gatewayAPI(r); err != nil {
		return err
	}
	return checkTarget(r, policy.Namespace, policy.Spec.TargetRef)
}
