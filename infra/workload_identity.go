package infra

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const workloadIdentityType = "openhands:gcp:WorkloadIdentity"

// WorkloadIdentityArgs are the arguments of NewWorkloadIdentity.
type WorkloadIdentityArgs struct {
	AccountID   string // id of the Google service account: 6 to 30 characters, unique in the project
	DisplayName string

	// Namespace and ServiceAccountName name the Kubernetes service account that may act as the Google service account. It is created by who
	// creates the workload, annotated with iam.gke.io/gcp-service-account: <Email>.
	Namespace          string
	ServiceAccountName string

	// WorkloadPool is the output of the cluster that has it, e.g. my-project.svc.id.goog: the pool does not exist before the first cluster does.
	WorkloadPool pulumi.StringInput
}

// WorkloadIdentity is the Google identity of one Kubernetes workload.
type WorkloadIdentity struct {
	pulumi.ResourceState

	Email  pulumi.StringOutput `pulumi:"email"`
	Member pulumi.StringOutput `pulumi:"member"` // for IAM: serviceAccount:<Email>; does not wait for the cluster

	binding pulumi.Resource
}

// Bound makes a resource wait until the Kubernetes service account may act as the Google one.
func (c *WorkloadIdentity) Bound() pulumi.ResourceOption {
	return pulumi.DependsOn([]pulumi.Resource{c.binding})
}

// NewWorkloadIdentity creates the Google service account and lets one Kubernetes service account act as it. It grants nothing else: what the
// identity may do is granted where the thing is that it may use.
func NewWorkloadIdentity(ctx *pulumi.Context, name string, args *WorkloadIdentityArgs, opts ...pulumi.ResourceOption) (*WorkloadIdentity, error) {
	check := checkArgs("workload identity", name)
	check.require(args.AccountID != "", "accountId is required")
	check.require(args.Namespace != "", "namespace is required")
	check.require(args.ServiceAccountName != "", "serviceAccountName is required")
	check.require(args.WorkloadPool != nil, "workloadPool is required")
	if err := check.err(); err != nil {
		return nil, err
	}

	c := &WorkloadIdentity{}
	if err := ctx.RegisterComponentResource(workloadIdentityType, name, c, opts...); err != nil {
		return nil, fmt.Errorf("workload identity %q: %w", name, err)
	}
	account, err := serviceaccount.NewAccount(ctx, name+"-account", &serviceaccount.AccountArgs{
		AccountId:   pulumi.String(args.AccountID),
		DisplayName: pulumi.String(args.DisplayName),
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("workload identity %q: create the service account: %w", name, err)
	}
	c.binding, err = serviceaccount.NewIAMMember(ctx, name+"-binding", &serviceaccount.IAMMemberArgs{
		ServiceAccountId: account.Name,
		Role:             pulumi.String("roles/iam.workloadIdentityUser"),
		Member:           pulumi.Sprintf("serviceAccount:%s[%s/%s]", args.WorkloadPool, args.Namespace, args.ServiceAccountName),
	}, child(c)...)
	if err != nil {
		return nil, fmt.Errorf("workload identity %q: bind the Kubernetes service account: %w", name, err)
	}

	c.Email, c.Member = account.Email, account.Member
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"email": c.Email, "member": c.Member})
}
