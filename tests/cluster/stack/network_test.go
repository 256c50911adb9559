package stack_test

import (
	"fmt"
	"testing"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// place is one end of a connection: a pod, or an address outside of the cluster's pods.
type place struct {
	what      string
	namespace string // empty for an address
	labels    map[string]string
	address   string // of a pod too, in the pods' range
}

var (
	server = place{
		what: "server", namespace: appNamespace,
		labels: map[string]string{"app.kubernetes.io/name": "openhands", "app.kubernetes.io/component": "server"}, address: "10.16.0.2",
	}
	door = place{
		what: "door", namespace: appNamespace, labels: map[string]string{"app.kubernetes.io/name": "openhands", "app.kubernetes.io/component": "door"},
		address: "10.16.0.5",
	}
	cleaner = place{
		what: "clean-up", namespace: appNamespace, address: "10.16.0.3",
		labels: map[string]string{"app.kubernetes.io/name": "openhands", "app.kubernetes.io/component": "cleanup"},
	}
	stray   = place{what: "stray pod beside the server", namespace: appNamespace, labels: map[string]string{"app": "debug"}, address: "10.16.0.4"}
	sandbox = place{what: "sandbox", namespace: sandboxNamespace, labels: map[string]string{"app": "openhands-runtime", "session": "a"}, address: "10.16.1.2"}
	another = place{
		what: "another sandbox", namespace: sandboxNamespace, labels: map[string]string{"app": "openhands-runtime", "session": "b"},
		address: "10.16.1.3",
	}
	warm      = place{what: "placeholder", namespace: sandboxNamespace, labels: map[string]string{"app": "openhands-warm"}, address: "10.16.1.4"}
	elsewhere = place{what: "pod of another namespace", namespace: "default", labels: map[string]string{"app": "openhands-runtime"}, address: "10.16.2.2"}
	kubeDNS   = place{what: "kube-dns", namespace: "kube-system", labels: map[string]string{"k8s-app": "kube-dns"}, address: "10.16.3.2"}
	nodeDNS   = place{what: "node-local-dns", namespace: "kube-system", labels: map[string]string{"k8s-app": "node-local-dns"}, address: "10.0.0.5"}
	metrics   = place{what: "metrics-server", namespace: "kube-system", labels: map[string]string{"k8s-app": "metrics-server"}, address: "10.16.3.3"}

	loadBalancer1 = place{what: "load balancer", address: "35.191.10.1"}
	loadBalancer2 = place{what: "load balancer's other range", address: "130.211.1.1"}
	dnsCache      = place{what: "address of the DNS cache", address: "169.254.20.10"}
	metadata      = place{what: "metadata server", address: "169.254.169.254"}
	apiServer     = place{what: "API server", address: "172.16.0.2"}
	apiService    = place{what: "Service of the API server", address: "10.32.0.1"}
	database      = place{what: "database", address: "10.64.0.3"}
	node          = place{what: "node", address: "10.0.0.5"}
	corporate     = place{what: "peered corporate network", address: "192.168.7.7"}
	carrier       = place{what: "shared address space", address: "100.64.0.9"}
	classE        = place{what: "class E address", address: "240.0.0.9"}
	documentation = place{what: "documentation range, which a VPC may use", address: "192.0.2.9"}
	relay         = place{what: "range of 6to4, which a VPC may use", address: "192.88.99.9"}
	internet      = place{what: "internet", address: "93.184.215.14"}
)

type connection struct {
	from, to place
	protocol corev1.Protocol
	port     int
	allowed  bool
}

func (c connection) String() string {
	return fmt.Sprintf("%s to %s, %s %d: must be allowed: %t", c.from.what, c.to.what, c.protocol, c.port, c.allowed)
}

const (
	tcp = corev1.ProtocolTCP
	udp = corev1.ProtocolUDP
)

// connections are who may talk to whom, and who may not.
var connections = []connection{
	// To the door.
	{loadBalancer1, door, tcp, 8080, true},
	{loadBalancer2, door, tcp, 8080, true},
	{loadBalancer1, door, tcp, 3000, false},
	{internet, door, tcp, 8080, false},
	{corporate, door, tcp, 8080, false},
	{node, door, tcp, 8080, false},
	{server, door, tcp, 8080, false},
	{cleaner, door, tcp, 8080, false},
	{sandbox, door, tcp, 8080, false},
	{stray, door, tcp, 8080, false},

	// From the door.
	{door, server, tcp, 3000, true},
	{door, server, tcp, 22, false},
	{door, kubeDNS, udp, 53, true},
	{door, nodeDNS, udp, 53, true},
	{door, dnsCache, udp, 53, true},
	{door, internet, tcp, 443, true}, // Google's keys
	{door, internet, tcp, 80, false},
	{door, sandbox, tcp, 8080, false},
	{door, cleaner, tcp, 8080, false},
	{door, database, tcp, 5432, false},
	{door, metadata, tcp, 80, false},
	{door, apiServer, tcp, 443, false},
	{door, corporate, tcp, 443, false},

	// To the server.
	{cleaner, server, tcp, 3000, true},
	{loadBalancer1, server, tcp, 3000, false},
	{internet, server, tcp, 3000, false},
	{corporate, server, tcp, 3000, false},
	{node, server, tcp, 3000, false},
	{sandbox, server, tcp, 3000, false},
	{stray, server, tcp, 3000, false},
	{elsewhere, server, tcp, 3000, false},

	// From the server.
	{server, sandbox, tcp, 8080, true},
	{server, sandbox, tcp, 8081, false},
	{server, sandbox, tcp, 22, false},
	{server, warm, tcp, 8080, false},
	{server, database, tcp, 5432, true},
	{server, database, tcp, 3307, false},
	{server, apiServer, tcp, 443, true},
	{server, metadata, tcp, 80, true},
	{server, metadata, tcp, 988, false},
	{server, kubeDNS, udp, 53, true},
	{server, nodeDNS, udp, 53, true},
	{server, dnsCache, udp, 53, true},
	{server, internet, tcp, 443, true},
	{server, internet, tcp, 22, false},
	{server, internet, udp, 443, false},
	{server, corporate, tcp, 443, false},
	{server, documentation, tcp, 443, false},
	{server, node, tcp, 10250, false},
	{server, metrics, tcp, 443, false},
	{server, elsewhere, tcp, 8080, false},

	// From the clean-up.
	{cleaner, apiServer, tcp, 443, true},
	{cleaner, kubeDNS, udp, 53, true},
	{cleaner, dnsCache, udp, 53, true},
	{cleaner, database, tcp, 5432, false},
	{cleaner, metadata, tcp, 80, false},
	{cleaner, internet, tcp, 443, false},
	{cleaner, sandbox, tcp, 8080, false},
	{server, cleaner, tcp, 8080, false},

	// From a sandbox.
	{sandbox, internet, tcp, 443, true},
	{sandbox, internet, tcp, 22, true},
	{sandbox, internet, tcp, 80, true},
	{sandbox, kubeDNS, udp, 53, true},
	{sandbox, kubeDNS, tcp, 53, true},
	{sandbox, nodeDNS, udp, 53, true},
	{sandbox, dnsCache, udp, 53, true},
	{sandbox, metadata, udp, 53, true}, // where it is the DNS server
	{sandbox, kubeDNS, tcp, 9153, false},
	{sandbox, metrics, tcp, 443, false},
	{sandbox, metadata, tcp, 80, false},
	{sandbox, metadata, tcp, 8080, false},
	{sandbox, metadata, tcp, 988, false},
	{sandbox, dnsCache, tcp, 80, false},
	{sandbox, apiServer, tcp, 443, false},
	{sandbox, apiService, tcp, 443, false},
	{sandbox, database, tcp, 5432, false},
	{sandbox, node, tcp, 10250, false},
	{sandbox, node, tcp, 22, false},
	{sandbox, another, tcp, 8080, false},
	{sandbox, elsewhere, tcp, 8080, false},
	{sandbox, stray, tcp, 80, false},
	{sandbox, corporate, tcp, 443, false},
	{sandbox, carrier, tcp, 443, false},
	{sandbox, classE, tcp, 443, false},
	{sandbox, documentation, tcp, 443, false},
	{sandbox, relay, tcp, 443, false},

	// To a sandbox.
	{cleaner, sandbox, tcp, 8081, false},
	{stray, sandbox, tcp, 8080, false},
	{elsewhere, sandbox, tcp, 8080, false},
	{loadBalancer1, sandbox, tcp, 8080, false},
	{internet, sandbox, tcp, 8081, false},
	{node, sandbox, tcp, 8080, false},

	// What no policy knows by its labels.
	{stray, internet, tcp, 443, false},
	{stray, database, tcp, 5432, false},
	{stray, kubeDNS, udp, 53, false},
	{warm, internet, tcp, 443, false},
	{warm, kubeDNS, udp, 53, false},
	{sandbox, warm, tcp, 8080, false},
}

// union evaluates policies. With pods matched by address, an ipBlock selects pods too, as the API allows it; without, it never does, as on Dataplane V2:
// there, https://cloud.google.com/kubernetes-engine/docs/how-to/network-policy says, an ipBlock is for addresses outside of the cluster.
type union struct {
	policies        *matcher.Policy
	podsHaveAddress bool
}

func evaluate(policies []networkingv1.NetworkPolicy, podsHaveAddress bool) union {
	var all []*networkingv1.NetworkPolicy
	for n := range policies {
		all = append(all, &policies[n])
	}
	return union{matcher.BuildNetworkPolicies(false, all), podsHaveAddress}
}

// noRange is an address that is in no IPv4 range.
const noRange = "::"

func (u union) peer(p place) *matcher.TrafficPeer {
	peer := &matcher.TrafficPeer{IP: p.address}
	if p.namespace == "" {
		return peer
	}
	peer.Internal = &matcher.InternalPeer{
		PodLabels: p.labels, Namespace: p.namespace, NamespaceLabels: map[string]string{"kubernetes.io/metadata.name": p.namespace},
	}
	if !u.podsHaveAddress {
		peer.IP = noRange
	}
	return peer
}

func (u union) allows(c connection) bool {
	return u.policies.IsTrafficAllowed(
		&matcher.Traffic{Source: u.peer(c.from), Destination: u.peer(c.to), ResolvedPort: c.port, Protocol: c.protocol},
	).IsAllowed()
}

// wrong are the connections that policies treat otherwise than the table says.
func wrong(policies []networkingv1.NetworkPolicy) []string { return wrongIn(policies, connections) }

// networkPolicies are those of all namespaces, as the API server has them.
func (i *installation) networkPolicies(t *testing.T) []networkingv1.NetworkPolicy {
	t.Helper()
	policies, err := i.admin.NetworkingV1().NetworkPolicies("").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, policies.Items)
	return policies.Items
}

func TestWhoTalksToWhom(t *testing.T) {
	i := install(t)
	assert.Empty(t, wrong(i.networkPolicies(t)))
	// The table is about pods that exist.
	deployment, err := i.admin.AppsV1().Deployments(appNamespace).Get(t.Context(), "openhands", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, server.labels, deployment.Spec.Template.Labels)
	deployment, err = i.admin.AppsV1().Deployments(appNamespace).Get(t.Context(), "openhands-door", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, door.labels, deployment.Spec.Template.Labels)
	job, err := i.admin.BatchV1().CronJobs(appNamespace).Get(t.Context(), "openhands-cleanup", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, cleaner.labels, job.Spec.JobTemplate.Spec.Template.Labels)
	assert.Equal(t, sandbox.labels, i.converse(t, "a").labels())
}

// TestEveryNetworkPolicyIsNeeded takes one policy away at a time, and one rule of each.
func TestEveryNetworkPolicyIsNeeded(t *testing.T) {
	all := install(t).networkPolicies(t)
	for n, policy := range all {
		t.Run(policy.Name, func(t *testing.T) {
			without := append(append([]networkingv1.NetworkPolicy{}, all[:n]...), all[n+1:]...)
			assert.NotEmpty(t, wrong(without), "without the policy")
			for r := range policy.Spec.Egress {
				changed := policy.DeepCopy()
				changed.Spec.Egress = append(changed.Spec.Egress[:r], changed.Spec.Egress[r+1:]...)
				assert.NotEmptyf(t, wrong(append(without, *changed)), "without egress rule %d", r)
			}
			for r := range policy.Spec.Ingress {
				changed := policy.DeepCopy()
				changed.Spec.Ingress = append(changed.Spec.Ingress[:r], changed.Spec.Ingress[r+1:]...)
				assert.NotEmptyf(t, wrong(append(without, *changed)), "without ingress rule %d", r)
			}
		})
	}
}

// TestOneBroadPolicyDefeatsTheRest: policies only add, so the table must notice each of these.
func TestOneBroadPolicyDefeatsTheRest(t *testing.T) {
	all := install(t).networkPolicies(t)
	everything := metav1.LabelSelector{}
	anyEgress := []networkingv1.NetworkPolicyEgressRule{{}}
	anyIngress := []networkingv1.NetworkPolicyIngressRule{{}}
	block := func(cidr string) []networkingv1.NetworkPolicyEgressRule {
		return []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: cidr}}}}}
	}
	cases := map[string]networkingv1.NetworkPolicySpec{
		"all egress":           {PodSelector: everything, Egress: anyEgress, PolicyTypes: []networkingv1.PolicyType{"Egress"}},
		"all ingress":          {PodSelector: everything, Ingress: anyIngress, PolicyTypes: []networkingv1.PolicyType{"Ingress"}},
		"the internet, simply": {PodSelector: everything, Egress: block("0.0.0.0/0"), PolicyTypes: []networkingv1.PolicyType{"Egress"}},
		"the metadata server":  {PodSelector: everything, Egress: block("169.254.0.0/16"), PolicyTypes: []networkingv1.PolicyType{"Egress"}},
		"private ranges":       {PodSelector: everything, Egress: block("10.0.0.0/8"), PolicyTypes: []networkingv1.PolicyType{"Egress"}},
		"within the namespace": {PodSelector: everything, PolicyTypes: []networkingv1.PolicyType{"Ingress", "Egress"},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &everything}}}},
			Egress:  []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &everything}}}}},
	}
	for what, spec := range cases {
		for _, namespace := range []string{appNamespace, sandboxNamespace} {
			t.Run(what+" in "+namespace, func(t *testing.T) {
				broad := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "broad", Namespace: namespace}, Spec: spec}
				assert.NotEmpty(t, wrong(append(append([]networkingv1.NetworkPolicy{}, all...), broad)))
			})
		}
	}
}
