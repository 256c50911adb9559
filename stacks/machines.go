package stacks

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// machine is the shape of a machine type.
type machine struct {
	cpus      int
	memoryGiB float64
	quota     string // of Compute Engine, that its vCPUs count in
	shared    bool   // its vCPUs are shares of a core
}

// shape is what the machine types of one series and shape have in common.
type shape struct {
	perCPU float64 // GiB for each vCPU
	cpus   []int   // that are on offer
}

// shapes are the machine types that both pools may have: their processors are x86, they take persistent disks, and their memory follows from the name.
// https://cloud.google.com/compute/docs/general-purpose-machines, https://cloud.google.com/compute/docs/compute-optimized-machines
var shapes = map[string]shape{
	"e2-standard":  {4, []int{2, 4, 8, 16, 32}},
	"e2-highmem":   {8, []int{2, 4, 8, 16}},
	"e2-highcpu":   {1, []int{2, 4, 8, 16, 32}},
	"n1-standard":  {3.75, []int{1, 2, 4, 8, 16, 32, 64, 96}},
	"n1-highmem":   {6.5, []int{2, 4, 8, 16, 32, 64, 96}},
	"n1-highcpu":   {0.9, []int{2, 4, 8, 16, 32, 64, 96}},
	"n2-standard":  {4, []int{2, 4, 8, 16, 32, 48, 64, 80, 96, 128}},
	"n2-highmem":   {8, []int{2, 4, 8, 16, 32, 48, 64, 80, 96, 128}},
	"n2-highcpu":   {1, []int{2, 4, 8, 16, 32, 48, 64, 80, 96}},
	"n2d-standard": {4, []int{2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224}},
	"n2d-highmem":  {8, []int{2, 4, 8, 16, 32, 48, 64, 80, 96}},
	"n2d-highcpu":  {1, []int{2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224}},
	"t2d-standard": {4, []int{1, 2, 4, 8, 16, 32, 48, 60}},
	"c2-standard":  {4, []int{4, 8, 16, 30, 60}},
	"c2d-standard": {4, []int{2, 4, 8, 16, 32, 56, 112}},
	"c2d-highmem":  {8, []int{2, 4, 8, 16, 32, 56, 112}},
	"c2d-highcpu":  {2, []int{2, 4, 8, 16, 32, 56, 112}},
	"c3-standard":  {4, []int{4, 8, 22, 44, 88, 176}},
	"c3-highmem":   {8, []int{4, 8, 22, 44, 88, 176}},
	"c3-highcpu":   {2, []int{4, 8, 22, 44, 88, 176}},
	"c3d-standard": {4, []int{4, 8, 16, 30, 60, 90, 180, 360}},
	"c3d-highmem":  {8, []int{4, 8, 16, 30, 60, 90, 180, 360}},
	"c3d-highcpu":  {2, []int{4, 8, 16, 30, 60, 90, 180, 360}},
}

// sharedCore are the machine types whose vCPUs are shares of a core, with their memory.
var sharedCore = map[string]float64{"e2-micro": 1, "e2-small": 2, "e2-medium": 4}

// cpuQuotas are the series whose vCPUs have another quota than CPUS.
// https://cloud.google.com/compute/resource-usage#cpu_quota
var cpuQuotas = map[string]string{
	"n2": "N2_CPUS", "n2d": "N2D_CPUS", "t2d": "T2D_CPUS", "c2": "C2_CPUS", "c2d": "C2D_CPUS", "c3": "C3_CPUS", "c3d": "CPUS_PER_VM_FAMILY",
}

// Series that exist, and on which nothing here would run. https://cloud.google.com/compute/docs/disks#disk-types
var (
	armSeries       = []string{"t2a", "c4a", "n4a", "a4x"}
	hyperdiskSeries = []string{"n4", "n4d", "c4", "c4d", "h4d", "m4", "x4", "a4"}
)

var machineName = regexp.MustCompile(`^(([a-z][a-z0-9]*)-[a-z]+)(-([0-9]+))?$`)

// parseMachineType returns the shape of a machine type, of whichever pool.
func parseMachineType(name string) (machine, error) {
	const instead = "Write one of series e2, n2, n2d or t2d, e.g. e2-standard-4"
	match := machineName.FindStringSubmatch(name)
	if match == nil {
		return machine{}, fmt.Errorf("%q is not a machine type. %s", name, instead)
	}
	series := match[2]
	m := machine{quota: "CPUS"}
	if other, ok := cpuQuotas[series]; ok {
		m.quota = other
	}
	if memory, ok := sharedCore[name]; ok {
		m.cpus, m.memoryGiB, m.shared = 2, memory, true
		return m, nil
	}
	s, known := shapes[match[1]]
	switch {
	case slices.Contains(armSeries, series):
		return machine{}, fmt.Errorf(
			"%s is an Arm machine: GKE taints its nodes with kubernetes.io/arch=arm64, which OpenHands does not tolerate. %s", name, instead,
		)
	case slices.Contains(hyperdiskSeries, series):
		return machine{}, fmt.Errorf("%s takes Hyperdisk only, and the nodes' disks and the sandboxes' workspaces are persistent disks (pd-balanced, "+
			"standard-rwo). %s",
			name, instead)
	case !known:
		return machine{}, fmt.Errorf("%q is not a machine type that is known here (%s, %s). %s", name,
			strings.Join(slices.Sorted(maps.Keys(shapes)), ", "), strings.Join(slices.Sorted(maps.Keys(sharedCore)), ", "), instead)
	}
	cpus, err := strconv.Atoi(match[4])
	if err != nil || !slices.Contains(s.cpus, cpus) {
		return machine{}, fmt.Errorf("%s is not on offer: %s has %v vCPUs", name, match[1], s.cpus)
	}
	m.cpus, m.memoryGiB = cpus, s.perCPU*float64(cpus)
	return m, nil
}

// parseAppMachine returns the shape of a machine type of the application's pool. That pool carries GKE's own pods too (DNS, metrics, logs, the agent of the
// Connect gateway), and may have one node only.
func parseAppMachine(name string) (machine, error) {
	m, err := parseMachineType(name)
	if err == nil && (m.shared || m.cpus < 2) {
		return machine{}, fmt.Errorf("%s has less than two whole vCPUs, and GKE's own pods need most of them: the application would wait for a node for "+
			"ever. Write e2-standard-2, or a larger one", name)
	}
	return m, err
}

// What GKE's own pods on a node ask for (networking, DNS cache, logging, metrics, storage), rounded up.
const (
	systemCPU       = 0.5 // vCPU
	systemMemoryGiB = 1.0
	systemPods      = 15
)

// forPods returns what GKE, and its own pods on the node, leave of a node's CPUs and memory.
// https://cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes#resource_reservations
func (m machine) forPods() (cpus, memoryGiB float64) {
	cpus = float64(m.cpus)
	cpus -= 0.06 * min(cpus, 1)
	cpus -= 0.01 * min(max(float64(m.cpus)-1, 0), 1)
	cpus -= 0.005 * min(max(float64(m.cpus)-2, 0), 2)
	cpus -= 0.0025 * max(float64(m.cpus)-4, 0)
	if m.shared {
		cpus = 0.94 // GKE keeps 1.06 of the two
	}

	const evictionGiB = 100.0 / 1024
	reserved := 0.25 * min(m.memoryGiB, 4)
	reserved += 0.20 * min(max(m.memoryGiB-4, 0), 4)
	reserved += 0.10 * min(max(m.memoryGiB-8, 0), 8)
	reserved += 0.06 * min(max(m.memoryGiB-16, 0), 112)
	reserved += 0.02 * max(m.memoryGiB-128, 0)
	return max(cpus-systemCPU, 0), max(m.memoryGiB-reserved-evictionGiB-systemMemoryGiB, 0)
}

// What a boot disk carries, in GB.
const (
	systemDiskGB = 20 // Container-Optimized OS, the images and logs of GKE's own pods

	// The server's image, twice during an upgrade, and what its pod may write.
	serverDiskGB = 10 + 2

	// The sandboxes' image: release 0.62's has 6 to 7 unpacked, and one's own may have twice that.
	sandboxImageGB = 15
	// What is counted on for each sandbox beside its workspace. It may fill 10, and few fill any; a node without room evicts first who took most of it.
	scratchGB = 5
)

// bootDiskGB is the size of a node's boot disk, in steps of 10, with the tenth free below which the node evicts pods. It counts in the quota of SSDs, of
// which a new project has 250 or 500 GB in a region.
func bootDiskGB(podsGB int) int {
	return int(math.Ceil(float64(systemDiskGB+podsGB)/0.9/10)) * 10
}
