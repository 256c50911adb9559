package infra

import (
	"fmt"
	"net/netip"

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

// notTheInternet are the ranges that "the internet" does not mean: private ones, shared address space, link-local with the metadata server.
var notTheInternet = []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"}

// newNetworkPolicies denies everything in both namespaces, and then allows by name what the application and its sandboxes need. Policies only add up:
// one that allows more anywhere defeats the rest.
func (c *OpenHandsApp) newNetworkPolicies(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, appNamespace, sandboxNamespace pulumi.StringInput) ([]pulumi.Resource, error) {
	server := labelSelector(serverLabels)
	policies := []policy{
		{role: "deny-all", namespace: appNamespace},
		{role: "server", namespace: appNamespace, pods: server, egress: append(dnsEgress(),
			to(tcp(80, 8080), ipBlock(metadataServer)),
			to(tcp(443), ipBlock(args.ControlPlaneCIDR.String())),
			to(tcp(databasePort), ipBlock(args.Database.Range.String())),
			to(tcp(443), internet()),
		)},
	}
	if args.Sandboxes != nil {
		sandboxes := labelSelector(sandboxLabels)
		policies[1].egress = append(policies[1].egress, to(tcp(actionServerPort), podsOf(sandboxNamespace, sandboxes)))
		policies = append(policies,
			policy{role: "sandbox-deny-all", namespace: sandboxNamespace},
			policy{
				role: "sandboxes", namespace: sandboxNamespace, pods: sandboxes,
				ingress: networkingv1.NetworkPolicyIngressRuleArray{&networkingv1.NetworkPolicyIngressRuleArgs{
					From:  networkingv1.NetworkPolicyPeerArray{podsOf(appNamespace, server)},
					Ports: tcp(actionServerPort, editorPort),
				}},
				egress: append(dnsEgress(), &networkingv1.NetworkPolicyEgressRuleArgs{To: networkingv1.NetworkPolicyPeerArray{internet()}}),
			},
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
	return created, nil
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

func tcp(ports ...int) networkingv1.NetworkPolicyPortArray { return portsOf("TCP", ports...) }

func portsOf(protocol string, ports ...int) networkingv1.NetworkPolicyPortArray {
	var out networkingv1.NetworkPolicyPortArray
	for _, p := range ports {
		out = append(out, &networkingv1.NetworkPolicyPortArgs{Protocol: pulumi.String(protocol), Port: pulumi.Int(p)})
	}
	return out
}

func ipBlock(cidr string, except ...string) networkingv1.NetworkPolicyPeerInput {
	return &networkingv1.NetworkPolicyPeerArgs{IpBlock: &networkingv1.IPBlockArgs{Cidr: pulumi.String(cidr), Except: pulumi.ToStringArray(except)}}
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
