package stacks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Single says whether the stack is one machine, in place of a cluster and what it needs.
func (c *Config) Single() bool { return c.Profile == Single }

// zonal says whether the profile has a zonal cluster, or a machine.
func (c *Config) zonal() bool { return c.Profile != Prod }

// zones is the number of zones that the cluster spreads over: GKE chooses three in a region.
func (c *Config) zones() int {
	if c.Profile == Prod {
		return 3
	}
	return 1
}

// ProviderZone is the zone of the provider. Nothing lies in it by default, but left out the provider would take it from the environment of whoever
// runs it, and differ from machine to machine.
func (c *Config) ProviderZone() string {
	if c.Zone != "" {
		return c.Zone
	}
	return c.Region + "-b"
}

// ClusterLocation is the zone of a zonal cluster, or the region of a regional one.
func (c *Config) ClusterLocation() string {
	if c.zonal() {
		return c.Zone
	}
	return c.Region
}

// BucketLocation is the configured location, or the stack's region.
func (c *Config) BucketLocation() string {
	if c.Bucket.Location != "" {
		return c.Bucket.Location
	}
	return c.Region
}

// Protect says whether something that is to be protected is protected now.
func (c *Config) Protect(wanted bool) bool { return wanted && !c.Teardown }

// Names that other systems need to know, and that are therefore not generated. They hold the stack's name, so that two stacks fit in a project.

// NodeAccountID is the id of the nodes' service account.
func (c *Config) NodeAccountID() string { return c.prefix() + "-nodes" }

// MachineAccountID is the id of the machine's service account.
func (c *Config) MachineAccountID() string { return c.prefix() + "-vm" }

// roleID is the id of a role of the stack's own in the project. It has no dashes, and a stack's name has no underscores.
func (c *Config) roleID(role string) string {
	return strings.ReplaceAll(c.prefix(), "-", "_") + "_" + role
}

// AppAccountID is the id of the application's service account.
func (c *Config) AppAccountID() string { return c.prefix() + "-app" }

// serverAccount is the name of the server's Kubernetes service account. All clusters of a project share one pool of identities: with the same name, a pod of
// one stack could act as the server of another.
func (c *Config) serverAccount() string { return c.prefix() + "-server" }

// RepositoryPrefix begins the ids of the registry's repositories.
func (c *Config) RepositoryPrefix() string { return c.prefix() }

func (c *Config) prefix() string { return "openhands-" + c.Stack }

// AllLabels are the configured labels and the program's own.
func (c *Config) AllLabels() map[string]string {
	labels := maps.Clone(c.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, c.ownLabels())
	return labels
}

func (c *Config) ownLabels() map[string]string {
	return map[string]string{"app": "openhands", "stack": c.Stack, "managed-by": "pulumi"}
}

// Warnings are what a person should know before going on, though nothing is wrong.
func (c *Config) Warnings() []string {
	var warnings []string
	if c.Teardown {
		goes := "its database, its files and its cluster"
		if c.Single() {
			goes = "its machine and its data disk"
		}
		warnings = append(warnings, "openhands:teardown is on: after this `up`, nothing of stack "+c.Stack+" is protected, "+
			"and `pulumi destroy` deletes "+goes+". To keep the stack, run `pulumi config rm openhands:teardown`.")
	}
	if c.Exposed() && c.Exposure.OpenToEveryoneWithoutLogin {
		warnings = append(warnings, "openhands:exposure.dangerouslyOpenToEveryoneWithoutLogin is on: the door asks for no login, and whoever finds https://"+
			c.Exposure.Host+" owns this installation, with the keys and tokens in it, and may run any code in its sandboxes.")
	}
	for _, member := range c.Exposure.Login.Members {
		if strings.HasPrefix(member, "serviceAccount:") && c.Exposure.Login.ClientID == "" {
			warnings = append(warnings, "openhands:exposure.login.members: "+member+" cannot log in by OIDC tokens, which are for an OAuth client, "+
				"and Google's own takes none. Set openhands:exposure.login.clientId to a client of your own (docs/exposure.md), or let it sign its "+
				"tokens itself.")
		}
	}
	for _, warning := range []string{c.zonesWarning(), c.instancesWarning()} {
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	unpinned := c.unpinned()
	for _, key := range slices.Sorted(maps.Keys(unpinned)) {
		warnings = append(warnings, fmt.Sprintf("%s: %s has no digest, and who may move its tag decides what runs here. `docker buildx "+
			"imagetools inspect %[2]s --format '{{.Manifest.Digest}}'` prints the digest of today: look at the image, and write it.", key, unpinned[key]))
	}
	if c.postgresMajor() >= 16 {
		warnings = append(warnings, "openhands:database.version is "+c.Database.Version+": from PostgreSQL 16 on, the server cannot give up what "+
			"Cloud SQL gives every user of a database, and whoever takes the server over may create users, databases and connections to elsewhere in "+
			"it. POSTGRES_15 has it give that up.")
	}
	return warnings
}

// postgresMajor is the major version of PostgreSQL; 0 where validate has a problem with it to report.
func (c *Config) postgresMajor() int {
	match := databaseVersion.FindStringSubmatch(c.Database.Version)
	if match == nil {
		return 0
	}
	return atoi(match[1])
}
