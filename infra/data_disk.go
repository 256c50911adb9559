package infra

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
	"openhands-gcp/release"
)

const dataDiskType = "openhands:gcp:DataDisk"

// DataDiskArgs are the arguments of NewDataDisk.
type DataDiskArgs struct {
	Zone    string
	SizeGiB int // a larger one grows in place, a smaller one replaces the disk

	// FromSnapshot is the snapshot that the disk is made from; an empty disk where empty. Another one replaces the disk.
	FromSnapshot string

	// Release is the one that writes to the disk. The zero Release where the disk is no application's of the table.
	Release release.Release

	SnapshotHour     int // UTC, of the daily snapshot
	KeepSnapshotDays int

	Labels  pulumi.StringMapInput // of the snapshots, which do not get the provider's default labels
	Protect bool                  // refuse to delete or replace the disk
}

// DataDisk is a disk that outlives the machines that it is attached to, with daily snapshots that outlive it in turn.
type DataDisk struct {
	pulumi.ResourceState
	component.Readiness // snapshots are taken

	Name     pulumi.StringOutput `pulumi:"name"`
	SelfLink pulumi.StringOutput `pulumi:"selfLink"`
	Zone     pulumi.StringOutput `pulumi:"zone"`
}

func (args *DataDiskArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"zone": args.Zone})
	check.Require(args.SizeGiB >= 10, "sizeGiB is %d: 10 or more", args.SizeGiB)
	check.Require(args.SnapshotHour >= 0 && args.SnapshotHour <= 23, "snapshotHour is %d: 0 to 23", args.SnapshotHour)
	check.Require(args.KeepSnapshotDays >= 1, "keepSnapshotDays is %d: at least 1", args.KeepSnapshotDays)
}

// NewDataDisk creates the disk and the schedule of its snapshots.
func NewDataDisk(ctx *pulumi.Context, name string, args *DataDiskArgs, opts ...pulumi.ResourceOption) (_ *DataDisk, err error) {
	defer component.Explain(&err, dataDiskType, name)
	c := &DataDisk{}
	if err := component.Register(ctx, dataDiskType, name, c, args, (*DataDiskArgs).validate, opts...); err != nil {
		return nil, err
	}
	diskArgs := &compute.DiskArgs{
		Zone: pulumi.String(args.Zone),
		Type: pulumi.String("pd-balanced"),
		Size: pulumi.Int(args.SizeGiB),
	}
	if args.FromSnapshot != "" {
		diskArgs.Snapshot = pulumi.String(args.FromSnapshot)
	}
	options := component.ProtectIf(args.Protect)
	if args.Release.Version != "" {
		diskArgs.Labels = pulumi.StringMap{component.DiskReleaseLabel: pulumi.String(component.DiskRelease(args.Release))}
		guard, err := component.GuardRelease(ctx, name, args.Release)
		if err != nil {
			return nil, err
		}
		options = append(options, guard)
	}
	disk, err := compute.NewDisk(ctx, name+"-data", diskArgs, component.Child(c, options...)...)
	if err != nil {
		return nil, fmt.Errorf("create the disk: %w", err)
	}
	schedule, err := compute.NewResourcePolicy(ctx, name+"-snapshots", &compute.ResourcePolicyArgs{
		SnapshotSchedulePolicy: &compute.ResourcePolicySnapshotSchedulePolicyArgs{
			Schedule: &compute.ResourcePolicySnapshotSchedulePolicyScheduleArgs{
				DailySchedule: &compute.ResourcePolicySnapshotSchedulePolicyScheduleDailyScheduleArgs{
					DaysInCycle: pulumi.Int(1),
					StartTime:   pulumi.Sprintf("%02d:00", args.SnapshotHour),
				},
			},
			RetentionPolicy: &compute.ResourcePolicySnapshotSchedulePolicyRetentionPolicyArgs{
				MaxRetentionDays: pulumi.Int(args.KeepSnapshotDays),
				// With the disk gone, they are the only copy, and nothing deletes them any more.
				OnSourceDiskDelete: pulumi.String("KEEP_AUTO_SNAPSHOTS"),
			},
			SnapshotProperties: &compute.ResourcePolicySnapshotSchedulePolicySnapshotPropertiesArgs{Labels: args.Labels},
		},
	}, component.Child(c, pulumi.DeleteBeforeReplace(true))...)
	if err != nil {
		return nil, fmt.Errorf("create the schedule of snapshots: %w", err)
	}
	attachment, err := compute.NewDiskResourcePolicyAttachment(ctx, name+"-snapshots", &compute.DiskResourcePolicyAttachmentArgs{
		Name: schedule.Name, // of the policy, and not of the attachment
		Disk: disk.Name,
		Zone: disk.Zone,
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("have snapshots taken of the disk: %w", err)
	}
	c.Awaits(attachment)
	c.Name, c.SelfLink, c.Zone = disk.Name, disk.SelfLink, disk.Zone
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"name": c.Name, "selfLink": c.SelfLink, "zone": c.Zone})
}
