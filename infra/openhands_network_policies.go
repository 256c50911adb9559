package infra

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// namespaceLabel is the label that Kubernetes puts on every namespace, with its name.
const namespaceLabel = "kubernetes.io/metadata.name"

// actionServerPort is a sandbox's. The server there has no authentication.
const actionServerPort = 8080

// metadataServer serves the node's and, by Workload Identity, the pod's credentials; with NodeLocal DNSCache off it is the DNS server too.
const metadataServer = "169.254.169.254/32"

// newNetworkPolicies denies everything in both namespaces, and then allows by name what the application and its sandboxes need. Policies only add up:
// one that allows more anywhere defeats the rest.
func (c *OpenHandsApp) newNetworkPolicies(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, appNamespace pulumi.StringOutput, sandboxes *corev1.Namespace) ([]pulumi.Resource, error) {
	var sandboxNamespace pulumi.StringOutput
	if sandboxes != nil {
		sandboxNamespace = nameOf(sandboxes)
	}
	policies := []policy{{role: "deny-all", namespace: appNamespace}, args.serverPolicy(appNamespace, sandboxNamespace)}
	if args.Sandboxes != nil {
		policies = append(policies,
			policy{role: "cleanup", namespace: appNamespace, pods: labelSelector(cleanupLabels), egress: append(dnsEgress(),
				to(tcp(443), ipBlock(args.ControlPlaneCIDR.String())),
				to(tcp(args.Release.Port), podsOf(appNamespace, labelSelector(serverLabels))),
			)},
			policy{role: "sandbox-deny-all", namespace: sandboxNamespace, in: sandboxes},
			args.sandboxPolicy(appNamespace, sandboxes),
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
		}, p.options(c)...)
		if err != nil {
			return nil, fmt.Errorf("create %s: %w", p.role, err)
		}
		created = append(created, resource)
	}
	if args.Sandboxes == nil {
		return created, nil
	}
	for _, domain := range args.Sandboxes.AllowedDomains {
		byName, err := c.newDomainPolicy(ctx, name, sandboxes, domain)
		if err != nil {
			return nil, fmt.Errorf("allow sandboxes %s: %w", domain, err)
		}
		created = append(created, byName)
	}
	return created, nil
}

// serverPolicy is what the server talks to: the API server, the database, the metadata server for its identity, its sandboxes, and by TLS the internet with
// Google's APIs, the LLM and the git hosts. To it come the load balancer and the clean-up.
func (args *OpenHandsAppArgs) serverPolicy(appNamespace, sandboxNamespace pulumi.StringOutput) policy {
	p := policy{role: "server", namespace: appNamespace, pods: labelSelector(serverLabels), egress: append(dnsEgress(),
		to(tcp(80, 8080), ipBlock(metadataServer)),
		to(tcp(443), ipBlock(args.ControlPlaneCIDR.String())),
		to(tcp(databasePort), ipBlock(args.Database.Range.String())),
		to(tcp(443), ipBlock("0.0.0.0/0", texts(args.NotPublic)...)),
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
func (args *OpenHandsAppArgs) sandboxPolicy(appNamespace pulumi.StringOutput, sandboxes *corev1.Namespace) policy {
	p := policy{
		role: "sandboxes", namespace: nameOf(sandboxes), in: sandboxes, pods: labelSelector(sandboxLabels),
		ingress: networkingv1.NetworkPolicyIngressRuleArray{from(tcp(actionServerPort), podsOf(appNamespace, labelSelector(serverLabels)))},
		egress:  dnsEgress(),
	}
	s := args.Sandboxes
	if len(s.AllowedRanges)+len(s.AllowedDomains) == 0 {
		p.egress = append(p.egress, to(nil, args.publicRange(netip.MustParsePrefix("0.0.0.0/0"))))
	}
	for _, r := range s.AllowedRanges {
		p.egress = append(p.egress, to(nil, args.publicRange(r)))
	}
	return p
}

// publicRange is a range without what a sandbox must not reach in it: what is not public, and the control plane's public address, which answers to
// addresses that people listed, but which a sandbox has no business with.
func (args *OpenHandsAppArgs) publicRange(outer netip.Prefix) networkingv1.NetworkPolicyPeerInput {
	var inside []string // nil where empty, as in ipBlock
	for _, r := range args.NotPublic {
		if outer.Overlaps(r) {
			inside = append(inside, r.String())
		}
	}
	block := args.PublicControlPlane.ToStringOutput().ApplyT(func(address string) (networkingv1.IPBlock, error) {
		ip, err := netip.ParseAddr(address)
		if err != nil || !outer.Contains(ip) {
			return networkingv1.IPBlock{Cidr: outer.String(), Except: inside}, nil
		}
		if outer.IsSingleIP() {
			return networkingv1.IPBlock{}, fmt.Errorf("sandboxes may not reach %s: it is the control plane's own address", outer)
		}
		return networkingv1.IPBlock{Cidr: outer.String(), Except: append(slices.Clone(inside), netip.PrefixFrom(ip, ip.BitLen()).String())}, nil
	}).(networkingv1.IPBlockOutput)
	return &networkingv1.NetworkPolicyPeerArgs{IpBlock: block.ToIPBlockPtrOutput()}
}

func texts(ranges []netip.Prefix) []string {
	out := make([]string, len(ranges))
	for i, r := range ranges {
		out[i] = r.String()
	}
	return out
}

// newDomainPolicy allows a name, by a kind of GKE's own that adds to the NetworkPolicies. One for each name: a policy holds 50 addresses at the most, and a
// name of a content network can have many. https://cloud.google.com/kubernetes-engine/docs/how-to/fqdn-network-policies
func (c *OpenHandsApp) newDomainPolicy(ctx *pulumi.Context, name string, namespace *corev1.Namespace, domain string) (pulumi.Resource, error) {
	field := "name"
	if strings.HasPrefix(domain, "*") {
		field = "pattern"
	}
	name += "-sandbox-to-" + strings.Replace(domain, "*", "any", 1)
	return apiextensions.NewCustomResource(ctx, name, &apiextensions.CustomResourceArgs{
		ApiVersion: pulumi.String("networking.gke.io/v1alpha1"), Kind: pulumi.String("FQDNNetworkPolicy"),
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: nameOf(namespace)},
		OtherFields: kubernetes.UntypedArgs{"spec": pulumi.Map{
			"podSelector": pulumi.Map{"matchLabels": pulumi.ToStringMap(sandboxLabels)},
			"egress":      pulumi.Array{pulumi.Map{"matches": pulumi.Array{pulumi.Map{field: pulumi.String(domain)}}}},
		}},
	}, child(c, pulumi.DeletedWith(namespace))...)
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

	in *corev1.Namespace // that the policy goes with; nil where it goes by itself
}

// options let a policy for sandboxes go with their namespace, and not before: Kubernetes deletes the pods of a namespace first, and those of conversations
// are nobody else's to delete.
func (p policy) options(parent pulumi.Resource) []pulumi.ResourceOption {
	if p.in == nil {
		return child(parent)
	}
	return child(parent, pulumi.DeletedWith(p.in))
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
