package app

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

// Egress is what pods may reach on the internet: everything where both lists are empty.
type Egress struct {
	AllowedDomains []string // github.com, or *.githubusercontent.com for the names one level below
	AllowedRanges  []netip.Prefix
}

func (e Egress) listed() bool { return len(e.AllowedDomains)+len(e.AllowedRanges) > 0 }

// Internet says what is not part of it.
type Internet struct {
	// NotPublic are the ranges that "the internet" does not mean: private and shared ones, link-local with the metadata server, and the like.
	NotPublic []netip.Prefix
	// PublicControlPlane is the API server's public address; an empty string where it has none.
	PublicControlPlane pulumi.StringInput
}

func (i Internet) validate(check *component.Check) {
	check.Require(len(i.NotPublic) > 0, "notPublic is required")
	check.Inputs(map[string]pulumi.StringInput{"publicControlPlane": i.PublicControlPlane})
}

// BucketHost is the name of the API that the bucket is reached by.
const BucketHost = "storage.googleapis.com"

// domains are the names that the server may reach. It cannot do without its bucket.
func (args *OpenHandsAppArgs) domains() []string {
	if !args.Egress.listed() || slices.Contains(args.Egress.AllowedDomains, BucketHost) {
		return args.Egress.AllowedDomains
	}
	return append(slices.Clone(args.Egress.AllowedDomains), BucketHost)
}

// egressRules allow the ranges of a list, or the internet where nothing is listed.
func (i Internet) egressRules(e Egress, ports networkingv1.NetworkPolicyPortArray) networkingv1.NetworkPolicyEgressRuleArray {
	ranges := e.AllowedRanges
	if !e.listed() {
		ranges = []netip.Prefix{internet}
	}
	var rules networkingv1.NetworkPolicyEgressRuleArray
	for _, r := range ranges {
		rules = append(rules, to(ports, i.publicRange(r)))
	}
	return rules
}

// publicRange is a range without what is not to be reached in it: what is not public, and the control plane's public address, which answers to
// addresses that people listed. Sandboxes have no business with it, and the server has the private one.
func (i Internet) publicRange(outer netip.Prefix) networkingv1.NetworkPolicyPeerInput {
	var inside []string // nil where empty, as in ipBlock
	for _, r := range i.NotPublic {
		if outer.Overlaps(r) {
			inside = append(inside, r.String())
		}
	}
	block := i.PublicControlPlane.ToStringOutput().ApplyT(func(address string) (networkingv1.IPBlock, error) {
		if address == "" {
			return networkingv1.IPBlock{Cidr: outer.String(), Except: inside}, nil
		}
		ip, err := netip.ParseAddr(address)
		if err != nil {
			return networkingv1.IPBlock{}, fmt.Errorf("the control plane's public address cannot be kept out of %s: %w", outer, err)
		}
		if !outer.Contains(ip) {
			return networkingv1.IPBlock{Cidr: outer.String(), Except: inside}, nil
		}
		if outer.IsSingleIP() {
			return networkingv1.IPBlock{}, fmt.Errorf("%s may not be reached: it is the control plane's own address", outer)
		}
		return networkingv1.IPBlock{Cidr: outer.String(), Except: append(slices.Clone(inside), netip.PrefixFrom(ip, ip.BitLen()).String())}, nil
	}).(networkingv1.IPBlockOutput)
	return &networkingv1.NetworkPolicyPeerArgs{IpBlock: block.ToIPBlockPtrOutput()}
}

// newDomainPolicies allow the pods of a policy some names, by a kind of GKE's own that adds to the NetworkPolicies. One for each name: a policy holds 50
// addresses at the most, and a name of a content network can have many. prefix begins the names of the objects; all ports where ports is empty.
// https://cloud.google.com/kubernetes-engine/docs/how-to/fqdn-network-policies
func newDomainPolicies(
	ctx *pulumi.Context, parent pulumi.Resource, prefix string, pods policy, domains []string, ports pulumi.Array,
) ([]pulumi.Resource, error) {
	var created []pulumi.Resource
	for _, domain := range domains {
		field, name := "name", prefix+"to-"+domain
		if below, isPattern := strings.CutPrefix(domain, "*."); isPattern {
			field, name = "pattern", prefix+"below-"+below
		}
		rule := pulumi.Map{"matches": pulumi.Array{pulumi.Map{field: pulumi.String(domain)}}}
		if len(ports) > 0 {
			rule["ports"] = ports
		}
		resource, err := apiextensions.NewCustomResource(ctx, name, &apiextensions.CustomResourceArgs{
			ApiVersion: pulumi.String("networking.gke.io/v1alpha1"), Kind: pulumi.String("FQDNNetworkPolicy"),
			Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: pods.namespace.ToStringOutput()},
			OtherFields: kubernetes.UntypedArgs{
				"spec": pulumi.Map{"podSelector": pulumi.Map{"matchLabels": pods.selector().MatchLabels}, "egress": pulumi.Array{rule}},
			},
		}, component.Child(parent, pods.opts...)...)
		if err != nil {
			return nil, fmt.Errorf("allow %s: %w", domain, err)
		}
		created = append(created, resource)
	}
	return created, nil
}
