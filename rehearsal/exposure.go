package rehearsal

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Sources of a global external application load balancer, and of its health checks.
// https://cloud.google.com/load-balancing/docs/health-check-concepts
var loadBalancerSources = []string{"130.211.0.0/22", "35.191.0.0/16"}

// Hop is one station of a request from a browser to the application.
type Hop struct{ What, Which string }

// exposure plays a request from a browser through.
type exposure struct {
	cloud    *Cloud
	hops     []Hop
	problems []string

	server  *appsv1.Deployment
	env     map[string]string
	host    string
	gateway *gatewayv1.Gateway
}

// CheckExposure follows a browser's request through the objects that are in the cloud, station by station. It returns the stations, and what would go
// wrong. Without a Gateway it looks for what there should not be then. openToEveryone says that the stack was told to have no login.
func (c *Cloud) CheckExposure(openToEveryone bool) ([]Hop, []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &exposure{cloud: c}
	t := &conversation{cloud: c}
	servers := c.servers()
	if len(servers) == 0 {
		return nil, []string{"there is no server"}
	}
	t.readServer(servers[0])
	e.server, e.env, e.host = t.server, t.env, t.env["WEB_HOST"]
	gateways := c.all(gatewayType)
	if len(gateways) == 0 {
		e.checkNothingOpen()
		return nil, e.problems
	}
	e.gateway = decodeAs[*gatewayv1.Gateway](gateways[0])
	e.checkAddress()
	e.checkTLS()
	service := e.checkRoutes()
	e.checkBackend(service, openToEveryone)
	e.checkServer(service)
	slices.Sort(e.problems)
	return e.hops, e.problems
}

func (e *exposure) report(format string, args ...any) {
	e.problems = append(e.problems, fmt.Sprintf(format, args...))
}

func (e *exposure) hop(what, format string, args ...any) {
	e.hops = append(e.hops, Hop{what, fmt.Sprintf(format, args...)})
}

// checkNothingOpen looks for ways in that nobody asked for.
func (e *exposure) checkNothingOpen() {
	if e.env["FORWARDED_ALLOW_IPS"] != "" {
		e.report("the server believes the header X-Forwarded-For, and nothing in front of it sets it")
	}
	for _, peer := range e.ingressPeers() {
		if peer.IPBlock != nil {
			e.report("the server may be reached from %s, and there is no load balancer", peer.IPBlock.CIDR)
		}
	}
	if e.firewallOpen(e.port()) {
		e.report("the firewall lets load balancers in, and there is none")
	}
	for _, typ := range []string{certificateType, armorType, loginMemberType, backendPolicyType} {
		for _, o := range e.cloud.all(typ) {
			e.report("%s %s is of no use without a Gateway", shortType(typ), o.id)
		}
	}
}

// checkAddress follows the name to the load balancer.
func (e *exposure) checkAddress() {
	for _, wanted := range e.gateway.Spec.Addresses {
		address := e.cloud.find(addressType, wanted.Value)
		if address == nil {
			continue // refused at its creation
		}
		ip := address.outputs.str("address")
		by := "by hand, from output dnsRecords"
		for _, record := range e.cloud.all(recordType) {
			if record.inputs.str("type") != "A" {
				continue
			}
			by = "in zone " + record.inputs.str("managedZone")
			if record.inputs.str("name") != e.host+"." || !slices.Contains(record.inputs.strs("rrdatas"), ip) {
				e.report("record %s does not lead %s to %s", record.inputs.str("name"), e.host, ip)
			}
		}
		e.hop("name", "%s A %s (%s)", e.host, ip, by)
		return
	}
	e.report("the Gateway has no reserved address: its own changes with every new one")
}

// checkTLS follows the certificate, and the policy of the protocol.
func (e *exposure) checkTLS() {
	certificates := e.gateway.Annotations["networking.gke.io/certmap"]
	found := false
	for _, entry := range e.cloud.all(mapEntryType) {
		if entry.inputs.str("map") != certificates || entry.inputs.str("hostname") != e.host {
			continue
		}
		for _, id := range entry.inputs.strs("certificates") {
			if c := e.cloud.find(certificateType, id); c != nil && slices.Contains(c.inputs.strs("managed.domains"), e.host) {
				found = true
				e.hop("certificate", "%s, issued by Google once %s exists", c.inputs.str("name"), e.authorization())
			}
		}
	}
	if !found {
		e.report("the Gateway has no certificate for %s", e.host)
	}
	policy := ""
	for _, o := range e.cloud.all(gatewayPolicyType) {
		p := decodeAs[*GCPGatewayPolicy](o)
		if p.Spec.TargetRef == (TargetRef{gatewayv1.GroupName, "Gateway", e.gateway.Name}) && p.Namespace == e.gateway.Namespace {
			policy = p.Spec.Default.SSLPolicy
		}
	}
	tls := e.cloud.find(tlsPolicyType, policy)
	if tls == nil || tls.inputs.str("minTlsVersion") != "TLS_1_2" {
		e.report("the Gateway speaks TLS older than 1.2")
		return
	}
	e.hop("TLS", "1.2 at least, profile %s", tls.inputs.str("profile"))
}

// authorization is the record that proves who owns the host.
func (e *exposure) authorization() string {
	for _, o := range e.cloud.all(authorizationType) {
		if o.inputs.str("domain") != e.host {
			continue
		}
		for _, item := range o.outputs.list("dnsResourceRecords") {
			record, _ := item.(map[string]any)
			return "CNAME " + values(record).str("name")
		}
	}
	return "a record"
}

// checkRoutes returns the Service that the host's requests go to.
func (e *exposure) checkRoutes() (service string) {
	listeners := map[string]gatewayv1.ProtocolType{}
	for _, l := range e.gateway.Spec.Listeners {
		listeners[string(l.Name)] = l.Protocol
	}
	redirected := false
	for _, o := range e.cloud.all(routeType) {
		route := decodeAs[*gatewayv1.HTTPRoute](o)
		for _, parent := range route.Spec.ParentRefs {
			if string(parent.Name) != e.gateway.Name || parent.SectionName == nil {
				e.report("HTTPRoute %s names no listener of the Gateway, and would answer without TLS too", o.id)
				continue
			}
			if !slices.Contains(route.Spec.Hostnames, gatewayv1.Hostname(e.host)) {
				e.report("HTTPRoute %s does not serve %s", o.id, e.host)
			}
			protocol := listeners[string(*parent.SectionName)]
			for _, rule := range route.Spec.Rules {
				for _, backend := range rule.BackendRefs {
					if protocol != gatewayv1.HTTPSProtocolType {
						e.report("HTTPRoute %s sends requests on without TLS", o.id)
					}
					service = string(backend.Name)
				}
				redirected = redirected || (protocol == gatewayv1.HTTPProtocolType && slices.ContainsFunc(rule.Filters, func(f gatewayv1.HTTPRouteFilter) bool {
					return f.RequestRedirect != nil && f.RequestRedirect.Scheme != nil && *f.RequestRedirect.Scheme == "https"
				}))
			}
		}
	}
	if !redirected {
		e.report("nothing redirects http://%s to https", e.host)
	} else {
		e.hop("http://", "redirected to https")
	}
	if service == "" {
		e.report("no HTTPRoute leads %s to a Service", e.host)
	}
	return service
}

// timeoutSeconds is what a WebSocket needs at least: the load balancer cuts it then, idle or not.
const timeoutSeconds = 3600

// checkBackend looks at what stands between the load balancer and the Service.
func (e *exposure) checkBackend(service string, openToEveryone bool) {
	target := TargetRef{"", "Service", service}
	var policy *GCPBackendPolicy
	for _, o := range e.cloud.all(backendPolicyType) {
		if p := decodeAs[*GCPBackendPolicy](o); p.Spec.TargetRef == target && p.Namespace == e.gateway.Namespace {
			policy = p
		}
	}
	if policy == nil {
		e.report("Service %s has no GCPBackendPolicy: no login, no Cloud Armor, and WebSockets are cut after 30 s", service)
		return
	}
	backend := policy.Spec.Default
	e.checkArmor(backend.SecurityPolicy)
	e.checkLogin(backend.IAP != nil && backend.IAP.Enabled, openToEveryone)
	if backend.TimeoutSec == nil || *backend.TimeoutSec < timeoutSeconds {
		e.report("WebSockets are cut after less than %d s", timeoutSeconds)
	} else {
		e.hop("WebSockets", "live for %d h", *backend.TimeoutSec/3600)
	}
	if backend.ConnectionDraining == nil || backend.Logging == nil || !backend.Logging.Enabled {
		e.report("Service %s has no draining, or no request logs", service)
	}
	healthy := ""
	for _, o := range e.cloud.all(healthPolicyType) {
		if p := decodeAs[*HealthCheckPolicy](o); p.Spec.TargetRef == target && p.Spec.Default.Config.HTTPHealthCheck != nil {
			healthy = p.Spec.Default.Config.HTTPHealthCheck.RequestPath
		}
	}
	if healthy != "/alive" {
		e.report("the health check asks for %q: the server answers /alive", healthy)
	}
}

func (e *exposure) checkArmor(name string) {
	armor := e.cloud.find(armorType, name)
	if armor == nil {
		e.report("there is no Cloud Armor policy in front of the server")
		return
	}
	var limits []string
	for _, item := range armor.inputs.list("rules") {
		rule, _ := item.(map[string]any)
		if v := values(rule); v.str("action") == "throttle" && v.str("rateLimitOptions.enforceOnKey") == "IP" {
			limits = append(limits, fmt.Sprintf("%g requests in %g s from an address", v.num("rateLimitOptions.rateLimitThreshold.count"), v.num("rateLimitOptions.rateLimitThreshold.intervalSec")))
		}
	}
	if len(limits) == 0 {
		e.report("Cloud Armor does not limit the requests of a client")
		return
	}
	e.hop("Cloud Armor", "%s", limits[0])
}

func (e *exposure) checkLogin(on, openToEveryone bool) {
	if !on {
		if !openToEveryone {
			e.report("there is no login: whoever finds https://%s owns the installation", e.host)
		}
		e.hop("login", "NONE: open to everyone, as configured")
		return
	}
	var members []string
	for _, o := range e.cloud.all(loginMemberType) {
		if o.inputs.str("role") != "roles/iap.httpsResourceAccessor" {
			continue
		}
		if !strings.Contains(o.inputs.str("condition.expression"), fmt.Sprintf("request.host == %q", e.host)) {
			e.report("%s may log in to every application of the project, not to %s alone", o.inputs.str("member"), e.host)
		}
		members = append(members, o.inputs.str("member"))
	}
	if len(members) == 0 {
		e.report("nobody may log in")
	}
	e.hop("login", "Identity-Aware Proxy: %s", strings.Join(members, ", "))
}

// ingressPeers are from where the NetworkPolicies let traffic in to the server.
func (e *exposure) ingressPeers() []networkingv1.NetworkPolicyPeer {
	var peers []networkingv1.NetworkPolicyPeer
	for _, o := range e.cloud.all(networkPolicyType) {
		policy := decodeAs[*networkingv1.NetworkPolicy](o)
		selector := policy.Spec.PodSelector.MatchLabels
		if policy.Namespace != e.server.Namespace || (len(selector) > 0 && !contained(selector, e.server.Spec.Template.Labels)) {
			continue
		}
		for _, rule := range policy.Spec.Ingress {
			peers = append(peers, rule.From...)
		}
	}
	return peers
}

// checkServer looks at the last stations: firewall, NetworkPolicy, Service, and what the server believes about where it is.
func (e *exposure) checkServer(service string) {
	for name, want := range map[string]string{"PERMITTED_CORS_ORIGINS": "https://" + e.host, "FORWARDED_ALLOW_IPS": "*"} {
		if e.env[name] != want {
			e.report("%s is %q, must be %q", name, e.env[name], want)
		}
	}
	var sources []string
	for _, peer := range e.ingressPeers() {
		if peer.IPBlock != nil {
			sources = append(sources, peer.IPBlock.CIDR)
		}
	}
	if slices.Sort(sources); !slices.Equal(sources, loadBalancerSources) {
		e.report("NetworkPolicies let %v in to the server, and the load balancer comes from %v", sources, loadBalancerSources)
	}
	o := e.cloud.find(kubeServiceType, e.server.Namespace+"/"+service)
	if o == nil || !maps.Equal(labelsOf(o.inputs, "spec.selector"), e.server.Spec.Selector.MatchLabels) {
		e.report("Service %q does not lead to the server", service)
		return
	}
	if kept := e.keepAlive(); kept <= loadBalancerKeepAlive {
		e.report("the server closes idle connections after %d s, while the load balancer still sends requests on them for %d s: 502 now and then", kept, loadBalancerKeepAlive)
	}
	port := e.port()
	if !e.firewallOpen(port) {
		e.report("the firewall lets the load balancer not through to port %s", port)
	}
	e.hop("server", "Service %s, port %s, from %s only", o.id, port, strings.Join(sources, " and "))
}

// loadBalancerKeepAlive and uvicornKeepAlive are for how many seconds the load balancer keeps an idle connection to the server, and uvicorn by itself.
// https://cloud.google.com/load-balancing/docs/https#timeouts_and_retries
const (
	loadBalancerKeepAlive = 600
	uvicornKeepAlive      = 5
)

// keepAlive is for how many seconds the server keeps an idle connection.
func (e *exposure) keepAlive() int {
	if l, found := e.cloud.readLauncher(e.server); found && l.KeepAliveSeconds > 0 {
		return l.KeepAliveSeconds
	}
	return uvicornKeepAlive
}

// port is the server's.
func (e *exposure) port() (port string) {
	for _, container := range e.server.Spec.Template.Spec.Containers {
		for _, p := range container.Ports {
			port = fmt.Sprint(p.ContainerPort)
		}
	}
	return port
}

// firewallOpen reports whether the firewall lets the load balancer through to a port.
func (e *exposure) firewallOpen(port string) bool {
	return slices.ContainsFunc(e.cloud.all(firewallType), func(o *object) bool {
		sources := slices.Sorted(slices.Values(o.inputs.strs("sourceRanges")))
		return slices.Equal(sources, loadBalancerSources) && slices.ContainsFunc(o.inputs.list("allows"), func(item any) bool {
			rule, _ := item.(map[string]any)
			return slices.Contains(values(rule).strs("ports"), port)
		})
	})
}
