package stacks

import (
	"fmt"
	"math"

	"openhands-gcp/release"
)

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
	cpus, memory := m.forPods()
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

// nodes returns how many nodes carry a number of sandboxes.
func (f sandboxFit) nodes(sandboxes int) int {
	return int(math.Ceil(float64(sandboxes) / float64(f.perNode)))
}

// anywhere returns how many nodes carry all sandboxes, wherever their workspaces are. A workspace is a disk in the zone in which its conversation began, and a
// sandbox that is continued has to run there. In a cluster of one zone every free place serves every sandbox, and takes that of a placeholder too. In several,
// the nodes of a zone are of no use to the others: each zone may have a node that is not full, and one more that is left half empty by sandboxes that ended,
// because nothing moves the others. So there is a node of slack for each zone. They exist only while sandboxes need them.
func (c *Config) anywhere(fit sandboxFit) int {
	if c.zones() == 1 {
		return fit.nodes(c.Sandboxes.Max)
	}
	return fit.nodes(c.Sandboxes.Max+c.Sandboxes.Warm) + c.zones()
}

// SandboxNodes returns the maximum of the sandbox pool: the configured one, or as many nodes as sandboxes.max needs. It is 0 where validate has a
// problem with the sandboxes to report, and where they are elsewhere.
func (c *Config) SandboxNodes() int {
	if c.Line() == release.Canvas {
		return c.instanceNodes()
	}
	fit, err := c.Sandboxes.fit()
	if err != nil || fit.perNode < 1 || !c.RunsSandboxes() {
		return 0
	}
	if c.Sandboxes.Pool.MaxNodes > 0 {
		return c.Sandboxes.Pool.MaxNodes
	}
	return c.anywhere(fit)
}

// SandboxDiskGB is the size of the boot disk of a sandbox node.
func (c *Config) SandboxDiskGB() int {
	if c.Line() == release.Canvas {
		return c.instanceDiskGB()
	}
	fit, err := c.Sandboxes.fit()
	if err != nil {
		return 0
	}
	return bootDiskGB(sandboxImageGB + scratchGB*fit.perNode)
}

// zonesWarning says what may happen with a maximum of nodes that somebody set without a thought of zones; empty where there is enough.
func (c *Config) zonesWarning() string {
	fit, err := c.Sandboxes.fit()
	nodes := c.Sandboxes.Pool.MaxNodes
	if err != nil || nodes == 0 || !c.RunsSandboxes() || nodes >= c.anywhere(fit) {
		return ""
	}
	return fmt.Sprintf("openhands:sandboxes.pool.maxNodes is %d: %d sandboxes and %d warm ones at %d a node need %d nodes, and one of slack for each "+
		"of the %d zones, as a conversation continues in the zone of its workspace. With less, one may wait in vain for a node (volume node affinity "+
		"conflict): remove maxNodes, or write %d.",
		nodes, c.Sandboxes.Max, c.Sandboxes.Warm, fit.perNode, fit.nodes(c.Sandboxes.Max+c.Sandboxes.Warm), c.zones(), c.anywhere(fit))
}

func (c *Config) validateSandboxes(report reporter) {
	const key = "openhands:sandboxes"
	if c.Line() == release.Canvas {
		return // they are the instances
	}
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
	if nodes, needed := c.Sandboxes.Pool.MaxNodes, fit.nodes(c.Sandboxes.Max); nodes > 0 && nodes < needed {
		report(key+".pool.maxNodes", "is %d, but max is %d sandboxes at %d a node (%s), which needs %d nodes, and %d wherever their workspaces are: "+
			"write at least %d, lower max to %d, or remove maxNodes",
			nodes, c.Sandboxes.Max, fit.perNode, fit.arithmetic, needed, c.anywhere(fit), needed, nodes*fit.perNode)
	}
}
