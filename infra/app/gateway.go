package app

import (
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const gatewayType = "openhands:app:Gateway"

// GatewayArgs is how browsers reach the application from the internet: by a load balancer that GKE makes of a Gateway, out of objects that exist already.
type GatewayArgs struct {
	Host   string // e.g. openhands.example.com
	Login  *Login // nil lets everyone in: OpenHands has no login of its own
	Global        // the objects

	// LoadBalancerRanges are where the load balancer's requests come from.
	LoadBalancerRanges []netip.Prefix
}

// Global are names of global objects of Google Cloud.
type Global struct {
	Address, CertificateMap, ArmorPolicy, TLSPolicy pulumi.StringInput
}

// Login is Identity-Aware Proxy: Google asks who it is, and lets those in who have the role roles/iap.httpsResourceAccessor. Who has it is not decided here
// (infra.EntranceArgs.Members); where nobody has, nobody gets in.
type Login struct {
	// OAuth client of one's own, for members outside of the project's organization. Google's own client where ClientID is empty.
	ClientID     string
	ClientSecret pulumi.StringInput
}

func (g *GatewayArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"gateway.host": g.Host})
	check.Inputs(map[string]pulumi.StringInput{
		"gateway.address": g.Address, "gateway.certificateMap": g.CertificateMap, "gateway.armorPolicy": g.ArmorPolicy, "gateway.tlsPolicy": g.TLSPolicy,
	})
	check.Require(len(g.LoadBalancerRanges) > 0, "gateway.loadBalancerRanges is required")
	check.Require(g.Login == nil || (g.Login.ClientID == "") == (g.Login.ClientSecret == nil), "gateway.login needs both of clientId and clientSecret, or none")
}

// Gateway is the cluster's half of the way in: routes to the Service, the policies that guard it, and the Gateway itself.
type Gateway struct {
	pulumi.ResourceState

	name      string
	namespace pulumi.StringInput
	service   pulumi.StringInput // name of the server's Service
}

const (
	httpsListener = "https"
	httpListener  = "http"
)

// newGateway puts the load balancer in front of the server. The Gateway depends on everything that guards it, so it is created last and deleted first.
func newGateway(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, server *Server, opts ...pulumi.ResourceOption) (_ *Gateway, err error) {
	defer component.Explain(&err, gatewayType, name)
	c := &Gateway{name: name, namespace: server.Namespace, service: server.Service}
	if err := ctx.RegisterComponentResource(gatewayType, name, c, opts...); err != nil {
		return nil, err
	}
	guards, err := c.newPolicies(ctx, args)
	if err != nil {
		return nil, err
	}
	routes, err := c.newRoutes(ctx, args, guards)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	if err := c.newLoadBalancer(ctx, args.Gateway, append(guards, routes...)); err != nil {
		return nil, fmt.Errorf("create the Gateway: %w", err)
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{})
}

// backendTimeoutSeconds is for how long a WebSocket lives, idle or not: the load balancer's default of 30 seconds cuts every conversation.
const backendTimeoutSeconds = 24 * 60 * 60

// drainSeconds is what a running request gets when the pod goes.
const drainSeconds = 30

// newPolicies creates what stands between the load balancer and the Service: Cloud Armor, the login, the health check and the TLS policy. A policy belongs to
// the Service, and so to every way to it.
func (c *Gateway) newPolicies(ctx *pulumi.Context, args *OpenHandsAppArgs) ([]pulumi.Resource, error) {
	backend := pulumi.Map{
		"timeoutSec":         pulumi.Int(backendTimeoutSeconds),
		"connectionDraining": pulumi.Map{"drainingTimeoutSec": pulumi.Int(drainSeconds)},
		"logging":            pulumi.Map{"enabled": pulumi.Bool(true), "sampleRate": pulumi.Int(1000000)}, // of a million: every request
		"securityPolicy":     args.Gateway.ArmorPolicy,
	}
	if args.Gateway.Login != nil {
		login, err := c.newLogin(ctx, args.Gateway.Login)
		if err != nil {
			return nil, fmt.Errorf("login: %w", err)
		}
		backend["iap"] = login
	}
	health := pulumi.Map{
		"checkIntervalSec": pulumi.Int(15), "timeoutSec": pulumi.Int(5), "healthyThreshold": pulumi.Int(1), "unhealthyThreshold": pulumi.Int(3),
		"config": pulumi.Map{"type": pulumi.String("HTTP"), "httpHealthCheck": pulumi.Map{
			"portSpecification": pulumi.String("USE_SERVING_PORT"), "requestPath": pulumi.String(args.Release.LivenessPath),
		}},
	}
	service := pulumi.Map{"group": pulumi.String(""), "kind": pulumi.String("Service"), "name": c.service}
	gateway := pulumi.Map{"group": pulumi.String(gatewayGroup), "kind": pulumi.String("Gateway"), "name": pulumi.String(c.name)}
	var policies []pulumi.Resource
	for _, p := range []struct {
		role, kind string
		target     pulumi.Map
		settings   pulumi.Map
	}{
		{"backend", "GCPBackendPolicy", service, backend},
		{"health", "HealthCheckPolicy", service, health},
		{"tls", "GCPGatewayPolicy", gateway, pulumi.Map{"sslPolicy": args.Gateway.TLSPolicy}},
	} {
		policy, err := c.newObject(ctx, p.role, gkeNetworking, p.kind, pulumi.Map{"default": p.settings, "targetRef": p.target}, nil)
		if err != nil {
			return nil, fmt.Errorf("create the %s: %w", p.kind, err)
		}
		policies = append(policies, policy)
	}
	return policies, nil
}

// newLogin turns Identity-Aware Proxy on.
func (c *Gateway) newLogin(ctx *pulumi.Context, login *Login) (pulumi.Map, error) {
	settings := pulumi.Map{"enabled": pulumi.Bool(true)}
	if login.ClientID == "" {
		return settings, nil
	}
	secret, err := corev1.NewSecret(ctx, c.name+"-oauth-client", &corev1.SecretArgs{
		Metadata:   &metav1.ObjectMetaArgs{Name: pulumi.String(c.name + "-oauth-client"), Namespace: c.namespace},
		Type:       pulumi.String("Opaque"),
		StringData: pulumi.StringMap{"key": login.ClientSecret}, // GKE looks for this name
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the Secret of the OAuth client: %w", err)
	}
	settings["clientID"] = pulumi.String(login.ClientID)
	settings["oauth2ClientSecret"] = pulumi.Map{"name": secret.Metadata.Name().Elem()}
	return settings, nil
}

// API groups of the objects.
const (
	gatewayGroup      = "gateway.networking.k8s.io"
	gatewayNetworking = gatewayGroup + "/v1"
	gkeNetworking     = "networking.gke.io/v1"
)

// newObject creates an object of a kind that GKE's Gateway controller brings. role ends its name; the Gateway and its route have the component's name.
func (c *Gateway) newObject(
	ctx *pulumi.Context, role, apiVersion, kind string, spec pulumi.Map, annotations pulumi.StringMap, opts ...pulumi.ResourceOption,
) (pulumi.Resource, error) {
	name := c.name
	if role != "" {
		name += "-" + role
	}
	return apiextensions.NewCustomResource(ctx, name, &apiextensions.CustomResourceArgs{
		ApiVersion: pulumi.String(apiVersion), Kind: pulumi.String(kind),
		Metadata:    &metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: c.namespace, Annotations: annotations},
		OtherFields: kubernetes.UntypedArgs{"spec": spec},
	}, component.Child(c, opts...)...)
}

// newRoutes sends the host's requests to the Service, and those without TLS to the address with.
func (c *Gateway) newRoutes(ctx *pulumi.Context, args *OpenHandsAppArgs, after []pulumi.Resource) ([]pulumi.Resource, error) {
	listener := func(section string) pulumi.Array {
		return pulumi.Array{pulumi.Map{"name": pulumi.String(c.name), "sectionName": pulumi.String(section)}}
	}
	hosts := pulumi.ToStringArray([]string{args.Gateway.Host})
	route, err := c.newObject(ctx, "", gatewayNetworking, "HTTPRoute", pulumi.Map{
		"parentRefs": listener(httpsListener), "hostnames": hosts,
		"rules": pulumi.Array{pulumi.Map{"backendRefs": pulumi.Array{pulumi.Map{"name": c.service, "port": pulumi.Int(args.Release.Port)}}}},
	}, nil, pulumi.DependsOn(after))
	if err != nil {
		return nil, err
	}
	redirect, err := c.newObject(ctx, "redirect", gatewayNetworking, "HTTPRoute", pulumi.Map{
		"parentRefs": listener(httpListener), "hostnames": hosts,
		"rules": pulumi.Array{pulumi.Map{"filters": pulumi.Array{pulumi.Map{
			"type": pulumi.String("RequestRedirect"), "requestRedirect": pulumi.Map{"scheme": pulumi.String("https"), "statusCode": pulumi.Int(301)},
		}}}},
	}, nil)
	if err != nil {
		return nil, err
	}
	return []pulumi.Resource{route, redirect}, nil
}

// newLoadBalancer creates the Gateway, and waits until it serves.
func (c *Gateway) newLoadBalancer(ctx *pulumi.Context, args *GatewayArgs, after []pulumi.Resource) error {
	listener := func(name, protocol string, port int) pulumi.Map {
		return pulumi.Map{
			"name": pulumi.String(name), "protocol": pulumi.String(protocol), "port": pulumi.Int(port),
			"allowedRoutes": pulumi.Map{"namespaces": pulumi.Map{"from": pulumi.String("Same")}},
		}
	}
	_, err := c.newObject(ctx, "", gatewayNetworking, "Gateway", pulumi.Map{
		"gatewayClassName": pulumi.String("gke-l7-global-external-managed"),
		"addresses":        pulumi.Array{pulumi.Map{"type": pulumi.String("NamedAddress"), "value": args.Address}},
		"listeners":        pulumi.Array{listener(httpsListener, "HTTPS", 443), listener(httpListener, "HTTP", 80)},
	}, pulumi.StringMap{
		"networking.gke.io/certmap": args.CertificateMap, // in place of a tls block
		"pulumi.com/waitFor":        pulumi.String("condition=Programmed"),
	}, pulumi.DependsOn(after))
	return err
}
