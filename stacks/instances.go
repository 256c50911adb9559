package stacks

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"openhands-gcp/infra/app"
	"openhands-gcp/release"
)

// instanceName is a part of a host name that is the name of objects of Kubernetes too.
var instanceName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$`)

// fillInstances gives the instances the sizes that they leave out.
func (c *Config) fillInstances() {
	for i := range c.Instances {
		instance, defaults := &c.Instances[i], instanceDefaults
		instance.CPURequest = cmp.Or(instance.CPURequest, defaults.CPURequest)
		instance.CPULimit = cmp.Or(instance.CPULimit, max(defaults.CPULimit, instance.CPURequest))
		instance.MemoryRequest = cmp.Or(instance.MemoryRequest, defaults.MemoryRequest)
		instance.MemoryLimit = cmp.Or(instance.MemoryLimit, max(defaults.MemoryLimit, instance.MemoryRequest))
		instance.VolumeGiB = cmp.Or(instance.VolumeGiB, defaults.VolumeGiB)
	}
}

// hostPattern is what a host must match: the configured one, or with instances any name below it.
func (c *Config) hostPattern() string {
	if c.Line() == release.Canvas {
		return "*." + c.Exposure.Host
	}
	return c.Exposure.Host
}

// logins are who may log in, by host.
func (c *Config) logins() map[string][]string {
	if c.Line() == release.Server {
		return map[string][]string{c.Exposure.Host: c.Exposure.Login.Members}
	}
	logins := map[string][]string{}
	for _, i := range c.Instances {
		logins[c.InstanceHost(i)] = i.Members
	}
	return logins
}

// InstanceHost is the host of an instance on the internet.
func (c *Config) InstanceHost(i Instance) string { return i.Name + "." + c.Exposure.Host }

func (c *Config) validateInstances(report reporter) {
	const key = "openhands:instances"
	if c.Line() != release.Canvas {
		return
	}
	if len(c.Instances) == 0 {
		report(key, "is empty: line canvas runs an instance for each person or team. Write one:\n"+
			"    openhands:instances:\n      - name: ann\n        members: [user:ann@example.com]")
	}
	seen := map[string]bool{}
	for i, instance := range c.Instances {
		path := fmt.Sprintf("%s (%s)", key, instance.Name)
		if instance.Name == "" {
			path = fmt.Sprintf("%s[%d].name", key, i)
		}
		switch {
		case !instanceName.MatchString(instance.Name):
			report(path, "%q is not a name: it becomes part of a host name. Write up to 40 lower case letters, digits and dashes, beginning with a letter",
				instance.Name)
		case seen[instance.Name]:
			report(path, "two instances have this name, and there is one host and one volume for it: give each its own, or put the members of both into one")
		}
		seen[instance.Name] = true
		c.validateInstance(report, path, instance)
	}
	c.validateGrants(report)
	c.validateInstanceNodes(report)
}

// Limits of a policy of IAM, in which each instance has a grant, with a condition of its own, for each of its members.
// https://cloud.google.com/iam/quotas
const (
	conditionsOfMember = 20
	groupsOfPolicy     = 250
	membersOfPolicy    = 1500
)

// validateGrants refuses members for whom Google has no more grants: it would say so in the middle of an update.
func (c *Config) validateGrants(report reporter) {
	const key = "openhands:instances"
	if !c.Exposed() {
		return
	}
	of, groups, all := map[string]int{}, map[string]bool{}, 0
	for _, i := range c.Instances {
		for _, member := range i.Members {
			of[member]++
			all++
			if strings.HasPrefix(member, "group:") || strings.HasPrefix(member, "domain:") {
				groups[member] = true
			}
		}
	}
	for _, member := range slices.Sorted(maps.Keys(of)) {
		if of[member] > conditionsOfMember {
			report(key, "%s is a member of %d instances, and IAM has %d grants with different conditions for one: take it off some", member, of[member],
				conditionsOfMember)
		}
	}
	if len(groups) > groupsOfPolicy {
		report(key, "name %d groups and domains, and a policy of IAM has room for %d: name people, or use a second project", len(groups), groupsOfPolicy)
	}
	if all > membersOfPolicy {
		report(key, "have %d members in all, and a policy of IAM has room for %d: use groups, or a second project", all, membersOfPolicy)
	}
}

// validateInstance checks one instance by itself.
func (c *Config) validateInstance(report reporter, path string, i Instance) {
	if c.Exposed() {
		checkMembers(report, path+".members", i.Members)
		if host := c.InstanceHost(i); c.Exposure.Host != "" && len(host) > hostLimit {
			report(path, "its host %s has %d characters, and %d are the limit: choose a shorter name", host, len(host), hostLimit)
		}
	}
	if i.CPULimit < i.CPURequest {
		report(path+".cpuLimit", "is %g, below cpuRequest (%g)", i.CPULimit, i.CPURequest)
	}
	if i.MemoryLimit < i.MemoryRequest {
		report(path+".memoryLimitGiB", "is %g, below memoryRequestGiB (%g)", i.MemoryLimit, i.MemoryRequest)
	}
}

// instancesWarning says who reaches the instances where there is no login; empty where there is one.
func (c *Config) instancesWarning() string {
	if c.Line() != release.Canvas || c.Exposed() || c.Single() {
		return ""
	}
	return "openhands:exposure.mode is none: there is no login, members reach nothing, and whoever is an operator, or an owner of the project, reaches every " +
		"instance by port-forward, with the keys in it."
}

// hostLimit is that of the title of a grant's condition, which is the host, in characters.
// https://cloud.google.com/iam/docs/conditions-overview
const hostLimit = 100

// validateInstanceNodes refuses instances that the nodes have no room for.
func (c *Config) validateInstanceNodes(report reporter) {
	m, err := parseMachineType(c.Sandboxes.Pool.MachineType)
	if err != nil {
		report("openhands:sandboxes.pool.machineType", "%v", err)
		return
	}
	cpus, memory := m.forPods()
	for _, i := range c.Instances {
		if i.CPURequest > cpus || i.MemoryLimit > memory {
			report(fmt.Sprintf("openhands:instances (%s)", i.Name), "may use %g vCPU and %g GiB, and of an %s, %.2f and %.1f are left: choose a larger "+
				"openhands:sandboxes.pool.machineType, or a smaller instance", i.CPURequest, i.MemoryLimit, c.Sandboxes.Pool.MachineType, cpus, memory)
			return
		}
	}
	if nodes, needed := c.Sandboxes.Pool.MaxNodes, c.packedNodes(); nodes > 0 && nodes < needed {
		report("openhands:sandboxes.pool.maxNodes", "is %d, and %d instances need %d nodes of type %s: write at least %d, or remove it",
			nodes, len(c.Instances), needed, c.Sandboxes.Pool.MachineType, needed)
	}
}

// instanceNodes is the maximum of the pool that carries the instances: the configured one, or as many as they need, and a node of slack for each zone of
// several, because an instance can run in the zone of its volume only. It is 0 where validate has a problem with them to report.
func (c *Config) instanceNodes() int {
	if c.Sandboxes.Pool.MaxNodes > 0 {
		return c.Sandboxes.Pool.MaxNodes
	}
	if c.zones() == 1 {
		return c.packedNodes()
	}
	return c.packedNodes() + c.zones()
}

// packedNodes is on how many nodes the instances fit, the large ones first, each onto the first node that has room for what it is sure of.
func (c *Config) packedNodes() int {
	m, err := parseMachineType(c.Sandboxes.Pool.MachineType)
	if err != nil {
		return 0
	}
	type free struct {
		cpus, memory float64
		pods         int
	}
	var nodes []free
	bySize := slices.Clone(c.Instances)
	slices.SortStableFunc(bySize, func(a, b Instance) int { return cmp.Compare(b.MemoryRequest, a.MemoryRequest) })
	for _, i := range bySize {
		at := slices.IndexFunc(nodes, func(n free) bool { return n.cpus >= i.CPURequest && n.memory >= i.MemoryRequest && n.pods > 0 })
		if at < 0 {
			cpus, memory := m.forPods()
			nodes, at = append(nodes, free{cpus, memory, instancesPerNode}), len(nodes)
		}
		nodes[at].cpus -= i.CPURequest
		nodes[at].memory -= i.MemoryRequest
		nodes[at].pods--
	}
	return len(nodes)
}

// instanceVolumesGB is what the volumes of all instances take.
func (c *Config) instanceVolumesGB() int {
	sum := 0
	for _, i := range c.Instances {
		sum += i.VolumeGiB
	}
	return sum
}

// instancesPerNode is a limit of Compute Engine's: a machine takes 128 disks, its own among them, and each instance has one. The nodes take fewer pods.
// https://cloud.google.com/compute/docs/disks/persistent-disks#pdnumberlimits
const instancesPerNode = PodsPerNode - systemPods

// instanceImageGB is the image of an instance, unpacked.
const instanceImageGB = 8

// instanceDiskGB is the size of the boot disk of a node that carries instances. It does not follow the list: with another disk, GKE makes each node anew. More
// and smaller instances than the default share it: each is sure of 1 GiB, for which even the most that fit by CPU and memory find room.
func (c *Config) instanceDiskGB() int {
	m, err := parseMachineType(c.Sandboxes.Pool.MachineType)
	if err != nil {
		return 0
	}
	cpus, memory := m.forPods()
	perNode := min(math.Floor(cpus/instanceDefaults.CPURequest), math.Floor(memory/instanceDefaults.MemoryRequest), instancesPerNode)
	return bootDiskGB(instanceImageGB + app.InstanceScratchGiB*int(perNode))
}
