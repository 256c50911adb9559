package app

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/app/door"
	"openhands-gcp/infra/internal/component"
	"openhands-gcp/release"
)

const openHandsAppType = "openhands:app:OpenHandsApp"

// OpenHandsAppArgs are the arguments of NewOpenHandsApp. Exactly one of Sandboxes and RemoteRuntime is set, by the runtime of the release.
type OpenHandsAppArgs struct {
	Release release.Release
	Image   pulumi.StringInput // of the server
	// DoorImage is Envoy's, in which the program is /usr/local/bin/envoy.
	DoorImage pulumi.StringInput
	Identity  Identity
	Database  Database
	Bucket    pulumi.StringInput // name of the bucket of the file store

	CPURequest float64 // vCPU
	MemoryGiB  float64 // request and limit
	Nodes      Nodes   // on which the server runs
	ExtraEnv   map[string]string
	SecretEnv  map[string]pulumi.StringInput
	Egress     Egress // of the server, by TLS

	Sandboxes     *SandboxesArgs
	RemoteRuntime *RemoteRuntime
	Gateway       *GatewayArgs // none where the application is reached by port-forward only
	Operators     []Operator

	Internet
	ControlPlaneCIDR netip.Prefix // private range of the API server
}

// Identity is the application's identity: a Kubernetes service account that acts as a Google one.
type Identity struct {
	Namespace, ServiceAccountName string
	GoogleServiceAccount          pulumi.StringInput // e-mail
}

// Database is how the server reaches PostgreSQL, on port 5432.
type Database struct {
	Host, Name, User, Password pulumi.StringInput
	Range                      netip.Prefix // in which the host is, for the NetworkPolicy
}

// RemoteRuntime is a runtime API that the user brings.
type RemoteRuntime struct {
	URL           string
	APIKey        pulumi.StringInput
	Conversations int // at a time
}

// Nodes are those with a label, and the taint that pods have to tolerate there.
type Nodes struct {
	Label, Value string
	Taint        *Taint // none where nil
}

// Taint is a node taint as Kubernetes writes it, with effect NoSchedule, PreferNoSchedule or NoExecute.
type Taint struct{ Key, Value, Effect string }

// taintEffects are those of Kubernetes.
var taintEffects = []string{"NoSchedule", "PreferNoSchedule", "NoExecute"}

func (n Nodes) validate(check *component.Check, field string) {
	check.Require(n.Taint == nil || slices.Contains(taintEffects, n.Taint.Effect), "%s.taint.effect is one of %s", field, strings.Join(taintEffects, ", "))
}

func (n Nodes) selector() pulumi.StringMap {
	return pulumi.StringMap{n.Label: pulumi.String(n.Value)}
}

func (n Nodes) tolerations() corev1.TolerationArray {
	if n.Taint == nil {
		return nil
	}
	return corev1.TolerationArray{&corev1.TolerationArgs{
		Key: pulumi.String(n.Taint.Key), Operator: pulumi.String("Equal"), Value: pulumi.String(n.Taint.Value), Effect: pulumi.String(n.Taint.Effect),
	}}
}

// OpenHandsApp is OpenHands on a Kubernetes cluster.
//
// A cluster, and a program, has room for one with Sandboxes: the sandboxes' Ingresses have no class, so that the cluster's default IngressClass must be one
// that nothing serves, and there can be one default only. Two in one program have the same URN for it, which Pulumi refuses; two of different programs on one
// cluster are found by the rehearsal's checks only.
type OpenHandsApp struct {
	pulumi.ResourceState

	Namespace  pulumi.StringOutput `pulumi:"namespace"`
	Deployment pulumi.StringOutput `pulumi:"deployment"`
	Door       pulumi.StringOutput `pulumi:"door"` // a Deployment too
	Port       pulumi.IntOutput    `pulumi:"port"` // of the door's pods, for port-forward
	URL        pulumi.StringOutput `pulumi:"url"`  // as in the browser's address line
}

func (args *OpenHandsAppArgs) validate(check *component.Check) {
	check.Strings(map[string]string{
		"release": args.Release.Version, "identity.namespace": args.Identity.Namespace, "identity.serviceAccountName": args.Identity.ServiceAccountName,
		"nodes.label": args.Nodes.Label, "nodes.value": args.Nodes.Value,
	})
	args.Nodes.validate(check, "nodes")
	check.Inputs(map[string]pulumi.StringInput{
		"image": args.Image, "doorImage": args.DoorImage, "bucket": args.Bucket, "identity.googleServiceAccount": args.Identity.GoogleServiceAccount,
		"database.host": args.Database.Host, "database.name": args.Database.Name, "database.user": args.Database.User,
		"database.password": args.Database.Password,
	})
	check.Require(args.CPURequest > 0 && args.MemoryGiB > 0, "cpuRequest and memoryGiB are required")
	check.Require(args.Database.Range.IsValid() && args.ControlPlaneCIDR.IsValid(), "database.range and controlPlaneCidr are required")
	args.Internet.validate(check)
	check.Require((args.Sandboxes == nil) != (args.RemoteRuntime == nil), "one of sandboxes and remoteRuntime is needed")
	if args.Sandboxes != nil {
		args.Sandboxes.validate(check, args.Identity.Namespace)
	}
	if r := args.RemoteRuntime; r != nil {
		check.Require(r.URL != "" && r.APIKey != nil && r.Conversations > 0, "remoteRuntime needs url, apiKey and conversations")
	}
	if args.Gateway != nil {
		args.Gateway.validate(check)
	}
	for _, o := range args.Operators {
		o.validate(check)
	}
	for field, variables := range map[string][]string{
		"extraEnv": slices.Collect(maps.Keys(args.ExtraEnv)), "secretEnv": slices.Collect(maps.Keys(args.SecretEnv)),
	} {
		for _, variable := range variables {
			if err := release.CheckVariable(variable); err != nil {
				check.Require(false, "%s: %s %v", field, variable, err)
			}
		}
	}
}

// NewOpenHandsApp creates the application and everything that it needs inside of the cluster.
func NewOpenHandsApp(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, opts ...pulumi.ResourceOption) (_ *OpenHandsApp, err error) {
	defer component.Explain(&err, openHandsAppType, name)
	c := &OpenHandsApp{}
	if err := component.Register(ctx, openHandsAppType, name, c, args, (*OpenHandsAppArgs).validate, opts...); err != nil {
		return nil, err
	}
	namespace, err := newNamespace(ctx, c, name, args.Identity.Namespace, "restricted")
	if err != nil {
		return nil, err
	}
	account, err := corev1.NewServiceAccount(ctx, name+"-server", &corev1.ServiceAccountArgs{
		Metadata: &metav1.ObjectMetaArgs{
			Name:        pulumi.String(args.Identity.ServiceAccountName),
			Namespace:   nameOf(namespace),
			Annotations: pulumi.StringMap{"iam.gke.io/gcp-service-account": args.Identity.GoogleServiceAccount},
		},
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the server's service account: %w", err)
	}
	if err := newOperators(ctx, c, name+"-operators", nameOf(namespace), serverRules, args.Operators); err != nil {
		return nil, err
	}
	var sandboxes *Sandboxes
	if args.Sandboxes != nil {
		if sandboxes, err = newSandboxes(ctx, name, args, account, component.Child(c)...); err != nil {
			return nil, err
		}
	}
	server, err := newServer(ctx, name, args, account, sandboxes, component.Child(c)...)
	if err != nil {
		return nil, err
	}
	door, err := newDoor(ctx, name, args.door(name, server), component.Child(c)...)
	if err != nil {
		return nil, err
	}
	if args.Gateway != nil {
		if _, err := newGateway(ctx, name, args.Gateway, door, component.Child(c)...); err != nil {
			return nil, err
		}
	}
	c.Namespace, c.Deployment, c.Door, c.Port = server.Namespace, server.Deployment, door.Deployment, door.Port
	c.URL = pulumi.String(args.origin()).ToStringOutput()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"namespace": c.Namespace, "deployment": c.Deployment, "door": c.Door, "port": c.Port, "url": c.URL,
	})
}

// door is what the door knows of the server, whose name it has.
func (args *OpenHandsAppArgs) door(name string, server *Server) *doorArgs {
	application := door.Application{
		Name: name, Address: serviceHost(name, args.Identity.Namespace), Port: args.Release.Port, HealthPath: args.Release.LivenessPath,
		LocalHosts: []string{"localhost", "127.0.0.1"}, Needed: true, IdleSeconds: keepAliveSeconds - 20,
	}
	if args.Gateway != nil {
		application.Host = args.Gateway.Host
	}
	return &doorArgs{
		namespace: server.Namespace, image: args.DoorImage, nodes: args.Nodes, gateway: args.Gateway, notPublic: args.NotPublic,
		config: door.Config{Applications: []door.Application{application}, LocalPort: args.Release.Port, HealthPath: args.Release.LivenessPath},
		egress: networkingv1.NetworkPolicyEgressRuleArray{to(tcp(args.Release.Port), podsOf(server.Namespace, labelSelector(serverLabels)))},
	}
}

// host is the name that the browser knows the server by.
func (args *OpenHandsAppArgs) host() string {
	if args.Gateway == nil {
		return "localhost"
	}
	return args.Gateway.Host
}

// origin is the address that the browser shows.
func (args *OpenHandsAppArgs) origin() string {
	if args.Gateway == nil {
		return fmt.Sprintf("http://localhost:%d", args.Release.Port)
	}
	return "https://" + args.Gateway.Host
}

// newNamespace creates a namespace under a level of Pod Security.
func newNamespace(
	ctx *pulumi.Context, parent pulumi.Resource, name, namespace, level string, opts ...pulumi.ResourceOption,
) (*corev1.Namespace, error) {
	created, err := corev1.NewNamespace(ctx, name+"-"+namespace, &corev1.NamespaceArgs{
		Metadata: &metav1.ObjectMetaArgs{
			Name: pulumi.String(namespace),
			Labels: pulumi.StringMap{
				"pod-security.kubernetes.io/enforce": pulumi.String(level),
				"pod-security.kubernetes.io/warn":    pulumi.String(level),
			},
		},
	}, component.Child(parent, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("create the namespace %s: %w", namespace, err)
	}
	return created, nil
}

// namespaceOf returns the namespace of a service account as an output: a resource that uses it is created after both.
func namespaceOf(account *corev1.ServiceAccount) pulumi.StringOutput {
	return account.Metadata.Namespace().Elem()
}

// nameOf returns the namespace's name as an output: a resource that uses it is created after the namespace.
func nameOf(namespace *corev1.Namespace) pulumi.StringOutput { return namespace.Metadata.Name().Elem() }

// mebibytes and milliCPU are sizes as Kubernetes writes them without fractions.
func mebibytes(gib float64) string { return fmt.Sprintf("%dMi", int(gib*1024)) }

func milliCPU(cpus float64) string { return fmt.Sprintf("%dm", int(cpus*1000)) }
