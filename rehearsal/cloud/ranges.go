package cloud

import (
	"fmt"
	"net/netip"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// allocation is a range of addresses in a network, and whose it is.
type allocation struct {
	prefix netip.Prefix
	owner  string
}

// allocations lists the ranges of a network that are taken: those of its subnets, of the peering, and of the control planes. It leaves out those of the
// resource with the URN except.
func (i *Inventory) allocations(network, except string) []allocation {
	var out []allocation
	add := func(o *Object, cidr string) {
		if prefix, err := netip.ParsePrefix(cidr); err == nil && o.URN != except {
			out = append(out, allocation{prefix, types.Short(o.Type) + " " + o.ID})
		}
	}
	for _, o := range i.All(types.Subnetwork) {
		if o.Inputs.Str("network") != network {
			continue
		}
		for _, cidr := range subnetworkRanges(o.Inputs) {
			add(o, cidr)
		}
	}
	for _, o := range i.All(types.Address) {
		if o.Inputs.Str("network") == network {
			add(o, fmt.Sprintf("%s/%d", o.Inputs.Str("address"), int(o.Inputs.Num("prefixLength"))))
		}
	}
	for _, o := range i.All(types.Cluster) {
		if o.Inputs.Str("network") == network {
			add(o, o.Inputs.Str("privateClusterConfig.masterIpv4CidrBlock"))
		}
	}
	return out
}

// allocate fails where cidr is not a network range, or overlaps one that is taken in the network.
func (r *Request) allocate(path, network, cidr string) error {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil || prefix != prefix.Masked() {
		return fmt.Errorf("%s: %q is not a network range", path, cidr)
	}
	for _, a := range r.allocations(network, r.URN) {
		if a.prefix.Overlaps(prefix) {
			return fmt.Errorf("%s: %s overlaps %s of %s", path, prefix, a.prefix, a.owner)
		}
	}
	return nil
}

// subnetworkRanges are the primary and the secondary ranges of a subnet.
func subnetworkRanges(inputs values.Map) []string {
	ranges := []string{inputs.Str("ipCidrRange")}
	for _, secondary := range inputs.Maps("secondaryIpRanges") {
		ranges = append(ranges, secondary.Str("ipCidrRange"))
	}
	return ranges
}
