package infra

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/boot"
	"openhands-gcp/infra/internal/component"
)

const computeInstanceType = "openhands:gcp:ComputeInstance"

// operatingSystem is Container-Optimized OS: Docker, and nothing to install anything with. The family is the newest milestone with long-term support.
// https://cloud.google.com/container-optimized-os/docs/concepts/versioning
const operatingSystem = "projects/cos-cloud/global/images/family/cos-stable"

// ComputeInstanceArgs are the arguments of NewComputeInstance.
type ComputeInstanceArgs struct {
	Zone        string
	MachineType string
	NetworkTag  string // to which the firewall's allowances apply
	BootDiskGB  int
	Spot        bool // Google may take the machine back within 30 seconds, and does not start it again

	// NightStop stops the machine and starts it again by the clock; nil for a machine that always runs.
	NightStop *NightStop

	Subnetwork pulumi.StringInput
	DataDisk   pulumi.StringInput // that stays when the machine goes
	UserData   pulumi.StringInput // a cloud-init document

	// Account is the machine's own identity.
	Account *MachineAccount

	Access Access
}

// NightStop is a schedule by which Google stops a machine and starts it.
type NightStop struct {
	Stop, Start string // of cron
	TimeZone    string // such as Europe/Berlin
	// RoleID names the role by which Google's own account may do that. It is unique in the project, and has no dashes.
	RoleID        string
	ProjectNumber pulumi.StringInput
}

// ComputeInstance is one machine without a public address, which is made anew whenever what it runs changes: nothing on it stays but the data disk.
type ComputeInstance struct {
	pulumi.ResourceState

	Name pulumi.StringOutput `pulumi:"name"`
	Zone pulumi.StringOutput `pulumi:"zone"`

	OpenCommand pulumi.StringOutput `pulumi:"openCommand"` // opens the way to the page at http://localhost:<port>
	SSHCommand  pulumi.StringOutput `pulumi:"sshCommand"`  // for operators
}

func (args *ComputeInstanceArgs) validate(check *component.Check) {
	check.Strings(map[string]string{
		"zone": args.Zone, "machineType": args.MachineType, "networkTag": args.NetworkTag, "access.memberRoleId": args.Access.MemberRoleID,
		"access.operatorRoleId": args.Access.OperatorRoleID,
	})
	check.Inputs(map[string]pulumi.StringInput{"subnetwork": args.Subnetwork, "dataDisk": args.DataDisk, "userData": args.UserData})
	check.Require(args.BootDiskGB >= 10, "bootDiskGb is %d: 10 or more", args.BootDiskGB)
	check.Require(args.Access.Port > 0, "access.port is %d", args.Access.Port)
	check.Require(args.Account != nil, "account is required")
	if night := args.NightStop; night != nil {
		check.Strings(map[string]string{
			"nightStop.stop": night.Stop, "nightStop.start": night.Start, "nightStop.timeZone": night.TimeZone, "nightStop.roleId": night.RoleID,
		})
		check.Inputs(map[string]pulumi.StringInput{"nightStop.projectNumber": night.ProjectNumber})
	}
}

// NewComputeInstance creates the machine, its schedule, and the grants of those who reach it.
func NewComputeInstance(
	ctx *pulumi.Context, name string, args *ComputeInstanceArgs, opts ...pulumi.ResourceOption,
) (_ *ComputeInstance, err error) {
	defer component.Explain(&err, computeInstanceType, name)
	c := &ComputeInstance{}
	if err := component.Register(ctx, computeInstanceType, name, c, args, (*ComputeInstanceArgs).validate, opts...); err != nil {
		return nil, err
	}
	instanceArgs := &compute.InstanceArgs{
		Zone:        pulumi.String(args.Zone),
		MachineType: pulumi.String(args.MachineType),
		Tags:        pulumi.ToStringArray([]string{args.NetworkTag}),
		BootDisk: &compute.InstanceBootDiskArgs{InitializeParams: &compute.InstanceBootDiskInitializeParamsArgs{
			Image: pulumi.String(operatingSystem),
			Size:  pulumi.Int(args.BootDiskGB),
			Type:  pulumi.String("pd-balanced"),
		}},
		AttachedDisks: compute.InstanceAttachedDiskArray{&compute.InstanceAttachedDiskArgs{
			Source:     args.DataDisk,
			DeviceName: pulumi.String(boot.DiskName),
		}},
		// Without accessConfigs there is no public address.
		NetworkInterfaces: compute.InstanceNetworkInterfaceArray{&compute.InstanceNetworkInterfaceArgs{Subnetwork: args.Subnetwork}},
		ServiceAccount: &compute.InstanceServiceAccountArgs{
			Email: args.Account.Email,
			// What the account may do is said by its roles, as Google advises: scopes are older than those.
			Scopes: pulumi.ToStringArray([]string{"cloud-platform"}),
		},
		ShieldedInstanceConfig: &compute.InstanceShieldedInstanceConfigArgs{
			EnableSecureBoot: pulumi.Bool(true), EnableVtpm: pulumi.Bool(true), EnableIntegrityMonitoring: pulumi.Bool(true),
		},
		Scheduling: scheduling(args.Spot),
		// Whoever views the project reads this: it holds no secret.
		Metadata: pulumi.StringMap{
			"user-data":                 args.UserData,
			"enable-oslogin":            pulumi.String("TRUE"), // who may log in is said by IAM
			"block-project-ssh-keys":    pulumi.String("TRUE"), // and by nothing else
			"serial-port-enable":        pulumi.String("FALSE"),
			"google-logging-enabled":    pulumi.String("true"),
			"google-monitoring-enabled": pulumi.String("true"),
			// The next release of the same milestone is installed beside the running one, and runs after the next boot.
			"cos-update-strategy": pulumi.String("update_enabled"),
		},
	}
	if args.NightStop != nil {
		if instanceArgs.ResourcePolicies, err = c.newNightStop(ctx, name, args); err != nil {
			return nil, fmt.Errorf("stop at night: %w", err)
		}
	}
	instance, err := compute.NewInstance(ctx, name+"-machine", instanceArgs, component.Child(c,
		// What the machine runs is in the metadata, and it would run the old until it boots: a new machine runs the new. A disk that is exchanged under a
		// running machine would stay mounted. A machine of another type would have to be stopped, which the provider refuses.
		pulumi.ReplaceOnChanges([]string{"metadata", "attachedDisks", "machineType"}),
		// The data disk is attached to one machine at a time. The new machine gets another name: what is granted on a machine goes with it, and would not be
		// granted again for one of the same name.
		pulumi.DeleteBeforeReplace(true))...)
	if err != nil {
		return nil, fmt.Errorf("create the machine: %w", err)
	}
	c.Name, c.Zone = instance.Name, instance.Zone
	if err := c.newAccess(ctx, name, args, instance); err != nil {
		return nil, err
	}
	c.OpenCommand = pulumi.Sprintf("gcloud compute start-iap-tunnel %s %d --local-host-port=localhost:%[2]d --zone=%s --project=%s",
		instance.Name, args.Access.Port, instance.Zone, instance.Project)
	c.SSHCommand = pulumi.Sprintf("gcloud compute ssh %s --tunnel-through-iap --zone=%s --project=%s", instance.Name, instance.Zone, instance.Project)
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"name": c.Name, "zone": c.Zone, "openCommand": c.OpenCommand, "sshCommand": c.SSHCommand})
}

func scheduling(spot bool) *compute.InstanceSchedulingArgs {
	if spot {
		return &compute.InstanceSchedulingArgs{
			ProvisioningModel: pulumi.String("SPOT"), Preemptible: pulumi.Bool(true), AutomaticRestart: pulumi.Bool(false),
			OnHostMaintenance: pulumi.String("TERMINATE"), InstanceTerminationAction: pulumi.String("STOP"),
		}
	}
	return &compute.InstanceSchedulingArgs{
		ProvisioningModel: pulumi.String("STANDARD"), AutomaticRestart: pulumi.Bool(true), OnHostMaintenance: pulumi.String("MIGRATE"),
	}
}

// newNightStop creates the schedule, which Google's own account for Compute Engine carries out. Google refuses to attach it before that account may.
// https://cloud.google.com/compute/docs/instances/schedule-instance-start-stop
func (c *ComputeInstance) newNightStop(ctx *pulumi.Context, name string, args *ComputeInstanceArgs) (pulumi.StringPtrInput, error) {
	night := args.NightStop
	role, err := newRole(ctx, name+"-night-stop", night.RoleID, "Stop and start machines by a schedule", c, "compute.instances.start", "compute.instances.stop")
	if err != nil {
		return nil, err
	}
	// On the machine itself it cannot be granted, for it has to be there before the machine.
	grant, err := projects.NewIAMMember(ctx, name+"-night-stop", &projects.IAMMemberArgs{
		Project: role.Project,
		Role:    role.Name,
		Member:  pulumi.Sprintf("serviceAccount:service-%s@compute-system.iam.gserviceaccount.com", night.ProjectNumber),
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("grant the role: %w", err)
	}
	policy, err := compute.NewResourcePolicy(ctx, name+"-night-stop", &compute.ResourcePolicyArgs{
		Region: pulumi.String(args.Zone[:strings.LastIndex(args.Zone, "-")]),
		InstanceSchedulePolicy: &compute.ResourcePolicyInstanceSchedulePolicyArgs{
			VmStopSchedule:  &compute.ResourcePolicyInstanceSchedulePolicyVmStopScheduleArgs{Schedule: pulumi.String(night.Stop)},
			VmStartSchedule: &compute.ResourcePolicyInstanceSchedulePolicyVmStartScheduleArgs{Schedule: pulumi.String(night.Start)},
			TimeZone:        pulumi.String(night.TimeZone),
		},
	}, component.Child(c, pulumi.DependsOn([]pulumi.Resource{grant}))...)
	if err != nil {
		return nil, fmt.Errorf("create the schedule: %w", err)
	}
	return policy.SelfLink.ToStringPtrOutput(), nil
}
