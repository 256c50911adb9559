package stacks

import (
	"maps"
	"strings"
)

// zonal says whether the profile has a zonal cluster.
func (c *Config) zonal() bool { return c.Profile == Dev }

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

// AppAccountID is the id of the application's service account.
func (c *Config) AppAccountID() string { return c.prefix() + "-app" }

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
		warnings = append(warnings, "openhands:teardown is on: after this `up`, nothing of stack "+c.Stack+" is protected, "+
			"and `pulumi destroy` deletes its database, its files and its cluster. To keep the stack, run `pulumi config rm openhands:teardown`.")
	}
	if c.Exposed() && c.Exposure.OpenToEveryoneWithoutLogin {
		warnings = append(warnings, "openhands:exposure.dangerouslyOpenToEveryoneWithoutLogin is on: the door asks for no login, and whoever finds https://"+
			c.Exposure.Host+" owns this installation, with the keys and tokens in it, and may run any code in its sandboxes.")
	}
	for _, member := range c.Exposure.Login.Members {
		if strings.HasPrefix(member, "serviceAccount:") && c.Exposure.Login.ClientID == "" {
			warnings = append(warnings, "openhands:exposure.login.members: "+member+" cannot log in by OIDC tokens, which are for an OAuth client, and Google's own takes "+
				"none. Set openhands:exposure.login.clientId to a client of your own (docs/exposure.md), or let it sign its tokens itself.")
		}
	}
	return warnings
}
