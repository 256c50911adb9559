package stacks

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for the names of time zones: whoever runs the program may have none

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra"
	"openhands-gcp/infra/boot"
)

// What the machine's boot disk carries in GB, and what the machine itself needs of its memory.
const (
	canvasDiskGB   = instanceImageGB + 20 // with what the container may write beside the data disk
	machineOwnGiB  = 1.0
	canvasLeastGiB = 2.0
)

const machineKey = "openhands:machine."

// validateMachine checks the machine of profile single.
func (c *Config) validateMachine(report reporter) {
	m := c.Machine
	switch shape, err := parseMachineType(m.MachineType); {
	case err != nil:
		report(machineKey+"machineType", "%v", err)
	case shape.memoryGiB-machineOwnGiB < canvasLeastGiB:
		report(machineKey+"machineType", "%s has %g GiB: the machine itself needs %g, and OpenHands with a browser at least %g. Write e2-medium or a larger one",
			m.MachineType, shape.memoryGiB, machineOwnGiB, canvasLeastGiB)
	}
	for path, members := range map[string][]string{machineKey + "members": m.Members, machineKey + "operators": m.Operators} {
		if len(members) > 0 { // owners of the project need no entry
			checkMembers(report, path, members)
		}
	}
	if s := m.DataDisk.FromSnapshot; s != "" && !snapshotName.MatchString(s) {
		report(machineKey+"dataDisk.fromSnapshot", "%q is not the name of a snapshot: `gcloud compute snapshots list` shows them in its first column", s)
	}
	c.validateNightStop(report)
}

// nightStopGap is the least time between two operations of a schedule.
// https://cloud.google.com/compute/docs/instances/schedule-instance-start-stop
const nightStopGap = 15 * time.Minute

func (c *Config) validateNightStop(report reporter) {
	night := c.Machine.NightStop
	if night == nil {
		return
	}
	const key = machineKey + "nightStop."
	times := map[string]string{"stop": night.Stop, "start": night.Start}
	for name, value := range times {
		if !clock.MatchString(value) {
			report(key+name, "%q is not a time of day: write HH:MM, e.g. \"20:00\", in quotes", value)
			delete(times, name)
		}
	}
	if gap := (minutes(night.Stop) - minutes(night.Start) + minutesOfDay) % minutesOfDay; len(times) == 2 &&
		min(gap, minutesOfDay-gap) < int(nightStopGap.Minutes()) {
		report(key+"stop", "is %s, and start is %s: Google wants a quarter of an hour between them", night.Stop, night.Start)
	}
	for _, day := range night.Days {
		if !slices.Contains(weekdays, day) {
			report(key+"days", "%q is not a day: write %s", day, strings.Join(weekdays, ", "))
		}
	}
	if hasTwice(night.Days) {
		report(key+"days", "names a day twice")
	}
	if _, err := time.LoadLocation(night.TimeZone); err != nil || night.TimeZone == "" || night.TimeZone == "Local" {
		report(key+"timeZone", "%q is not a time zone: write one like Europe/Berlin, or UTC", night.TimeZone)
	}
}

const minutesOfDay = 24 * 60

// minutes is a time of day that matches clock, as minutes; of any other text it is 0.
func minutes(text string) int {
	if !clock.MatchString(text) {
		return 0
	}
	return atoi(text[:2])*60 + atoi(text[3:])
}

// cron is a time of day on some days, as cron writes it: Sunday is 0.
func cron(text string, days []string) string {
	on := "*"
	if len(days) > 0 {
		var numbers []string
		for i, day := range weekdays {
			if slices.Contains(days, day) {
				numbers = append(numbers, strconv.Itoa((i+1)%7))
			}
		}
		on = strings.Join(numbers, ",")
	}
	return fmt.Sprintf("%d %d * * %s", minutes(text)%60, minutes(text)/60, on)
}

// MachineAccountArgs is the machine's identity.
func (c *Config) MachineAccountArgs() *infra.MachineAccountArgs {
	return &infra.MachineAccountArgs{AccountID: c.MachineAccountID(), DisplayName: "OpenHands machine"}
}

// DataDiskArgs is the disk that outlives the machine.
func (c *Config) DataDiskArgs() *infra.DataDiskArgs {
	d := c.Machine.DataDisk
	return &infra.DataDiskArgs{
		Zone: c.Zone, SizeGiB: d.SizeGiB, FromSnapshot: d.FromSnapshot, SnapshotHour: d.Snapshots.Hour, KeepSnapshotDays: d.Snapshots.KeepDays,
		Labels: pulumi.ToStringMap(c.AllLabels()), Protect: c.Protect(d.DeletionProtection), Release: c.Release(),
	}
}

// ComputeInstanceArgs is the machine, and who reaches it.
func (c *Config) ComputeInstanceArgs(
	services *infra.ProjectServices, network *infra.Network, registry *infra.Registry, account *infra.MachineAccount, disk *infra.DataDisk,
) *infra.ComputeInstanceArgs {
	m := c.Machine
	args := &infra.ComputeInstanceArgs{
		Zone: c.Zone, MachineType: m.MachineType, NetworkTag: nodeTag, BootDiskGB: bootDiskGB(canvasDiskGB), Spot: m.Spot,
		Subnetwork: network.SubnetworkID, DataDisk: disk.SelfLink, Account: account, UserData: c.userData(registry),
		Access: infra.Access{
			Port: c.Release().Port, Members: m.Members, Operators: m.Operators, MemberRoleID: c.roleID("member"), OperatorRoleID: c.roleID("operator"),
		},
	}
	if night := m.NightStop; night != nil {
		args.NightStop = &infra.NightStop{
			Stop: cron(night.Stop, night.Days), Start: cron(night.Start, night.Days), TimeZone: night.TimeZone, RoleID: c.roleID("night_stop"),
			ProjectNumber: services.ProjectNumber,
		}
	}
	return args
}

// secretKey encrypts the secrets that OpenHands stores: with another one it starts, and its next write destroys them.
const secretKey = "OH_SECRET_KEY"

// userData is what the machine does when it boots.
func (c *Config) userData(registry *infra.Registry) pulumi.StringOutput {
	shape, _ := parseMachineType(c.Machine.MachineType) // validate has reported it
	r := c.Release()
	return image(c.App.Image, registry.GHCRPrefix, r.Image.Pinned(c.App.ImageDigest)).ToStringOutput().ApplyT(func(image string) (string, error) {
		return boot.Config{
			Name: "openhands", Image: image, Port: r.Port, UserID: r.User, Home: r.Instance.Home, Kept: r.Instance.Kept, Environment: r.Environment,
			Keys: []string{secretKey, r.Instance.KeyVariable}, AlivePath: r.LivenessPath, MemoryMiB: int((shape.memoryGiB - machineOwnGiB) * 1024),
			StopSeconds: r.StopSeconds, Closed: NotPublic,
		}.UserData()
	}).(pulumi.StringOutput)
}

// PageURL is where a browser finds the page while the tunnel is open.
func (c *Config) PageURL() string { return fmt.Sprintf("http://localhost:%d", c.Release().Port) }

// machineUsage is what the machine takes of each quota, at any time.
func (c *Config) machineUsage() usage {
	u := usage{"INSTANCES": 1, "IN_USE_ADDRESSES": 1, "SSD_TOTAL_GB": bootDiskGB(canvasDiskGB) + c.Machine.DataDisk.SizeGiB}
	if shape, err := parseMachineType(c.Machine.MachineType); err == nil {
		u["CPUS_ALL_REGIONS"], u[shape.quota] = shape.cpus, shape.cpus
	}
	return u
}
