package checks

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// door is a Deployment of Envoy in what exists, with the files that it reads.
type door struct {
	*appsv1.Deployment
	bootstrap values.Map
	files     map[string]string
}

// bootstrapFile is the file that Envoy starts with.
const bootstrapFile = "envoy.json"

// doors are the Deployments whose command is Envoy with a file of a ConfigMap.
func doors(inventory *cloud.Inventory) []door {
	var out []door
	for _, o := range inventory.All(types.Deployment) {
		d := door{Deployment: kubernetes.DecodeAs[*appsv1.Deployment](o)}
		for _, volume := range d.Spec.Template.Spec.Volumes {
			if volume.ConfigMap == nil {
				continue
			}
			m := inventory.Find(types.ConfigMap, d.Namespace+"/"+volume.ConfigMap.Name)
			if m == nil {
				continue
			}
			d.files = m.Inputs.Labels("data")
			if json.Unmarshal([]byte(d.files[bootstrapFile]), &d.bootstrap) == nil && d.bootstrap != nil {
				out = append(out, d)
			}
		}
	}
	return out
}

// doorListener is one of a door's ways in.
type doorListener struct{ values.Map }

// listener returns what listens on an address for requests that are led on. found is false where nothing does.
func (d door) listener(address string) (l doorListener, found bool) {
	for _, candidate := range d.bootstrap.Maps("static_resources.listeners") {
		l = doorListener{candidate}
		if candidate.Str("address.socket_address.address") == address && l.manager().Str("rds.route_config_name") != "" {
			return l, true
		}
	}
	return doorListener{}, false
}

func (l doorListener) port() int { return int(l.Num("address.socket_address.port_value")) }

// manager are the settings of HTTP.
func (l doorListener) manager() values.Map {
	for _, chain := range l.Maps("filter_chains") {
		for _, f := range chain.Maps("filters") {
			if config, ok := f["typed_config"].(map[string]any); ok {
				return config
			}
		}
	}
	return values.Map{}
}

// filter returns the settings of a filter.
func (l doorListener) filter(name string) (settings values.Map, found bool) {
	for _, f := range l.manager().Maps("http_filters") {
		if config, ok := f["typed_config"].(map[string]any); ok && f.Str("name") == "envoy.filters.http."+name {
			return config, true
		}
	}
	return nil, false
}

// hosts are those that the listener's routes lead on, and the settings of each.
func (d door) hosts(l doorListener) map[string]values.Map {
	hosts := map[string]values.Map{}
	var file values.Map
	if json.Unmarshal([]byte(d.files[l.manager().Str("rds.route_config_name")]), &file) != nil {
		return hosts
	}
	for _, resource := range file.Maps("resources") {
		for _, host := range resource.Maps("virtual_hosts") {
			for _, route := range host.Maps("routes") {
				for _, domain := range host.Strs("domains") {
					if route.Str("route.cluster") != "" {
						hosts[domain] = route
					}
				}
			}
		}
	}
	return hosts
}

// audience is what Identity-Aware Proxy has to have signed for, for somebody to get in; empty where others get in too.
func (l doorListener) audience() string {
	signed, found := l.filter("jwt_authn")
	if !found {
		return ""
	}
	provider := values.Map(signed).Str("providers.iap.issuer")
	keys := signed.Str("providers.iap.remote_jwks.http_uri.uri")
	header := signed.Maps("providers.iap.from_headers")
	if provider != "https://cloud.google.com/iap" || keys != "https://www.gstatic.com/iap/verify/public_key-jwk" || len(header) != 1 ||
		header[0].Str("name") != "x-goog-iap-jwt-assertion" {
		return ""
	}
	rules := signed.Maps("rules")
	if len(rules) != 1 || rules[0].Str("match.prefix") != "/" || rules[0].Str("requires.provider_name") != "iap" {
		return ""
	}
	rbac, found := l.filter("rbac")
	if !found || rbac.Str("rules.action") != "ALLOW" {
		return ""
	}
	policies, _ := rbac.At("rules.policies").(map[string]any)
	for _, policy := range policies {
		p, ok := policy.(map[string]any)
		if !ok || len(policies) != 1 {
			return ""
		}
		for _, principal := range values.Map(p).Maps("principals") {
			const metadata = "sourced_metadata.metadata_matcher."
			path := principal.Maps(metadata + "path")
			if len(path) == 2 && path[0].Str("key") == signed.Str("providers.iap.payload_in_metadata") && path[1].Str("key") == "aud" {
				return principal.Str(metadata + "value.string_match.prefix")
			}
		}
	}
	return ""
}

// checkDoor looks at the station before the server: who gets through it, and what it needs to work. service is what the load balancer sends requests to.
func (e *exposure) checkDoor(service string, openToEveryone bool) {
	all := doors(e.Inventory)
	if len(all) != 1 {
		e.report("there are %d doors before the server, and there must be one", len(all))
		return
	}
	d := all[0]
	o := e.Find(types.KubernetesService, d.Namespace+"/"+service)
	if o == nil || !kubernetes.Selects(o.Inputs.Labels("spec.selector"), d.Spec.Template.Labels) {
		e.report("Service %q does not lead to the door", service)
		return
	}
	public, found := d.listener("0.0.0.0")
	if !found {
		e.report("the door does not listen to the load balancer")
		return
	}
	audience := public.audience()
	switch wanted := "/projects/" + cloud.ProjectNumber + "/global/backendServices/"; {
	case openToEveryone && audience == "":
		e.hop("door", "%s, port %d: asks for NO login, as configured", o.ID, public.port())
	case audience == wanted:
		e.hop("door", "%s, port %d: only with what Google signs for %s...", o.ID, public.port(), audience)
	default:
		e.report("the door lets in others than those whom Google vouches for: it asks for %q, and must ask for %q", audience, wanted)
	}
	e.checkDoorSettings(d, public)
	if sources := e.doorSources(d); !slices.Equal(sources, loadBalancerSources) {
		e.report("NetworkPolicies let %v in to the door, and the load balancer comes from %v", sources, loadBalancerSources)
	}
	if !e.firewallOpen(public.port()) {
		e.report("the firewall lets the load balancer not through to port %d", public.port())
	}
}

// checkDoorSettings looks for what makes people see errors now and then, or be somebody else.
func (e *exposure) checkDoorSettings(d door, public doorListener) {
	hosts := d.hosts(public)
	wanted := e.wantedHosts()
	if led := slices.Sorted(maps.Keys(hosts)); !slices.Equal(led, wanted) {
		e.report("the door leads the hosts %v on, and must lead %v", led, wanted)
		return
	}
	if health, found := public.filter("health_check"); !found || health.Is("pass_through_mode") || health.At("cluster_min_healthy_percentages") == nil {
		e.report("the door does not answer the load balancer's health check by itself, or says nothing of the application")
	}
	manager := public.manager()
	for _, route := range hosts {
		if route.Str("route.timeout") != "0s" || route.Str("route.idle_timeout") != "0s" {
			e.report("the door cuts WebSockets before the load balancer does")
		}
		rewritten := slices.ContainsFunc(route.Maps("request_headers_to_add"), func(h values.Map) bool {
			return h.Str("header.key") == "x-forwarded-for" && strings.HasPrefix(h.Str("append_action"), "OVERWRITE")
		})
		if !manager.Is("use_remote_address") || manager.Num("xff_num_trusted_hops") != 2 || !rewritten {
			e.report("the door hands on an address that somebody can make up, and the server believes it")
		}
	}
	if kept := seconds(manager.Str("common_http_protocol_options.idle_timeout")); kept <= loadBalancerKeepAlive {
		e.report("the door closes idle connections after %d s, while the load balancer still sends requests on them for %d s: 502 now and then",
			kept, loadBalancerKeepAlive)
	}
	if kept, by := seconds(d.clusterIdle()), e.keepAlive(); kept >= by {
		e.report("the server closes idle connections after %d s, while the door still sends requests on them for %d s: 503 now and then", by, kept)
	}
	if len(manager.Maps("access_log")) == 0 {
		e.report("the door does not note who did what")
	}
}

// wantedHosts are those that the door must lead on, sorted.
func (e *exposure) wantedHosts() []string {
	if len(e.instances) == 0 {
		return []string{e.host}
	}
	var hosts []string
	for _, i := range e.instances {
		hosts = append(hosts, strings.Replace(e.host, "*", i.Name, 1))
	}
	slices.Sort(hosts)
	return hosts
}

// clusterIdle is for how long the door keeps an idle connection to the server.
func (d door) clusterIdle() string {
	var file values.Map
	if json.Unmarshal([]byte(d.files["clusters.json"]), &file) != nil {
		return ""
	}
	for _, cluster := range file.Maps("resources") {
		options, _ := cluster["typed_extension_protocol_options"].(map[string]any)
		for _, o := range options {
			if settings, ok := o.(map[string]any); ok {
				return values.Map(settings).Str("common_http_protocol_options.idle_timeout")
			}
		}
	}
	return ""
}

// doorSources are the ranges from which the NetworkPolicies let traffic in to a door.
func (e *exposure) doorSources(d door) []string {
	var sources []string
	for _, peer := range e.ingressPeers(d.Namespace, d.Spec.Template.Labels) {
		if peer.IPBlock == nil {
			sources = append(sources, "pods")
			continue
		}
		sources = append(sources, peer.IPBlock.CIDR)
	}
	slices.Sort(sources)
	return sources
}
