package stacks

import (
	"regexp"
	"strings"

	"openhands-gcp/infra/app"
)

var (
	// operator is an IAM member that Kubernetes knows by the same address.
	operator = regexp.MustCompile(`^(user|group|serviceAccount):([^@\s]+@[^@\s]+\.[^@\s]+)$`)
	// securityGroup is the only name that GKE takes.
	// https://cloud.google.com/kubernetes-engine/docs/how-to/google-groups-rbac
	securityGroup = regexp.MustCompile(`^gke-security-groups@([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,63}$`)
)

// validateAccess refuses a cluster that nobody reaches, and operators to whom Kubernetes would say no.
func (c *Config) validateAccess(report reporter) {
	const key = "openhands:cluster.access"
	access := c.Cluster.Access
	if !access.ConnectGateway.Enabled && access.PublicEndpoint == nil {
		report(key, "nobody could reach the control plane: leave connectGateway enabled, or set publicEndpoint.authorizedRanges")
	}
	c.validatePublicEndpoint(report)
	if group := access.SecurityGroup; group != "" && !securityGroup.MatchString(group) {
		report(key+".securityGroup", "%q is not a group that GKE takes: it has the name gke-security-groups, in lower case; write "+
			"gke-security-groups@<your domain>", group)
	}

	const path = key + ".connectGateway.members"
	members := access.ConnectGateway.Members
	if !access.ConnectGateway.Enabled && len(members) > 0 {
		report(path, "has no effect while connectGateway is not enabled: enable it, or remove the members")
	}
	for _, member := range members {
		match := operator.FindStringSubmatch(member)
		switch {
		case strings.HasPrefix(member, "domain:"):
			report(path, "%s: Kubernetes knows users and groups, and no domains: write group: and the address of a Google group of these people", member)
		case match == nil:
			report(path, "%q is not one whom Kubernetes knows by an address: write user:, group: or serviceAccount: and the address (never everyone, no "+
				"principal://)", member)
		case strings.ToLower(match[2]) != match[2]:
			report(path, "%s: Kubernetes compares letter by letter, and Google tells it addresses in lower case: write %s:%s", member, match[1],
				strings.ToLower(match[2]))
		case match[1] == "group" && access.SecurityGroup == "":
			group := "gke-security-groups@" + member[strings.LastIndex(member, "@")+1:]
			report(path, "%s: the cluster is not told who is in a group: run `pulumi config set --path %s.securityGroup %s`. In Google Groups, create %s "+
				"with %s as a member, and let the members of both view the members", member, key, group, group, match[2])
		}
	}
	if hasTwice(members) {
		report(path, "names a member twice")
	}
}

// operators are the members of the Connect gateway as Kubernetes knows them: a service account of Google is a user there, by its address.
func (c *Config) operators() []app.Operator {
	var out []app.Operator
	for _, member := range c.Cluster.Access.ConnectGateway.Members {
		sort, address, _ := strings.Cut(member, ":")
		kind := "User"
		if sort == "group" {
			kind = "Group"
		}
		out = append(out, app.Operator{Kind: kind, Name: address})
	}
	return out
}
