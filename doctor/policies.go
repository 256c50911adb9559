package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/api/orgpolicy/v2"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// Constraint is one of Google's organization policies, as docs/quotas.md lists them. Nothing here minds one without a check.
type Constraint struct {
	Name string // without constraints/
	// stops are the types of resources that it may stop: a stack without them does not mind it.
	stops []string
	// check returns what is wrong, empty where nothing is; sure is false where the answer does not say.
	check func(e *exam, p policy) (problem string, sure bool)
	// allow is what an administrator lets the project do, as the flags of `gcloud org-policies`.
	allow string
}

// Stops says whether it may stop anything.
func (c Constraint) Stops() bool { return c.check != nil }

// Constraints are those that docs/quotas.md lists. One without a check stops nothing of this program.
var Constraints = []Constraint{
	{Name: "compute.requireShieldedVm"}, {Name: "compute.vmExternalIpAccess"}, {Name: "compute.disableGuestAttributesAccess"},
	{Name: "compute.disableSerialPortAccess"}, {Name: "compute.disableNestedVirtualization"}, {Name: "compute.skipDefaultNetworkCreation"},
	{Name: "compute.requireOsLogin"},
	{Name: "iam.disableServiceAccountKeyCreation"}, {Name: "iam.automaticIamGrantsForDefaultServiceAccounts"},
	{Name: "storage.uniformBucketLevelAccess"}, {Name: "storage.publicAccessPrevention"},
	{Name: "sql.restrictPublicIp"}, {Name: "sql.restrictAuthorizedNetworks"},
	{
		Name: "compute.restrictVpcPeering", stops: []string{types.Connection}, check: needs(google),
		allow: "under:" + google,
	},
	{
		Name: "compute.restrictLoadBalancerCreationForTypes", stops: []string{types.Gateway},
		check: needs("GLOBAL_EXTERNAL_MANAGED_HTTP_HTTPS", "in:EXTERNAL"), allow: "GLOBAL_EXTERNAL_MANAGED_HTTP_HTTPS",
	},
	{Name: "compute.trustedImageProjects", stops: []string{types.Instance}, check: needs("projects/cos-cloud"), allow: "projects/cos-cloud"},
	{Name: "iam.disableServiceAccountCreation", stops: []string{types.Account}, check: off},
	{Name: "iam.disableWorkloadIdentityClusterCreation", stops: []string{types.Cluster}, check: off},
	{Name: "iam.allowedPolicyMemberDomains", stops: []string{types.LoginMember, types.TunnelMember, types.ProjectMember}, check: memberDomains},
	{Name: "gcp.resourceLocations", stops: []string{types.Subnetwork, types.Bucket}, check: locations},
	{Name: "gcp.restrictServiceUsage", stops: []string{types.Service}, check: services},
	{
		Name:  "gcp.restrictNonCmekServices",
		stops: []string{types.Repository, types.Cluster, types.SQLInstance, types.Bucket, types.Disk}, check: withoutKeys,
	},
}

// google is Google's own organization, in which the network of Cloud SQL is.
const google = "organizations/433637338589"

// policy is what is in force in the project.
type policy struct {
	enforced          bool // of a policy that is on or off
	allowAll, denyAll bool
	allowed, denied   []string
	conditional       bool // a rule counts for some tags only
}

// lets says whether one of the values is allowed. What is not restricted is.
func (p policy) lets(any ...string) bool {
	named := func(list []string) bool {
		return slices.ContainsFunc(list, func(entry string) bool { return slices.Contains(any, plain(entry)) || slices.Contains(any, entry) })
	}
	switch {
	case p.denyAll || named(p.denied):
		return false
	case p.allowAll || len(p.allowed) == 0:
		return true
	}
	return named(p.allowed)
}

// plain is a value without the words that say how it is meant: of a place in the hierarchy, all below it.
func plain(entry string) string {
	return strings.TrimPrefix(strings.TrimPrefix(entry, "is:"), "under:")
}

func needs(any ...string) func(*exam, policy) (string, bool) {
	return func(_ *exam, p policy) (string, bool) {
		if p.lets(any...) {
			return "", true
		}
		return "does not allow " + any[0], true
	}
}

func off(_ *exam, p policy) (string, bool) {
	if p.enforced {
		return "is enforced", true
	}
	return "", true
}

// memberDomains cannot tell whose a domain is: the policy names customers by an id that only they see.
func memberDomains(e *exam, p policy) (string, bool) {
	if p.denyAll || len(p.allowed) == 0 {
		return "", true
	}
	people := map[string]bool{}
	for _, r := range e.graph.Resources() {
		kind, address, _ := strings.Cut(values.Map(r.Inputs).Str("member"), ":")
		if kind == "user" || kind == "group" || kind == "domain" {
			people[address[strings.LastIndex(address, "@")+1:]] = true
		}
	}
	if len(people) == 0 {
		return "", true
	}
	var domains []string
	for domain := range people {
		domains = append(domains, domain)
	}
	slices.Sort(domains)
	return fmt.Sprintf("lets in members of %s alone, and whether those of %s are, only their administrators see (DIRECTORY_CUSTOMER_ID in `gcloud "+
		"organizations list`)", strings.Join(p.allowed, ", "), strings.Join(domains, ", ")), false
}

// continents are groups of which it is plain whether a region is in them. Others, such as those of little carbon, change.
var continents = []string{"in:us-locations", "in:eu-locations", "in:europe-locations", "in:asia-locations", "in:australia-locations"}

// locations knows the groups of a region and of its continent, as Google names them.
// https://cloud.google.com/resource-manager/docs/organization-policy/defining-locations
func locations(e *exam, p policy) (string, bool) {
	places := []string{e.config.Region}
	if e.has(types.Bucket) && e.config.BucketLocation() != e.config.Region {
		places = append(places, strings.ToLower(e.config.BucketLocation()))
	}
	for _, place := range places {
		continent, _, _ := strings.Cut(place, "-")
		any := []string{place, "in:" + place + "-locations", "in:" + continent + "-locations"}
		if place == "eu" || continent == "europe" {
			any = append(any, "in:eu-locations", "in:europe-locations")
		}
		if p.lets(any...) {
			continue
		}
		unclear := slices.ContainsFunc(p.allowed, func(entry string) bool { return strings.HasPrefix(entry, "in:") && !slices.Contains(continents, entry) })
		return fmt.Sprintf("allows %s, and the stack is in %s", strings.Join(p.allowed, ", "), place), !unclear || p.denyAll
	}
	return "", true
}

func services(e *exam, p policy) (string, bool) {
	var refused []string
	for _, r := range e.resources(types.Service) {
		if api := values.Map(r.Inputs).Str("service"); !p.lets(api) {
			refused = append(refused, api)
		}
	}
	if len(refused) == 0 {
		return "", true
	}
	return "does not allow " + enumerate(refused), true
}

// withoutKeys looks for services that the policy names, as those in which nothing may be without a key of one's own.
func withoutKeys(e *exam, p policy) (string, bool) {
	var refused []string
	for _, r := range e.resources(types.Service) {
		api := values.Map(r.Inputs).Str("service")
		if p.denyAll || slices.ContainsFunc(p.denied, func(entry string) bool { return plain(entry) == api }) {
			refused = append(refused, api)
		}
	}
	if len(refused) == 0 {
		return "", true
	}
	return "refuses what no key of your own encrypts, of " + enumerate(refused), true
}

// policies asks what is in force of each constraint that may stop something of the plan.
func (e *exam) policies(ctx context.Context) []Finding {
	var minded []Constraint
	for _, c := range Constraints {
		if slices.ContainsFunc(c.stops, e.has) {
			minded = append(minded, c)
		}
	}
	inForce, errs := make([]policy, len(minded)), make([]error, len(minded))
	var wait sync.WaitGroup
	for i, c := range minded {
		wait.Go(func() { inForce[i], errs[i] = e.effective(ctx, c.Name) })
	}
	wait.Wait()
	var found []Finding
	for i, c := range minded {
		if errs[i] != nil {
			// What one is refused, all are.
			return []Finding{e.unasked("organization policies", "roles/orgpolicy.policyViewer", errs[i])}
		}
		problem, sure := c.check(e, inForce[i])
		switch {
		case problem == "":
		case !sure:
			found = append(found, unknown(e.show(c), "%s %s", c.Name, problem))
		case inForce[i].conditional:
			found = append(found, unknown(e.show(c), "%s %s, by a rule that counts for some tags only", c.Name, problem))
		default:
			found = append(found, e.fails(e.exception(c), c.stops, "%s %s", c.Name, problem))
		}
	}
	if len(found) == 0 {
		return []Finding{ok("none of the %d that could stop something of the plan does", len(minded))}
	}
	return found
}

func (e *exam) show(c Constraint) string {
	return e.gcloud("org-policies describe %s --effective", c.Name)
}

// exception is the command by which an administrator of the policies lets the project do it.
func (e *exam) exception(c Constraint) string {
	switch {
	case c.allow != "":
		return "gcloud resource-manager org-policies allow " + c.Name + " " + c.allow + " --project=" + e.config.Project
	case strings.HasPrefix(c.Name, "iam.disable"):
		return "gcloud resource-manager org-policies disable-enforce " + c.Name + " --project=" + e.config.Project
	}
	return e.show(c)
}

func (e *exam) effective(ctx context.Context, constraint string) (policy, error) {
	if e.google == nil {
		return policy{}, errNoCredentials
	}
	ctx, cancel := e.patient(ctx)
	defer cancel()
	service, err := orgpolicy.NewService(ctx, e.client())
	if err != nil {
		return policy{}, err
	}
	answer, err := service.Projects.Policies.GetEffectivePolicy("projects/" + e.config.Project + "/policies/" + constraint).Context(ctx).Do()
	if missing(err) {
		return policy{}, nil // nobody has set it
	}
	if err != nil {
		return policy{}, err
	}
	var p policy
	if answer.Spec == nil {
		return p, nil
	}
	for _, rule := range answer.Spec.Rules {
		p.enforced, p.allowAll, p.denyAll = p.enforced || rule.Enforce, p.allowAll || rule.AllowAll, p.denyAll || rule.DenyAll
		p.conditional = p.conditional || rule.Condition != nil
		if rule.Values != nil {
			p.allowed, p.denied = append(p.allowed, rule.Values.AllowedValues...), append(p.denied, rule.Values.DeniedValues...)
		}
	}
	return p, nil
}
