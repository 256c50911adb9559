package cloud

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/types"
)

// families are the image families of Container-Optimized OS for x86, in November 2026.
// https://cloud.google.com/container-optimized-os/docs/concepts/versioning
var families = []string{"cos-stable", "cos-beta", "cos-dev", "cos-121-lts", "cos-125-lts"}

const familiesPrefix = "projects/cos-cloud/global/images/family/"

var (
	customRoleID = regexp.MustCompile(`^[a-zA-Z0-9_.]{3,64}$`)
	permission   = regexp.MustCompile(`^[a-z]+(\.[a-zA-Z]+){2,}$`)
	cronSchedule = regexp.MustCompile(`^[0-9]{1,2} [0-9]{1,2} [0-9*,-]+ [0-9*,-]+ [0-9A-Z*,-]+$`)
	onTheHour    = regexp.MustCompile(`^([01][0-9]|2[0-3]):00$`)
)

// computeZonal creates a compute object of a zone.
func computeZonal(collection string) func(*Request) error {
	return func(r *Request) error {
		r.computeObject(fmt.Sprintf("projects/%s/zones/%s/%s/%s", r.Project, r.Inputs.Str("zone"), collection, r.Inputs.Str("name")))
		return nil
	}
}

// checkZone refuses a zone that does not exist.
func (r *Request) checkZone() error {
	zone := r.Inputs.Str("zone")
	if !IsZone(zone) {
		return fmt.Errorf("zone: %q is not a zone", zone)
	}
	return checkLocation(zone)
}

func regionOfZone(zone string) string { return zone[:strings.LastIndex(zone, "-")] }

func checkDisk(r *Request) error {
	if err := r.namedRFC1035(); err != nil {
		return err
	}
	if size := r.Inputs.Num("size"); size < 10 { // https://cloud.google.com/compute/docs/disks/persistent-disks
		return fmt.Errorf("size: %g GB is below 10, the smallest of %s", size, r.Inputs.Str("type"))
	}
	return r.checkZone()
}

// updateDisk refuses a smaller disk.
func updateDisk(r *Request) error {
	if wanted, size := r.Inputs.Num("size"), r.Old.Inputs.Num("size"); wanted < size {
		return fmt.Errorf("size: %g GB is less than the disk has (%g): a disk only grows", wanted, size)
	}
	return nil
}

// removeDisk refuses a disk that a machine has. What is attached to the disk goes with it.
func removeDisk(r *Request) (string, error) {
	if machine := r.attachedTo(r.Old); machine != nil {
		return "", fmt.Errorf("resourceInUseByAnotherResource: disk %s is already being used by %s", r.ID, machine.ID)
	}
	for _, attachment := range r.All(types.DiskPolicy) {
		if attachment.Inputs.Str("disk") == r.Outputs.Str("name") {
			r.Drop(attachment)
		}
	}
	return "", nil
}

// attachedTo is the machine that has a disk; nil where none has.
func (r *Request) attachedTo(disk *Object) *Object {
	for _, machine := range r.All(types.Instance) {
		for _, attached := range machine.Inputs.Maps("attachedDisks") {
			if r.Find(types.Disk, attached.Str("source")) == disk {
				return machine
			}
		}
	}
	return nil
}

func checkResourcePolicy(r *Request) error {
	start := r.Inputs.Str("snapshotSchedulePolicy.schedule.dailySchedule.startTime")
	if r.Inputs.At("snapshotSchedulePolicy") != nil && !onTheHour.MatchString(start) {
		return fmt.Errorf("snapshotSchedulePolicy: %q is not the beginning of an hour", start)
	}
	for _, path := range []string{"vmStartSchedule", "vmStopSchedule"} {
		if schedule := r.Inputs.Str("instanceSchedulePolicy." + path + ".schedule"); schedule != "" && !cronSchedule.MatchString(schedule) {
			return fmt.Errorf("%s: %q is not a schedule of cron", path, schedule)
		}
	}
	return r.namedRFC1035()
}

// removeResourcePolicy refuses a policy that something follows.
func removeResourcePolicy(r *Request) (string, error) {
	for _, attachment := range r.All(types.DiskPolicy) {
		if attachment.Inputs.Str("name") == r.Outputs.Str("name") {
			return "", fmt.Errorf("resourceInUseByAnotherResource: policy %s is used by disk %s", r.ID, attachment.Inputs.Str("disk"))
		}
	}
	for _, machine := range r.All(types.Instance) {
		if machine.Inputs.Str("resourcePolicies") == r.Outputs.Str("selfLink") {
			return "", fmt.Errorf("resourceInUseByAnotherResource: policy %s is used by %s", r.ID, machine.ID)
		}
	}
	return "", nil
}

// checkDiskPolicy: a disk follows one schedule, of its own region.
// https://cloud.google.com/compute/docs/disks/scheduled-snapshots#restrictions
func checkDiskPolicy(r *Request) error {
	disk, err := r.Need(types.Disk, "disk", r.Inputs.Str("disk"))
	if err != nil {
		return err
	}
	if zone := disk.Inputs.Str("zone"); zone != r.Inputs.Str("zone") {
		return fmt.Errorf("zone: disk %s is in %s", disk.ID, zone)
	}
	policy, err := r.Need(types.ResourcePolicy, "name", r.Inputs.Str("name"))
	if err != nil {
		return err
	}
	if policy.Inputs.At("snapshotSchedulePolicy") == nil {
		return fmt.Errorf("name: %s is no schedule of snapshots", policy.ID)
	}
	if region := policy.Outputs.Str("region"); region != regionOfZone(r.Inputs.Str("zone")) {
		return fmt.Errorf("name: policy %s is in region %s, and the disk is not", policy.ID, region)
	}
	for _, other := range r.All(types.DiskPolicy) {
		if other.Inputs.Str("disk") == r.Inputs.Str("disk") && other.Inputs.Str("name") != r.Inputs.Str("name") {
			return fmt.Errorf("disk: %s follows %s already, and may follow one schedule", disk.ID, other.Inputs.Str("name"))
		}
	}
	return nil
}

func createDiskPolicy(r *Request) error {
	r.ID = fmt.Sprintf("%s/%s/%s/%s", r.Project, r.Inputs.Str("zone"), r.Inputs.Str("disk"), r.Inputs.Str("name"))
	r.Outputs["project"] = r.Project
	return nil
}

func checkMachine(r *Request) error {
	if err := errors.Join(r.namedRFC1035(), r.checkZone()); err != nil {
		return err
	}
	image := r.Inputs.Str("bootDisk.initializeParams.image")
	if family, ok := strings.CutPrefix(image, familiesPrefix); !ok || !slices.Contains(families, family) {
		return fmt.Errorf("bootDisk.initializeParams.image: the simulated cloud knows %s, and not %q", strings.Join(families, ", "), image)
	}
	if _, err := r.Need(types.Account, "serviceAccount.email", r.Inputs.Str("serviceAccount.email")); err != nil {
		return err
	}
	for _, check := range []func() error{r.checkMachineNetwork, r.checkAttachedDisks, r.checkScheduling, r.checkMachineSchedule} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkMachineNetwork has the machine wait for what it uses while it boots: the way out, the firewall, and the registries that it pulls from.
func (r *Request) checkMachineNetwork() error {
	for _, nic := range r.Inputs.Maps("networkInterfaces") {
		subnet, err := r.Need(types.Subnetwork, "networkInterfaces.subnetwork", nic.Str("subnetwork"))
		if err != nil {
			return err
		}
		if region := subnet.Outputs.Str("region"); region != regionOfZone(r.Inputs.Str("zone")) {
			return fmt.Errorf("networkInterfaces.subnetwork: %s is in region %s, and the machine is not", subnet.ID, region)
		}
		if err := r.NeedInternet(subnet.Inputs.Str("network")); err != nil {
			return err
		}
	}
	for _, image := range registryImage.FindAllString(r.Inputs.Str("metadata.user-data"), -1) {
		if err := r.NeedImage(image, r.Inputs.Str("serviceAccount.email")); err != nil {
			return err
		}
	}
	return nil
}

var registryImage = regexp.MustCompile(`[a-z0-9-]+-docker\.pkg\.dev/[^\s'"]+`)

// checkAttachedDisks: a disk that is written to has one machine, in its own zone.
func (r *Request) checkAttachedDisks() error {
	for _, attached := range r.Inputs.Maps("attachedDisks") {
		disk, err := r.Need(types.Disk, "attachedDisks.source", attached.Str("source"))
		if err != nil {
			return err
		}
		if zone := disk.Inputs.Str("zone"); zone != r.Inputs.Str("zone") {
			return fmt.Errorf("attachedDisks.source: %s is in zone %s, and the machine in %s", disk.ID, zone, r.Inputs.Str("zone"))
		}
		if other := r.attachedTo(disk); other != nil && other != r.Old {
			return fmt.Errorf("resourceInUseByAnotherResource: disk %s is already being used by %s", disk.ID, other.ID)
		}
	}
	return nil
}

// checkScheduling knows what goes with spot. https://cloud.google.com/compute/docs/instances/create-use-spot
func (r *Request) checkScheduling() error {
	spot := r.Inputs.Str("scheduling.provisioningModel") == "SPOT"
	if spot != r.Inputs.Is("scheduling.preemptible") {
		return errors.New("scheduling.preemptible: is for provisioningModel SPOT, and SPOT needs it")
	}
	if spot && (r.Inputs.At("scheduling.automaticRestart") != false || r.Inputs.Str("scheduling.onHostMaintenance") != "TERMINATE") {
		return errors.New("scheduling: a spot machine needs automaticRestart false and onHostMaintenance TERMINATE")
	}
	return nil
}

// checkMachineSchedule: Google refuses to attach a schedule to a machine before its own account may start and stop machines.
// https://cloud.google.com/compute/docs/instances/schedule-instance-start-stop
func (r *Request) checkMachineSchedule() error {
	link := r.Inputs.Str("resourcePolicies")
	if link == "" {
		return nil
	}
	policy, err := r.Need(types.ResourcePolicy, "resourcePolicies", link)
	if err != nil {
		return err
	}
	if policy.Inputs.At("instanceSchedulePolicy") == nil {
		return fmt.Errorf("resourcePolicies: %s is no schedule of a machine", policy.ID)
	}
	if region := policy.Outputs.Str("region"); region != regionOfZone(r.Inputs.Str("zone")) {
		return fmt.Errorf("resourcePolicies: %s is in region %s, and the machine is not", policy.ID, region)
	}
	may := map[string]bool{}
	for _, grant := range r.All(types.ProjectMember) {
		if grant.Inputs.Str("member") != "serviceAccount:"+computeAgent {
			continue
		}
		if role := r.Find(types.CustomRole, grant.Inputs.Str("role")); role != nil {
			for _, permission := range role.Inputs.Strs("permissions") {
				may[permission] = true
			}
			r.NeedObject(grant, "the schedule's account may start and stop machines")
		}
	}
	for _, permission := range []string{"compute.instances.start", "compute.instances.stop"} {
		if !may[permission] {
			return fmt.Errorf("resourcePolicies: Compute Engine System service account %s needs to have [%s] applied in order to perform this operation",
				computeAgent, permission)
		}
	}
	return nil
}

// computeAgent is Google's own account for Compute Engine in the project.
const computeAgent = "service-" + ProjectNumber + "@compute-system.iam.gserviceaccount.com"

func createMachine(r *Request) error {
	r.Outputs["currentStatus"], r.Outputs["instanceId"], r.Outputs["cpuPlatform"] = "RUNNING", "4000000000000000001", "Intel Broadwell"
	return computeZonal("instances")(r)
}

// updateMachine: the provider stops a machine only where it is allowed to.
func updateMachine(r *Request) error {
	if r.Inputs.Str("machineType") != r.Old.Inputs.Str("machineType") && !r.Inputs.Is("allowStoppingForUpdate") {
		return errors.New("machineType: changing it on a started instance requires stopping it: set allowStoppingForUpdate")
	}
	return nil
}

// removeMachine refuses a machine that is protected. What is granted on a machine goes with it.
func removeMachine(r *Request) (string, error) {
	if r.Inputs.Is("deletionProtection") {
		return "", fmt.Errorf("cannot delete instance %s: instance Deletion Protection is enabled", r.ID)
	}
	for typ, on := range map[string]string{types.InstanceMember: "instanceName", types.TunnelMember: "instance"} {
		for _, grant := range r.All(typ) {
			if grant.Inputs.Str(on) == r.Outputs.Str("name") {
				r.Drop(grant)
			}
		}
	}
	return "", nil
}

// checkCustomRole knows the limits of a role's id. https://cloud.google.com/iam/docs/creating-custom-roles
func checkCustomRole(r *Request) error {
	permissions := r.Inputs.Strs("permissions")
	if len(permissions) == 0 {
		return errors.New("permissions: is empty")
	}
	for _, p := range permissions {
		if !permission.MatchString(p) {
			return fmt.Errorf("permissions: %q is not a permission", p)
		}
	}
	return named("roleId", r.Inputs.Str("roleId"), customRoleID, 64)
}

func createCustomRole(r *Request) error {
	r.ID = fmt.Sprintf("projects/%s/roles/%s", r.in(), r.Inputs.Str("roleId"))
	r.Outputs["name"], r.Outputs["project"], r.Outputs["deleted"] = r.ID, r.in(), false
	return nil
}
