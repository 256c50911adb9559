package app

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/app/door"
	"openhands-gcp/infra/internal/component"
	"openhands-gcp/release"
)

const agentCanvasType = "openhands:app:AgentCanvas"

// AgentCanvasArgs are the arguments of NewAgentCanvas.
type AgentCanvasArgs struct {
	Release   release.Release
	Image     pulumi.StringInput // of the instances
	DoorImage pulumi.StringInput // as in OpenHandsAppArgs

	Namespace         string // of the door
	InstanceNamespace string // of the instances
	Instances         []InstanceArgs
	DoorNodes, Nodes  Nodes // on which the door runs, and the instances
	LocalPort         int   // of the door, for port-forward

	// Protect refuses to delete the namespace of the instances, with all their volumes.
	Protect bool
	// KeepVolumeDays is for how long the volume of an instance stays that is no longer there. 0 keeps it for ever.
	KeepVolumeDays int

	Egress    Egress       // of the instances
	Gateway   *GatewayArgs // none where the instances are reached by port-forward only
	Operators []Operator
	Internet
	ControlPlaneCIDR netip.Prefix // private range of the API server
}

// AgentCanvas is Agent Canvas on a Kubernetes cluster: an instance for each person or team, with its own host, key and volume, and one door before all of
// them. Nothing leads from one instance to another.
type AgentCanvas struct {
	pulumi.ResourceState

	Namespace         pulumi.StringOutput `pulumi:"namespace"` // of the door
	InstanceNamespace pulumi.StringOutput `pulumi:"instanceNamespace"`
	Door              pulumi.StringOutput `pulumi:"door"` // Deployment
	Port              pulumi.IntOutput    `pulumi:"port"` // of the door's pods, for port-forward
	// URLs are where people find the instances, by the names of these.
	URLs pulumi.StringMapOutput `pulumi:"urls"`
}

func (args *AgentCanvasArgs) validate(check *component.Check) {
	check.Strings(map[string]string{
		"release": args.Release.Version, "namespace": args.Namespace, "instanceNamespace": args.InstanceNamespace,
		"nodes.label": args.Nodes.Label, "nodes.value": args.Nodes.Value, "doorNodes.label": args.DoorNodes.Label, "doorNodes.value": args.DoorNodes.Value,
	})
	check.Require(args.Namespace != args.InstanceNamespace, "the instances need a namespace of their own")
	check.Require(args.LocalPort > 0, "localPort is required")
	args.Nodes.validate(check, "nodes")
	args.DoorNodes.validate(check, "doorNodes")
	check.Inputs(map[string]pulumi.StringInput{"image": args.Image, "doorImage": args.DoorImage})
	args.Internet.validate(check)
	check.Require(args.ControlPlaneCIDR.IsValid(), "controlPlaneCidr is required")
	if args.Gateway != nil {
		args.Gateway.validate(check)
		check.Require(args.Gateway.Login != nil, "gateway.login is required: an instance has a person's keys")
	}
	names := map[string]bool{}
	for _, i := range args.Instances {
		check.Require(!names[i.Name], "two instances are named %q", i.Name)
		names[i.Name] = true
		i.validate(check)
	}
	for _, o := range args.Operators {
		o.validate(check)
	}
}

// NewAgentCanvas creates the instances and what is before them.
func NewAgentCanvas(ctx *pulumi.Context, name string, args *AgentCanvasArgs, opts ...pulumi.ResourceOption) (_ *AgentCanvas, err error) {
	defer component.Explain(&err, agentCanvasType, name)
	c := &AgentCanvas{}
	if err := component.Register(ctx, agentCanvasType, name, c, args, (*AgentCanvasArgs).validate, opts...); err != nil {
		return nil, err
	}
	namespace, err := newNamespace(ctx, c, name, args.Namespace, "restricted")
	if err != nil {
		return nil, err
	}
	c.Namespace = nameOf(namespace)
	instances, err := newInstances(ctx, name, args, c.Namespace, component.Child(c)...)
	if err != nil {
		return nil, err
	}
	c.InstanceNamespace = instances.Namespace
	if err := newOperators(ctx, c, name+"-operators", c.Namespace, serverRules, args.Operators); err != nil {
		return nil, err
	}
	keys, err := corev1.NewSecret(ctx, name+"-keys", &corev1.SecretArgs{
		Metadata:   &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-keys"), Namespace: c.Namespace},
		Type:       pulumi.String("Opaque"),
		StringData: instances.keys,
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the Secret of the door's keys: %w", err)
	}
	denied, err := newNetworkPolicies(ctx, c, name, policy{role: "deny-all", namespace: c.Namespace})
	if err != nil {
		return nil, err
	}
	door, err := newDoor(ctx, name, args.door(c.Namespace, instances.Namespace, keys.Metadata.Name().Elem()), component.Child(c, pulumi.DependsOn(denied))...)
	if err != nil {
		return nil, err
	}
	if args.Gateway != nil {
		if _, err := newGateway(ctx, name, args.Gateway, door, component.Child(c)...); err != nil {
			return nil, err
		}
	}
	c.Door, c.Port, c.URLs = door.Deployment, door.Port, args.urls().ToStringMapOutput()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"namespace": c.Namespace, "instanceNamespace": c.InstanceNamespace, "door": c.Door, "port": c.Port, "urls": c.URLs,
	})
}

// door is what the door knows of the instances. From the internet, each is at its own host, for its own people; by port-forward, where there is no login,
// only where there is no other way: operators have no business in people's instances.
func (args *AgentCanvasArgs) door(namespace, instances pulumi.StringOutput, keys pulumi.StringInput) *doorArgs {
	config := door.Config{LocalPort: args.LocalPort, HealthPath: args.Release.LivenessPath, KeyHeader: args.Release.Instance.KeyHeader}
	for _, i := range args.Instances {
		application := door.Application{
			Name: i.Name, Address: serviceHost(i.Name, args.InstanceNamespace), Port: args.Release.Port, HealthPath: args.Release.LivenessPath,
			KeyFile: doorKeys + "/" + i.Name, IdleSeconds: args.Release.Instance.KeepAliveSeconds - 1,
		}
		if args.Gateway != nil {
			application.Host = args.host(i)
		} else {
			application.LocalHosts = []string{args.host(i)}
		}
		config.Applications = append(config.Applications, application)
	}
	return &doorArgs{
		namespace: namespace, image: args.DoorImage, nodes: args.DoorNodes, gateway: args.Gateway, notPublic: args.NotPublic, keys: keys, config: config,
		egress: networkingv1.NetworkPolicyEgressRuleArray{to(tcp(args.Release.Port), podsOf(instances, labelSelector(instanceLabels)))},
	}
}

// host is the name that the browser knows an instance by.
func (args *AgentCanvasArgs) host(i InstanceArgs) string {
	if args.Gateway == nil {
		return i.Name + ".localhost" // which browsers look for on their own machine
	}
	return i.Name + strings.TrimPrefix(args.Gateway.Host, "*")
}

// urls are the addresses that browsers show, by instance.
func (args *AgentCanvasArgs) urls() pulumi.StringMap {
	urls := pulumi.StringMap{}
	for _, i := range args.Instances {
		if args.Gateway == nil {
			urls[i.Name] = pulumi.Sprintf("http://%s:%d", args.host(i), args.LocalPort)
		} else {
			urls[i.Name] = pulumi.String("https://" + args.host(i))
		}
	}
	return urls
}
