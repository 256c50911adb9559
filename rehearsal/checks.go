package rehearsal

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// secretFields are the properties that must never be in clear, by type.
var secretFields = map[string][]string{
	sqlUserType:        {"password"},
	randomPasswordType: {"result", "bcryptHash"},
}

// CheckExport returns what must not be in any stack's state, whatever its configuration: a secret in clear, something public, a resource outside of the
// components. The error says that raw is not an export.
func CheckExport(raw []byte) ([]string, error) {
	export, err := ParseExport(raw)
	if err != nil {
		return nil, err
	}
	var problems []string
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	g := NewGraph(export)
	for _, r := range export.Deployment.Resources {
		name := shortType(r.Type) + " " + r.Name()
		if text, err := json.Marshal(r); err != nil {
			return nil, fmt.Errorf("export of the stack: %s: %w", name, err)
		} else if strings.Contains(string(text), Marker) {
			report("%s: a secret is in clear in the state", name)
		}
		for _, f := range secretFields[r.Type] {
			for _, properties := range []map[string]any{r.Inputs, r.Outputs} {
				if v, set := properties[f]; set && !IsEncrypted(v) {
					report("%s: %s is not encrypted in the state", name, f)
				}
			}
		}
		if !r.Custom || r.IsProvider() {
			continue
		}
		if g.Component(r.URN) == "" {
			report("%s: belongs to no component: pass pulumi.Parent", name)
		}
		if r.Provider == "" || strings.Contains(r.Provider, "::default") {
			report("%s: is not on an explicit provider", name)
		}
		problems = append(problems, checkResource(name, r)...)
	}
	return problems, nil
}

// checkResource checks one resource of a provider.
func checkResource(name string, r Resource) []string {
	var problems []string
	report := func(format string, args ...any) { problems = append(problems, name+": "+fmt.Sprintf(format, args...)) }
	in := values(r.Inputs)
	switch r.Type {
	case firewallType:
		for _, cidr := range in.Strs("sourceRanges") {
			if prefix, err := netip.ParsePrefix(cidr); in.At("allows") != nil && (err != nil || prefix.Bits() == 0) {
				report("allows traffic from %s", cidr)
			}
		}
	case clusterType:
		if !in.Is("privateClusterConfig.enablePrivateNodes") {
			report("nodes have public addresses")
		}
		for _, block := range in.Maps("masterAuthorizedNetworksConfig.cidrBlocks") {
			if strings.HasSuffix(block.Str("cidrBlock"), "/0") {
				report("the control plane is open to everyone")
			}
		}
		if in.At("masterAuthorizedNetworksConfig.gcpPublicCidrsAccessEnabled") != false {
			report("any address of Google Cloud may reach the control plane")
		}
	case nodePoolType:
		if in.At("networkConfig.enablePrivateNodes") == false {
			report("nodes have public addresses")
		}
	case sqlInstanceType:
		if in.At("settings.ipConfiguration.ipv4Enabled") != false {
			report("the database has a public address")
		}
	case bucketType:
		if in.Str("publicAccessPrevention") != "enforced" || !in.Is("uniformBucketLevelAccess") {
			report("the bucket may become public")
		}
	}
	problems = append(problems, checkGrant(name, r)...)
	return problems
}

// checkGrant checks a grant of IAM: it adds one member, does not grant to everyone, and grants no administration of the whole project.
func checkGrant(name string, r Resource) []string {
	lower := strings.ToLower(shortType(r.Type))
	if !strings.Contains(lower, "iam") {
		return nil
	}
	var problems []string
	if !strings.HasSuffix(lower, "iammember") {
		problems = append(problems, name+": sets more than one member, and takes the role away from all others")
	}
	role, member := values(r.Inputs).Str("role"), values(r.Inputs).Str("member")
	if r.Type == projectMemberType && broadRole(role) {
		problems = append(problems, fmt.Sprintf("%s: grants %s on the whole project", name, role))
	}
	if member == "allUsers" || member == "allAuthenticatedUsers" {
		problems = append(problems, fmt.Sprintf("%s: grants %s to everyone", name, role))
	}
	return problems
}

// broadRole reports whether a role administers.
func broadRole(role string) bool {
	return role == "roles/owner" || role == "roles/editor" || strings.HasSuffix(strings.ToLower(role), "admin")
}
