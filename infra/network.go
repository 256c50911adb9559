package infra

import (
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/servicenetworking"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const networkType = "openhands:gcp:Network"

// Source ranges that Google documents for its own services.
var (
	// iapRange is where connections through Identity-Aware Proxy's TCP forwarding come from.
	// https://cloud.google.com/iap/docs/using-tcp-forwarding
	iapRange = netip.MustParsePrefix("35.235.240.0/20")
	// LoadBalancerRanges are where the traffic and the health checks of a global application load balancer come from.
	// https://cloud.google.com/load-balancing/docs/health-check-concepts
	LoadBalancerRanges = []netip.Prefix{netip.MustParsePrefix("35.191.0.0/16"), netip.MustParsePrefix("130.211.0.0/22")}
)

// Names of the subnet's secondary ranges.
const (
	podsRangeName     = "pods"
	servicesRangeName = "services"
)

// NetworkArgs are the arguments of NewNetwork. The ranges must not overlap, also not with that of the control plane.
type NetworkArgs struct {
	Region       string
	NodesCIDR    netip.Prefix // primary range of the subnet: one address per node
	PodsCIDR     netip.Prefix // secondary range: GKE takes a /24 of it for every node. Without a cluster there is none, and none of Services either
	ServicesCIDR netip.Prefix // secondary range: one address per Kubernetes Service
	PeeringCIDR  netip.Prefix // range in which Google places Cloud SQL, at least a /24; none without private services access

	FlowLogSampling float64 // share of the flows that are logged, 0 (no flow logs) to 1
	NodeTag         string  // network tag of the nodes, to which the firewall's allowances apply

	// LoadBalancerPort is the TCP port on which the load balancer reaches the application's pods. 0 where there is none.
	LoadBalancerPort int
	// PagePort is the TCP port on which a machine serves its page to tunnels of Identity-Aware Proxy. 0 where there is none.
	PagePort int
}

// Network is a VPC in which nothing has a public address and nothing may enter that a rule does not name.
type Network struct {
	pulumi.ResourceState
	component.Readiness // the way out to the internet is open, and the firewall closed. A cluster needs neither: Private Google Access brings its nodes' images

	NetworkID    pulumi.StringOutput `pulumi:"networkId"`
	SubnetworkID pulumi.StringOutput `pulumi:"subnetworkId"`

	// The names of the secondary ranges are empty without PodsCIDR.
	PodsRangeName     pulumi.StringOutput `pulumi:"podsRangeName"`
	ServicesRangeName pulumi.StringOutput `pulumi:"servicesRangeName"`

	// PrivateServicesNetworkID is the same network as NetworkID, but known only once private services access works. A managed service (Cloud SQL) that
	// takes its network from here is created after the peering; without the peering its creation fails. It is empty without PeeringCIDR.
	PrivateServicesNetworkID pulumi.StringOutput `pulumi:"privateServicesNetworkId"`
}

func (args *NetworkArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"region": args.Region, "nodeTag": args.NodeTag})
	check.Require(args.NodesCIDR.IsValid(), "nodesCidr is required")
	check.Require(args.PodsCIDR.IsValid() == args.ServicesCIDR.IsValid(), "podsCidr and servicesCidr go together: a cluster needs both")
	check.Require(args.FlowLogSampling >= 0 && args.FlowLogSampling <= 1, "flowLogSampling is %g: 0 to 1", args.FlowLogSampling)
}

// NewNetwork creates the VPC, its subnet, NAT for the way out, private services access and the firewall.
func NewNetwork(ctx *pulumi.Context, name string, args *NetworkArgs, opts ...pulumi.ResourceOption) (_ *Network, err error) {
	defer component.Explain(&err, networkType, name)
	c := &Network{}
	if err := component.Register(ctx, networkType, name, c, args, (*NetworkArgs).validate, opts...); err != nil {
		return nil, err
	}
	vpc, err := compute.NewNetwork(ctx, name+"-vpc", &compute.NetworkArgs{
		AutoCreateSubnetworks: pulumi.Bool(false),
		RoutingMode:           pulumi.String("REGIONAL"),
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the VPC: %w", err)
	}
	c.NetworkID = vpc.ID().ToStringOutput()

	if err := c.newSubnetwork(ctx, name, args); err != nil {
		return nil, fmt.Errorf("create the subnet: %w", err)
	}
	if err := c.newNAT(ctx, name, args); err != nil {
		return nil, fmt.Errorf("create the NAT: %w", err)
	}
	c.PrivateServicesNetworkID = pulumi.String("").ToStringOutput()
	if args.PeeringCIDR.IsValid() {
		if err := c.newPrivateServicesAccess(ctx, name, args); err != nil {
			return nil, fmt.Errorf("create private services access: %w", err)
		}
	}
	if err := c.newFirewall(ctx, name, args); err != nil {
		return nil, fmt.Errorf("create the firewall: %w", err)
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"networkId":                c.NetworkID,
		"subnetworkId":             c.SubnetworkID,
		"podsRangeName":            c.PodsRangeName,
		"servicesRangeName":        c.ServicesRangeName,
		"privateServicesNetworkId": c.PrivateServicesNetworkID,
	})
}

func (c *Network) newSubnetwork(ctx *pulumi.Context, name string, args *NetworkArgs) error {
	subnetArgs := &compute.SubnetworkArgs{
		Network:               c.NetworkID,
		Region:                pulumi.String(args.Region),
		IpCidrRange:           pulumi.String(args.NodesCIDR.String()),
		PrivateIpGoogleAccess: pulumi.Bool(true),
	}
	if args.PodsCIDR.IsValid() {
		subnetArgs.SecondaryIpRanges = compute.SubnetworkSecondaryIpRangeArray{
			&compute.SubnetworkSecondaryIpRangeArgs{RangeName: pulumi.String(podsRangeName), IpCidrRange: pulumi.String(args.PodsCIDR.String())},
			&compute.SubnetworkSecondaryIpRangeArgs{RangeName: pulumi.String(servicesRangeName), IpCidrRange: pulumi.String(args.ServicesCIDR.String())},
		}
	}
	if args.FlowLogSampling > 0 {
		subnetArgs.LogConfig = &compute.SubnetworkLogConfigArgs{
			AggregationInterval: pulumi.String("INTERVAL_5_MIN"),
			FlowSampling:        pulumi.Float64(args.FlowLogSampling),
			Metadata:            pulumi.String("INCLUDE_ALL_METADATA"),
		}
	}
	// The ranges of a replacement would overlap those of the old subnet.
	subnet, err := compute.NewSubnetwork(ctx, name+"-subnet", subnetArgs, component.Child(c, pulumi.DeleteBeforeReplace(true))...)
	if err != nil {
		return err
	}
	c.SubnetworkID = subnet.ID().ToStringOutput()
	c.PodsRangeName, c.ServicesRangeName = pulumi.String("").ToStringOutput(), pulumi.String("").ToStringOutput()
	if args.PodsCIDR.IsValid() {
		c.PodsRangeName = subnet.SecondaryIpRanges.Index(pulumi.Int(0)).RangeName()
		c.ServicesRangeName = subnet.SecondaryIpRanges.Index(pulumi.Int(1)).RangeName()
	}
	return nil
}

// newNAT lets the nodes, which have no public address, reach the internet.
func (c *Network) newNAT(ctx *pulumi.Context, name string, args *NetworkArgs) error {
	router, err := compute.NewRouter(ctx, name+"-router", &compute.RouterArgs{
		Network: c.NetworkID,
		Region:  pulumi.String(args.Region),
	}, component.Child(c)...)
	if err != nil {
		return err
	}
	nat, err := compute.NewRouterNat(ctx, name+"-nat", &compute.RouterNatArgs{
		Router:                        router.Name,
		Region:                        pulumi.String(args.Region),
		NatIpAllocateOption:           pulumi.String("AUTO_ONLY"),
		SourceSubnetworkIpRangesToNat: pulumi.String("ALL_SUBNETWORKS_ALL_IP_RANGES"),
		// A sandbox that installs packages opens hundreds of connections while the other nodes need none: hand out ports by need. Dynamic
		// allocation excludes endpoint-independent mapping, and both limits are powers of two.
		EnableDynamicPortAllocation:      pulumi.Bool(true),
		EnableEndpointIndependentMapping: pulumi.Bool(false),
		MinPortsPerVm:                    pulumi.Int(64),
		MaxPortsPerVm:                    pulumi.Int(16384),
		LogConfig:                        &compute.RouterNatLogConfigArgs{Enable: pulumi.Bool(true), Filter: pulumi.String("ERRORS_ONLY")},
	}, component.Child(c)...)
	c.Awaits(nat)
	return err
}

// newPrivateServicesAccess peers the VPC with Google's network in which Cloud SQL lives.
func (c *Network) newPrivateServicesAccess(ctx *pulumi.Context, name string, args *NetworkArgs) error {
	peeringRange, err := compute.NewGlobalAddress(ctx, name+"-private-services", &compute.GlobalAddressArgs{
		Network:      c.NetworkID,
		Purpose:      pulumi.String("VPC_PEERING"),
		AddressType:  pulumi.String("INTERNAL"),
		Address:      pulumi.String(args.PeeringCIDR.Addr().String()),
		PrefixLength: pulumi.Int(args.PeeringCIDR.Bits()),
	}, component.Child(c, pulumi.DeleteBeforeReplace(true))...) // a larger range at the same place overlaps the old one
	if err != nil {
		return err
	}
	connection, err := servicenetworking.NewConnection(ctx, name+"-private-services", &servicenetworking.ConnectionArgs{
		Network:               c.NetworkID,
		Service:               pulumi.String("servicenetworking.googleapis.com"),
		ReservedPeeringRanges: pulumi.StringArray{peeringRange.Name},
		// Google keeps the producer's side of a deleted database for days, during which deleting the connection fails with "producer services are
		// still using this connection". Abandoned, it goes with the VPC (hashicorp/terraform-provider-google#16275).
		DeletionPolicy: pulumi.String("ABANDON"),
		// An `up` that was interrupted here finds its own half-made peering: take it over.
		UpdateOnCreationFail: pulumi.Bool(true),
	}, component.Child(c)...)
	if err != nil {
		return err
	}
	c.PrivateServicesNetworkID = connection.Network
	return nil
}

// newFirewall denies all that enters and allows at most three things by name. GKE adds its own rules for the traffic between control plane, nodes and pods.
func (c *Network) newFirewall(ctx *pulumi.Context, name string, args *NetworkArgs) error {
	logged := &compute.FirewallLogConfigArgs{Metadata: pulumi.String("INCLUDE_ALL_METADATA")}
	denial, err := compute.NewFirewall(ctx, name+"-deny-ingress", &compute.FirewallArgs{
		Network:      c.NetworkID,
		Description:  pulumi.String("Whatever no other rule allows is refused, and logged"),
		Direction:    pulumi.String("INGRESS"),
		Priority:     pulumi.Int(65534), // just before the implied deny rule, which does not log
		SourceRanges: pulumi.ToStringArray([]string{"0.0.0.0/0"}),
		Denies:       compute.FirewallDenyArray{&compute.FirewallDenyArgs{Protocol: pulumi.String("all")}},
		LogConfig:    logged,
	}, component.Child(c)...)
	if err != nil {
		return err
	}
	c.Awaits(denial)
	type allowance struct {
		role, description string
		sources           []netip.Prefix
		port              int
	}
	allowances := []allowance{{"allow-iap-ssh", "SSH to nodes, through Identity-Aware Proxy only", []netip.Prefix{iapRange}, 22}}
	if args.LoadBalancerPort > 0 {
		allowances = append(allowances, allowance{
			"allow-load-balancer", "Load balancer and its health checks to the application's pods", LoadBalancerRanges, args.LoadBalancerPort,
		})
	}
	if args.PagePort > 0 {
		allowances = append(allowances, allowance{
			"allow-iap-page", "The page of the machine, through Identity-Aware Proxy only", []netip.Prefix{iapRange}, args.PagePort,
		})
	}
	for _, a := range allowances {
		rule, err := compute.NewFirewall(ctx, name+"-"+a.role, &compute.FirewallArgs{
			Network:      c.NetworkID,
			Description:  pulumi.String(a.description),
			Direction:    pulumi.String("INGRESS"),
			Priority:     pulumi.Int(1000),
			SourceRanges: ranges(a.sources),
			TargetTags:   pulumi.ToStringArray([]string{args.NodeTag}),
			Allows: compute.FirewallAllowArray{
				&compute.FirewallAllowArgs{Protocol: pulumi.String("tcp"), Ports: pulumi.ToStringArray([]string{fmt.Sprint(a.port)})},
			},
			LogConfig: logged,
		}, component.Child(c)...)
		if err != nil {
			return err
		}
		c.Awaits(rule)
	}
	return nil
}

// ranges writes address ranges as Google's APIs take them.
func ranges(prefixes []netip.Prefix) pulumi.StringArray {
	var texts pulumi.StringArray
	for _, p := range prefixes {
		texts = append(texts, pulumi.String(p.String()))
	}
	return texts
}
