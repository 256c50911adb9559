package stacks

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"openhands-gcp/release"
)

// Modes of the exposure.
const (
	exposureNone    = "none"
	exposureGateway = "gateway"
)

// Exposed says whether browsers reach the application through a load balancer.
func (c *Config) Exposed() bool { return c.Exposure.Mode == exposureGateway }

var (
	// hostName is one that a certificate can be issued for, without a trailing dot.
	hostName    = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+([a-z]{2,63}|xn--[a-z0-9-]{1,59})$`)
	zoneName    = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	loginDomain = regexp.MustCompile(`^domain:[^@\s:]+\.[^@\s:]+$`)
	oauthClient = regexp.MustCompile(`^[0-9]+-[a-z0-9]+\.apps\.googleusercontent\.com$`)
	// wafRule is the name of a preconfigured rule set.
	// https://cloud.google.com/armor/docs/waf-rules
	wafRule = regexp.MustCompile(
		`^(sqli|xss|lfi|rfi|rce|methodenforcement|scannerdetection|protocolattack|php|sessionfixation|java|nodejs)-v33-(stable|canary)$`,
	)
)

// certificateHostLimit is the longest common name of a certificate, in characters.
const certificateHostLimit = 64

const exposureKey = "openhands:exposure."

func (c *Config) validateExposure(report reporter) {
	e := c.Exposure
	if !c.Exposed() {
		for path, set := range map[string]bool{
			exposureKey + "host": e.Host != "", exposureKey + "dnsZone": e.DNSZone != "", exposureKey + "login.members": len(e.Login.Members) > 0,
			exposureKey + "login.clientId": e.Login.ClientID != "", "openhands:iapClientSecret": c.IAPClientSecret != "",
			exposureKey + "dangerouslyOpenToEveryoneWithoutLogin": e.OpenToEveryoneWithoutLogin,
			exposureKey + "armor": !reflect.DeepEqual(e.Armor, Defaults(c.Profile).Exposure.Armor),
		} {
			if set {
				report(path, "has no effect with mode none: remove it, or set %smode to gateway", exposureKey)
			}
		}
		return
	}
	switch {
	case e.Host == "":
		report(exposureKey+"host", "is missing: mode gateway needs the host name under which people open OpenHands, e.g. openhands.example.com. To reach it "+
			"by port-forward only, set %smode to none", exposureKey)
	case len(c.hostPattern()) > certificateHostLimit || !hostName.MatchString(e.Host):
		report(exposureKey+"host", "%q is not a host name: write it in lower case, without https:// and without a path, of at most %d characters, e.g. "+
			"openhands.example.com", e.Host, certificateHostLimit)
	}
	if e.DNSZone != "" && !zoneName.MatchString(e.DNSZone) {
		report(exposureKey+"dnsZone", "%q is not the name of a Cloud DNS zone: `gcloud dns managed-zones list` shows them in its first column", e.DNSZone)
	}
	c.validateLogin(report)
	c.validateArmor(report)
}

// everyonesDomains give an address to everyone who asks.
var everyonesDomains = []string{"gmail.com", "googlemail.com"}

// validateLogin refuses an installation that everyone, or nobody, could log in to.
func (c *Config) validateLogin(report reporter) {
	login := c.Exposure.Login
	members, client := exposureKey+"login.members", exposureKey+"login.clientId"
	if c.Exposure.OpenToEveryoneWithoutLogin {
		if len(login.Members) > 0 || login.ClientID != "" || c.IAPClientSecret != "" {
			report(exposureKey+"dangerouslyOpenToEveryoneWithoutLogin", "contradicts login: remove it, and only the members get in")
		}
		return
	}
	if c.Line() == release.Server {
		checkMembers(report, members, login.Members)
	}
	if login.ClientID != "" && !oauthClient.MatchString(login.ClientID) {
		report(client, "%q is not the id of an OAuth client: write one like 123456789012-abc123.apps.googleusercontent.com", login.ClientID)
	}
	if login.ClientID != "" && c.IAPClientSecret == "" {
		report("openhands:iapClientSecret", "is missing: login.clientId needs the client's secret: run `pulumi config set --secret openhands:iapClientSecret`")
	}
	if login.ClientID == "" && c.IAPClientSecret != "" {
		report(client, "is missing: openhands:iapClientSecret is the secret of a client. Write its id, or remove the secret to use Google's own client")
	}
}

// checkMembers refuses a login that everyone, or nobody, would pass.
func checkMembers(report reporter, path string, members []string) {
	if len(members) == 0 {
		report(path, "is empty: OpenHands has no login of its own, so whoever reaches it owns it. Write who may log in, e.g. group:developers@example.com")
	}
	for _, member := range members {
		switch {
		case member == "allUsers" || member == "allAuthenticatedUsers":
			report(path, "%s is everyone on the internet: name users, groups or a domain of yours", member)
		case loginDomain.MatchString(member) && slices.Contains(everyonesDomains, strings.ToLower(strings.TrimPrefix(member, "domain:"))):
			report(path, "%s is everyone with an account there: name users, groups or a domain of yours", member)
		case !iamMember.MatchString(member) && !loginDomain.MatchString(member):
			report(path, "%q is not an IAM member: write user:, group: or serviceAccount: and an address, or domain: and a domain", member)
		}
	}
	if hasTwice(members) {
		report(path, "names a member twice")
	}
}

func (c *Config) validateArmor(report reporter) {
	armor := c.Exposure.Armor
	for path, ranges := range map[string][]string{
		exposureKey + "armor.allowedRanges": armor.AllowedRanges, exposureKey + "armor.deniedRanges": armor.DeniedRanges,
	} {
		for _, r := range ranges {
			if problem := checkRange(r); problem != "" {
				report(path, "%s", problem)
			}
		}
		if hasTwice(ranges) {
			report(path, "names a range twice")
		}
	}
	if hasTwice(armor.WAFRules) {
		report(exposureKey+"armor.wafRules", "names a rule set twice")
	}
	for _, rule := range armor.WAFRules {
		if !wafRule.MatchString(rule) {
			report(exposureKey+"armor.wafRules", "%q is not a preconfigured rule set: write one like sqli-v33-stable or xss-v33-stable", rule)
		}
	}
	if armor.WAFEnforce && len(armor.WAFRules) == 0 {
		report(exposureKey+"armor.wafEnforce", "has no effect without wafRules: name rule sets, or remove it")
	}
}

// checkRange says what is wrong with a range of addresses. Neither the load balancer nor the cluster has IPv6.
func checkRange(text string) string {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || !p.Addr().Is4():
		return fmt.Sprintf("%q is not an IPv4 range: write one like 192.0.2.0/24, a single address as 192.0.2.7/32", text)
	case p != p.Masked():
		return fmt.Sprintf("%s is not the beginning of its range: write %s", text, p.Masked())
	case p.Bits() == 0:
		return fmt.Sprintf("%s is everyone: leave the list empty for that", text)
	}
	return ""
}

// hasTwice reports whether a list has an item twice, in whatever case.
func hasTwice(items []string) bool {
	sorted := slices.SortedFunc(slices.Values(items), func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return len(slices.CompactFunc(sorted, strings.EqualFold)) < len(items)
}
