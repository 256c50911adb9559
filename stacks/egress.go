package stacks

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"

	"openhands-gcp/infra/app"
	"openhands-gcp/release"
)

// domainPattern is a name, or a name whose first part is a star.
var domainPattern = regexp.MustCompile(`^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$`)

// validateEgress checks what the server and the sandboxes may reach.
func (c *Config) validateEgress(report reporter) {
	c.checkEgress(report, "openhands:app.egress.", c.App.Egress)
	if c.App.Egress.listed() && !c.Cluster.FQDNNetworkPolicy {
		report("openhands:app.egress", "needs a cluster that enforces policies by name, because the bucket is reached by the name %s: set "+
			"openhands:cluster.fqdnNetworkPolicy to true. Turning that off again replaces the cluster", app.BucketHost)
	}
	if c.App.Runtime == string(release.Remote) {
		for path, set := range map[string]bool{"egress": c.Sandboxes.Egress.listed(), "warm": c.Sandboxes.Warm > 0} {
			if set {
				report("openhands:sandboxes."+path, "has no effect with runtime %s: its sandboxes are elsewhere", c.App.Runtime)
			}
		}
		return
	}
	c.checkEgress(report, "openhands:sandboxes.egress.", c.Sandboxes.Egress)
	if len(c.Sandboxes.Egress.AllowedDomains) > 0 && !c.Cluster.FQDNNetworkPolicy {
		report("openhands:sandboxes.egress.allowedDomains", "needs a cluster that enforces policies by name: set openhands:cluster.fqdnNetworkPolicy to true. "+
			"Turning that off again replaces the cluster")
	}
}

// checkEgress checks one allow-list, whose keys begin with key.
func (c *Config) checkEgress(report reporter, key string, egress Egress) {
	for _, domain := range egress.AllowedDomains {
		if !domainPattern.MatchString(domain) {
			report(key+"allowedDomains", "%q is not a domain name: write one like github.com, or *.githubusercontent.com for the names one level below", domain)
		}
	}
	for _, r := range egress.AllowedRanges {
		if problem := checkRange(r); problem != "" {
			report(key+"allowedRanges", "%s", problem)
			continue
		}
		p := prefix(r)
		for _, closed := range NotPublic {
			if closed.Overlaps(p) {
				report(key+"allowedRanges", "%s overlaps %s, which is not public: your networks, the database, the control plane or the metadata "+
					"server may be there",
					r, closed)
			}
		}
	}
	if hasTwice(egress.AllowedDomains) {
		report(key+"allowedDomains", "names a domain twice")
	}
	if hasTwice(egress.AllowedRanges) {
		report(key+"allowedRanges", "names a range twice")
	}
}

func (e Egress) listed() bool { return len(e.AllowedDomains)+len(e.AllowedRanges) > 0 }

// allowed is the list with its ranges parsed.
func (e Egress) allowed() app.Egress {
	out := app.Egress{AllowedDomains: slices.Clone(e.AllowedDomains)}
	for _, r := range e.AllowedRanges {
		out.AllowedRanges = append(out.AllowedRanges, prefix(r))
	}
	return out
}

// serverEgress is what the server may reach: the list, and where there is one, the runtime API that it cannot do without.
func (c *Config) serverEgress() app.Egress {
	egress := c.App.Egress.allowed()
	if u, err := url.Parse(c.App.RemoteRuntimeURL); err == nil && c.App.Egress.listed() && !c.RunsSandboxes() &&
		!slices.Contains(egress.AllowedDomains, u.Hostname()) {
		egress.AllowedDomains = append(egress.AllowedDomains, u.Hostname())
	}
	return egress
}

// NotPublic are the ranges in which a sandbox must find nothing: private and shared ones, link-local with the metadata server, and those that nobody on the
// internet has and a VPC may use: for protocols, documentation, relays of 6to4 and benchmarks, and class E.
// https://cloud.google.com/vpc/docs/subnets#valid-ranges
var NotPublic = append(slices.Clone(privateRanges),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"))
