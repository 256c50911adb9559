package rehearsal

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// CheckOrder reports each resource that used another one which nothing makes it wait for. Such a program works by luck.
func (c *Cloud) CheckOrder(g *Graph) []string {
	var problems []string
	for _, n := range c.recordedNeeds() {
		if _, exists := g.resources[n.urn]; !exists {
			continue
		}
		if !g.WaitsFor(n.urn, n.on) {
			problems = append(problems, fmt.Sprintf("%s needs %s (%s), and nothing makes it wait for that: pass an output of it, or DependsOn",
				urnName(n.urn), urnName(n.on), n.why))
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}

// urnName is the type and name of a URN.
func urnName(urn string) string {
	parts := strings.Split(urn, "::")
	if len(parts) < 4 {
		return urn
	}
	types := strings.Split(parts[2], "$")
	return shortType(types[len(types)-1]) + " " + parts[3]
}

// secretFields are properties that must never be in clear, whatever their value.
var secretFields = map[string][]string{
	sqlUserType: {"password"},
	"random:index/randomPassword:RandomPassword": {"result", "bcryptHash"},
}

// secretSignature is the key by which the engine marks an encrypted value.
const secretSignature = "4dabf18193072939515e22adb298388d"

// CheckExport reports what must not be in any stack's state, whatever its configuration.
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
				if v, set := properties[f]; set && !encrypted(v) {
					report("%s: %s is not encrypted in the state", name, f)
				}
			}
		}
		if !r.Custom || r.isProvider() {
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

func encrypted(v any) bool {
	m, ok := v.(map[string]any)
	return ok && m[secretSignature] != nil
}

func checkResource(name string, r Resource) []string {
	var problems []string
	report := func(format string, args ...any) { problems = append(problems, name+": "+fmt.Sprintf(format, args...)) }
	in := values(r.Inputs)
	switch r.Type {
	case firewallType:
		for _, cidr := range in.strs("sourceRanges") {
			if prefix, err := netip.ParsePrefix(cidr); in.at("allows") != nil && (err != nil || prefix.Bits() == 0) {
				report("allows traffic from %s", cidr)
			}
		}
	case clusterType:
		if !in.is("privateClusterConfig.enablePrivateNodes") {
			report("nodes have public addresses")
		}
		for _, block := range in.list("masterAuthorizedNetworksConfig.cidrBlocks") {
			if m, ok := block.(map[string]any); ok && strings.HasSuffix(values(m).str("cidrBlock"), "/0") {
				report("the control plane is open to everyone")
			}
		}
		if in.at("masterAuthorizedNetworksConfig.gcpPublicCidrsAccessEnabled") != false {
			report("any address of Google Cloud may reach the control plane")
		}
	case nodePoolType:
		if in.at("networkConfig.enablePrivateNodes") == false {
			report("nodes have public addresses")
		}
	case sqlInstanceType:
		if in.at("settings.ipConfiguration.ipv4Enabled") != false {
			report("the database has a public address")
		}
	case bucketType:
		if in.str("publicAccessPrevention") != "enforced" || !in.is("uniformBucketLevelAccess") {
			report("the bucket may become public")
		}
	}
	problems = append(problems, checkGrant(name, r)...)
	return problems
}

// checkGrant holds the rules about IAM: members are added one by one, and no project-level role administers.
func checkGrant(name string, r Resource) []string {
	lower := strings.ToLower(shortType(r.Type))
	if !strings.Contains(lower, "iam") {
		return nil
	}
	var problems []string
	if !strings.HasSuffix(lower, "iammember") {
		problems = append(problems, name+": sets more than one member, and takes the role away from all others")
	}
	role, member := values(r.Inputs).str("role"), values(r.Inputs).str("member")
	if r.Type == projectMemberType && broadRole(role) {
		problems = append(problems, fmt.Sprintf("%s: grants %s on the whole project", name, role))
	}
	if member == "allUsers" || member == "allAuthenticatedUsers" {
		problems = append(problems, fmt.Sprintf("%s: grants %s to everyone", name, role))
	}
	return problems
}

func broadRole(role string) bool {
	return role == "roles/owner" || role == "roles/editor" || strings.HasSuffix(strings.ToLower(role), "admin")
}
