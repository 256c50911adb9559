package infra

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/certificatemanager"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/dns"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/iap"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const entranceType = "openhands:gcp:Entrance"

// EntranceArgs are the arguments of NewEntrance.
type EntranceArgs struct {
	Host    string // e.g. openhands.example.com, without a trailing dot
	Below   bool   // the applications are at names one level below Host, and nothing at Host itself
	DNSZone string // name of a Cloud DNS zone of the project that gets the records; empty where somebody else creates them
	Armor   Armor

	// Members may log in, as IAM members, by host. Where there are none, Identity-Aware Proxy lets nobody in.
	Members map[string][]string
}

// served is what the certificate is for.
func (args *EntranceArgs) served() string {
	if args.Below {
		return "*." + args.Host
	}
	return args.Host
}

// Entrance is Google's half of the way from a browser to an application in a cluster: address, certificate, DNS records, Cloud Armor, TLS policy, and who
// may log in. It needs no cluster, so that it is created beside one; the other half is a Gateway in the cluster, which uses these objects by name.
type Entrance struct {
	pulumi.ResourceState
	component.Readiness // every object that a load balancer uses is there, and the members may log in

	Address        pulumi.StringOutput `pulumi:"address"`        // name of the global address
	CertificateMap pulumi.StringOutput `pulumi:"certificateMap"` // name
	ArmorPolicy    pulumi.StringOutput `pulumi:"armorPolicy"`    // name
	TLSPolicy      pulumi.StringOutput `pulumi:"tlsPolicy"`      // name

	// DNSRecords are the records without which the host leads nowhere and gets no certificate: maps with name, type and data.
	DNSRecords pulumi.ArrayOutput `pulumi:"dnsRecords"`
}

func (args *EntranceArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"host": args.Host})
	check.Require(args.Armor.RequestsPerMinute > 0, "armor.requestsPerMinute is required")
}

// NewEntrance creates the objects. The host's owner proves by a DNS record that it is theirs, so that the certificate can be there before the host leads to
// the load balancer.
func NewEntrance(ctx *pulumi.Context, name string, args *EntranceArgs, opts ...pulumi.ResourceOption) (_ *Entrance, err error) {
	defer component.Explain(&err, entranceType, name)
	c := &Entrance{}
	if err := component.Register(ctx, entranceType, name, c, args, (*EntranceArgs).validate, opts...); err != nil {
		return nil, err
	}
	address, err := compute.NewGlobalAddress(ctx, name+"-address", &compute.GlobalAddressArgs{AddressType: pulumi.String("EXTERNAL")}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("reserve the address: %w", err)
	}
	authorization, err := c.newCertificate(ctx, name, args)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if err := c.newRecords(ctx, name, args, address, authorization); err != nil {
		return nil, fmt.Errorf("DNS records: %w", err)
	}
	armor, err := c.newArmor(ctx, name, args)
	if err != nil {
		return nil, fmt.Errorf("create the Cloud Armor policy: %w", err)
	}
	tls, err := compute.NewSSLPolicy(ctx, name+"-tls", &compute.SSLPolicyArgs{
		Profile: pulumi.String("MODERN"), MinTlsVersion: pulumi.String("TLS_1_2"),
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the TLS policy: %w", err)
	}
	if err := c.newMembers(ctx, name, args); err != nil {
		return nil, err
	}
	c.Awaits(address, armor, tls)
	c.Address, c.ArmorPolicy, c.TLSPolicy = address.Name, armor.Name, tls.Name
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"address": c.Address, "certificateMap": c.CertificateMap, "armorPolicy": c.ArmorPolicy, "tlsPolicy": c.TLSPolicy, "dnsRecords": c.DNSRecords,
	})
}

// newCertificate has Google issue the certificate. It returns the authorization, which has the record that proves whose domain it is.
func (c *Entrance) newCertificate(ctx *pulumi.Context, name string, args *EntranceArgs) (*certificatemanager.DnsAuthorization, error) {
	authorization, err := certificatemanager.NewDnsAuthorization(ctx, name+"-domain", &certificatemanager.DnsAuthorizationArgs{
		Domain: pulumi.String(args.Host), // and all names one level below
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("authorize the domain: %w", err)
	}
	certificate, err := certificatemanager.NewCertificate(ctx, name+"-certificate", &certificatemanager.CertificateArgs{
		Managed: &certificatemanager.CertificateManagedArgs{
			Domains:           pulumi.ToStringArray([]string{args.served()}),
			DnsAuthorizations: pulumi.StringArray{authorization.ID()},
		},
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("order it: %w", err)
	}
	certificates, err := certificatemanager.NewCertificateMapResource(ctx, name+"-certificates", &certificatemanager.CertificateMapResourceArgs{},
		component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the map: %w", err)
	}
	entry, err := certificatemanager.NewCertificateMapEntry(ctx, name+"-certificate", &certificatemanager.CertificateMapEntryArgs{
		Map: certificates.Name, Hostname: pulumi.String(args.served()), Certificates: pulumi.StringArray{certificate.ID()},
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the entry of the map: %w", err)
	}
	c.Awaits(entry)
	c.CertificateMap = entry.Map // by the entry: a map without one serves no certificate
	return authorization, nil
}

// recordSeconds is for how long a resolver keeps a record: short, because a wrong one keeps people out.
const recordSeconds = 300

// newRecords says which records the host needs, and creates them where it has the zone.
func (c *Entrance) newRecords(
	ctx *pulumi.Context, name string, args *EntranceArgs, address *compute.GlobalAddress, authorization *certificatemanager.DnsAuthorization,
) error {
	proof := authorization.DnsResourceRecords.Index(pulumi.Int(0))
	type record struct {
		role             string
		name, kind, data pulumi.StringInput
	}
	records := []record{
		{"address", pulumi.String(args.served() + "."), pulumi.String("A"), address.Address},
		{"domain", proof.Name().Elem(), proof.Type().Elem(), proof.Data().Elem()},
	}
	var needed pulumi.Array
	for _, r := range records {
		needed = append(needed, pulumi.Map{"name": r.name, "type": r.kind, "data": r.data})
		if args.DNSZone == "" {
			continue
		}
		_, err := dns.NewRecordSet(ctx, name+"-"+r.role, &dns.RecordSetArgs{
			ManagedZone: pulumi.String(args.DNSZone), Name: r.name, Type: r.kind, Ttl: pulumi.Int(recordSeconds), Rrdatas: pulumi.StringArray{r.data},
		}, component.Child(c)...)
		if err != nil {
			return err
		}
	}
	c.DNSRecords = needed.ToArrayOutput()
	return nil
}

// newMembers lets the members pass Identity-Aware Proxy. The grant is the project's, because nobody knows yet how GKE will name the backend service; its
// condition keeps it to this host.
func (c *Entrance) newMembers(ctx *pulumi.Context, name string, args *EntranceArgs) error {
	for _, host := range slices.Sorted(maps.Keys(args.Members)) {
		for _, member := range args.Members[host] {
			role := "-login-" + member
			if host != args.Host {
				role = "-login-" + host + "-" + member
			}
			grant, err := iap.NewWebIamMember(ctx, name+role, &iap.WebIamMemberArgs{
				Role: pulumi.String("roles/iap.httpsResourceAccessor"), Member: pulumi.String(member),
				Condition: &iap.WebIamMemberConditionArgs{
					Title:       pulumi.String(host),
					Description: pulumi.String("This host, and no other application of the project"),
					Expression:  pulumi.String(fmt.Sprintf("request.host == %q", host)),
				},
			}, component.Child(c)...)
			if err != nil {
				return fmt.Errorf("let %s in: %w", member, err)
			}
			c.Awaits(grant)
		}
	}
	return nil
}
