package stacks

import (
	"fmt"
	"slices"
	"strings"

	"openhands-gcp/release"
)

// Fact is one thing to know about a stack, in words, such as its database.
type Fact struct{ What, Is string }

// Summary says what a stack is in the few lines that a person reads before it is created, so that a setting can be seen to have taken effect.
func (c *Config) Summary() []Fact {
	if c.Single() {
		return []Fact{
			{"place", c.describePlace()}, {"machine", c.describeMachine()}, {"data disk", c.describeDataDisk()},
			{"way in", "a tunnel of Identity-Aware Proxy, for " + ownersAnd(c.Machine.Members) + "; SSH for " + ownersAnd(c.Machine.Operators)},
			{"egress", "the machine reaches the internet"},
		}
	}
	facts := []Fact{{"place", c.describePlace()}, {"cluster", c.describeCluster()}}
	switch {
	case c.Line() == release.Canvas:
		facts = append(facts, Fact{"instances", c.describeInstances()})
	case c.RunsSandboxes():
		facts = append(facts, Fact{"sandboxes", c.describeSandboxes()})
	default:
		facts = append(facts, Fact{"sandboxes", "by the runtime API at " + c.App.RemoteRuntimeURL})
	}
	if c.Line() == release.Server {
		facts = append(facts, Fact{"database", c.describeDatabase()})
	}
	return append(facts, Fact{"way in", c.describeWayIn()}, Fact{"egress", c.describeEgress()}, Fact{"alerts", c.describeAlerts()})
}

// ownersAnd are those who get in: whoever owns the project does anyway.
func ownersAnd(members []string) string {
	if len(members) == 0 {
		return "the project's owners"
	}
	return "the project's owners and " + strings.Join(members, ", ")
}

func (c *Config) describeMachine() string {
	text := fmt.Sprintf("%s in zone %s", c.Machine.MachineType, c.Zone)
	if c.Machine.Spot {
		text += ", spot: Google may stop it at any time"
	}
	if night := c.Machine.NightStop; night != nil {
		days := "every day"
		if len(night.Days) > 0 {
			days = strings.Join(night.Days, ", ")
		}
		text += fmt.Sprintf(", runs from %s to %s (%s, %s)", night.Start, night.Stop, days, night.TimeZone)
	}
	return text
}

func (c *Config) describeDataDisk() string {
	d := c.Machine.DataDisk
	text := fmt.Sprintf("%d GiB, a snapshot every day, kept for %d days", d.SizeGiB, d.Snapshots.KeepDays)
	if d.FromSnapshot != "" {
		text += ", made from snapshot " + d.FromSnapshot
	}
	return text + protected(c.Protect(d.DeletionProtection))
}

func (c *Config) describePlace() string {
	text := fmt.Sprintf("project %s, region %s", c.Project, c.Region)
	if c.Teardown {
		return text + "; teardown is on, and nothing is protected"
	}
	return text
}

func (c *Config) describeCluster() string {
	where := "in zone " + c.ClusterLocation()
	if !c.zonal() {
		where = fmt.Sprintf("in %d zones", c.zones())
	}
	pool := c.Cluster.AppPool
	text := fmt.Sprintf("%s, Kubernetes %s or newer (%s); nodes: %s %s", where, c.Cluster.MinVersion, c.Cluster.ReleaseChannel,
		between(pool.MinNodes, pool.MaxNodes), pool.MachineType)
	if nodes := c.SandboxNodes(); nodes > 0 {
		what := "sandboxes"
		if c.Line() == release.Canvas {
			what = "instances"
		}
		text += fmt.Sprintf(", and for %s %s %s", what, between(0, nodes), c.Sandboxes.Pool.MachineType)
		if c.Sandboxes.Pool.Spot {
			text += " (spot)"
		}
	}
	return text + protected(c.Protect(c.Cluster.DeletionProtection))
}

func (c *Config) describeSandboxes() string {
	s := c.Sandboxes
	text := fmt.Sprintf("%d at a time, each %g vCPU (up to %g), %g GiB of memory and a workspace of %d GiB", s.Max, s.CPURequest, s.CPULimit, s.MemoryRequest,
		s.VolumeGiB)
	if s.KeepUnusedVolumeDays > 0 {
		text += fmt.Sprintf(", kept for %d days after its last use", s.KeepUnusedVolumeDays)
	}
	if s.Warm > 0 {
		text += fmt.Sprintf("; %d kept warm", s.Warm)
	}
	return text
}

// describeInstances names each instance with its people: that is all that somebody looks for who has changed the list.
func (c *Config) describeInstances() string {
	var all []string
	for _, i := range c.Instances {
		text := fmt.Sprintf("%s (up to %g vCPU and %g GiB, volume of %d GiB)", i.Name, i.CPULimit, i.MemoryLimit, i.VolumeGiB)
		if c.Exposed() {
			text += " for " + strings.Join(i.Members, ", ")
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

func (c *Config) describeDatabase() string {
	d := c.Database
	text := fmt.Sprintf("%s on %s, %d GiB", d.Version, d.Tier, d.DiskSizeGiB)
	if d.DiskLimitGiB > 0 {
		text += fmt.Sprintf(" (up to %d)", d.DiskLimitGiB)
	}
	if d.HighAvailability {
		text += ", standby in a second zone"
	}
	text += fmt.Sprintf(", %d backups", d.Backups.Retained)
	if d.Backups.PointInTimeDays > 0 {
		text += fmt.Sprintf(", any moment of the last %d days", d.Backups.PointInTimeDays)
	}
	return text + protected(c.Protect(d.DeletionProtection))
}

func (c *Config) describeWayIn() string {
	operators := ownersAnd(c.Cluster.Access.ConnectGateway.Members)
	switch {
	case !c.Exposed():
		return "port-forward, for " + operators
	case c.Line() == release.Canvas:
		return "https://<instance>." + c.Exposure.Host + ", a login for each instance"
	case c.Exposure.OpenToEveryoneWithoutLogin:
		return "https://" + c.Exposure.Host + ", for EVERYONE, without a login"
	case len(c.Exposure.Login.Members) == 0:
		return "https://" + c.Exposure.Host + ", and nobody may log in"
	}
	return "https://" + c.Exposure.Host + ", login for " + strings.Join(c.Exposure.Login.Members, ", ")
}

func (c *Config) describeEgress() string {
	if c.Line() == release.Canvas {
		return "instances reach " + c.Sandboxes.Egress.describe()
	}
	text := "OpenHands reaches " + c.App.Egress.describe()
	if c.RunsSandboxes() {
		text += ", sandboxes " + c.Sandboxes.Egress.describe()
	}
	return text
}

func (e Egress) describe() string {
	if !e.listed() {
		return "the internet"
	}
	return "only " + strings.Join(slices.Concat(e.AllowedDomains, e.AllowedRanges), ", ")
}

func (c *Config) describeAlerts() string {
	if emails := c.Observability.NotificationEmails; len(emails) > 0 {
		return "to " + strings.Join(emails, ", ")
	}
	return "in the console only: nobody is sent any (openhands:observability.notificationEmails)"
}

func between(low, high int) string {
	if low == high {
		return fmt.Sprintf("%d x", high)
	}
	return fmt.Sprintf("%d to %d x", low, high)
}

func protected(yes bool) string {
	if yes {
		return "; protected"
	}
	return ""
}
