package infra

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/organizations"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const projectServicesType = "openhands:gcp:ProjectServices"

// resourceManagerAPI answers what the project's number is.
const resourceManagerAPI = "cloudresourcemanager.googleapis.com"

// requiredAPIs are the Google APIs that every installation uses, each with what needs it.
var requiredAPIs = map[string]string{
	resourceManagerAPI:                 "project number, project-level IAM",
	"artifactregistry.googleapis.com":  "Registry",
	"compute.googleapis.com":           "Network, machines",
	"containerscanning.googleapis.com": "scanning of the images in Registry",
	"iam.googleapis.com":               "service accounts",
	"logging.googleapis.com":           "logs of machines, pods, NAT and firewall",
	"monitoring.googleapis.com":        "metrics, managed Prometheus",
}

// clusterAPIs are those of a cluster.
var clusterAPIs = map[string]string{
	"connectgateway.googleapis.com":      "access to the control plane by IAM",
	"container.googleapis.com":           "GkeCluster",
	"containerfilesystem.googleapis.com": "image streaming",
	"containersecurity.googleapis.com":   "security posture",
	"gkeconnect.googleapis.com":          "access to the control plane by IAM",
	"gkehub.googleapis.com":              "fleet membership",
	"iamcredentials.googleapis.com":      "Workload Identity",
}

// ProjectServicesArgs are the arguments of NewProjectServices.
type ProjectServicesArgs struct {
	Cluster      bool
	LoadBalancer bool // with a certificate, and a login in front of the application
	DNS          bool // records in a zone of Cloud DNS
	Database     bool // Cloud SQL, with private services access
	Bucket       bool
	Tunnels      bool // of Identity-Aware Proxy, to a machine
}

// validate has nothing to find: every combination is possible.
func (*ProjectServicesArgs) validate(*component.Check) {}

// apis are those that these arguments ask for.
func (args *ProjectServicesArgs) apis() []string {
	apis := slices.Collect(maps.Keys(requiredAPIs))
	if args.Cluster {
		apis = slices.AppendSeq(apis, maps.Keys(clusterAPIs))
	}
	if args.LoadBalancer {
		apis = append(apis, "certificatemanager.googleapis.com")
	}
	if args.LoadBalancer || args.Tunnels {
		apis = append(apis, "iap.googleapis.com")
	}
	if args.DNS {
		apis = append(apis, "dns.googleapis.com")
	}
	if args.Database {
		apis = append(apis, "servicenetworking.googleapis.com", "sqladmin.googleapis.com")
	}
	if args.Bucket {
		apis = append(apis, "storage.googleapis.com")
	}
	return slices.Sorted(slices.Values(apis))
}

// ProjectServices enables the Google APIs that the other components use. Every other component waits for it.
type ProjectServices struct {
	pulumi.ResourceState

	component.Readiness // all APIs are on

	// ProjectNumber is the project's number, which some addresses have in place of its id.
	ProjectNumber pulumi.StringOutput `pulumi:"projectNumber"`
}

// NewProjectServices enables the APIs in the provider's project. They stay enabled when the stack is destroyed: other things in the project
// may use them by then, and disabling an API deletes what it manages.
func NewProjectServices(ctx *pulumi.Context, name string, args *ProjectServicesArgs, opts ...pulumi.ResourceOption) (_ *ProjectServices, err error) {
	defer component.Explain(&err, projectServicesType, name)
	c := &ProjectServices{}
	if err := component.Register(ctx, projectServicesType, name, c, args, (*ProjectServicesArgs).validate, opts...); err != nil {
		return nil, err
	}
	for _, api := range args.apis() {
		service, err := projects.NewService(ctx, name+"-"+api, &projects.ServiceArgs{
			Service:          pulumi.String(api),
			DisableOnDestroy: pulumi.Bool(false), // the provider's default is true
		}, component.Child(c)...)
		if err != nil {
			return nil, fmt.Errorf("enable %s: %w", api, err)
		}
		c.Awaits(service)
		if api == resourceManagerAPI {
			c.ProjectNumber = projectNumber(ctx, c, service)
		}
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"projectNumber": c.ProjectNumber})
}

// projectNumber looks the number up once the Resource Manager API answers. The argument comes out of the service's id (<project>/<service>), which
// no preview knows before the API is enabled: so the first preview of a fresh project does not run into an API that is still off.
func projectNumber(ctx *pulumi.Context, parent pulumi.Resource, resourceManager *projects.Service) pulumi.StringOutput {
	project := resourceManager.ID().ToStringOutput().ApplyT(func(id string) *string {
		project, _, _ := strings.Cut(id, "/")
		return &project
	}).(pulumi.StringPtrOutput)
	return organizations.LookupProjectOutput(ctx, organizations.LookupProjectOutputArgs{ProjectId: project}, pulumi.Parent(parent)).Number()
}
