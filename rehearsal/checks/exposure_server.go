package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// ingressPeers are the peers from which the NetworkPolicies let traffic in to the server.
func (e *exposure) ingressPeers() []networkingv1.NetworkPolicyPeer {
	var peers []networkingv1.NetworkPolicyPeer
	for _, o := range e.All(types.NetworkPolicy) {
		policy := kubernetes.DecodeAs[*networkingv1.NetworkPolicy](o)
		selector := policy.Spec.PodSelector.MatchLabels
		if policy.Namespace != e.Namespace || (len(selector) > 0 && !kubernetes.Selects(selector, e.Spec.Template.Labels)) {
			continue
		}
		for _, rule := range policy.Spec.Ingress {
			peers = append(peers, rule.From...)
		}
	}
	return peers
}

// checkServer looks at the last stations: firewall, NetworkPolicy, Service, and what the environment tells the server about its address.
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
	o := e.Find(types.KubernetesService, e.Namespace+"/"+service)
	if o == nil || !maps.Equal(o.Inputs.Labels("spec.selector"), e.Spec.Selector.MatchLabels) {
		e.report("Service %q does not lead to the server", service)
		return
	}
	if kept := e.keepAlive(); kept <= loadBalancerKeepAlive {
		e.report("the server closes idle connections after %d s, while the load balancer still sends requests on them for %d s: 502 now and then",
			kept, loadBalancerKeepAlive)
	}
	port := e.port()
	if !e.firewallOpen(port) {
		e.report("the firewall lets the load balancer not through to port %s", port)
	}
	e.hop("server", "Service %s, port %s, from %s only", o.ID, port, strings.Join(sources, " and "))
}

// loadBalancerKeepAlive and uvicornKeepAlive say how many seconds the load balancer, and uvicorn without a setting, keep an idle connection.
// https://cloud.google.com/load-balancing/docs/https#timeouts_and_retries
const (
	loadBalancerKeepAlive = 600
	uvicornKeepAlive      = 5
)

// keepAlive returns how many seconds the server keeps an idle connection.
func (e *exposure) keepAlive() int {
	if l, found := e.launcher(); found && l.KeepAliveSeconds > 0 {
		return l.KeepAliveSeconds
	}
	return uvicornKeepAlive
}

// port returns the port that the server's container declares; empty where it declares none.
func (e *exposure) port() (port string) {
	for _, container := range e.Spec.Template.Spec.Containers {
		for _, p := range container.Ports {
			port = fmt.Sprint(p.ContainerPort)
		}
	}
	return port
}

// firewallOpen reports whether the firewall lets the load balancer through to a port.
func (e *exposure) firewallOpen(port string) bool {
	return slices.ContainsFunc(e.All(types.Firewall), func(o *cloud.Object) bool {
		sources := slices.Sorted(slices.Values(o.Inputs.Strs("sourceRanges")))
		return slices.Equal(sources, loadBalancerSources) && slices.ContainsFunc(o.Inputs.Maps("allows"), func(rule values.Map) bool {
			return slices.Contains(rule.Strs("ports"), port)
		})
	})
}
