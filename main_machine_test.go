package main

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/providers"
	"openhands-gcp/rehearsal/types"
)

func TestAMachineIsReachedThroughTheTunnelOnly(t *testing.T) {
	everyStack(t, func(t *testing.T, stack string, mocks *providers.Mocks) {
		inventory := mocks.Cloud.Inventory()
		assert.Empty(t, checks.Machine(inventory))
		machines := 0
		if stackFile(t, stack)["openhands:profile"] == "single" {
			machines = 1
			assert.Empty(t, inventory.All(types.Cluster))
		}
		assert.Len(t, inventory.All(types.Instance), machines)
	})
}

// boots changes a text in what the machine does when it boots.
func boots(old, new string) func(resource.PropertyMap) {
	return func(inputs resource.PropertyMap) {
		metadata := inputs["metadata"].ObjectValue()
		before := metadata["user-data"].StringValue()
		if !strings.Contains(before, old) {
			panic("the machine does not boot with " + old)
		}
		metadata["user-data"] = resource.NewProperty(strings.ReplaceAll(before, old, new))
	}
}

// TestWhatWouldOpenAMachine makes one mistake at a time. Google takes each, and the page would open.
func TestWhatWouldOpenAMachine(t *testing.T) {
	const instance, name = "Instance", "openhands-machine"
	for _, c := range []struct {
		mistake, resource, name string
		spoil                   func(resource.PropertyMap)
		says                    string
	}{
		{"a public address", instance, name, setInput("networkInterfaces[0].accessConfigs", []any{map[string]any{}}), "has a public address"},
		{"keys of the project", instance, name, setInput("metadata.block-project-ssh-keys", "FALSE"), "block-project-ssh-keys is FALSE"},
		{"no OS Login", instance, name, removeInput("metadata.enable-oslogin"), "enable-oslogin is <nil>"},
		{"a key in the metadata", instance, name, boots("LOG_JSON=true", "LOCAL_BACKEND_API_KEY=hunter2"), "metadata has a value of LOCAL_BACKEND_API_KEY"},
		{"the metadata server open", instance, name, boots("-d 169.254.", "-d 169.253."), "reaches 169.254.169.254 by tcp at port 80: true"},
		{"the way to the machine open", instance, name, boots("-A OPENHANDS -d 172.16.0.0/12 -m conntrack --ctstate NEW -j DROP", ""), "reaches 172.17.0.1"},
		{"no name server", instance, name, boots("-p udp -m udp --dport 53", "-p udp -m udp --dport 54"), "reaches 169.254.169.254 by udp at port 53: false"},
		{
			"the container before its firewall", instance, name, boots("openhands-data.service openhands-firewall.service", "openhands-data.service"),
			"starts without \"/etc/openhands/firewall.rules\" in force",
		},
		{"the machine's own network", instance, name, boots("--publish=8000:8000", "--network=host"), "runs with --network=host"},
		{"every port", instance, name, boots("--publish=8000:8000", "--publish=8000:8000 --publish=18000:18000"), "should publish the page alone"},
		{"root's powers", instance, name, boots("--cap-drop=ALL", "--privileged"), "runs with --privileged"},
		{
			"Docker's socket", instance, name,
			boots("--mount=type=volume,destination=/tmp", "--mount=type=bind,source=/var/run/docker.sock,destination=/d"), "docker.sock",
		},
		{"no end to its memory", instance, name, boots("--memory=", "--memory-reservation="), "without --memory"},
		{"killed before it has stopped", instance, name, boots("--time 60", "--time 10"), `has "10" seconds to stop`},
		{"another disk", instance, name, setInput("attachedDisks[0].deviceName", "other"), "the data disk is /dev/disk/by-id/google-other"},
		{"no data disk", instance, name, removeInput("attachedDisks"), "has no data disk"},
		{
			"the data disk later", instance, name, boots("Requires=docker.service openhands-data.service", "Requires=docker.service"),
			"does not wait for its data disk",
		},
		{"setuid on the data disk", instance, name, boots("Options=nodev,nosuid", "Options=nodev"), "mounts with nodev"},
		{"unsigned kernels", instance, name, setInput("shieldedInstanceConfig.enableSecureBoot", false), "boots what nobody has signed"},
		{"every port of a tunnel", "TunnelInstanceIAMMember", "openhands-page-user:ann@example.com", removeInput("condition"), "should to port 8000 alone"},
		{"the firewall for all", "Firewall", "openhands-allow-iap-page", setInput("sourceRanges", []any{"203.0.113.0/24"}), "lets in [203.0.113.0/24]"},
		{"another port", "Firewall", "openhands-allow-iap-page", setInput("allows[0].ports[0]", "18000"), "opens port 18000"},
		{"no port", "Firewall", "openhands-allow-iap-page", removeInput("allows[0].ports"), "opens every port"},
		{
			"a role too many", "IAMMember", "openhands-account-roles/logging.logWriter", setInput("role", "roles/compute.viewer"),
			"its service account has [roles/compute.viewer",
		},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			mocks, err := spoiledIn(t, "single", stackFile(t, "single"), c.resource, c.name, c.spoil)
			require.NoError(t, err)
			problems := strings.Join(checks.Machine(mocks.Cloud.Inventory()), "\n")
			assert.NotEmpty(t, problems)
			assert.Contains(t, problems, c.says)
		})
	}
}

// TestTheSimulatedCloudRefusesMistakesOfAMachine makes one mistake at a time in a machine with everything. Google or its provider refuses each.
func TestTheSimulatedCloudRefusesMistakesOfAMachine(t *testing.T) {
	const instance, name = "Instance", "openhands-machine"
	for _, c := range []struct {
		mistake, resource, name string
		spoil                   func(resource.PropertyMap)
		refusal                 string
	}{
		{"a zone that does not exist", instance, name, setInput("zone", "europe-west4-f"), "is not a zone of region europe-west4"},
		{"a region for a zone", "Disk", "openhands-data", setInput("zone", "europe-west4"), "is not a zone"},
		{"an image of nobody", instance, name, setInput("bootDisk.initializeParams.image", "projects/cos-cloud/global/images/family/cos-69-lts"), "and not"},
		{"a disk in another zone", instance, name, setInput("zone", "europe-west4-a"), "is in zone europe-west4-b, and the machine in europe-west4-a"},
		{"a subnet in another region", instance, name, setInput("zone", "us-central1-a"), "is in region europe-west4, and the machine is not"},
		{"a disk that is not there", instance, name, setInput("attachedDisks[0].source", "other"), "does not exist"},
		{"the account of nobody", instance, name, setInput("serviceAccount.email", "nobody@example.com"), "does not exist"},
		{"spot, and not preemptible", instance, name, removeInput("scheduling.preemptible"), "SPOT needs it"},
		{"spot that restarts", instance, name, setInput("scheduling.automaticRestart", true), "needs automaticRestart false"},
		{"a schedule of snapshots", instance, name, setInput("resourcePolicies", "other"), "does not exist"},
		{"a schedule that nobody may carry out", "IAMCustomRole", "openhands-night-stop", setInput("permissions", []any{"compute.instances.stop"}),
			"needs to have [compute.instances.start] applied"},
		{"a permission that is none", "IAMCustomRole", "openhands-members", setInput("permissions", []any{"get"}), "is not a permission"},
		{"a role's id with a dash", "IAMCustomRole", "openhands-members", setInput("roleId", "openhands-members"), "does not match"},
		{"a role that is not there", "InstanceIAMMember", "openhands-ssh-user:ops@example.com", setInput("role", "projects/p/roles/other"), "does not exist"},
		{"an agent that is not there", "IAMMember", "openhands-night-stop", setInput("member", "serviceAccount:service-1@compute-system.iam.gserviceaccount.com"),
			"does not exist"},
		{"a disk too small", "Disk", "openhands-data", setInput("size", 5.0), "below 10"},
		{"a time that is none", "ResourcePolicy", "openhands-snapshots", setInput("snapshotSchedulePolicy.schedule.dailySchedule.startTime", "03:30"),
			"is not the beginning of an hour"},
		{"a schedule that is none", "ResourcePolicy", "openhands-night-stop", setInput("instanceSchedulePolicy.vmStopSchedule.schedule", "at night"),
			"is not a schedule of cron"},
		{"a schedule of another region", "ResourcePolicy", "openhands-night-stop", setInput("region", "us-central1"), "is in region us-central1"},
		{"snapshots of another disk", "DiskResourcePolicyAttachment", "openhands-snapshots", setInput("disk", "other"), "does not exist"},
		{"snapshots in another zone", "DiskResourcePolicyAttachment", "openhands-snapshots", setInput("zone", "europe-west4-a"), "is in europe-west4-b"},
		{"a tunnel to nothing", "TunnelInstanceIAMMember", "openhands-ssh-user:ops@example.com", setInput("instance", "other"), "does not exist"},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			_, err := spoiledIn(t, "machine", stackFile(t, "machine"), c.resource, c.name, c.spoil)
			require.ErrorContains(t, err, c.refusal)
		})
	}
}
