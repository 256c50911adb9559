package stacks

import (
	"fmt"
	"strings"
)

// Fact is one thing to know about a stack, in words, such as its database.
type Fact struct{ What, Is string }

// Summary says what a stack is in the few lines that a person reads before it is created, so that a setting can be seen to have taken effect.
func (c *Config) Summary() []Fact {
	facts := []Fact{{"place", c.describePlace()}, {"cluster", c.describeCluster()}}
	if c.RunsSandboxes() {
		facts = append(facts, Fact{"sandboxes", c.describeSandboxes()})
	}
	return append(facts, Fact{"database", c.describeDatabase()}, Fact{"way in", c.describeWayIn()}, Fact{"egress", c.describeEgress()},
		Fact{"alerts", c.describeAlerts()})
}

func (c *Config) describePlace() string {
	text := fmt.Sprintf("project %s, %s", c.Project, c.Region)
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
	text := fmt.Sprintf("%s, Kubernetes %s or newer (%s); OpenHands on %s %s", where, c.Cluster.MinVersion, c.Cluster.ReleaseChannel,
		between(pool.MinNodes, pool.MaxNodes), pool.MachineType)
	if !c.RunsSandboxes() {
		return text + protected(c.Protect(c.Cluster.DeletionProtection))
	}
	text += fmt.Sprintf(", sandboxes on %s %s", between(0, c.SandboxNodes()), c.Sandboxes.Pool.MachineType)
	if c.Sandboxes.Pool.Spot {
		text += " (spot)"
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
	operators := "the project's owners"
	if members := c.Cluster.Access.ConnectGateway.Members; len(members) > 0 {
		operators += " and " + strings.Join(members, ", ")
	}
	switch {
	case !c.Exposed():
		return "port-forward, for " + operators
	case c.Exposure.OpenToEveryoneWithoutLogin:
		return "https://" + c.Exposure.Host + ", for EVERYONE, without a login"
	case len(c.Exposure.Login.Members) == 0:
		return "https://" + c.Exposure.Host + ", and nobody may log in"
	}
	return "https://" + c.Exposure.Host + ", login for " + strings.Join(c.Exposure.Login.Members, ", ")
}

func (c *Config) describeEgress() string {
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
	return "only " + strings.Join(append(append([]string{}, e.AllowedDomains...), e.AllowedRanges...), ", ")
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
