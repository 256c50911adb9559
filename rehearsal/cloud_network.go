package rehearsal

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The types of the network.
const (
	serviceType    = "gcp:projects/service:Service"
	networkType    = "gcp:compute/network:Network"
	subnetworkType = "gcp:compute/subnetwork:Subnetwork"
	routerType     = "gcp:compute/router:Router"
	natType        = "gcp:compute/routerNat:RouterNat"
	addressType    = "gcp:compute/globalAddress:GlobalAddress"
	firewallType   = "gcp:compute/firewall:Firewall"
	connectionType = "gcp:servicenetworking/connection:Connection"
)

const computeAPI = "https://www.googleapis.com/compute/v1/"

var kinds = map[string]*kind{}

func init() {
	kinds[serviceType] = &kind{
		create: func(r *request) error {
			if !strings.HasSuffix(r.inputs.str("service"), ".googleapis.com") {
				return fmt.Errorf("service: %q is not an API", r.inputs.str("service"))
			}
			r.id = r.cloud.project + "/" + r.inputs.str("service")
			r.outputs["project"] = r.cloud.project
			return nil
		},
		remove: func(r *request) (string, error) {
			if !r.inputs.is("disableOnDestroy") {
				return "disableOnDestroy is false: others in the project may use the API", nil
			}
			return "", nil
		},
	}
	kinds[networkType] = &kind{
		api: "compute",
		create: func(r *request) error {
			if err := named("name", r.inputs.str("name"), rfc1035, 63); err != nil {
				return err
			}
			r.global("networks")
			return nil
		},
		remove: removeNetwork,
	}
	kinds[subnetworkType] = &kind{api: "compute", check: checkSubnetwork, create: createSubnetwork, remove: func(r *request) (string, error) {
		for _, o := range r.cloud.all(clusterType) {
			if o.inputs.str("subnetwork") == r.id {
				return "", fmt.Errorf("resourceInUseByAnotherResource: %s is used by cluster %s", r.id, o.id)
			}
		}
		return "", nil
	}}
	kinds[routerType] = &kind{api: "compute", create: func(r *request) error {
		if _, err := r.need(networkType, "network", r.inputs.str("network")); err != nil {
			return err
		}
		if err := named("name", r.inputs.str("name"), rfc1035, 63); err != nil {
			return err
		}
		r.regional("routers")
		return nil
	}, remove: func(r *request) (string, error) {
		for _, o := range r.cloud.all(natType) {
			if o.inputs.str("router") == r.outputs.str("name") {
				return "", fmt.Errorf("resourceInUseByAnotherResource: router %s has NAT %s", r.id, o.id)
			}
		}
		return "", nil
	}}
	kinds[natType] = &kind{api: "compute", check: checkNAT, create: func(r *request) error {
		router, err := r.need(routerType, "router", r.inputs.str("router"))
		if err != nil {
			return err
		}
		r.outputs["project"], r.outputs["region"] = r.cloud.project, r.cloud.region
		r.id = fmt.Sprintf("%s/%s/%s/%s", r.cloud.project, r.cloud.region, router.outputs.str("name"), r.inputs.str("name"))
		return nil
	}}
	kinds[addressType] = &kind{api: "compute", check: checkAddress, create: func(r *request) error {
		if err := named("name", r.inputs.str("name"), rfc1035, 63); err != nil {
			return err
		}
		r.global("addresses")
		if r.old != nil {
			r.outputs["address"] = r.old.outputs.str("address")
		} else if r.inputs.str("address") == "" {
			r.outputs["address"] = fmt.Sprintf("203.0.113.%d", 10+len(r.cloud.all(addressType)))
		}
		return nil
	}, remove: func(r *request) (string, error) {
		if r.inputs.str("addressType") == "INTERNAL" {
			return "", nil
		}
		return "", r.servesNoGateway("address")
	}}
	kinds[firewallType] = &kind{api: "compute", check: checkFirewall, create: func(r *request) error {
		if err := named("name", r.inputs.str("name"), rfc1035, 63); err != nil {
			return err
		}
		r.global("firewalls")
		return nil
	}}
	kinds[connectionType] = &kind{api: "servicenetworking", check: checkConnection, create: func(r *request) error {
		network, err := r.need(networkType, "network", r.inputs.str("network"))
		if err != nil {
			return err
		}
		r.id = strings.ReplaceAll(network.id, "/", "%2F") + ":" + r.inputs.str("service")
		r.outputs["peering"] = "servicenetworking-googleapis-com"
		return nil
	}, remove: func(r *request) (string, error) {
		if r.inputs.str("deletionPolicy") == "ABANDON" {
			return "abandoned: the peering belongs to the VPC, and goes with it", nil
		}
		// https://github.com/hashicorp/terraform-provider-google/issues/16275
		return "", errors.New("failed to delete connection; producer services (e.g. CloudSQL) are still using this connection")
	}}
}

// global gives a compute object of the whole project its id and link.
func (r *request) global(collection string) {
	r.computeObject(fmt.Sprintf("projects/%s/global/%s/%s", r.cloud.project, collection, r.inputs.str("name")))
}

func (r *request) regional(collection string) {
	r.outputs["region"] = r.regionOf()
	r.computeObject(fmt.Sprintf("projects/%s/regions/%s/%s/%s", r.cloud.project, r.regionOf(), collection, r.inputs.str("name")))
}

func (r *request) computeObject(id string) {
	r.id = id
	r.outputs["selfLink"] = computeAPI + id
	r.outputs["project"] = r.cloud.project
}

func (r *request) regionOf() string {
	if region := r.inputs.str("region"); region != "" {
		return region
	}
	return r.cloud.region
}

func removeNetwork(r *request) (string, error) {
	for _, typ := range []string{subnetworkType, routerType, firewallType, clusterType} {
		for _, o := range r.cloud.all(typ) {
			if o.inputs.str("network") == r.id {
				return "", fmt.Errorf("resourceInUseByAnotherResource: network %s is used by %s %s", r.id, shortType(typ), o.id)
			}
		}
	}
	for _, o := range r.cloud.all(sqlInstanceType) {
		if o.inputs.str("settings.ipConfiguration.privateNetwork") == r.id {
			return "", fmt.Errorf("network %s is used by Cloud SQL instance %s", r.id, o.id)
		}
	}
	for _, o := range r.cloud.all(connectionType) {
		if o.inputs.str("network") == r.id {
			if o.left == "" {
				return "", fmt.Errorf("network %s is used by peering %s", r.id, o.outputs.str("peering"))
			}
			r.cloud.drop(o)
		}
	}
	return "", nil
}

// allocation is a range of addresses in a network, and whose it is.
type allocation struct {
	prefix netip.Prefix
	owner  string
}

// allocations lists the ranges of a network that are taken: those of its subnets, of the peering, and of the control planes.
func (c *Cloud) allocations(network, except string) []allocation {
	var out []allocation
	add := func(o *object, cidr string) {
		if prefix, err := netip.ParsePrefix(cidr); err == nil && o.urn != except {
			out = append(out, allocation{prefix, shortType(o.typ) + " " + o.id})
		}
	}
	for _, o := range c.all(subnetworkType) {
		if o.inputs.str("network") != network {
			continue
		}
		for _, cidr := range subnetworkRanges(o.inputs) {
			add(o, cidr)
		}
	}
	for _, o := range c.all(addressType) {
		if o.inputs.str("network") == network {
			add(o, fmt.Sprintf("%s/%d", o.inputs.str("address"), int(o.inputs.num("prefixLength"))))
		}
	}
	for _, o := range c.all(clusterType) {
		if o.inputs.str("network") == network {
			add(o, o.inputs.str("privateClusterConfig.masterIpv4CidrBlock"))
		}
	}
	return out
}

// allocate fails where a range is not one, or is taken in the network.
func (r *request) allocate(path, network, cidr string) error {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil || prefix != prefix.Masked() {
		return fmt.Errorf("%s: %q is not a network range", path, cidr)
	}
	for _, a := range r.cloud.allocations(network, r.urn) {
		if a.prefix.Overlaps(prefix) {
			return fmt.Errorf("%s: %s overlaps %s of %s", path, prefix, a.prefix, a.owner)
		}
	}
	return nil
}

func subnetworkRanges(inputs values) []string {
	ranges := []string{inputs.str("ipCidrRange")}
	for _, item := range inputs.list("secondaryIpRanges") {
		if m, ok := item.(map[string]any); ok {
			ranges = append(ranges, values(m).str("ipCidrRange"))
		}
	}
	return ranges
}

func checkSubnetwork(r *request) error {
	network, err := r.need(networkType, "network", r.inputs.str("network"))
	if err != nil {
		return err
	}
	if network.inputs.is("autoCreateSubnetworks") {
		return fmt.Errorf("network: %s is in auto mode and makes its own subnets", network.id)
	}
	ranges := subnetworkRanges(r.inputs)
	for i, cidr := range ranges {
		if err := r.allocate("ipCidrRange", network.id, cidr); err != nil {
			return err
		}
		prefix := netip.MustParsePrefix(cidr)
		for _, other := range ranges[:i] {
			if netip.MustParsePrefix(other).Overlaps(prefix) {
				return fmt.Errorf("ipCidrRange: %s overlaps %s of the same subnet", cidr, other)
			}
		}
	}
	return named("name", r.inputs.str("name"), rfc1035, 63)
}

func createSubnetwork(r *request) error {
	r.regional("subnetworks")
	r.outputs["gatewayAddress"] = netip.MustParsePrefix(r.inputs.str("ipCidrRange")).Addr().Next().String()
	return nil
}

func checkNAT(r *request) error {
	if r.inputs.is("enableDynamicPortAllocation") && r.inputs.is("enableEndpointIndependentMapping") {
		return errors.New("enableEndpointIndependentMapping cannot be used with enableDynamicPortAllocation")
	}
	for _, path := range []string{"minPortsPerVm", "maxPortsPerVm"} {
		if n := int(r.inputs.num(path)); r.inputs.is("enableDynamicPortAllocation") && n != 0 && n&(n-1) != 0 {
			return fmt.Errorf("%s: %d is not a power of two", path, n)
		}
	}
	return nil
}

func checkAddress(r *request) error {
	if r.inputs.str("purpose") != "VPC_PEERING" {
		return nil
	}
	if r.inputs.str("addressType") != "INTERNAL" {
		return errors.New("addressType: purpose VPC_PEERING needs INTERNAL")
	}
	network, err := r.need(networkType, "network", r.inputs.str("network"))
	if err != nil {
		return err
	}
	if bits := r.inputs.num("prefixLength"); bits < 8 || bits > 24 {
		return fmt.Errorf("prefixLength: %g is not within 8 to 24", bits)
	}
	return r.allocate("address", network.id, fmt.Sprintf("%s/%d", r.inputs.str("address"), int(r.inputs.num("prefixLength"))))
}

func checkFirewall(r *request) error {
	if _, err := r.need(networkType, "network", r.inputs.str("network")); err != nil {
		return err
	}
	for _, cidr := range r.inputs.strs("sourceRanges") {
		if prefix, err := netip.ParsePrefix(cidr); err != nil || prefix != prefix.Masked() {
			return fmt.Errorf("sourceRanges: %q is not a network range", cidr)
		}
	}
	if p := r.inputs.num("priority"); p < 0 || p > 65535 {
		return fmt.Errorf("priority: %g is not within 0 to 65535", p)
	}
	ingress := r.inputs.str("direction") != "EGRESS"
	if ingress && len(r.inputs.strs("sourceRanges"))+len(r.inputs.strs("sourceTags"))+len(r.inputs.strs("sourceServiceAccounts")) == 0 {
		return errors.New("sourceRanges: one of sourceRanges, sourceTags or sourceServiceAccounts is needed for ingress")
	}
	return nil
}

func checkConnection(r *request) error {
	names := r.inputs.strs("reservedPeeringRanges")
	if len(names) == 0 {
		return errors.New("reservedPeeringRanges: is empty")
	}
	for _, name := range names {
		o, err := r.need(addressType, "reservedPeeringRanges", name)
		if err != nil {
			return err
		}
		if o.inputs.str("purpose") != "VPC_PEERING" || o.inputs.str("network") != r.inputs.str("network") {
			return fmt.Errorf("reservedPeeringRanges: %s is not a VPC_PEERING range of the same network", name)
		}
	}
	if policy := r.inputs.str("deletionPolicy"); !slices.Contains([]string{"", "ABANDON"}, policy) {
		return fmt.Errorf("deletionPolicy: %q is not ABANDON", policy)
	}
	return nil
}
