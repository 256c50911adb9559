package stacks

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"openhands-gcp/release"
	"openhands-gcp/stacks/places"
)

// reporter records a problem at the path of a key.
type reporter func(path, format string, args ...any)

// minimumVersion is the first Kubernetes version that has MutatingAdmissionPolicy, by which every sandbox gets gVisor.
const minimumVersion = "1.36"

var (
	projectID  = regexp.MustCompile(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	version    = regexp.MustCompile(`^([0-9]+)\.([0-9]+)(\.[0-9]+(-gke\.[0-9]+)?)?$`)
	clock      = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)
	labelKey   = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	labelValue = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)
	// snapshotName is that of most things in Compute Engine.
	snapshotName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	stackName    = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
	iamMember    = regexp.MustCompile(`^((user|group|serviceAccount):[^@\s]+@[^@\s]+\.[^@\s]+|principal(Set)?://iam\.googleapis\.com/\S+)$`)
)

// validate reports everything that is wrong with a configuration whose keys and types are right.
func (c *Config) validate() []Problem {
	var problems []Problem
	report := func(path, format string, args ...any) {
		problems = append(problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	c.validatePlace(report)
	c.validateNames(report)
	if c.Single() {
		c.validateNodesRange(report)
		if c.Line() != release.Canvas {
			report("openhands:app.line", "is %s, and profile single runs Agent Canvas: remove it, or choose profile dev or prod", c.App.Line)
		}
		c.validateMachine(report)
		c.validateApp(report)
		return problems
	}
	c.validateNetwork(report)
	c.validateCluster(report)
	c.validateAccess(report)
	c.validateSandboxes(report)
	c.validateInstances(report)
	c.validateApp(report)
	c.validateEgress(report)
	c.validateExposure(report)
	c.validateDatabase(report)
	c.validateBucket(report)
	c.validateObservability(report)
	c.validateProtection(report)
	return problems
}

func (c *Config) validatePlace(report reporter) {
	if !projectID.MatchString(c.Project) {
		report("gcp:project",
			"%q is not a project id (6 to 30 lower case letters, digits and dashes, not the project's number or display name): "+
				"`gcloud projects list` shows yours", c.Project)
	}
	if err := places.CheckRegion(c.Region); err != nil {
		report("gcp:region", "%v", err)
		return
	}
	switch {
	case c.Zone != "" && c.Profile == Prod:
		report("gcp:zone", "has no effect: profile prod has a cluster in all zones of %s. Remove it", c.Region)
	case c.Zone == "" && c.Single():
		report("gcp:zone", "is missing: the machine and its disk are in one zone. Write a zone of %s, e.g. %s-b", c.Region, c.Region)
	case c.Zone == "" && c.zonal():
		report("gcp:zone", "is missing: profile %s has a zonal cluster. Write one of %s", c.Profile, strings.Join(places.Zones(c.Region), ", "))
	case c.Zone != "":
		if err := places.CheckZone(c.Region, c.Zone); err != nil {
			report("gcp:zone", "%v", err)
		}
	}
}

// accountIDLimit is GCP's, for the id of a service account.
const accountIDLimit = 30

func (c *Config) validateNames(report reporter) {
	if !stackName.MatchString(c.Stack) {
		report("stack", "the stack's name %q becomes part of resource names: use lower case letters, digits and dashes, beginning with a letter (pulumi "+
			"stack rename)", c.Stack)
	} else if id := c.NodeAccountID(); len(id) > accountIDLimit {
		report("stack", "the stack's name %q gives the service account id %q of %d characters, and GCP's limit is %d: use a name of at most %d characters "+
			"(pulumi stack rename)",
			c.Stack, id, len(id), accountIDLimit, len(c.Stack)-(len(id)-accountIDLimit))
	}
	for key, value := range c.Labels {
		path := "openhands:labels." + key
		switch {
		case !labelKey.MatchString(key):
			report(path, "is not a label key: up to 63 lower case letters, digits, dashes and underscores, beginning with a letter")
		case strings.HasPrefix(key, "goog"):
			report(path, "begins with goog, which Google keeps for itself: choose another key")
		case !labelValue.MatchString(value):
			// An empty value is dropped by the API, and every preview would want to add it again.
			report(path, "%q is not a label value: 1 to 63 lower case letters, digits, dashes and underscores", value)
		}
		if _, own := c.ownLabels()[key]; own {
			report(path, "is set by the program itself: choose another key")
		}
	}
}

func (c *Config) validateCluster(report reporter) {
	const key = "openhands:cluster."
	if match := version.FindStringSubmatch(c.Cluster.MinVersion); match == nil {
		report(key+"minVersion", "%q is not a version: write one like %s", c.Cluster.MinVersion, minimumVersion)
	} else if match[1] != "1" || atoi(match[2]) < 36 {
		report(key+"minVersion",
			"%s is below %s, the first version with the admission policies that put every sandbox into gVisor", c.Cluster.MinVersion, minimumVersion)
	}

	days := c.Cluster.Maintenance.Days
	for _, day := range days {
		if !slices.Contains(weekdays, day) {
			report(key+"maintenance.days", "%q is not a day: write %s", day, strings.Join(weekdays, ", "))
		}
	}
	if sorted := slices.Sorted(slices.Values(days)); len(slices.Compact(sorted)) < len(days) {
		report(key+"maintenance.days", "names a day twice")
	}
	// 32 days hold at least four weeks.
	if hours := 4 * len(days) * c.Cluster.Maintenance.Hours; hours < 48 {
		report(key+"maintenance",
			"%d days of %d hours give %d hours in 32 days, and GKE refuses less than 48: add days or hours", len(days), c.Cluster.Maintenance.Hours, hours)
	}

	pool := c.Cluster.AppPool
	if _, err := parseAppMachine(pool.MachineType); err != nil {
		report(key+"appPool.machineType", "%v", err)
	}
	if pool.MinNodes > pool.MaxNodes {
		report(key+"appPool.maxNodes", "is %d, below minNodes (%d)", pool.MaxNodes, pool.MinNodes)
	}
	if zones := c.zones(); pool.MaxNodes < zones {
		report(
			key+"appPool.maxNodes", "is %d, but a regional cluster starts with a node in each of its %d zones: write at least %d", pool.MaxNodes, zones,
			zones,
		)
	}
}

var weekdays = []string{"MO", "TU", "WE", "TH", "FR", "SA", "SU"}

var (
	databaseVersion = regexp.MustCompile(`^POSTGRES_([0-9]+)$`)
	customTier      = regexp.MustCompile(`^db-custom-([0-9]+)-([0-9]+)$`)
	// sharedTiers are those with a share of a core, and their memory in MiB.
	sharedTiers = map[string]int{"db-f1-micro": 614, "db-g1-small": 1740}
)

// newestPostgres is what Cloud SQL had in November 2026. Nothing tells a program. https://cloud.google.com/sql/docs/postgres/db-versions
const newestPostgres = 18

func (c *Config) validateDatabase(report reporter) {
	const key = "openhands:database."
	if major := c.postgresMajor(); major < 13 || major > newestPostgres {
		report(key+"version", "%q is not a PostgreSQL version of Cloud SQL: write POSTGRES_15, or another from 13 to %d", c.Database.Version, newestPostgres)
	}
	if problem := checkTier(c.Database.Tier); problem != "" {
		report(key+"tier", "%s", problem)
	}
	if limit := c.Database.DiskLimitGiB; limit > 0 && limit < c.Database.DiskSizeGiB {
		report(key+"diskLimitGiB", "is %d, below diskSizeGiB (%d): write 0 for no limit, or more", limit, c.Database.DiskSizeGiB)
	}
	backups := c.Database.Backups
	if c.Database.HighAvailability && backups.PointInTimeDays == 0 {
		report(key+"backups.pointInTimeDays", "is 0, but the standby of highAvailability needs the logs of point-in-time recovery: write 1 to 7, or turn "+
			"highAvailability off")
	}
	if backups.Retained < backups.PointInTimeDays {
		report(
			key+"backups.retained", "is %d, but pointInTimeDays (%d) starts from a daily backup: keep at least as many", backups.Retained,
			backups.PointInTimeDays,
		)
	}
	if !clock.MatchString(backups.StartTime) {
		report(key+"backups.startTime", "%q is not a time of day: write HH:MM in UTC, e.g. \"01:00\", in quotes", backups.StartTime)
	}
}

// checkTier knows Cloud SQL's rules for custom machine types.
// https://cloud.google.com/sql/docs/postgres/create-instance#machine-types
func checkTier(tier string) string {
	if _, shared := sharedTiers[tier]; shared {
		return ""
	}
	match := customTier.FindStringSubmatch(tier)
	if match == nil {
		return fmt.Sprintf("%q is not a tier: write db-g1-small, or db-custom-<vCPUs>-<MiB>, e.g. db-custom-2-7680", tier)
	}
	cpus, memory := atoi(match[1]), atoi(match[2])
	switch {
	case cpus < 1 || cpus > 96 || (cpus > 1 && cpus%2 != 0):
		return fmt.Sprintf("%s has %d vCPUs: allowed are 1, and even numbers up to 96", tier, cpus)
	case memory%256 != 0:
		return fmt.Sprintf("%s has %d MiB: write a multiple of 256, e.g. %d", tier, memory, memory/256*256)
	case memory < 3840 || float64(memory) < 0.9*1024*float64(cpus) || float64(memory) > 6.5*1024*float64(cpus):
		return fmt.Sprintf("%s has %d MiB: with %d vCPUs it must be 3840 at least, and between 0.9 and 6.5 GiB a vCPU", tier, memory, cpus)
	}
	return ""
}

// tierMiB is the memory of a tier; 0 where checkTier has a problem with it to report.
func tierMiB(tier string) int {
	if match := customTier.FindStringSubmatch(tier); match != nil {
		return atoi(match[2])
	}
	return sharedTiers[tier]
}

// A connection is a process of PostgreSQL, which takes 5 to 10 MiB; a third of the memory is the database's cache.
const connectionMiB = 10

// validateConnections compares max_connections with what the server opens, and with what the tier has memory for. Cloud SQL takes more, and the database is
// then killed for its memory when they are used.
func (c *Config) validateConnections(report reporter, line release.Release) {
	// The server keeps a few connections for its administrators, and a rolling change of the database needs some more.
	const reserved = 10
	limit, budget, memory := c.Database.MaxConnections, line.Connections+reserved, tierMiB(c.Database.Tier)
	carried := memory * 2 / 3 / connectionMiB
	switch {
	case memory > 0 && carried < budget:
		report("openhands:database.tier", "%s has memory for %d connections (%d MiB each, in two thirds of %d MiB), and OpenHands needs %d: write "+
			"db-g1-small or a larger one",
			c.Database.Tier, carried, connectionMiB, memory, budget)
	case memory > 0 && limit > carried:
		report("openhands:database.maxConnections", "is %d, and %s has memory for %d (%d MiB each, in two thirds of %d MiB): write %d to %d, or "+
			"choose a larger openhands:database.tier", limit, c.Database.Tier, carried, connectionMiB, memory, budget, carried)
	}
	if limit < budget {
		report("openhands:database.maxConnections", "is %d, but one process of OpenHands opens up to %d connections, and %d are kept for administration: "+
			"write at least %d", limit, line.Connections, reserved, budget)
	}
}

// spanning are the locations of a bucket that are more than one region: multi-regions, and the dual-regions that Google names.
// https://cloud.google.com/storage/docs/locations
var spanning = []string{"US", "EU", "ASIA", "ASIA1", "EUR4", "EUR5", "EUR7", "EUR8", "NAM4"}

func (c *Config) validateBucket(report reporter) {
	if days := c.Bucket.SoftDeleteDays; days > 0 && days < 7 {
		report("openhands:bucket.softDeleteDays", "is %d: write 0 (off) or 7 to 90", days)
	}
	if l := c.Bucket.Location; l != "" && places.CheckRegion(strings.ToLower(l)) != nil && !slices.Contains(spanning, strings.ToUpper(l)) {
		report("openhands:bucket.location", "%q is not a location that is known here: write a region like us-central1, or one of %s", l,
			strings.Join(spanning, ", "))
	}
}

var emailAddress = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)

func (c *Config) validateObservability(report reporter) {
	const path = "openhands:observability.notificationEmails"
	emails := c.Observability.NotificationEmails
	for _, email := range emails {
		if !emailAddress.MatchString(email) {
			report(path, "%q is not an e-mail address", email)
		}
	}
	if hasTwice(emails) {
		report(path, "names an address twice")
	}
}

// validateProtection refuses a production stack that a slip could delete.
func (c *Config) validateProtection(report reporter) {
	if c.Profile != Prod {
		return
	}
	for path, protected := range map[string]bool{
		"openhands:cluster.deletionProtection":  c.Cluster.DeletionProtection,
		"openhands:database.deletionProtection": c.Database.DeletionProtection,
		"openhands:bucket.deletionProtection":   c.Bucket.DeletionProtection,
		"openhands:registry.deletionProtection": c.Registry.DeletionProtection,
	} {
		if !protected {
			report(path, "profile prod does not run unprotected: remove the key. To take the stack down, set openhands:teardown to true")
		}
	}
}

// atoi is for digits that a regular expression has matched; a number beyond int is larger than any limit here.
func atoi(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 1 << 31
	}
	return n
}
