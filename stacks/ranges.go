package stacks

import (
	"fmt"
	"net/netip"
	"slices"
)

// Ranges are the network's address ranges.
type Ranges struct {
	Nodes, Pods, Services, ControlPlane, Peering netip.Prefix
}

// podsPerNodeBits is the range that GKE gives a node with its default of 110 pods: a /24.
// https://cloud.google.com/kubernetes-engine/docs/concepts/alias-ips#cluster_sizing
const podsPerNodeBits = 24

// PodsPerNode is GKE's default limit.
const PodsPerNode = 110

// reservedByGoogle are the addresses of a subnet's primary range that nodes cannot have: network, gateway, and the last two.
// https://cloud.google.com/vpc/docs/subnets#unusable-ip-addresses-in-every-subnet
const reservedByGoogle = 4

// Capacity is what address ranges have room for.
type Capacity struct {
	Nodes    int // the smaller of what the nodes' and the pods' range hold
	Pods     int // on all those nodes together
	Services int
}

// Capacity returns how many nodes, pods and Services the ranges hold.
func (r Ranges) Capacity() Capacity {
	nodes := min(size(r.Nodes)-reservedByGoogle, 1<<max(podsPerNodeBits-r.Pods.Bits(), 0))
	if r.Pods.Bits() > podsPerNodeBits {
		nodes = 0
	}
	nodes = max(nodes, 0)
	return Capacity{Nodes: nodes, Pods: nodes * PodsPerNode, Services: size(r.Services)}
}

func size(p netip.Prefix) int { return 1 << (32 - p.Bits()) }

// Ranges returns the network's ranges.
func (c *Config) Ranges() Ranges {
	n := c.Network
	return Ranges{
		Nodes: prefix(n.NodesCIDR), Pods: prefix(n.PodsCIDR), Services: prefix(n.ServicesCIDR),
		ControlPlane: prefix(n.ControlPlaneCIDR), Peering: prefix(n.PeeringCIDR),
	}
}

// AuthorizedRanges returns who may connect to the control plane's public endpoint.
func (c *Config) AuthorizedRanges() []netip.Prefix {
	var ranges []netip.Prefix
	if endpoint := c.Cluster.Access.PublicEndpoint; endpoint != nil {
		for _, r := range endpoint.AuthorizedRanges {
			ranges = append(ranges, prefix(r))
		}
	}
	return ranges
}

// prefix parses a range that validate has accepted; of one that it has not, it makes the zero Prefix.
func prefix(s string) netip.Prefix {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// cloudSQLBridge is used inside of Cloud SQL instances: they cannot answer clients in it.
// https://cloud.google.com/sql/docs/postgres/private-ip
var cloudSQLBridge = netip.MustParsePrefix("172.17.0.0/16")

// privateRanges are those of RFC 1918, and the shared address space of RFC 6598, which a VPC may use too.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
}

// entry is a range of the configuration.
type entry struct {
	path, value    string
	prefix         netip.Prefix
	widest, narrow int // allowed prefix lengths
	why            string
}

func (c *Config) nodesEntry() entry {
	return entry{path: "openhands:network.nodesCidr", value: c.Network.NodesCIDR, widest: 8, narrow: 29, why: "GCP's limits for a subnet"}
}

// validateNodesRange checks the only range of a network without a cluster.
func (c *Config) validateNodesRange(report reporter) { checkEntries(report, []entry{c.nodesEntry()}) }

func (c *Config) validateNetwork(report reporter) {
	const key = "openhands:network."
	n := c.Network
	entries := []entry{
		c.nodesEntry(),
		{path: key + "podsCidr", value: n.PodsCIDR, widest: 9, narrow: 24, why: "every node takes a /24 of it"},
		{path: key + "servicesCidr", value: n.ServicesCIDR, widest: 16, narrow: 27, why: "GKE's limits for a range of Services"},
		{path: key + "controlPlaneCidr", value: n.ControlPlaneCIDR, widest: 28, narrow: 28, why: "GKE wants exactly this"},
		{path: key + "peeringCidr", value: n.PeeringCIDR, widest: 8, narrow: 24, why: "Google takes a /24 of it for every region and service"},
	}
	if checkEntries(report, entries) {
		c.validateNodeRoom(report)
	}
}

// checkEntries checks ranges that lie in one network, and says whether each is one.
func checkEntries(report reporter, entries []entry) bool {
	var valid []entry
	for _, e := range entries {
		prefix, err := netip.ParsePrefix(e.value)
		switch {
		case err != nil || !prefix.Addr().Is4():
			report(e.path, "%q is not an IPv4 range: write one like 10.0.0.0/22", e.value)
		case prefix != prefix.Masked():
			report(e.path, "%s has bits beyond its length: write %s", prefix, prefix.Masked())
		case !slices.ContainsFunc(privateRanges, func(outer netip.Prefix) bool { return contains(outer, prefix) }):
			report(e.path, "%s is not private: choose a range in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10", prefix)
		case prefix.Bits() < e.widest || prefix.Bits() > e.narrow:
			report(e.path, "%s is a /%d, allowed is %s: %s", prefix, prefix.Bits(), allowedBits(e.widest, e.narrow), e.why)
		case prefix.Overlaps(cloudSQLBridge):
			report(e.path, "%s overlaps %s, which Cloud SQL uses inside of its machines: choose another range", prefix, cloudSQLBridge)
		default:
			e.prefix = prefix
			valid = append(valid, e)
		}
	}
	for i, e := range valid {
		for _, other := range valid[:i] {
			if e.prefix.Overlaps(other.prefix) {
				report(e.path, "%s overlaps %s (%s): give each a range of its own", e.prefix, other.path, other.prefix)
			}
		}
	}
	return len(valid) == len(entries)
}

func contains(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

func allowedBits(widest, narrow int) string {
	if widest == narrow {
		return fmt.Sprintf("a /%d", widest)
	}
	return fmt.Sprintf("/%d to /%d", widest, narrow)
}

// validateNodeRoom checks that every node that the pools may have finds an address, and a range for its pods.
func (c *Config) validateNodeRoom(report reporter) {
	capacity := c.Ranges().Capacity()
	zones := c.zones()
	sandboxNodes := c.SandboxNodes()
	// An upgrade adds a node to each pool, and the cluster is born with one node a zone that is removed again.
	needed := c.Cluster.AppPool.MaxNodes + 1 + sandboxNodes + 1 + zones
	if needed > capacity.Nodes {
		narrow, holds := "openhands:network.podsCidr", fmt.Sprintf("%s has a /24 of pods for %d nodes", c.Network.PodsCIDR, capacity.Nodes)
		if nodes := size(c.Ranges().Nodes) - reservedByGoogle; nodes <= capacity.Nodes {
			narrow, holds = "openhands:network.nodesCidr", fmt.Sprintf("%s has addresses for %d nodes", c.Network.NodesCIDR, nodes)
		}
		report(narrow, "%s, but the pools may need %d (app %d + sandbox %d + one each for upgrades + %d at the cluster's creation): choose a larger range, "+
			"or smaller pools",
			holds, needed, c.Cluster.AppPool.MaxNodes, sandboxNodes, zones)
	}
}

func (c *Config) validatePublicEndpoint(report reporter) {
	const findYours = "Find your own address with `curl https://checkip.amazonaws.com` and add /32; better, leave publicEndpoint out and use the " +
		"Connect gateway"
	endpoint := c.Cluster.Access.PublicEndpoint
	if endpoint == nil {
		return
	}
	const path = "openhands:cluster.access.publicEndpoint.authorizedRanges"
	if len(endpoint.AuthorizedRanges) == 0 {
		report(path, "is empty: list the ranges that may reach the control plane. %s", findYours)
	}
	for _, r := range endpoint.AuthorizedRanges {
		prefix, err := netip.ParsePrefix(r)
		switch {
		case err != nil || !prefix.Addr().Is4():
			report(path, "%q is not an IPv4 range: write one like 203.0.113.7/32. %s", r, findYours)
		case prefix.Bits() == 0:
			report(path, "%s opens the control plane to the whole internet, which is refused in every profile. %s", r, findYours)
		case prefix.Bits() < 8:
			report(path, "%s is a good part of the internet: list ranges of /8 or smaller. %s", r, findYours)
		case prefix != prefix.Masked():
			report(path, "%s has bits beyond its length: write %s", r, prefix.Masked())
		}
	}
	if sorted := slices.Sorted(slices.Values(endpoint.AuthorizedRanges)); len(slices.Compact(sorted)) < len(endpoint.AuthorizedRanges) {
		report(path, "names a range twice")
	}
}
