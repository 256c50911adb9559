package app

import (
	"fmt"
	"net/netip"

	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
	"openhands-gcp/release"
)

// namespaceLabel is the label that Kubernetes puts on every namespace, with its name.
const namespaceLabel = "kubernetes.io/metadata.name"

// metadataServer serves the node's and, by Workload Identity, the pod's credentials; with NodeLocal DNSCache off it is the DNS server too.
var metadataServer = netip.MustParsePrefix("169.254.169.254/32")

// internet is every IPv4 address.
var internet = netip.MustParsePrefix("0.0.0.0/0")

// newNetworkPolicies creates policies. Policies only add up: one that allows more anywhere defeats the rest. So each namespace gets one that denies
// everything, and others that allow by name.
func newNetworkPolicies(ctx *pulumi.Context, parent pulumi.Resource, name string, policies ...policy) ([]pulumi.Resource, error) {
	var created []pulumi.Resource
	for _, p := range policies {
		policyName := name
		if p.role != "" {
			policyName += "-" + p.role
		}
		resource, err := networkingv1.NewNetworkPolicy(ctx, policyName, &networkingv1.NetworkPolicyArgs{
			Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(policyName), Namespace: p.namespace},
			Spec: &networkingv1.NetworkPolicySpecArgs{
				PodSelector: p.selector(),
				PolicyTypes: pulumi.ToStringArray([]string{"Ingress", "Egress"}),
				Ingress:     p.ingress,
				Egress:      p.egress,
			},
		}, component.Child(parent, p.opts...)...)
		if err != nil {
			return nil, fmt.Errorf("create the NetworkPolicy %s: %w", policyName, err)
		}
		created = append(created, resource)
	}
	return created, nil
}

// serverPolicy is what the server talks to: the API server, the database, the metadata server for its identity, its sandboxes, and by TLS the internet, or what
// is listed of it. To it come the door and the clean-up.
func (args *OpenHandsAppArgs) serverPolicy(namespace pulumi.StringOutput, sandboxes *Sandboxes) policy {
	p := policy{role: "server", namespace: namespace, pods: labelSelector(serverLabels), egress: append(dnsEgress(),
		to(tcp(80, 8080), ipBlock(metadataServer)),
		to(tcp(443), ipBlock(args.ControlPlaneCIDR)),
		to(tcp(databasePort), ipBlock(args.Database.Range)),
	)}
	p.egress = append(p.egress, args.egressRules(args.Egress, tcp(443))...)
	p.ingress = append(p.ingress, from(tcp(args.Release.Port), podsOf(namespace, labelSelector(doorLabels))))
	if sandboxes != nil {
		p.egress = append(p.egress, to(tcp(release.ActionServerPort), podsOf(sandboxes.Namespace, labelSelector(release.SandboxLabels))))
		p.ingress = append(p.ingress, from(tcp(args.Release.Port), podsOf(namespace, labelSelector(cleanupLabels))))
	}
	return p
}

// newPolicies lets the server into the sandboxes, the sandboxes out to what they may reach, and the clean-up to the server and the API server.
func (c *Sandboxes) newPolicies(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, appNamespace pulumi.StringOutput) error {
	inside := []pulumi.ResourceOption{pulumi.DeletedWith(c.namespace)}
	sandbox := policy{
		role: "sandboxes", namespace: c.Namespace, pods: labelSelector(release.SandboxLabels), opts: inside,
		ingress: networkingv1.NetworkPolicyIngressRuleArray{from(tcp(release.ActionServerPort), podsOf(appNamespace, labelSelector(serverLabels)))},
		egress:  dnsEgress(),
	}
	sandbox.egress = append(sandbox.egress, args.egressRules(args.Sandboxes.Egress, nil)...)
	policies, err := newNetworkPolicies(ctx, c, name, policy{role: "sandbox-deny-all", namespace: c.Namespace, opts: inside}, sandbox, policy{
		role: "cleanup", namespace: appNamespace, pods: labelSelector(cleanupLabels), egress: append(dnsEgress(),
			to(tcp(443), ipBlock(args.ControlPlaneCIDR)),
			to(tcp(args.Release.Port), podsOf(appNamespace, labelSelector(serverLabels))),
		),
	})
	if err != nil {
		return err
	}
	c.Awaits(policies...)
	byName, err := newDomainPolicies(ctx, c, name+"-sandbox-", sandbox, args.Sandboxes.Egress.AllowedDomains, nil)
	c.Awaits(byName...)
	return err
}

// databasePort is PostgreSQL's.
const databasePort = 5432

// policy is a NetworkPolicy for some pods of a namespace, all of them where pods is nil. It denies what it does not allow.
type policy struct {
	role      string // ends its name
	namespace pulumi.StringInput
	pods      *metav1.LabelSelectorArgs
	ingress   networkingv1.NetworkPolicyIngressRuleArray
	egress    networkingv1.NetworkPolicyEgressRuleArray

	opts []pulumi.ResourceOption
}

func (p policy) selector() *metav1.LabelSelectorArgs {
	if p.pods == nil {
		return &metav1.LabelSelectorArgs{}
	}
	return p.pods
}

func labelSelector(labels map[string]string) *metav1.LabelSelectorArgs {
	return &metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(labels)}
}

func to(ports networkingv1.NetworkPolicyPortArray, peers ...networkingv1.NetworkPolicyPeerInput) networkingv1.NetworkPolicyEgressRuleInput {
	return &networkingv1.NetworkPolicyEgressRuleArgs{To: networkingv1.NetworkPolicyPeerArray(peers), Ports: ports}
}

func from(ports networkingv1.NetworkPolicyPortArray, peers ...networkingv1.NetworkPolicyPeerInput) networkingv1.NetworkPolicyIngressRuleInput {
	return &networkingv1.NetworkPolicyIngressRuleArgs{From: networkingv1.NetworkPolicyPeerArray(peers), Ports: ports}
}

func tcp(ports ...int) networkingv1.NetworkPolicyPortArray { return portsOf("TCP", ports...) }

func portsOf(protocol string, ports ...int) networkingv1.NetworkPolicyPortArray {
	var out networkingv1.NetworkPolicyPortArray
	for _, p := range ports {
		out = append(out, &networkingv1.NetworkPolicyPortArgs{Protocol: pulumi.String(protocol), Port: pulumi.Int(p)})
	}
	return out
}

// ipBlock is a range of addresses. An empty list of exceptions must be none: with one, every apply changes the object.
func ipBlock(cidr netip.Prefix, except ...netip.Prefix) networkingv1.NetworkPolicyPeerInput {
	block := &networkingv1.IPBlockArgs{Cidr: pulumi.String(cidr.String())}
	if len(except) > 0 {
		var texts pulumi.StringArray
		for _, r := range except {
			texts = append(texts, pulumi.String(r.String()))
		}
		block.Except = texts
	}
	return &networkingv1.NetworkPolicyPeerArgs{IpBlock: block}
}

func podsOf(namespace pulumi.StringInput, pods *metav1.LabelSelectorArgs) networkingv1.NetworkPolicyPeerInput {
	return &networkingv1.NetworkPolicyPeerArgs{
		NamespaceSelector: &metav1.LabelSelectorArgs{MatchLabels: pulumi.StringMap{namespaceLabel: namespace}},
		PodSelector:       pods,
	}
}

// dnsEgress allows DNS wherever GKE answers it with Dataplane V2: the pods of kube-dns and of its node-local cache, the cache's own address, and port 53
// of the metadata server.
func dnsEgress() networkingv1.NetworkPolicyEgressRuleArray {
	dns := append(portsOf("UDP", 53), portsOf("TCP", 53)...)
	var peers []networkingv1.NetworkPolicyPeerInput
	for _, app := range []string{"kube-dns", "node-local-dns"} {
		peers = append(peers, podsOf(pulumi.String("kube-system"), labelSelector(map[string]string{"k8s-app": app})))
	}
	peers = append(peers, ipBlock(nodeLocalDNS), ipBlock(metadataServer))
	return networkingv1.NetworkPolicyEgressRuleArray{to(dns, peers...)}
}

// nodeLocalDNS is the address of the DNS cache on every node.
var nodeLocalDNS = netip.MustParsePrefix("169.254.20.10/32")
