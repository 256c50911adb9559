package infra

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// namespaceLabel is the label that Kubernetes puts on every namespace, with its name.
const namespaceLabel = "kubernetes.io/metadata.name"

// Ports of a sandbox: its action server, which has no authentication, and its editor.
const (
	actionServerPort = 8080
	editorPort       = 8081
)

// metadataServer serves the node's and, by Workload Identity, the pod's credentials; with NodeLocal DNSCache off it is the DNS server too.
const metadataServer = "169.254.169.254/32"

// notTheInternet are the ranges that "the internet" does not mean: private ones, shared address space, link-local with the metadata server,
// benchmarking addresses and class E, both of which a VPC may use.
var notTheInternet = []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "198.18.0.0/15", "240.0.0.0/4"}

// newNetworkPolicies denies everything in both namespaces, and then allows by name what the application and its sandboxes need. Policies only add up:
// one that allows more anywhere defeats the rest.
func (c *OpenHandsApp) newNetworkPolicies(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, appNamespace, sandboxNamespace pulumi.StringInput) ([]pulumi.Resource, error) {
	policies := []policy{{role: "deny-all", namespace: appNamespace}, args.serverPolicy(appNamespace, sandboxNamespace)}
	if args.Sandboxes != nil {
		policies = append(policies,
			policy{role: "cleanup", namespace: appNamespace, pods: labelSelector(cleanupLabels), egress: append(dnsEgress(),
				to(tcp(443), ipBlock(args.ControlPlaneCIDR.String())),
				to(tcp(args.Release.Port), podsOf(appNamespace, labelSelector(serverLabels))),
			)},
			policy{role: "sandbox-deny-all", namespace: sandboxNamespace},
			args.sandboxPolicy(appNamespace, sandboxNamespace),
		)
	}
	var created []pulumi.Resource
	for _, p := range policies {
		resource, err := networkingv1.NewNetworkPolicy(ctx, name+"-"+p.role, &networkingv1.NetworkPolicyArgs{
			Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-" + p.role), Namespace: p.namespace},
			Spec: &networkingv1.NetworkPolicySpecArgs{
				PodSelector: p.selector(),
				PolicyTypes: pulumi.ToStringArray([]string{"Ingress", "Egress"}),
				Ingress:     p.ingress,
				Egress:      p.egress,
			},
		}, child(c)...)
		if err != nil {
			return nil, fmt.Errorf("create %s: %w", p.role, err)
		}
		created = append(created, resource)
	}
	if s := args.Sandboxes; s != nil && len(s.AllowedDomains) > 0 {
		byName, err := c.newDomainPolicy(ctx, name+"-sandbox-domains", sandboxNamespace, s.AllowedDomains)
		if err != nil {
			return nil, fmt.Errorf("create sandbox-domains: %w", err)
		}
		created = append(created, byName)
	}
	return created, nil
}

// serverPolicy is what the server talks to: the API server, the database, the metadata server for its identity, its sandboxes, and by TLS the internet with
// Google's APIs, the LLM and the git hosts. To it come the load balancer and the clean-up.
func (args *OpenHandsAppArgs) serverPolicy(appNamespace, sandboxNamespace pulumi.StringInput) policy {
	p := policy{role: "server", namespace: appNamespace, pods: labelSelector(serverLabels), egress: append(dnsEgress(),
		to(tcp(80, 8080), ipBlock(metadataServer)),
		to(tcp(443), ipBlock(args.ControlPlaneCIDR.String())),
		to(tcp(databasePort), ipBlock(args.Database.Range.String())),
		to(tcp(443), internet()),
	)}
	if args.Exposure != nil {
		var ranges []networkingv1.NetworkPolicyPeerInput
		for _, r := range loadBalancerRanges {
			ranges = append(ranges, ipBlock(r))
		}
		p.ingress = append(p.ingress, from(tcp(args.Release.Port), ranges...))
	}
	if args.Sandboxes != nil {
		p.egress = append(p.egress, to(tcp(actionServerPort), podsOf(sandboxNamespace, labelSelector(sandboxLabels))))
		p.ingress = append(p.ingress, from(tcp(args.Release.Port), podsOf(appNamespace, labelSelector(cleanupLabels))))
	}
	return p
}

// sandboxPolicy lets the server in, and out what a sandbox may reach: names, and the internet or a list of it.
func (args *OpenHandsAppArgs) sandboxPolicy(appNamespace, sandboxNamespace pulumi.StringInput) policy {
	p := policy{
		role: "sandboxes", namespace: sandboxNamespace, pods: labelSelector(sandboxLabels),
		ingress: networkingv1.NetworkPolicyIngressRuleArray{from(tcp(actionServerPort, editorPort), podsOf(appNamespace, labelSelector(serverLabels)))},
		egress:  dnsEgress(),
	}
	s := args.Sandboxes
	if len(s.AllowedRanges)+len(s.AllowedDomains) == 0 {
		p.egress = append(p.egress, to(nil, args.internetWithoutControlPlane("0.0.0.0/0")))
	}
	for _, r := range s.AllowedRanges {
		p.egress = append(p.egress, to(nil, args.internetWithoutControlPlane(r)))
	}
	return p
}

// internetWithoutControlPlane is a range without what a sandbox must not reach in it: what is not the internet, and the control plane's public address,
// which answers to addresses that people listed, but which a sandbox has no business with.
func (args *OpenHandsAppArgs) internetWithoutControlPlane(cidr string) networkingv1.NetworkPolicyPeerInput {
	outer := netip.MustParsePrefix(cidr)
	block := args.PublicControlPlane.ToStringOutput().ApplyT(func(address string) networkingv1.IPBlock {
		var inside []string // nil where empty, as in ipBlock
		for _, text := range notTheInternet {
			if outer.Contains(netip.MustParsePrefix(text).Addr()) {
				inside = append(inside, text)
			}
		}
		if ip, err := netip.ParseAddr(address); err == nil && outer.Contains(ip) {
			inside = append(inside, netip.PrefixFrom(ip, ip.BitLen()).String())
		}
		return networkingv1.IPBlock{Cidr: cidr, Except: inside}
	}).(networkingv1.IPBlockOutput)
	return &networkingv1.NetworkPolicyPeerArgs{IpBlock: block.ToIPBlockPtrOutput()}
}

// newDomainPolicy allows names, by a kind of GKE's own that adds to the NetworkPolicies.
func (c *OpenHandsApp) newDomainPolicy(ctx *pulumi.Context, name string, namespace pulumi.StringInput, domains []string) (pulumi.Resource, error) {
	var matches pulumi.Array
	for _, domain := range domains {
		field := "name"
		if strings.HasPrefix(domain, "*") {
			field = "pattern"
		}
		matches = append(matches, pulumi.Map{field: pulumi.String(domain)})
	}
	return apiextensions.NewCustomResource(ctx, name, &apiextensions.CustomResourceArgs{
		ApiVersion: pulumi.String("networking.gke.io/v1alpha1"), Kind: pulumi.String("FQDNNetworkPolicy"),
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: namespace},
		OtherFields: kubernetes.UntypedArgs{"spec": pulumi.Map{
			"podSelector": pulumi.Map{"matchLabels": pulumi.ToStringMap(sandboxLabels)},
			"egress":      pulumi.Array{pulumi.Map{"matches": matches}},
		}},
	}, child(c)...)
}

// databasePort is PostgreSQL's.
const databasePort = 5432

// policy is a NetworkPolicy for some pods of a namespace, all of them where pods is nil. It denies what it does not allow.
type policy struct {
	role      string
	namespace pulumi.StringInput
	pods      *metav1.LabelSelectorArgs
	ingress   networkingv1.NetworkPolicyIngressRuleArray
	egress    networkingv1.NetworkPolicyEgressRuleArray
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
func ipBlock(cidr string, except ...string) networkingv1.NetworkPolicyPeerInput {
	block := &networkingv1.IPBlockArgs{Cidr: pulumi.String(cidr)}
	if len(except) > 0 {
		block.Except = pulumi.ToStringArray(except)
	}
	return &networkingv1.NetworkPolicyPeerArgs{IpBlock: block}
}

func internet() networkingv1.NetworkPolicyPeerInput { return ipBlock("0.0.0.0/0", notTheInternet...) }

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
	peers = append(peers, ipBlock(nodeLocalDNS.String()), ipBlock(metadataServer))
	return networkingv1.NetworkPolicyEgressRuleArray{to(dns, peers...)}
}

var nodeLocalDNS = netip.MustParsePrefix("169.254.20.10/32")
