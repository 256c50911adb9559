package infra

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/certificatemanager"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/dns"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/iap"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Exposure is how browsers reach the application from the internet: a global load balancer with TLS, Cloud Armor and a login.
type Exposure struct {
	Host    string // e.g. openhands.example.com
	DNSZone string // name of a Cloud DNS zone of the project that gets the records; empty where somebody else creates them
	Login   *Login // nil lets everyone in: OpenHands has no login of its own
	Armor   Armor
}

// Login is Identity-Aware Proxy: Google asks who it is, and lets the members in.
type Login struct {
	Members []string // IAM members
	// OAuth client of one's own, for members outside of the project's organization. Google's own client where ClientID is empty.
	ClientID     string
	ClientSecret pulumi.StringInput
}

const (
	httpsListener = "https"
	httpListener  = "http"
)

// backendTimeoutSeconds is for how long a WebSocket lives, idle or not: the load balancer's default of 30 seconds cuts every conversation.
const backendTimeoutSeconds = 24 * 60 * 60

// drainSeconds is what a running request gets when the pod goes.
const drainSeconds = 30

// exposed is what the parts of an exposure share.
type exposed struct {
	*Exposure
	name      string
	namespace pulumi.StringInput
	service   pulumi.StringInput // name of the application's Service
	port      int
	health    string // path of the health check
}

// newExposure puts the load balancer in front of the Service. The Gateway comes last: until all that guards it is there it does not serve, and at the
// end it goes first, with the load balancer that GKE made of it, before what that uses.
func (c *OpenHandsApp) newExposure(ctx *pulumi.Context, e exposed) error {
	address, err := compute.NewGlobalAddress(ctx, e.name+"-address", &compute.GlobalAddressArgs{AddressType: pulumi.String("EXTERNAL")}, child(c)...)
	if err != nil {
		return fmt.Errorf("reserve the address: %w", err)
	}
	certificates, record, err := c.newCertificate(ctx, e)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if err := c.newRecords(ctx, e, address, record); err != nil {
		return fmt.Errorf("DNS records: %w", err)
	}
	guards, err := c.newGuards(ctx, e)
	if err != nil {
		return err
	}
	routes, err := c.newRoutes(ctx, e, guards)
	if err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	if err := c.newGateway(ctx, e, address.Name, certificates, append(guards, routes...)); err != nil {
		return fmt.Errorf("create the Gateway: %w", err)
	}
	c.URL = pulumi.String("https://" + e.Host).ToStringOutput()
	c.DNSRecords = pulumi.Array{
		pulumi.Map{"name": pulumi.String(e.Host + "."), "type": pulumi.String("A"), "data": address.Address},
		pulumi.Map{"name": record.Name().Elem(), "type": record.Type().Elem(), "data": record.Data().Elem()},
	}.ToArrayOutput()
	return nil
}

// newCertificate has Google issue the certificate, and returns the name of the map that the Gateway takes it from. Who owns the domain proves it by a
// DNS record, so that the certificate can be there before the host points to the load balancer.
func (c *OpenHandsApp) newCertificate(ctx *pulumi.Context, e exposed) (certificates pulumi.StringOutput, record certificatemanager.DnsAuthorizationDnsResourceRecordOutput, err error) {
	authorization, err := certificatemanager.NewDnsAuthorization(ctx, e.name+"-domain", &certificatemanager.DnsAuthorizationArgs{Domain: pulumi.String(e.Host)}, child(c)...)
	if err != nil {
		return certificates, record, fmt.Errorf("authorize the domain: %w", err)
	}
	certificate, err := certificatemanager.NewCertificate(ctx, e.name+"-certificate", &certificatemanager.CertificateArgs{
		Managed: &certificatemanager.CertificateManagedArgs{
			Domains:           pulumi.ToStringArray([]string{e.Host}),
			DnsAuthorizations: pulumi.StringArray{authorization.ID()},
		},
	}, child(c)...)
	if err != nil {
		return certificates, record, fmt.Errorf("order it: %w", err)
	}
	certificateMap, err := certificatemanager.NewCertificateMapResource(ctx, e.name+"-certificates", &certificatemanager.CertificateMapResourceArgs{}, child(c)...)
	if err != nil {
		return certificates, record, fmt.Errorf("create the map: %w", err)
	}
	entry, err := certificatemanager.NewCertificateMapEntry(ctx, e.name+"-certificate", &certificatemanager.CertificateMapEntryArgs{
		Map: certificateMap.Name, Hostname: pulumi.String(e.Host), Certificates: pulumi.StringArray{certificate.ID()},
	}, child(c)...)
	if err != nil {
		return certificates, record, fmt.Errorf("create the entry of the map: %w", err)
	}
	return entry.Map, authorization.DnsResourceRecords.Index(pulumi.Int(0)), nil
}

// recordSeconds is for how long a resolver keeps a record: short, because a wrong one keeps people out.
const recordSeconds = 300

func (c *OpenHandsApp) newRecords(ctx *pulumi.Context, e exposed, address *compute.GlobalAddress, record certificatemanager.DnsAuthorizationDnsResourceRecordOutput) error {
	if e.DNSZone == "" {
		return nil
	}
	_, err := dns.NewRecordSet(ctx, e.name+"-address", &dns.RecordSetArgs{
		ManagedZone: pulumi.String(e.DNSZone), Name: pulumi.String(e.Host + "."), Type: pulumi.String("A"), Ttl: pulumi.Int(recordSeconds), Rrdatas: pulumi.StringArray{address.Address},
	}, child(c)...)
	if err != nil {
		return err
	}
	_, err = dns.NewRecordSet(ctx, e.name+"-domain", &dns.RecordSetArgs{
		ManagedZone: pulumi.String(e.DNSZone), Name: record.Name().Elem(), Type: record.Type().Elem(), Ttl: pulumi.Int(recordSeconds), Rrdatas: pulumi.StringArray{record.Data().Elem()},
	}, child(c)...)
	return err
}

// newGuards creates what stands between the load balancer and the Service: Cloud Armor, the login and the health check; and who may log in. A policy
// belongs to the Service, and so to every way to it.
func (c *OpenHandsApp) newGuards(ctx *pulumi.Context, e exposed) ([]pulumi.Resource, error) {
	armor, err := c.newArmor(ctx, e.name, e.Armor)
	if err != nil {
		return nil, fmt.Errorf("create the Cloud Armor policy: %w", err)
	}
	backend := pulumi.Map{
		"timeoutSec":         pulumi.Int(backendTimeoutSeconds),
		"connectionDraining": pulumi.Map{"drainingTimeoutSec": pulumi.Int(drainSeconds)},
		"logging":            pulumi.Map{"enabled": pulumi.Bool(true), "sampleRate": pulumi.Int(1000000)}, // of a million: every request
		"securityPolicy":     armor.Name,
	}
	var guards []pulumi.Resource
	if e.Login != nil {
		login, members, err := c.newLogin(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("login: %w", err)
		}
		backend["iap"] = login
		guards = append(guards, members...)
	}
	service := pulumi.Map{"group": pulumi.String(""), "kind": pulumi.String("Service"), "name": e.service}
	backendPolicy, err := c.newCustom(ctx, e, e.name+"-backend", gkeNetworking, "GCPBackendPolicy", pulumi.Map{"default": backend, "targetRef": service})
	if err != nil {
		return nil, fmt.Errorf("create the backend's policy: %w", err)
	}
	health, err := c.newCustom(ctx, e, e.name+"-health", gkeNetworking, "HealthCheckPolicy", pulumi.Map{
		"default": pulumi.Map{
			"checkIntervalSec": pulumi.Int(15), "timeoutSec": pulumi.Int(5), "healthyThreshold": pulumi.Int(1), "unhealthyThreshold": pulumi.Int(3),
			"config": pulumi.Map{"type": pulumi.String("HTTP"), "httpHealthCheck": pulumi.Map{"portSpecification": pulumi.String("USE_SERVING_PORT"), "requestPath": pulumi.String(e.health)}},
		},
		"targetRef": service,
	})
	if err != nil {
		return nil, fmt.Errorf("create the health check: %w", err)
	}
	tls, err := compute.NewSSLPolicy(ctx, e.name+"-tls", &compute.SSLPolicyArgs{Profile: pulumi.String("MODERN"), MinTlsVersion: pulumi.String("TLS_1_2")}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the TLS policy: %w", err)
	}
	gateway, err := c.newCustom(ctx, e, e.name+"-tls", gkeNetworking, "GCPGatewayPolicy", pulumi.Map{
		"default":   pulumi.Map{"sslPolicy": tls.Name},
		"targetRef": pulumi.Map{"group": pulumi.String(gatewayGroup), "kind": pulumi.String("Gateway"), "name": pulumi.String(e.name)},
	})
	if err != nil {
		return nil, fmt.Errorf("apply the TLS policy: %w", err)
	}
	// With the Google objects themselves: the load balancer uses them for as long as the Gateway is there, whatever becomes of the policies.
	return append(guards, armor, tls, backendPolicy, health, gateway), nil
}

// newLogin turns Identity-Aware Proxy on, and lets the members in. The grant is the project's, because the name of the backend service that GKE will
// make up is not known; its condition keeps it to this host.
func (c *OpenHandsApp) newLogin(ctx *pulumi.Context, e exposed) (login pulumi.Map, members []pulumi.Resource, err error) {
	for _, member := range e.Login.Members {
		grant, err := iap.NewWebIamMember(ctx, e.name+"-login-"+member, &iap.WebIamMemberArgs{
			Role: pulumi.String("roles/iap.httpsResourceAccessor"), Member: pulumi.String(member),
			Condition: &iap.WebIamMemberConditionArgs{
				Title:       pulumi.String(e.Host),
				Description: pulumi.String("This host, and no other application of the project"),
				Expression:  pulumi.String(fmt.Sprintf("request.host == %q", e.Host)),
			},
		}, child(c)...)
		if err != nil {
			return nil, nil, fmt.Errorf("let %s in: %w", member, err)
		}
		members = append(members, grant)
	}
	login = pulumi.Map{"enabled": pulumi.Bool(true)}
	if e.Login.ClientID == "" {
		return login, members, nil
	}
	secret, err := corev1.NewSecret(ctx, e.name+"-oauth-client", &corev1.SecretArgs{
		Metadata:   &metav1.ObjectMetaArgs{Name: pulumi.String(e.name + "-oauth-client"), Namespace: e.namespace},
		Type:       pulumi.String("Opaque"),
		StringData: pulumi.StringMap{"key": e.Login.ClientSecret}, // GKE looks for this name
	}, child(c)...)
	if err != nil {
		return nil, nil, fmt.Errorf("create the Secret of the OAuth client: %w", err)
	}
	login["clientID"] = pulumi.String(e.Login.ClientID)
	login["oauth2ClientSecret"] = pulumi.Map{"name": secret.Metadata.Name().Elem()}
	return login, members, nil
}

// API groups of the custom resources.
const (
	gatewayGroup      = "gateway.networking.k8s.io"
	gatewayNetworking = gatewayGroup + "/v1"
	gkeNetworking     = "networking.gke.io/v1"
)

// newCustom creates an object of a kind that GKE's Gateway controller brings.
func (c *OpenHandsApp) newCustom(ctx *pulumi.Context, e exposed, name, apiVersion, kind string, spec pulumi.Map, opts ...pulumi.ResourceOption) (pulumi.Resource, error) {
	return apiextensions.NewCustomResource(ctx, name, &apiextensions.CustomResourceArgs{
		ApiVersion: pulumi.String(apiVersion), Kind: pulumi.String(kind),
		Metadata:    &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: e.namespace},
		OtherFields: kubernetes.UntypedArgs{"spec": spec},
	}, child(c, opts...)...)
}

// newRoutes sends the host's requests to the Service, and those without TLS to the address with.
func (c *OpenHandsApp) newRoutes(ctx *pulumi.Context, e exposed, after []pulumi.Resource) ([]pulumi.Resource, error) {
	listener := func(section string) pulumi.Array {
		return pulumi.Array{pulumi.Map{"name": pulumi.String(e.name), "sectionName": pulumi.String(section)}}
	}
	hosts := pulumi.ToStringArray([]string{e.Host})
	route, err := c.newCustom(ctx, e, e.name, gatewayNetworking, "HTTPRoute", pulumi.Map{
		"parentRefs": listener(httpsListener), "hostnames": hosts,
		"rules": pulumi.Array{pulumi.Map{"backendRefs": pulumi.Array{pulumi.Map{"name": e.service, "port": pulumi.Int(e.port)}}}},
	}, pulumi.DependsOn(after))
	if err != nil {
		return nil, err
	}
	redirect, err := c.newCustom(ctx, e, e.name+"-redirect", gatewayNetworking, "HTTPRoute", pulumi.Map{
		"parentRefs": listener(httpListener), "hostnames": hosts,
		"rules": pulumi.Array{pulumi.Map{"filters": pulumi.Array{pulumi.Map{
			"type": pulumi.String("RequestRedirect"), "requestRedirect": pulumi.Map{"scheme": pulumi.String("https"), "statusCode": pulumi.Int(301)},
		}}}},
	})
	if err != nil {
		return nil, err
	}
	return []pulumi.Resource{route, redirect}, nil
}

// newGateway creates the load balancer, and waits until it serves.
func (c *OpenHandsApp) newGateway(ctx *pulumi.Context, e exposed, address, certificates pulumi.StringInput, after []pulumi.Resource) error {
	sameNamespace := pulumi.Map{"namespaces": pulumi.Map{"from": pulumi.String("Same")}}
	_, err := apiextensions.NewCustomResource(ctx, e.name, &apiextensions.CustomResourceArgs{
		ApiVersion: pulumi.String(gatewayNetworking), Kind: pulumi.String("Gateway"),
		Metadata: &metav1.ObjectMetaArgs{
			Name: pulumi.String(e.name), Namespace: e.namespace,
			Annotations: pulumi.StringMap{
				"networking.gke.io/certmap": certificates, // in place of a tls block
				"pulumi.com/waitFor":        pulumi.String("condition=Programmed"),
			},
		},
		OtherFields: kubernetes.UntypedArgs{"spec": pulumi.Map{
			"gatewayClassName": pulumi.String("gke-l7-global-external-managed"),
			"addresses":        pulumi.Array{pulumi.Map{"type": pulumi.String("NamedAddress"), "value": address}},
			"listeners": pulumi.Array{
				pulumi.Map{"name": pulumi.String(httpsListener), "protocol": pulumi.String("HTTPS"), "port": pulumi.Int(443), "allowedRoutes": sameNamespace},
				pulumi.Map{"name": pulumi.String(httpListener), "protocol": pulumi.String("HTTP"), "port": pulumi.Int(80), "allowedRoutes": sameNamespace},
			},
		}},
	}, child(c, pulumi.DependsOn(after))...)
	return err
}
