package checks

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// secretFields are the properties that must never be in clear, by type.
var secretFields = map[string][]string{
	types.SQLUser:        {"password"},
	types.RandomPassword: {"result", "bcryptHash"},
}

// State returns what must not be in any stack's state, whatever its configuration: a secret in clear, something public, a resource outside of the
// components. The error says that raw is not an export.
func State(raw []byte) ([]string, error) {
	export, err := state.Parse(raw)
	if err != nil {
		return nil, err
	}
	var problems []string
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	g := state.NewGraph(export)
	for _, r := range export.Deployment.Resources {
		name := types.Short(r.Type) + " " + r.Name()
		if text, err := json.Marshal(r); err != nil {
			return nil, fmt.Errorf("export of the stack: %s: %w", name, err)
		} else if strings.Contains(string(text), state.Marker) {
			report("%s: a secret is in clear in the state", name)
		}
		for _, f := range secretFields[r.Type] {
			for _, properties := range []map[string]any{r.Inputs, r.Outputs} {
				if v, set := properties[f]; set && !state.IsEncrypted(v) {
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
		problems = append(problems, checkGrant(name, r, export)...)
	}
	return problems, nil
}

// checkResource checks one resource of a provider.
func checkResource(name string, r state.Resource) []string {
	var problems []string
	report := func(format string, args ...any) { problems = append(problems, name+": "+fmt.Sprintf(format, args...)) }
	in := values.Map(r.Inputs)
	switch r.Type {
	case types.Firewall:
		for _, cidr := range in.Strs("sourceRanges") {
			if prefix, err := netip.ParsePrefix(cidr); in.At("allows") != nil && (err != nil || prefix.Bits() == 0) {
				report("allows traffic from %s", cidr)
			}
		}
	case types.Cluster:
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
	case types.Instance:
		for _, nic := range in.Maps("networkInterfaces") {
			if nic.At("accessConfigs") != nil || nic.At("ipv6AccessConfigs") != nil {
				report("the machine has a public address")
			}
		}
	case types.NodePool:
		if in.At("networkConfig.enablePrivateNodes") == false {
			report("nodes have public addresses")
		}
	case types.SQLInstance:
		if in.At("settings.ipConfiguration.ipv4Enabled") != false {
			report("the database has a public address")
		}
	case types.Bucket:
		if in.Str("publicAccessPrevention") != "enforced" || !in.Is("uniformBucketLevelAccess") {
			report("the bucket may become public")
		}
	}
	return problems
}

// checkGrant checks a grant of IAM: it adds one member, does not grant to everyone, and grants no administration of the whole project. A bucket of the
// stack's own may have a whole policy: Google's lets others in.
func checkGrant(name string, r state.Resource, export *state.Export) []string {
	lower := strings.ToLower(types.Short(r.Type))
	switch {
	case !strings.Contains(lower, "iam"), r.Type == types.IdentityPool, r.Type == types.IdentityProvider, r.Type == types.CustomRole: // which grant nothing yet
		return nil
	}
	var problems []string
	own := r.Type == types.BucketPolicy && slices.ContainsFunc(export.Deployment.Resources, func(o state.Resource) bool {
		return o.Type == types.Bucket && slices.Contains(r.Dependencies, o.URN)
	})
	if !strings.HasSuffix(lower, "iammember") && !own {
		problems = append(problems, name+": sets more than one member, and takes the role away from all others")
	}
	role, member := values.Map(r.Inputs).Str("role"), values.Map(r.Inputs).Str("member")
	if r.Type == types.ProjectMember && broadRole(role) {
		problems = append(problems, fmt.Sprintf("%s: grants %s on the whole project", name, role))
	}
	for _, everyone := range []string{"allUsers", "allAuthenticatedUsers"} {
		if member == everyone {
			problems = append(problems, fmt.Sprintf("%s: grants %s to everyone", name, role))
		}
		if strings.Contains(values.Map(r.Inputs).Str("policyData"), strconv.Quote(everyone)) {
			problems = append(problems, name+": lets everyone in")
		}
	}
	return problems
}

// broadRole reports whether a role administers the project or a service in it, or is good for the objects of every cluster of the project, their Secrets
// among them.
func broadRole(role string) bool {
	switch role {
	case "roles/container.defaultNodeServiceAccount": // writes logs and metrics
		return false
	case "roles/gkehub.gatewayAdmin": // lets through to a cluster, which says by itself what may be done there
		return false
	case "roles/owner", "roles/editor":
		return true
	}
	return strings.HasSuffix(strings.ToLower(role), "admin") || strings.HasPrefix(role, "roles/container.")
}
