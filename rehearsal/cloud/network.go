package cloud

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/types"
)

const computeAPI = "https://www.googleapis.com/compute/v1/"

// computeGlobal creates a compute object of the whole project.
func computeGlobal(collection string) func(*Request) error {
	return func(r *Request) error {
		r.computeObject(fmt.Sprintf("projects/%s/global/%s/%s", r.Project, collection, r.Inputs.Str("name")))
		return nil
	}
}

// computeRegional creates a compute object of a region.
func computeRegional(collection string) func(*Request) error {
	return func(r *Request) error {
		r.Outputs["region"] = r.regionOf()
		r.computeObject(fmt.Sprintf("projects/%s/regions/%s/%s/%s", r.Project, r.regionOf(), collection, r.Inputs.Str("name")))
		return nil
	}
}

func (r *Request) computeObject(id string) {
	r.ID = id
	r.Outputs["selfLink"] = computeAPI + id
	r.Outputs["project"] = r.Project
}

// regionOf is the region that the inputs name, or the provider's.
func (r *Request) regionOf() string {
	if region := r.Inputs.Str("region"); region != "" {
		return region
	}
	return r.Region
}

func removeNetwork(r *Request) (string, error) {
	for _, typ := range []string{types.Subnetwork, types.Router, types.Firewall, types.Cluster} {
		for _, o := range r.All(typ) {
			if o.Inputs.Str("network") == r.ID {
				return "", fmt.Errorf("resourceInUseByAnotherResource: network %s is used by %s %s", r.ID, types.Short(typ), o.ID)
			}
		}
	}
	for _, o := range r.All(types.SQLInstance) {
		if o.Inputs.Str("settings.ipConfiguration.privateNetwork") == r.ID {
			return "", fmt.Errorf("network %s is used by Cloud SQL instance %s", r.ID, o.ID)
		}
	}
	for _, o := range r.All(types.Connection) {
		if o.Inputs.Str("network") == r.ID {
			if o.Left == "" {
				return "", fmt.Errorf("network %s is used by peering %s", r.ID, o.Outputs.Str("peering"))
			}
			r.Drop(o)
		}
	}
	return "", nil
}

func checkSubnetwork(r *Request) error {
	if err := r.namedRFC1035(); err != nil {
		return err
	}
	network, err := r.Need(types.Network, "network", r.Inputs.Str("network"))
	if err != nil {
		return err
	}
	if network.Inputs.Is("autoCreateSubnetworks") {
		return fmt.Errorf("network: %s is in auto mode and makes its own subnets", network.ID)
	}
	ranges := subnetworkRanges(r.Inputs)
	for i, cidr := range ranges {
		if err := r.allocate("ipCidrRange", network.ID, cidr); err != nil {
			return err
		}
		prefix := netip.MustParsePrefix(cidr)
		for _, other := range ranges[:i] {
			if netip.MustParsePrefix(other).Overlaps(prefix) {
				return fmt.Errorf("ipCidrRange: %s overlaps %s of the same subnet", cidr, other)
			}
		}
	}
	return nil
}

func createSubnetwork(r *Request) error {
	r.Outputs["gatewayAddress"] = netip.MustParsePrefix(r.Inputs.Str("ipCidrRange")).Addr().Next().String()
	return computeRegional("subnetworks")(r)
}

// updateSubnetwork keeps the secondary ranges that a cluster uses. The provider does not know that, and plans the change.
// https://cloud.google.com/kubernetes-engine/docs/concepts/alias-ips#cluster_sizing_secondary_range_pods
func updateSubnetwork(r *Request) error {
	ranges := map[string]string{}
	for _, secondary := range r.Inputs.Maps("secondaryIpRanges") {
		ranges[secondary.Str("rangeName")] = secondary.Str("ipCidrRange")
	}
	for _, cluster := range r.All(types.Cluster) {
		if cluster.Inputs.Str("subnetwork") != r.ID {
			continue
		}
		for _, secondary := range r.Old.Inputs.Maps("secondaryIpRanges") {
			name := secondary.Str("rangeName")
			used := name == cluster.Inputs.Str("ipAllocationPolicy.clusterSecondaryRangeName") ||
				name == cluster.Inputs.Str("ipAllocationPolicy.servicesSecondaryRangeName")
			if used && ranges[name] != secondary.Str("ipCidrRange") {
				return fmt.Errorf("secondaryIpRanges: range %s (%s) is used by cluster %s, and cannot change while that exists",
					name, secondary.Str("ipCidrRange"), cluster.ID)
			}
		}
	}
	return nil
}

func removeSubnetwork(r *Request) (string, error) {
	for _, o := range r.All(types.Cluster) {
		if o.Inputs.Str("subnetwork") == r.ID {
			return "", fmt.Errorf("resourceInUseByAnotherResource: %s is used by cluster %s", r.ID, o.ID)
		}
	}
	for _, o := range r.All(types.Instance) {
		for _, nic := range o.Inputs.Maps("networkInterfaces") {
			if nic.Str("subnetwork") == r.ID {
				return "", fmt.Errorf("resourceInUseByAnotherResource: %s is used by %s", r.ID, o.ID)
			}
		}
	}
	return "", nil
}

func checkRouter(r *Request) error {
	if _, err := r.Need(types.Network, "network", r.Inputs.Str("network")); err != nil {
		return err
	}
	return r.namedRFC1035()
}

func removeRouter(r *Request) (string, error) {
	for _, o := range r.All(types.NAT) {
		if o.Inputs.Str("router") == r.Outputs.Str("name") {
			return "", fmt.Errorf("resourceInUseByAnotherResource: router %s has NAT %s", r.ID, o.ID)
		}
	}
	return "", nil
}

func checkNAT(r *Request) error {
	if r.Inputs.Is("enableDynamicPortAllocation") && r.Inputs.Is("enableEndpointIndependentMapping") {
		return errors.New("enableEndpointIndependentMapping cannot be used with enableDynamicPortAllocation")
	}
	for _, path := range []string{"minPortsPerVm", "maxPortsPerVm"} {
		if n := int(r.Inputs.Num(path)); r.Inputs.Is("enableDynamicPortAllocation") && n != 0 && n&(n-1) != 0 {
			return fmt.Errorf("%s: %d is not a power of two", path, n)
		}
	}
	return nil
}

func createNAT(r *Request) error {
	router, err := r.Need(types.Router, "router", r.Inputs.Str("router"))
	if err != nil {
		return err
	}
	r.Outputs["project"], r.Outputs["region"] = r.Project, r.Region
	r.ID = fmt.Sprintf("%s/%s/%s/%s", r.Project, r.Region, router.Outputs.Str("name"), r.Inputs.Str("name"))
	return nil
}

func checkAddress(r *Request) error {
	if err := r.namedRFC1035(); err != nil {
		return err
	}
	if r.Inputs.Str("purpose") != "VPC_PEERING" {
		return nil
	}
	if r.Inputs.Str("addressType") != "INTERNAL" {
		return errors.New("addressType: purpose VPC_PEERING needs INTERNAL")
	}
	network, err := r.Need(types.Network, "network", r.Inputs.Str("network"))
	if err != nil {
		return err
	}
	if bits := r.Inputs.Num("prefixLength"); bits < 8 || bits > 24 {
		return fmt.Errorf("prefixLength: %g is not within 8 to 24", bits)
	}
	return r.allocate("address", network.ID, fmt.Sprintf("%s/%d", r.Inputs.Str("address"), int(r.Inputs.Num("prefixLength"))))
}

func createAddress(r *Request) error {
	if r.Old != nil {
		r.Outputs["address"] = r.Old.Outputs.Str("address")
	} else if r.Inputs.Str("address") == "" {
		r.Outputs["address"] = fmt.Sprintf("203.0.113.%d", 10+len(r.All(types.Address)))
	}
	return computeGlobal("addresses")(r)
}

func removeAddress(r *Request) (string, error) {
	if r.Inputs.Str("addressType") == "INTERNAL" {
		return "", nil
	}
	return servesNoGateway("address")(r)
}

func checkFirewall(r *Request) error {
	if err := r.namedRFC1035(); err != nil {
		return err
	}
	if _, err := r.Need(types.Network, "network", r.Inputs.Str("network")); err != nil {
		return err
	}
	for _, cidr := range r.Inputs.Strs("sourceRanges") {
		if prefix, err := netip.ParsePrefix(cidr); err != nil || prefix != prefix.Masked() {
			return fmt.Errorf("sourceRanges: %q is not a network range", cidr)
		}
	}
	if p := r.Inputs.Num("priority"); p < 0 || p > 65535 {
		return fmt.Errorf("priority: %g is not within 0 to 65535", p)
	}
	ingress := r.Inputs.Str("direction") != "EGRESS"
	if ingress && len(r.Inputs.Strs("sourceRanges"))+len(r.Inputs.Strs("sourceTags"))+len(r.Inputs.Strs("sourceServiceAccounts")) == 0 {
		return errors.New("sourceRanges: one of sourceRanges, sourceTags or sourceServiceAccounts is needed for ingress")
	}
	return nil
}

func checkConnection(r *Request) error {
	names := r.Inputs.Strs("reservedPeeringRanges")
	if len(names) == 0 {
		return errors.New("reservedPeeringRanges: is empty")
	}
	for _, name := range names {
		o, err := r.Need(types.Address, "reservedPeeringRanges", name)
		if err != nil {
			return err
		}
		if o.Inputs.Str("purpose") != "VPC_PEERING" || o.Inputs.Str("network") != r.Inputs.Str("network") {
			return fmt.Errorf("reservedPeeringRanges: %s is not a VPC_PEERING range of the same network", name)
		}
	}
	if policy := r.Inputs.Str("deletionPolicy"); !slices.Contains([]string{"", "ABANDON"}, policy) {
		return fmt.Errorf("deletionPolicy: %q is not ABANDON", policy)
	}
	return nil
}

func createConnection(r *Request) error {
	network, err := r.Need(types.Network, "network", r.Inputs.Str("network"))
	if err != nil {
		return err
	}
	r.ID = strings.ReplaceAll(network.ID, "/", "%2F") + ":" + r.Inputs.Str("service")
	r.Outputs["peering"] = "servicenetworking-googleapis-com"
	return nil
}

func removeConnection(r *Request) (string, error) {
	if r.Inputs.Str("deletionPolicy") == "ABANDON" {
		return "abandoned: the peering belongs to the VPC, and goes with it", nil
	}
	// https://github.com/hashicorp/terraform-provider-google/issues/16275
	return "", errors.New("failed to delete connection; producer services (e.g. CloudSQL) are still using this connection")
}
