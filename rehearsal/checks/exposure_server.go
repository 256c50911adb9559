package checks

import (
	"fmt"
	"maps"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// ingressPeers are the peers from which the NetworkPolicies let traffic in to the pods of a namespace with labels.
func (e *exposure) ingressPeers(namespace string, labels map[string]string) []networkingv1.NetworkPolicyPeer {
	var peers []networkingv1.NetworkPolicyPeer
	for _, o := range e.All(types.NetworkPolicy) {
		policy := kubernetes.DecodeAs[*networkingv1.NetworkPolicy](o)
		selector := policy.Spec.PodSelector.MatchLabels
		if policy.Namespace != namespace || (len(selector) > 0 && !kubernetes.Selects(selector, labels)) {
			continue
		}
		for _, rule := range policy.Spec.Ingress {
			peers = append(peers, rule.From...)
		}
	}
	return peers
}

// checkServer looks at the last station: the server's Service, who reaches it, and what the environment tells the server about its address.
func (e *exposure) checkServer() {
	for name, want := range map[string]string{"PERMITTED_CORS_ORIGINS": "https://" + e.host, "FORWARDED_ALLOW_IPS": "*"} {
		if e.env[name] != want {
			e.report("%s is %q, must be %q", name, e.env[name], want)
		}
	}
	e.checkOnlyPods()
	for _, o := range e.All(types.KubernetesService) {
		if maps.Equal(o.Inputs.Labels("spec.selector"), e.Spec.Selector.MatchLabels) {
			e.hop("server", "Service %s, port %s, from the door and the clean-up only", o.ID, e.port())
			return
		}
	}
	e.report("no Service leads to the server")
}

// checkOnlyPods looks for addresses from which the server may be reached past the door.
func (e *exposure) checkOnlyPods() {
	if e.Deployment == nil {
		return // checkIsolation of each instance
	}
	for _, peer := range e.ingressPeers(e.Namespace, e.Spec.Template.Labels) {
		if peer.IPBlock != nil {
			e.report("the server may be reached from %s, past the door", peer.IPBlock.CIDR)
		}
	}
}

// loadBalancerKeepAlive and uvicornKeepAlive say how many seconds the load balancer, and uvicorn without a setting, keep an idle connection.
// https://cloud.google.com/load-balancing/docs/https#timeouts_and_retries
const (
	loadBalancerKeepAlive = 600
	uvicornKeepAlive      = 5
	canvasKeepAlive       = 5 // of Node's server, which Agent Canvas does not set
)

// seconds reads a time as Envoy writes it. Envoy's own default, an hour, is what nothing means.
func seconds(text string) int {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 3600
	}
	return int(d.Seconds())
}

// keepAlive returns how many seconds the server keeps an idle connection.
func (e *exposure) keepAlive() int {
	if len(e.instances) > 0 {
		return canvasKeepAlive
	}
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
func (e *exposure) firewallOpen(port int) bool {
	return slices.ContainsFunc(e.All(types.Firewall), func(o *cloud.Object) bool {
		sources := slices.Sorted(slices.Values(o.Inputs.Strs("sourceRanges")))
		return slices.Equal(sources, loadBalancerSources) && slices.ContainsFunc(o.Inputs.Maps("allows"), func(rule values.Map) bool {
			return slices.Contains(rule.Strs("ports"), fmt.Sprint(port))
		})
	})
}
