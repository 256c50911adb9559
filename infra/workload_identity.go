package infra

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const workloadIdentityType = "openhands:gcp:WorkloadIdentity"

// WorkloadIdentityArgs are the arguments of NewWorkloadIdentity.
type WorkloadIdentityArgs struct {
	AccountID   string // id of the Google service account: 6 to 30 characters, unique in the project
	DisplayName string

	// Namespace and ServiceAccountName name the Kubernetes service account that may act as the Google service account. The workload's
	// own component creates it, with the annotation iam.gke.io/gcp-service-account: <Email>.
	Namespace          string
	ServiceAccountName string

	// WorkloadPool is the output of the cluster that has it, e.g. my-project.svc.id.goog: the pool does not exist before the first cluster does.
	WorkloadPool pulumi.StringInput
}

// WorkloadIdentity is the Google identity of one Kubernetes workload.
type WorkloadIdentity struct {
	pulumi.ResourceState
	component.Readiness // the Kubernetes service account may act as the Google one

	Email  pulumi.StringOutput `pulumi:"email"`
	Member pulumi.StringOutput `pulumi:"member"` // for IAM: serviceAccount:<Email>; does not wait for the cluster
}

func (args *WorkloadIdentityArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"accountId": args.AccountID, "namespace": args.Namespace, "serviceAccountName": args.ServiceAccountName})
	check.Inputs(map[string]pulumi.StringInput{"workloadPool": args.WorkloadPool})
}

// NewWorkloadIdentity creates the Google service account and lets one Kubernetes service account act as it. It grants nothing else: what the
// identity may do is granted where the thing is that it may use.
func NewWorkloadIdentity(ctx *pulumi.Context, name string, args *WorkloadIdentityArgs, opts ...pulumi.ResourceOption) (_ *WorkloadIdentity, err error) {
	defer component.Explain(&err, workloadIdentityType, name)
	c := &WorkloadIdentity{}
	if err := component.Register(ctx, workloadIdentityType, name, c, args, (*WorkloadIdentityArgs).validate, opts...); err != nil {
		return nil, err
	}
	account, err := serviceaccount.NewAccount(ctx, name+"-account", &serviceaccount.AccountArgs{
		AccountId:   pulumi.String(args.AccountID),
		DisplayName: pulumi.String(args.DisplayName),
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the service account: %w", err)
	}
	binding, err := serviceaccount.NewIAMMember(ctx, name+"-binding", &serviceaccount.IAMMemberArgs{
		ServiceAccountId: account.Name,
		Role:             pulumi.String("roles/iam.workloadIdentityUser"),
		Member:           pulumi.Sprintf("serviceAccount:%s[%s/%s]", args.WorkloadPool, args.Namespace, args.ServiceAccountName),
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("bind the Kubernetes service account: %w", err)
	}

	c.Awaits(binding)
	c.Email, c.Member = account.Email, account.Member
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"email": c.Email, "member": c.Member})
}
