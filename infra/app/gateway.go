package app

import (
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/app/door"
	"openhands-gcp/infra/internal/component"
)

const gatewayType = "openhands:app:Gateway"

// GatewayArgs is how browsers reach the application from the internet: by a load balancer that GKE makes of a Gateway, out of objects that exist already.
type GatewayArgs struct {
	Host   string // e.g. openhands.example.com, or *.openhands.example.com
	Login  *Login // nil lets everyone in: OpenHands has no login of its own
	Global        // the objects

	// LoadBalancerRanges are where the load balancer's requests come from.
	LoadBalancerRanges []netip.Prefix
	// HealthPath is where the load balancer asks the door whether it is well.
	HealthPath string
	// Namespace of the door, by name, for what people are told.
	Namespace string
	// IfRefused says what it means, and what to do, where GKE refuses the policy with the login.
	IfRefused string
}

// Global are names of global objects of Google Cloud.
type Global struct {
	Address, CertificateMap, ArmorPolicy, TLSPolicy pulumi.StringInput
}

// Login is Identity-Aware Proxy: Google asks who it is, and lets those in who have the role roles/iap.httpsResourceAccessor. Who has it is not decided here
// (infra.EntranceArgs.Members); where nobody has, nobody gets in.
type Login struct {
	// ProjectNumber is that of the project in which the load balancer is: what Google signs for a person names it.
	ProjectNumber pulumi.StringInput
	// OAuth client of one's own, for members outside of the project's organization. Google's own client where ClientID is empty.
	ClientID     string
	ClientSecret pulumi.StringInput
}

func (g *GatewayArgs) validate(check *component.Check) {
	check.Strings(map[string]string{
		"gateway.host": g.Host, "gateway.ifRefused": g.IfRefused, "gateway.healthPath": g.HealthPath, "gateway.namespace": g.Namespace,
	})
	check.Inputs(map[string]pulumi.StringInput{
		"gateway.address": g.Address, "gateway.certificateMap": g.CertificateMap, "gateway.armorPolicy": g.ArmorPolicy, "gateway.tlsPolicy": g.TLSPolicy,
	})
	check.Require(len(g.LoadBalancerRanges) > 0, "gateway.loadBalancerRanges is required")
	if g.Login != nil {
		check.Inputs(map[string]pulumi.StringInput{"gateway.login.projectNumber": g.Login.ProjectNumber})
	}
	check.Require(g.Login == nil || (g.Login.ClientID == "") == (g.Login.ClientSecret == nil), "gateway.login needs both of clientId and clientSecret, or none")
}

// Gateway is the cluster's half of the way in: routes to the door, the Gateway itself, and its policies.
type Gateway struct {
	pulumi.ResourceState

	name      string
	namespace pulumi.StringInput
	service   pulumi.StringInput // name of the door's Service
}

const (
	httpsListener = "https"
	httpListener  = "http"
)

// newGateway puts the load balancer in front of the door. GKE attaches the login to it only once it is there; until then the door lets nobody in.
func newGateway(ctx *pulumi.Context, name string, args *GatewayArgs, door *Door, opts ...pulumi.ResourceOption) (_ *Gateway, err error) {
	defer component.Explain(&err, gatewayType, name)
	c := &Gateway{name: name, namespace: door.Namespace, service: door.Service}
	if err := ctx.RegisterComponentResource(gatewayType, name, c, opts...); err != nil {
		return nil, err
	}
	policies, err := c.newPolicies(ctx, args)
	if err != nil {
		return nil, err
	}
	routes, err := c.newRoutes(ctx, args, policies)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	gateway, err := c.newLoadBalancer(ctx, args, append(policies, routes...))
	if err != nil {
		return nil, fmt.Errorf("create the Gateway: %w", err)
	}
	if err := c.newBackendPolicy(ctx, args, gateway); err != nil {
		return nil, fmt.Errorf("create the GCPBackendPolicy: %w", err)
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{})
}

// backendTimeoutSeconds is for how long a WebSocket lives, idle or not: the load balancer's default of 30 seconds cuts every conversation.
const backendTimeoutSeconds = 24 * 60 * 60

// drainSeconds is what a running request gets when the pod goes.
const drainSeconds = 30

// newPolicies creates what the load balancer is made with: the health check and the TLS policy.
func (c *Gateway) newPolicies(ctx *pulumi.Context, args *GatewayArgs) ([]pulumi.Resource, error) {
	health := pulumi.Map{
		"checkIntervalSec": pulumi.Int(15), "timeoutSec": pulumi.Int(5), "healthyThreshold": pulumi.Int(1), "unhealthyThreshold": pulumi.Int(3),
		"config": pulumi.Map{"type": pulumi.String("HTTP"), "httpHealthCheck": pulumi.Map{
			"portSpecification": pulumi.String("USE_SERVING_PORT"), "requestPath": pulumi.String(args.HealthPath),
		}},
	}
	gateway := pulumi.Map{"group": pulumi.String(gatewayGroup), "kind": pulumi.String("Gateway"), "name": pulumi.String(c.name)}
	var policies []pulumi.Resource
	for _, p := range []struct {
		role, kind string
		target     pulumi.Map
		settings   pulumi.Map
	}{
		{"health", "HealthCheckPolicy", c.target(), health},
		{"tls", "GCPGatewayPolicy", gateway, pulumi.Map{"sslPolicy": args.TLSPolicy}},
	} {
		policy, err := c.newObject(ctx, p.role, gkeNetworking, p.kind, pulumi.Map{"default": p.settings, "targetRef": p.target}, nil)
		if err != nil {
			return nil, fmt.Errorf("create the %s: %w", p.kind, err)
		}
		policies = append(policies, policy)
	}
	return policies, nil
}

// target is the door's Service, for a policy.
func (c *Gateway) target() pulumi.Map {
	return pulumi.Map{"group": pulumi.String(""), "kind": pulumi.String("Service"), "name": c.service}
}

// attached is what GKE notes on a policy that is in force: among the policy's conditions, or among those of each Gateway that it is in force at.
// https://www.rfc-editor.org/rfc/rfc9535
const attached = `jsonpath={.status..conditions[?@.type=="Attached"].status}=True`

// newBackendPolicy creates what stands between the load balancer and the Service: Cloud Armor, the login and the timeout. GKE attaches it to a load balancer
// that is there, and may refuse it; then nothing of it is in force. So it is waited for.
func (c *Gateway) newBackendPolicy(ctx *pulumi.Context, args *GatewayArgs, gateway pulumi.Resource) error {
	settings := pulumi.Map{
		"timeoutSec":         pulumi.Int(backendTimeoutSeconds),
		"connectionDraining": pulumi.Map{"drainingTimeoutSec": pulumi.Int(drainSeconds)},
		"logging":            pulumi.Map{"enabled": pulumi.Bool(true), "sampleRate": pulumi.Int(1000000)}, // of a million: every request
		"securityPolicy":     args.ArmorPolicy,
	}
	if args.Login != nil {
		login, err := c.newLogin(ctx, args.Login)
		if err != nil {
			return fmt.Errorf("login: %w", err)
		}
		settings["iap"] = login
	}
	explain, err := ctx.RegisterErrorHook(c.name+"-explain-backend-policy", func(hook *pulumi.ErrorHookArgs) (bool, error) {
		if hook.FailedOperation == "delete" {
			return false, nil
		}
		return false, ctx.Log.Error(fmt.Sprintf("GKE has not attached GCPBackendPolicy %[1]s to the load balancer: login, Cloud Armor and the timeout are not "+
			"in force. %[2]s The reason is in its conditions and events: kubectl --namespace=%[3]s describe gcpbackendpolicy %[1]s",
			hook.Name, args.IfRefused, args.Namespace), nil)
	})
	if err != nil {
		return err
	}
	_, err = c.newObject(ctx, "backend", gkeNetworking, "GCPBackendPolicy", pulumi.Map{"default": settings, "targetRef": c.target()},
		pulumi.StringMap{"pulumi.com/waitFor": pulumi.String(attached)}, pulumi.DependsOn([]pulumi.Resource{gateway}),
		pulumi.ResourceHooks(&pulumi.ResourceHookBinding{OnError: []*pulumi.ErrorHook{explain}}))
	return err
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

// newRoutes sends the host's requests to the door, and those without TLS to the address with.
func (c *Gateway) newRoutes(ctx *pulumi.Context, args *GatewayArgs, after []pulumi.Resource) ([]pulumi.Resource, error) {
	listener := func(section string) pulumi.Array {
		return pulumi.Array{pulumi.Map{"name": pulumi.String(c.name), "sectionName": pulumi.String(section)}}
	}
	hosts := pulumi.ToStringArray([]string{args.Host})
	route, err := c.newObject(ctx, "", gatewayNetworking, "HTTPRoute", pulumi.Map{
		"parentRefs": listener(httpsListener), "hostnames": hosts,
		"rules": pulumi.Array{pulumi.Map{"backendRefs": pulumi.Array{pulumi.Map{"name": c.service, "port": pulumi.Int(door.PublicPort)}}}},
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
func (c *Gateway) newLoadBalancer(ctx *pulumi.Context, args *GatewayArgs, after []pulumi.Resource) (pulumi.Resource, error) {
	listener := func(name, protocol string, port int) pulumi.Map {
		return pulumi.Map{
			"name": pulumi.String(name), "protocol": pulumi.String(protocol), "port": pulumi.Int(port),
			"allowedRoutes": pulumi.Map{"namespaces": pulumi.Map{"from": pulumi.String("Same")}},
		}
	}
	return c.newObject(ctx, "", gatewayNetworking, "Gateway", pulumi.Map{
		"gatewayClassName": pulumi.String("gke-l7-global-external-managed"),
		"addresses":        pulumi.Array{pulumi.Map{"type": pulumi.String("NamedAddress"), "value": args.Address}},
		"listeners":        pulumi.Array{listener(httpsListener, "HTTPS", 443), listener(httpListener, "HTTP", 80)},
	}, pulumi.StringMap{
		"networking.gke.io/certmap": args.CertificateMap, // in place of a tls block
		"pulumi.com/waitFor":        pulumi.String("condition=Programmed"),
	}, pulumi.DependsOn(after))
}
