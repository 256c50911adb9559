package infra

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/iap"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

// Access is who reaches the machine, always through a tunnel of Identity-Aware Proxy. Members and operators are written as in IAM.
type Access struct {
	Port      int      // of the page
	Members   []string // reach the page, and nothing else
	Operators []string // reach SSH too, and may do everything on the machine

	// MemberRoleID and OperatorRoleID name the roles with what gcloud asks for on the way. They are unique in the project, and have no dashes.
	MemberRoleID, OperatorRoleID string
}

// newAccess grants the tunnels, which are the login: the page has none of its own. The page is not behind SSH, because whoever has a shell on the machine
// can take its identity from the metadata server, and a member needs none.
func (c *ComputeInstance) newAccess(ctx *pulumi.Context, name string, args *ComputeInstanceArgs, instance *compute.Instance) error {
	if err := c.newMembers(ctx, name, args.Access, instance); err != nil {
		return fmt.Errorf("let the members in: %w", err)
	}
	if err := c.newOperators(ctx, name, args, instance); err != nil {
		return fmt.Errorf("let the operators in: %w", err)
	}
	return nil
}

func (c *ComputeInstance) newMembers(ctx *pulumi.Context, name string, access Access, instance *compute.Instance) error {
	if len(access.Members) == 0 {
		return nil
	}
	// gcloud looks the machine up before it opens a tunnel.
	role, err := newRole(ctx, name+"-members", access.MemberRoleID, "See the machine that a tunnel leads to", c, "compute.instances.get")
	if err != nil {
		return err
	}
	for _, member := range access.Members {
		// https://cloud.google.com/iam/docs/conditions-attribute-reference#destination-ip-port
		page := &iap.TunnelInstanceIAMMemberConditionArgs{
			Title: pulumi.String("The page alone"), Expression: pulumi.Sprintf("destination.port == %d", access.Port),
		}
		if err := c.newTunnel(ctx, name+"-page-"+member, member, page, instance); err != nil {
			return err
		}
		if err := c.newGrant(ctx, name+"-page-"+member, member, role.Name, instance); err != nil {
			return err
		}
	}
	return nil
}

// newOperators lets people use `gcloud compute ssh`. Whoever logs in to a machine may use its service account, so OS Login asks for that too.
// https://cloud.google.com/compute/docs/oslogin/set-up-oslogin#configure_users
func (c *ComputeInstance) newOperators(ctx *pulumi.Context, name string, args *ComputeInstanceArgs, instance *compute.Instance) error {
	operators := args.Access.Operators
	if len(operators) == 0 {
		return nil
	}
	// gcloud looks the project up before it connects.
	role, err := newRole(ctx, name+"-operators", args.Access.OperatorRoleID, "See what the project says about SSH", c, "compute.projects.get")
	if err != nil {
		return err
	}
	for _, operator := range operators {
		if err := c.newTunnel(ctx, name+"-ssh-"+operator, operator, nil, instance); err != nil {
			return err
		}
		if err := c.newGrant(ctx, name+"-ssh-"+operator, operator, pulumi.String("roles/compute.osAdminLogin"), instance); err != nil {
			return err
		}
		if _, err := serviceaccount.NewIAMMember(ctx, name+"-ssh-"+operator, &serviceaccount.IAMMemberArgs{
			ServiceAccountId: args.Account.Name,
			Role:             pulumi.String("roles/iam.serviceAccountUser"),
			Member:           pulumi.String(operator),
		}, component.Child(c)...); err != nil {
			return fmt.Errorf("let %s act as the machine: %w", operator, err)
		}
		if _, err := projects.NewIAMMember(ctx, name+"-ssh-"+operator, &projects.IAMMemberArgs{
			Project: role.Project,
			Role:    role.Name,
			Member:  pulumi.String(operator),
		}, component.Child(c)...); err != nil {
			return fmt.Errorf("let %s see the project: %w", operator, err)
		}
	}
	return nil
}

// newTunnel lets a member open tunnels to the machine, to whatever port the firewall and the condition leave.
func (c *ComputeInstance) newTunnel(
	ctx *pulumi.Context, name, member string, condition *iap.TunnelInstanceIAMMemberConditionArgs, instance *compute.Instance,
) error {
	grant := &iap.TunnelInstanceIAMMemberArgs{
		Instance: instance.Name,
		Zone:     instance.Zone,
		Role:     pulumi.String("roles/iap.tunnelResourceAccessor"),
		Member:   pulumi.String(member),
	}
	if condition != nil {
		grant.Condition = condition
	}
	if _, err := iap.NewTunnelInstanceIAMMember(ctx, name, grant, component.Child(c)...); err != nil {
		return fmt.Errorf("let %s open a tunnel: %w", member, err)
	}
	return nil
}

// newGrant grants a role on the machine.
func (c *ComputeInstance) newGrant(ctx *pulumi.Context, name, member string, role pulumi.StringInput, instance *compute.Instance) error {
	if _, err := compute.NewInstanceIAMMember(ctx, name, &compute.InstanceIAMMemberArgs{
		InstanceName: instance.Name,
		Zone:         instance.Zone,
		Role:         role,
		Member:       pulumi.String(member),
	}, component.Child(c)...); err != nil {
		return fmt.Errorf("grant a role to %s: %w", member, err)
	}
	return nil
}

// newRole creates a role with a few permissions, where every role of Google's has many.
func newRole(ctx *pulumi.Context, name, id, title string, parent pulumi.Resource, permissions ...string) (*projects.IAMCustomRole, error) {
	role, err := projects.NewIAMCustomRole(ctx, name, &projects.IAMCustomRoleArgs{
		RoleId:      pulumi.String(id),
		Title:       pulumi.String(title),
		Permissions: pulumi.ToStringArray(permissions),
	}, component.Child(parent)...)
	if err != nil {
		return nil, fmt.Errorf("create the role %s: %w", id, err)
	}
	return role, nil
}
