package stacks

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
)

// What GKE's own pods on a sandbox node ask for (networking, DNS cache, logging, metrics, storage), rounded up.
const (
	systemCPU       = 0.5 // vCPU
	systemMemoryGiB = 1.0
	systemPods      = 15
)

// machine is the shape of a machine type.
type machine struct {
	cpus      int
	memoryGiB float64
}

var machineType = regexp.MustCompile(`^(e2|n2|n2d|t2d)-(standard|highmem|highcpu)-([0-9]+)$`)

// anyMachineType is what a machine type looks like, of whatever family.
var anyMachineType = regexp.MustCompile(`^[a-z][a-z0-9]*-(medium|small|micro|(standard|highmem|highcpu)-[0-9]+)$`)

// offeredCPUs are the vCPUs that each family and shape is on offer with.
var offeredCPUs = map[string][]int{
	"e2-standard":  {2, 4, 8, 16, 32},
	"e2-highmem":   {2, 4, 8, 16},
	"e2-highcpu":   {2, 4, 8, 16, 32},
	"n2-standard":  {2, 4, 8, 16, 32, 48, 64, 80, 96, 128},
	"n2-highmem":   {2, 4, 8, 16, 32, 48, 64, 80, 96, 128},
	"n2-highcpu":   {2, 4, 8, 16, 32, 48, 64, 80, 96},
	"n2d-standard": {2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224},
	"n2d-highmem":  {2, 4, 8, 16, 32, 48, 64, 80, 96},
	"n2d-highcpu":  {2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224},
	"t2d-standard": {2, 4, 8, 16, 32, 48, 60},
}

// parseMachineType knows the families that GKE Sandbox runs on and whose memory follows from the name.
// https://cloud.google.com/compute/docs/general-purpose-machines
func parseMachineType(name string) (machine, error) {
	match := machineType.FindStringSubmatch(name)
	if match == nil {
		return machine{}, fmt.Errorf("%q is not a machine type that is known here: write <family>-<shape>-<vCPUs> with family e2, n2, n2d or t2d and shape "+
			"standard, highmem or highcpu, e.g. e2-standard-4", name)
	}
	family, shape := match[1], match[2]
	cpus, err := strconv.Atoi(match[3])
	offered := offeredCPUs[family+"-"+shape]
	if err != nil || !slices.Contains(offered, cpus) {
		return machine{}, fmt.Errorf("%s is not on offer: %s-%s has %v vCPUs", name, family, shape, offered)
	}
	perCPU := map[string]float64{"standard": 4, "highmem": 8, "highcpu": 1}[shape]
	return machine{cpus: cpus, memoryGiB: perCPU * float64(cpus)}, nil
}

// allocatable returns what GKE leaves to pods of a node's CPUs and memory.
// https://cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes#resource_reservations
func (m machine) allocatable() (cpus, memoryGiB float64) {
	cpus = float64(m.cpus)
	cpus -= 0.06 * min(cpus, 1)
	cpus -= 0.01 * min(max(float64(m.cpus)-1, 0), 1)
	cpus -= 0.005 * min(max(float64(m.cpus)-2, 0), 2)
	cpus -= 0.0025 * max(float64(m.cpus)-4, 0)

	const evictionGiB = 100.0 / 1024
	reserved := 0.25 * min(m.memoryGiB, 4)
	reserved += 0.20 * min(max(m.memoryGiB-4, 0), 4)
	reserved += 0.10 * min(max(m.memoryGiB-8, 0), 8)
	reserved += 0.06 * min(max(m.memoryGiB-16, 0), 112)
	reserved += 0.02 * max(m.memoryGiB-128, 0)
	return cpus, m.memoryGiB - reserved - evictionGiB
}

// sandboxFit says how many sandboxes a node carries, and why.
type sandboxFit struct {
	perNode    int
	arithmetic string
}

func (s Sandboxes) fit() (sandboxFit, error) {
	m, err := parseMachineType(s.Pool.MachineType)
	if err != nil {
		return sandboxFit{}, err
	}
	cpus, memory := m.allocatable()
	cpus, memory = max(cpus-systemCPU, 0), max(memory-systemMemoryGiB, 0)
	byCPU, byMemory := int(cpus/s.CPURequest), int(memory/s.MemoryRequest)
	return sandboxFit{
		perNode: min(byCPU, byMemory, PodsPerNode-systemPods),
		arithmetic: fmt.Sprintf("of an %s, %.2f vCPU and %.1f GiB are left for sandboxes: %.2f / %g vCPU = %d, %.1f / %g GiB = %d",
			s.Pool.MachineType, cpus, memory, cpus, s.CPURequest, byCPU, memory, s.MemoryRequest, byMemory),
	}, nil
}

// volumesPerSandbox is for how many closed conversations the volumes are kept, beside every open one.
const volumesPerSandbox = 20

// MaxVolumes is the configured number, or derived from the number of sandboxes.
func (c *Config) MaxVolumes() int {
	if c.Sandboxes.MaxVolumes > 0 {
		return c.Sandboxes.MaxVolumes
	}
	return volumesPerSandbox * c.Sandboxes.Max
}

// needed returns the number of nodes that carry all sandboxes at once.
func (s Sandboxes) needed(fit sandboxFit) int {
	return int(math.Ceil(float64(s.Max) / float64(fit.perNode)))
}

// SandboxNodes returns the maximum of the sandbox pool: the configured one, or as many nodes as sandboxes.max needs. It is 0 where validate has a
// problem with the sandboxes to report.
func (c *Config) SandboxNodes() int {
	fit, err := c.Sandboxes.fit()
	if err != nil || fit.perNode < 1 {
		return 0
	}
	if c.Sandboxes.Pool.MaxNodes > 0 {
		return c.Sandboxes.Pool.MaxNodes
	}
	return c.Sandboxes.needed(fit)
}

func (c *Config) validateSandboxes(report reporter) {
	const key = "openhands:sandboxes"
	fit, err := c.Sandboxes.fit()
	if err != nil {
		report(key+".pool.machineType", "%v", err)
		return
	}
	if c.Sandboxes.Warm > c.Sandboxes.Max {
		report(key+".warm", "is %d, above max (%d): the nodes have no room for more", c.Sandboxes.Warm, c.Sandboxes.Max)
	}
	if volumes := c.MaxVolumes(); volumes < c.Sandboxes.Max {
		report(key+".maxVolumes", "is %d, below max (%d): every sandbox has a volume", volumes, c.Sandboxes.Max)
	}
	if fit.perNode < 1 {
		report(key+".pool.machineType",
			"not one sandbox fits on a node (%s): choose a larger machine type, or smaller cpuRequest and memoryRequestGiB", fit.arithmetic)
		return
	}
	if nodes, needed := c.Sandboxes.Pool.MaxNodes, c.Sandboxes.needed(fit); nodes > 0 && nodes < needed {
		report(key+".pool.maxNodes", "is %d, but max is %d sandboxes at %d a node (%s), which needs %d nodes: write at least %d, lower max to %d, or remove maxNodes",
			nodes, c.Sandboxes.Max, fit.perNode, fit.arithmetic, needed, needed, nodes*fit.perNode)
	}
}
