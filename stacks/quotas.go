package stacks

import (
	"fmt"
	"maps"
	"slices"

	"openhands-gcp/release"
)

// Quota is what a stack takes of one of Compute Engine's quotas. Cloud SQL's machines and disks are in a project of Google's, and count in none of them.
type Quota struct {
	Name    string // as Compute Engine writes it
	Start   int    // before the first conversation
	All     int    // with all nodes, and a workspace for each sandbox
	Upgrade int    // the same, while GKE upgrades the nodes
}

func (q Quota) String() string {
	if q.Start == q.All && q.All == q.Upgrade {
		return fmt.Sprint(q.All)
	}
	return fmt.Sprintf("%d at the start, %d with all nodes, %d during an upgrade", q.Start, q.All, q.Upgrade)
}

const (
	// The pool that every cluster is born with has an e2-medium with such a disk in each zone (infra.GkeCluster), and is gone before the others come.
	firstPoolCPUs = 2
	firstPoolGB   = 30

	surgeNodes = 1 // of each pool, beyond its maximum, during an upgrade

	portsPerNode    = 16384 // of Cloud NAT's addresses, that a node may use (infra.Network)
	portsPerAddress = 64512
)

// Quotas returns what the stack takes of the quotas that a new project is likely to have too little of, in the order of their names.
func (c *Config) Quotas() []Quota {
	if c.Single() {
		var quotas []Quota
		always := c.machineUsage()
		for _, name := range slices.Sorted(maps.Keys(always)) {
			quotas = append(quotas, Quota{Name: name, Start: always[name], All: always[name], Upgrade: always[name]})
		}
		return quotas
	}
	app, zones, sandboxNodes, surge := c.Cluster.AppPool, c.zones(), c.SandboxNodes(), 0
	warm, volumesAtStart, volumes := 0, 0, 0 // nodes, and GB of the volumes
	if sandboxNodes > 0 {
		surge = surgeNodes
	}
	if c.Line() == release.Canvas {
		warm, volumes = c.packedNodes(), c.instanceVolumesGB()
		volumesAtStart = volumes
	} else if fit, err := c.Sandboxes.fit(); err == nil && sandboxNodes > 0 {
		warm, volumes = fit.nodes(c.Sandboxes.Warm), c.Sandboxes.Max*c.Sandboxes.VolumeGiB
	}
	first := usage{
		"CPUS": firstPoolCPUs * zones, "CPUS_ALL_REGIONS": firstPoolCPUs * zones, "INSTANCES": zones, "DISKS_TOTAL_GB": firstPoolGB * zones,
		"IN_USE_ADDRESSES": 1,
	}
	// A pool begins with a node in each zone, whatever its minimum.
	start, all := c.usage(max(app.MinNodes, zones), warm, volumesAtStart), c.usage(app.MaxNodes, sandboxNodes, volumes)
	upgrade := c.usage(app.MaxNodes+surgeNodes, sandboxNodes+surge, volumes)
	var quotas []Quota
	for _, name := range slices.Sorted(maps.Keys(upgrade)) {
		quotas = append(quotas, Quota{Name: name, Start: max(first[name], start[name]), All: all[name], Upgrade: upgrade[name]})
	}
	return quotas
}

// usage is how much is taken of each quota.
type usage map[string]int

// usage returns what nodes of both pools, and the volumes beside them, take.
func (c *Config) usage(appNodes, sandboxNodes, volumesGB int) usage {
	nodes := appNodes + sandboxNodes
	u := usage{
		"INSTANCES":        nodes,
		"SSD_TOTAL_GB":     appNodes*bootDiskGB(serverDiskGB) + sandboxNodes*c.SandboxDiskGB() + volumesGB,
		"IN_USE_ADDRESSES": (nodes*portsPerNode + portsPerAddress - 1) / portsPerAddress,
		"CPUS":             0, // of the first pool, and so is the next
		"DISKS_TOTAL_GB":   0,
	}
	for _, pool := range []struct {
		machineType string
		nodes       int
	}{{c.Cluster.AppPool.MachineType, appNodes}, {c.Sandboxes.Pool.MachineType, sandboxNodes}} {
		m, err := parseMachineType(pool.machineType)
		if err != nil {
			continue // validate has reported it
		}
		u[m.quota] += m.cpus * pool.nodes
		u["CPUS_ALL_REGIONS"] += m.cpus * pool.nodes
	}
	return u
}
