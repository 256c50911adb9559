package checks

import (
	"net/netip"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
)

// checkPolicies looks for NetworkPolicies that select no pod, and for the connections that a conversation needs.
func (t *conversation) checkPolicies() {
	sandboxes := t.env["KUBERNETES_NAMESPACE"]
	pods := map[string]map[string]string{
		t.Namespace: t.Spec.Template.Labels,
		sandboxes:   {"app": "openhands-runtime", "session": "x"},
	}
	denied, toSandbox, fromServer := map[string]bool{}, false, false
	for _, o := range t.All(types.NetworkPolicy) {
		policy := kubernetes.DecodeAs[*networkingv1.NetworkPolicy](o)
		selector := policy.Spec.PodSelector.MatchLabels
		if len(selector) == 0 {
			denied[policy.Namespace] = len(policy.Spec.Ingress)+len(policy.Spec.Egress) == 0 && len(policy.Spec.PolicyTypes) == 2
			continue
		}
		if !kubernetes.Selects(selector, pods[policy.Namespace]) && !t.selectsAnother(policy) {
			t.report("NetworkPolicy %s selects no pod: %v", o.ID, selector)
		}
		for _, rule := range policy.Spec.Egress {
			toSandbox = toSandbox || (policy.Namespace == t.Namespace && opens(rule.Ports, 8080) && names(rule.To, sandboxes, pods[sandboxes]))
		}
		for _, rule := range policy.Spec.Ingress {
			fromServer = fromServer || (policy.Namespace == sandboxes && opens(rule.Ports, 8080) && names(rule.From, t.Namespace, pods[t.Namespace]))
		}
	}
	for namespace := range pods {
		if !denied[namespace] {
			t.report("namespace %s has no policy that denies everything", namespace)
		}
	}
	for _, way := range []struct {
		address, protocol string
		port              int32
		what              string
	}{
		{t.env["DB_HOST"], "TCP", 5432, "the database"},
		{t.controlPlane(), "TCP", 443, "the API server"},
		{"169.254.169.254", "TCP", 80, "the metadata server, for Workload Identity"},
		{"169.254.20.10", "UDP", 53, "DNS"},
	} {
		if !t.reaches(way.address, corev1.Protocol(way.protocol), way.port) {
			t.report("the server cannot reach %s: no policy allows %s port %d", way.what, way.address, way.port)
		}
	}
	if !t.reaches("93.184.215.14", "TCP", 443) && !t.reachesByName("storage.googleapis.com", 443) {
		t.report("the server cannot reach the internet, and of the names not that of its bucket: no policy allows TCP port 443")
	}
	if !toSandbox || !fromServer {
		t.report("the server cannot reach a sandbox on port 8080 (egress allowed: %t, ingress allowed: %t)", toSandbox, fromServer)
	}
}

// controlPlane is the private address of the API server.
func (t *conversation) controlPlane() string {
	for _, o := range t.All(types.Cluster) {
		return o.Outputs.Str("privateClusterConfig.privateEndpoint")
	}
	return ""
}

// reaches reports whether a policy lets the server reach an address that is no pod's.
func (t *conversation) reaches(address string, protocol corev1.Protocol, port int32) bool {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	inside := func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		return err == nil && prefix.Contains(ip)
	}
	for _, o := range t.All(types.NetworkPolicy) {
		policy := kubernetes.DecodeAs[*networkingv1.NetworkPolicy](o)
		if policy.Namespace != t.Namespace || !kubernetes.Selects(policy.Spec.PodSelector.MatchLabels, t.Spec.Template.Labels) {
			continue
		}
		for _, rule := range policy.Spec.Egress {
			open := slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool {
				return p.Port != nil && p.Port.IntVal == port && p.Protocol != nil && *p.Protocol == protocol
			})
			if open && slices.ContainsFunc(rule.To, func(p networkingv1.NetworkPolicyPeer) bool {
				return p.IPBlock != nil && inside(p.IPBlock.CIDR) && !slices.ContainsFunc(p.IPBlock.Except, inside)
			}) {
				return true
			}
		}
	}
	return false
}

// reachesByName reports whether a policy lets the server reach a name.
func (t *conversation) reachesByName(name string, port int) bool {
	return slices.ContainsFunc(t.All(types.FQDNNetworkPolicy), func(o *cloud.Object) bool {
		policy := kubernetes.DecodeAs[*kubernetes.FQDNNetworkPolicy](o)
		if policy.Namespace != t.Namespace || !kubernetes.Selects(policy.Spec.PodSelector.MatchLabels, t.Spec.Template.Labels) {
			return false
		}
		for _, rule := range policy.Spec.Egress {
			for _, match := range rule.Matches {
				if match.Name != name {
					continue
				}
				for _, p := range rule.Ports {
					if p.Protocol == "TCP" && p.Port != nil && *p.Port == port {
						return true
					}
				}
			}
		}
		return false
	})
}

// opens reports whether a port is among those of a rule.
func opens(ports []networkingv1.NetworkPolicyPort, port int32) bool {
	return slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port != nil && p.Port.IntVal == port })
}

// names reports whether peers are exactly some pods of a namespace.
func names(peers []networkingv1.NetworkPolicyPeer, namespace string, pods map[string]string) bool {
	return slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		return p.PodSelector != nil && p.NamespaceSelector != nil && p.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] == namespace &&
			kubernetes.Selects(p.PodSelector.MatchLabels, pods)
	})
}

// selectsAnother reports whether a policy is for the pods of the door or of the clean-up.
func (t *conversation) selectsAnother(policy *networkingv1.NetworkPolicy) bool {
	return slices.ContainsFunc(doors(t.Inventory), func(d door) bool {
		return d.Namespace == policy.Namespace && kubernetes.Selects(policy.Spec.PodSelector.MatchLabels, d.Spec.Template.Labels)
	}) || slices.ContainsFunc(t.All(types.CronJob), func(o *cloud.Object) bool {
		job := kubernetes.DecodeAs[*batchv1.CronJob](o)
		return job.Namespace == policy.Namespace && kubernetes.Selects(policy.Spec.PodSelector.MatchLabels, job.Spec.JobTemplate.Spec.Template.Labels)
	})
}
