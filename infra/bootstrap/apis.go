package bootstrap

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

const apisType = "openhands:bootstrap:Apis"

const resourceManagerAPI = "cloudresourcemanager.googleapis.com"

// homeAPIs are those of bootstrap's own project, each with what needs it.
var homeAPIs = map[string]string{
	"artifactregistry.googleapis.com":  "the repository for copies of images",
	"cloudkms.googleapis.com":          "the stacks' keys",
	"containerscanning.googleapis.com": "scanning of the copies",
	resourceManagerAPI:                 "the projects' numbers",
	"iam.googleapis.com":               "identities, the pool of GitHub's",
	"iamcredentials.googleapis.com":    "tokens of the identities",
	"storage.googleapis.com":           "the state",
	"sts.googleapis.com":               "GitHub's tokens",
}

// stackAPIs are those that a stack's project needs before the stack is there: its identities are in it, and so Google looks there for the APIs that they call.
var stackAPIs = map[string]string{
	"cloudkms.googleapis.com":       "the stack's key",
	resourceManagerAPI:              "grants in the project",
	"iam.googleapis.com":            "the identities",
	"iamcredentials.googleapis.com": "their tokens",
	"serviceusage.googleapis.com":   "the APIs that the stack enables itself",
	"storage.googleapis.com":        "the state",
}

// ApisArgs are the arguments of NewApis.
type ApisArgs struct {
	Project string
	Home    bool // it is bootstrap's own project, and not a stack's
}

// Apis enables the APIs of a project. They stay on when bootstrap is destroyed: others may use them by then.
type Apis struct {
	pulumi.ResourceState
	component.Readiness

	// Project is the project's id, known once its APIs are on; Number is its number.
	Project pulumi.StringOutput `pulumi:"project"`
	Number  pulumi.StringOutput `pulumi:"number"`
}

func (args *ApisArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"project": args.Project})
}

// NewApis enables the APIs.
func NewApis(ctx *pulumi.Context, name string, args *ApisArgs, opts ...pulumi.ResourceOption) (_ *Apis, err error) {
	defer component.Explain(&err, apisType, name)
	c := &Apis{}
	if err := component.Register(ctx, apisType, name, c, args, (*ApisArgs).validate, opts...); err != nil {
		return nil, err
	}
	apis := stackAPIs
	if args.Home {
		apis = homeAPIs
	}
	var manager *projects.Service
	var ids []any
	for _, api := range slices.Sorted(maps.Keys(apis)) {
		service, err := projects.NewService(ctx, name+"-"+api, &projects.ServiceArgs{
			Project: pulumi.String(args.Project), Service: pulumi.String(api),
			DisableOnDestroy: pulumi.Bool(false), // the provider's default is true
		}, component.Child(c)...)
		if err != nil {
			return nil, fmt.Errorf("enable %s: %w", api, err)
		}
		c.Awaits(service)
		ids = append(ids, service.ID())
		if api == resourceManagerAPI {
			manager = service
		}
	}
	// The ids are <project>/<API>, which no preview knows before the API is on: lookups that take the project from here never meet an API that is still off.
	c.Project = pulumi.All(ids...).ApplyT(func([]any) string { return args.Project }).(pulumi.StringOutput)
	id := manager.ID().ToStringOutput().ApplyT(func(id string) *string {
		project, _, _ := strings.Cut(id, "/")
		return &project
	}).(pulumi.StringPtrOutput)
	c.Number = organizations.LookupProjectOutput(ctx, organizations.LookupProjectOutputArgs{ProjectId: id}, pulumi.Parent(c)).Number()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"project": c.Project, "number": c.Number})
}
