package checks

import (
	"fmt"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
)

// Sources of a global external application load balancer, and of its health checks.
// https://cloud.google.com/load-balancing/docs/health-check-concepts
var loadBalancerSources = []string{"130.211.0.0/22", "35.191.0.0/16"}

// Hop is one station of a request from a browser to the application.
type Hop struct{ What, Which string }

// exposure is the check of the way from a browser to the server, or to the instances.
type exposure struct {
	server               // none where there are instances
	instances []instance // none where there is a server
	host      string     // that the load balancer serves: with a star for the names below it
	gateway   *gatewayv1.Gateway
	hops      []Hop
	problems  []string
}

// Exposure follows a browser's request through the objects that are in the cloud, station by station. It returns the stations, and what would go
// wrong. Without a Gateway it looks for what there should not be then, and returns no stations. openToEveryone says that the stack was told to have no
// login.
func Exposure(inventory *cloud.Inventory, openToEveryone bool) ([]Hop, []string) {
	e := &exposure{server: server{Inventory: inventory}, instances: instances(inventory)}
	switch servers := servers(inventory); {
	case len(servers) > 0:
		e.server, e.host = servers[0], servers[0].env["WEB_HOST"]
	case len(e.instances) > 0:
		e.host = e.certified()
	default:
		return nil, []string{"there is neither a server nor an instance"}
	}
	e.checkPortForward()
	gateways := inventory.All(types.Gateway)
	if len(gateways) == 0 {
		e.checkNothingOpen()
		return nil, e.problems
	}
	e.gateway = kubernetes.DecodeAs[*gatewayv1.Gateway](gateways[0])
	e.checkAddress()
	e.checkTLS()
	service := e.checkRoutes()
	e.checkBackend(service, openToEveryone)
	e.checkDoor(service, openToEveryone)
	if len(e.instances) > 0 {
		e.checkInstances()
	} else {
		e.checkServer()
	}
	slices.Sort(e.problems)
	return e.hops, e.problems
}

func (e *exposure) report(format string, args ...any) {
	e.problems = append(e.problems, fmt.Sprintf(format, args...))
}

func (e *exposure) hop(what, format string, args ...any) {
	e.hops = append(e.hops, Hop{what, fmt.Sprintf(format, args...)})
}

// checkPortForward looks for what port-forward cannot reach: a pod in gVisor (https://github.com/google/gvisor/issues/3811).
func (e *exposure) checkPortForward() {
	for _, d := range doors(e.Inventory) {
		pod := d.Spec.Template.Spec
		pool, err := kubernetes.Schedule(e.Inventory, pod.NodeSelector, pod.Tolerations, nil)
		if pod.RuntimeClassName != nil || (err == nil && pool.Inputs.Str("nodeConfig.sandboxConfig.sandboxType") != "") {
			e.report("the door runs in gVisor, where port-forward, and so openCommand, reaches nothing")
		}
	}
}

// checkNothingOpen looks for what only a stack with a Gateway should have.
func (e *exposure) checkNothingOpen() {
	if e.env["FORWARDED_ALLOW_IPS"] != "" {
		e.report("the server believes the header X-Forwarded-For, and nothing in front of it sets it")
	}
	e.checkOnlyPods()
	for _, d := range doors(e.Inventory) {
		if _, found := d.listener("0.0.0.0"); found {
			e.report("the door listens to a load balancer, and there is none")
		}
		if sources := e.doorSources(d); len(sources) > 0 {
			e.report("the door may be reached from %v, and there is no load balancer", sources)
		}
	}
	for _, o := range e.All(types.Firewall) {
		if slices.Equal(slices.Sorted(slices.Values(o.Inputs.Strs("sourceRanges"))), loadBalancerSources) {
			e.report("the firewall lets load balancers in, and there is no load balancer")
		}
	}
	for _, typ := range []string{types.Certificate, types.SecurityPolicy, types.LoginMember, types.BackendPolicy} {
		for _, o := range e.All(typ) {
			e.report("%s %s is there without a Gateway, which alone uses it", types.Short(typ), o.ID)
		}
	}
}

// certified is the host that there is a certificate for.
func (e *exposure) certified() string {
	for _, entry := range e.All(types.CertificateMapEntry) {
		return entry.Inputs.Str("hostname")
	}
	return ""
}

// checkAddress follows the DNS record of the host to the load balancer.
func (e *exposure) checkAddress() {
	for _, wanted := range e.gateway.Spec.Addresses {
		address := e.Find(types.Address, wanted.Value)
		if address == nil {
			continue // refused at its creation
		}
		ip := address.Outputs.Str("address")
		by := "by hand, from output dnsRecords"
		for _, record := range e.All(types.DNSRecord) {
			if record.Inputs.Str("type") != "A" {
				continue
			}
			by = "in zone " + record.Inputs.Str("managedZone")
			if record.Inputs.Str("name") != e.host+"." || !slices.Contains(record.Inputs.Strs("rrdatas"), ip) {
				e.report("record %s does not lead %s to %s", record.Inputs.Str("name"), e.host, ip)
			}
		}
		e.hop("name", "%s A %s (%s)", e.host, ip, by)
		return
	}
	e.report("the Gateway has no reserved address: a new Gateway gets another address, and the DNS record leads nowhere")
}

// checkTLS looks for the certificate of the host, and for the policy about TLS versions.
func (e *exposure) checkTLS() {
	certificates := e.gateway.Annotations["networking.gke.io/certmap"]
	found := false
	for _, entry := range e.All(types.CertificateMapEntry) {
		if entry.Inputs.Str("map") != certificates || entry.Inputs.Str("hostname") != e.host {
			continue
		}
		for _, id := range entry.Inputs.Strs("certificates") {
			if c := e.Find(types.Certificate, id); c != nil && slices.Contains(c.Inputs.Strs("managed.domains"), e.host) {
				found = true
				e.hop("certificate", "%s, issued by Google once %s exists", c.Inputs.Str("name"), e.authorization())
			}
		}
	}
	if !found {
		e.report("the Gateway has no certificate for %s", e.host)
	}
	policy := ""
	for _, o := range e.All(types.GatewayPolicy) {
		p := kubernetes.DecodeAs[*kubernetes.GCPGatewayPolicy](o)
		if p.Spec.TargetRef == (kubernetes.TargetRef{Group: gatewayv1.GroupName, Kind: "Gateway", Name: e.gateway.Name}) && p.Namespace == e.gateway.Namespace {
			policy = p.Spec.Default.SSLPolicy
		}
	}
	tls := e.Find(types.SSLPolicy, policy)
	if tls == nil || tls.Inputs.Str("minTlsVersion") != "TLS_1_2" {
		e.report("the Gateway speaks TLS older than 1.2")
		return
	}
	e.hop("TLS", "1.2 at least, profile %s", tls.Inputs.Str("profile"))
}

// authorization is the DNS record by which Google knows that the host is the project's.
func (e *exposure) authorization() string {
	for _, o := range e.All(types.DNSAuthorization) {
		if o.Inputs.Str("domain") != strings.TrimPrefix(e.host, "*.") {
			continue
		}
		for _, record := range o.Outputs.Maps("dnsResourceRecords") {
			return "CNAME " + record.Str("name")
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
	for _, o := range e.All(types.HTTPRoute) {
		route := kubernetes.DecodeAs[*gatewayv1.HTTPRoute](o)
		for _, parent := range route.Spec.ParentRefs {
			if string(parent.Name) != e.gateway.Name || parent.SectionName == nil {
				e.report("HTTPRoute %s names no listener of the Gateway, and would answer without TLS too", o.ID)
				continue
			}
			if !slices.Contains(route.Spec.Hostnames, gatewayv1.Hostname(e.host)) {
				e.report("HTTPRoute %s does not serve %s", o.ID, e.host)
			}
			protocol := listeners[string(*parent.SectionName)]
			for _, rule := range route.Spec.Rules {
				for _, backend := range rule.BackendRefs {
					if protocol != gatewayv1.HTTPSProtocolType {
						e.report("HTTPRoute %s sends requests on without TLS", o.ID)
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
