package infra

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const machineAccountType = "openhands:gcp:MachineAccount"

// machineRoles are what a machine does in the project by itself: it writes its logs and metrics. What else it may use is granted where that is.
var machineRoles = []string{"roles/logging.logWriter", "roles/monitoring.metricWriter"}

// MachineAccountArgs are the arguments of NewMachineAccount.
type MachineAccountArgs struct {
	AccountID   string // id of the Google service account: 6 to 30 characters, unique in the project
	DisplayName string
}

// MachineAccount is the Google identity of one machine. It is there before the machine, so that the machine may pull its image when it boots.
type MachineAccount struct {
	pulumi.ResourceState
	component.Readiness // the machine may write its logs

	Name   pulumi.StringOutput `pulumi:"name"` // projects/<project>/serviceAccounts/<Email>
	Email  pulumi.StringOutput `pulumi:"email"`
	Member pulumi.StringOutput `pulumi:"member"` // for IAM: serviceAccount:<Email>
}

func (args *MachineAccountArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"accountId": args.AccountID})
}

// NewMachineAccount creates the service account, and grants it what every machine needs.
func NewMachineAccount(ctx *pulumi.Context, name string, args *MachineAccountArgs, opts ...pulumi.ResourceOption) (_ *MachineAccount, err error) {
	defer component.Explain(&err, machineAccountType, name)
	c := &MachineAccount{}
	if err := component.Register(ctx, machineAccountType, name, c, args, (*MachineAccountArgs).validate, opts...); err != nil {
		return nil, err
	}
	account, err := serviceaccount.NewAccount(ctx, name+"-account", &serviceaccount.AccountArgs{
		AccountId:   pulumi.String(args.AccountID),
		DisplayName: pulumi.String(args.DisplayName),
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the service account: %w", err)
	}
	for _, role := range machineRoles {
		grant, err := projects.NewIAMMember(ctx, name+"-account-"+role, &projects.IAMMemberArgs{
			Project: account.Project,
			Role:    pulumi.String(role),
			Member:  account.Member,
		}, component.Child(c)...)
		if err != nil {
			return nil, fmt.Errorf("grant %s: %w", role, err)
		}
		c.Awaits(grant)
	}
	c.Name, c.Email, c.Member = account.Name, account.Email, account.Member
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"name": c.Name, "email": c.Email, "member": c.Member})
}
