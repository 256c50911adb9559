package rehearsal

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// The types of the way in.
const (
	authorizationType  = "gcp:certificatemanager/dnsAuthorization:DnsAuthorization"
	certificateType    = "gcp:certificatemanager/certificate:Certificate"
	certificateMapType = "gcp:certificatemanager/certificateMap:CertificateMap"
	mapEntryType       = "gcp:certificatemanager/certificateMapEntry:CertificateMapEntry"
	armorType          = "gcp:compute/securityPolicy:SecurityPolicy"
	tlsPolicyType      = "gcp:compute/sSLPolicy:SSLPolicy"
	recordType         = "gcp:dns/recordSet:RecordSet"
	loginMemberType    = "gcp:iap/webIamMember:WebIamMember"
)

// domainName is one without a trailing dot.
var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,63}$`)

func init() {
	kinds[authorizationType] = &kind{api: "certificatemanager", check: func(r *request) error {
		if domain := r.inputs.str("domain"); !domainName.MatchString(domain) {
			return fmt.Errorf("domain: %q is not a domain name", domain)
		}
		return nil
	}, create: certified("dnsAuthorizations", func(r *request) {
		r.outputs["dnsResourceRecords"] = []any{map[string]any{
			"name": "_acme-challenge." + r.inputs.str("domain") + ".", "type": "CNAME", "data": "00000000-0000-0000-0000-000000000000.1.authorize.certificatemanager.goog.",
		}}
	}), remove: unusedBy(certificateType, "managed.dnsAuthorizations")}
	kinds[certificateType] = &kind{api: "certificatemanager", check: func(r *request) error {
		for _, domain := range r.inputs.strs("managed.domains") {
			if !slices.ContainsFunc(r.inputs.strs("managed.dnsAuthorizations"), func(id string) bool {
				o := r.cloud.find(authorizationType, id)
				return o != nil && o.inputs.str("domain") == domain
			}) {
				return fmt.Errorf("managed.dnsAuthorizations: none is for %s", domain)
			}
		}
		return r.needAll(authorizationType, "managed.dnsAuthorizations")
	}, create: certified("certificates", nil), remove: unusedBy(mapEntryType, "certificates")}
	kinds[certificateMapType] = &kind{api: "certificatemanager", create: certified("certificateMaps", nil), remove: func(r *request) (string, error) {
		for _, o := range r.cloud.all(mapEntryType) {
			if o.inputs.str("map") == r.outputs.str("name") {
				return "", fmt.Errorf("certificate map %s has entries", r.outputs.str("name"))
			}
		}
		return "", r.servesNoGateway("certificate map")
	}}
	kinds[mapEntryType] = &kind{api: "certificatemanager", check: func(r *request) error {
		if _, err := r.need(certificateMapType, "map", r.inputs.str("map")); err != nil {
			return err
		}
		return r.needAll(certificateType, "certificates")
	}, create: func(r *request) error {
		r.id = fmt.Sprintf("projects/%s/locations/global/certificateMaps/%s/certificateMapEntries/%s", r.cloud.project, r.inputs.str("map"), r.inputs.str("name"))
		return named("name", r.inputs.str("name"), rfc1035, 63)
	}}
	kinds[armorType] = &kind{api: "compute", check: checkArmor, create: computeGlobal("securityPolicies"), remove: func(r *request) (string, error) {
		return "", r.servesNoGateway("security policy")
	}}
	kinds[tlsPolicyType] = &kind{api: "compute", check: func(r *request) error {
		if v := r.inputs.str("minTlsVersion"); !slices.Contains([]string{"TLS_1_0", "TLS_1_1", "TLS_1_2"}, v) {
			return fmt.Errorf("minTlsVersion: %q is not known", v)
		}
		if p := r.inputs.str("profile"); !slices.Contains([]string{"COMPATIBLE", "MODERN", "RESTRICTED", "CUSTOM"}, p) {
			return fmt.Errorf("profile: %q is not known", p)
		}
		return nil
	}, create: computeGlobal("sslPolicies"), remove: func(r *request) (string, error) {
		return "", r.servesNoGateway("SSL policy")
	}}
	// The zone is the user's own, and not in the simulated project.
	kinds[recordType] = &kind{api: "dns", check: func(r *request) error {
		if name := r.inputs.str("name"); !strings.HasSuffix(name, ".") {
			return fmt.Errorf("name: %q does not end with a dot", name)
		}
		for _, data := range r.inputs.strs("rrdatas") {
			ip, err := netip.ParseAddr(data)
			switch {
			case r.inputs.str("type") == "A" && (err != nil || !ip.Is4()):
				return fmt.Errorf("rrdatas: %q is not an IPv4 address", data)
			case r.inputs.str("type") == "CNAME" && !strings.HasSuffix(data, "."):
				return fmt.Errorf("rrdatas: %q does not end with a dot", data)
			}
		}
		return nil
	}, create: func(r *request) error {
		r.id = fmt.Sprintf("projects/%s/managedZones/%s/rrsets/%s/%s", r.cloud.project, r.inputs.str("managedZone"), r.inputs.str("name"), r.inputs.str("type"))
		r.outputs["project"] = r.cloud.project
		return nil
	}}
	kinds[loginMemberType] = &kind{api: "iap", check: func(r *request) error {
		if !roleName.MatchString(r.inputs.str("role")) {
			return fmt.Errorf("role: %q is not a role", r.inputs.str("role"))
		}
		return r.member("member", r.inputs.str("member"))
	}, create: func(r *request) error {
		r.id = fmt.Sprintf("projects/%s/iap_web/%s/%s/%s", r.cloud.project, r.inputs.str("role"), r.inputs.str("member"), r.inputs.str("condition.title"))
		r.outputs["project"], r.outputs["etag"] = r.cloud.project, "BwYAAAAAAAA="
		return nil
	}}
}

// certified gives an object of Certificate Manager its id.
func certified(collection string, more func(*request)) func(*request) error {
	return func(r *request) error {
		r.id = fmt.Sprintf("projects/%s/locations/global/%s/%s", r.cloud.project, collection, r.inputs.str("name"))
		r.outputs["project"] = r.cloud.project
		if more != nil {
			more(r)
		}
		return named("name", r.inputs.str("name"), rfc1035, 63)
	}
}

func computeGlobal(collection string) func(*request) error {
	return func(r *request) error {
		r.global(collection)
		return named("name", r.inputs.str("name"), rfc1035, 63)
	}
}

// needAll is need for every item of a list.
func (r *request) needAll(typ, path string) error {
	for _, ref := range r.inputs.strs(path) {
		if _, err := r.need(typ, path, ref); err != nil {
			return err
		}
	}
	return nil
}

// unusedBy refuses a deletion while the list of an object of a type names this one.
func unusedBy(typ, path string) func(*request) (string, error) {
	return func(r *request) (string, error) {
		for _, o := range r.cloud.all(typ) {
			if slices.Contains(o.inputs.strs(path), r.id) {
				return "", fmt.Errorf("%s %s is used by %s", shortType(r.typ), r.id, o.id)
			}
		}
		return "", nil
	}
}

// servesNoGateway refuses to delete what the load balancer of a Gateway uses. GKE takes the load balancer down with the Gateway, and not before, whatever
// becomes of the objects that told it to use this.
func (r *request) servesNoGateway(what string) error {
	if gateways := r.cloud.all(gatewayType); len(gateways) > 0 {
		return fmt.Errorf("resourceInUseByAnotherResource: %s %s is used by the load balancer of Gateway %s", what, r.outputs.str("name"), gateways[0].id)
	}
	return nil
}

// armorPriorities is the largest priority, which the rule for everything has.
const armorPriorities = 2147483647

func checkArmor(r *request) error {
	seen := map[float64]bool{}
	for _, item := range r.inputs.list("rules") {
		m, _ := item.(map[string]any)
		rule := values(m)
		priority := rule.num("priority")
		if seen[priority] {
			return fmt.Errorf("rules: two have priority %g", priority)
		}
		seen[priority] = true
		action := rule.str("action")
		if !slices.Contains([]string{"allow", "deny(403)", "deny(404)", "deny(429)", "deny(502)", "throttle", "rate_based_ban", "redirect"}, action) {
			return fmt.Errorf("rules: action %q is not known", action)
		}
		limited := action == "throttle" || action == "rate_based_ban"
		if limited != (rule.at("rateLimitOptions") != nil) {
			return fmt.Errorf("rules: rateLimitOptions go with throttle and rate_based_ban, and the action is %s", action)
		}
		if limited && rule.str("rateLimitOptions.conformAction") != "allow" {
			return errors.New("rules: rateLimitOptions.conformAction must be allow")
		}
		if (rule.at("match.config") != nil) != (rule.str("match.versionedExpr") == "SRC_IPS_V1") {
			return errors.New("rules: match.config goes with versionedExpr SRC_IPS_V1")
		}
		if (rule.at("match.config") != nil) == (rule.at("match.expr") != nil) {
			return errors.New("rules: match needs one of config and expr")
		}
	}
	if !seen[armorPriorities] {
		return fmt.Errorf("rules: none has priority %d, for everything that no other matches", armorPriorities)
	}
	return nil
}

// checkGateway holds what GKE's controller needs before the Gateway is programmed.
func (r *request) checkGateway(gateway *gatewayv1.Gateway) error {
	if class := gateway.Spec.GatewayClassName; class != "gke-l7-global-external-managed" {
		return fmt.Errorf("spec.gatewayClassName: %q is not that of a global external load balancer", class)
	}
	for _, address := range gateway.Spec.Addresses {
		if address.Type == nil || *address.Type != gatewayv1.NamedAddressType {
			return errors.New("spec.addresses: GKE takes a reserved address by type NamedAddress")
		}
		o, err := r.need(addressType, "spec.addresses", address.Value)
		if err != nil {
			return err
		}
		if o.inputs.str("addressType") == "INTERNAL" {
			return fmt.Errorf("spec.addresses: %s is an internal address", address.Value)
		}
	}
	// Otherwise the engine goes on as soon as the object is there, and the load balancer minutes later, or never.
	if gateway.Annotations["pulumi.com/waitFor"] != "condition=Programmed" {
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
		if _, err := r.need(certificateMapType, "networking.gke.io/certmap", certificates); err != nil {
			return err
		}
	}
	return nil
}

// checkRoute holds what GKE's load balancer can do with an HTTPRoute.
func (r *request) checkRoute(route *gatewayv1.HTTPRoute) error {
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
			if _, err := r.needIn(kubeServiceType, "spec.rules", route.Namespace, string(backend.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}
