package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/api/cloudbilling/v1"
	"google.golang.org/api/cloudresourcemanager/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/serviceusage/v1"

	"openhands-gcp/permissions"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

var errNoCredentials = errors.New("no credentials")

// project asks whether there is one, and whether it can be used.
func (e *exam) project(ctx context.Context) []Finding {
	project, err := e.getProject(ctx)
	id := e.config.Project
	var answer *googleapi.Error
	switch {
	case errors.As(err, &answer) && (answer.Code == http.StatusNotFound || (answer.Code == http.StatusForbidden && !isDisabled(err))):
		// Google answers the same for a project that there is not and for one that is not shown.
		return []Finding{e.fails("gcloud projects create "+id, nil, "there is no project %s, or %s may not see or use it: "+
			"then its owner grants roles/serviceusage.serviceUsageConsumer", id, e.member())}
	case err != nil:
		return []Finding{e.unasked("project "+id, "roles/browser", err)}
	case project.State != "ACTIVE":
		return []Finding{e.fails("gcloud projects undelete "+id, nil, "project %s is %s", id, strings.ToLower(strings.ReplaceAll(project.State, "_", " ")))}
	}
	found := []Finding{ok("%s is active", id)}
	exposure := e.config.Exposure
	if e.config.Exposed() && exposure.Login.ClientID == "" && !exposure.OpenToEveryoneWithoutLogin && project.Parent == "" {
		found = append(found, e.fails("pulumi config set --path openhands:exposure.login.clientId <client id>", []string{types.BackendPolicy},
			"%s belongs to no organization, and Google's own OAuth client logs in only members of one: make a client (docs/exposure.md)", id))
	}
	return found
}

func isDisabled(err error) bool {
	_, off := disabled(err)
	return off
}

func (e *exam) getProject(ctx context.Context) (*cloudresourcemanager.Project, error) {
	if e.google == nil {
		return nil, errNoCredentials
	}
	ctx, cancel := e.patient(ctx)
	defer cancel()
	service, err := cloudresourcemanager.NewService(ctx, e.client())
	if err != nil {
		return nil, err
	}
	return service.Projects.Get("projects/" + e.config.Project).Context(ctx).Do()
}

// billing asks whether somebody pays: without, no API that costs can be enabled.
func (e *exam) billing(ctx context.Context) []Finding {
	info, err := e.getBilling(ctx)
	switch {
	case err != nil:
		return []Finding{e.unasked("billing", "roles/browser", err)}
	case !info.BillingEnabled:
		return []Finding{e.fails("gcloud billing projects link "+e.config.Project+" --billing-account=<one of `gcloud billing accounts list`>",
			[]string{types.Service}, "billing is off, and Google enables no API that costs")}
	}
	return []Finding{ok("on")}
}

func (e *exam) getBilling(ctx context.Context) (*cloudbilling.ProjectBillingInfo, error) {
	if e.google == nil {
		return nil, errNoCredentials
	}
	ctx, cancel := e.patient(ctx)
	defer cancel()
	service, err := cloudbilling.NewService(ctx, e.client())
	if err != nil {
		return nil, err
	}
	return service.Projects.GetBillingInfo("projects/" + e.config.Project).Context(ctx).Do()
}

// neededBefore are the APIs by which the program enables the others.
var neededBefore = []string{"cloudresourcemanager.googleapis.com", "serviceusage.googleapis.com"}

// batchOfServices is how many APIs one call may ask for.
// https://cloud.google.com/service-usage/docs/reference/rest/v1/services/batchGet
const batchOfServices = 30

// apis asks which are off. Those that `up` enables may be.
func (e *exam) apis(ctx context.Context) []Finding {
	wanted := slices.Clone(neededBefore)
	for _, r := range e.resources(types.Service) {
		wanted = append(wanted, values.Map(r.Inputs).Str("service"))
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	on, err := e.enabled(ctx, wanted)
	enable := e.gcloud("services enable %s", strings.Join(neededBefore, " "))
	if service, off := disabled(err); off && slices.Contains(neededBefore, service) {
		return []Finding{e.fails(enable, []string{types.Service}, "%s is off, by which `up` enables the others", service)}
	}
	if err != nil {
		return []Finding{e.unasked("APIs", "roles/serviceusage.serviceUsageViewer", err)}
	}
	off := slices.DeleteFunc(slices.Clone(wanted), func(api string) bool { return slices.Contains(on, api) })
	before := slices.DeleteFunc(slices.Clone(off), func(api string) bool { return !slices.Contains(neededBefore, api) })
	switch {
	case len(before) > 0:
		return []Finding{e.fails(enable, []string{types.Service}, "%s is off, by which `up` enables the others", strings.Join(before, ", "))}
	case len(off) > 0:
		return []Finding{ok("%d of %d are on; `up` enables the others: %s", len(wanted)-len(off), len(wanted), strings.Join(off, ", "))}
	}
	return []Finding{ok("all %d are on", len(wanted))}
}

func (e *exam) enabled(ctx context.Context, apis []string) ([]string, error) {
	if e.google == nil {
		return nil, errNoCredentials
	}
	ctx, cancel := e.patient(ctx)
	defer cancel()
	service, err := serviceusage.NewService(ctx, e.client())
	if err != nil {
		return nil, err
	}
	parent := "projects/" + e.config.Project
	var on []string
	for batch := range slices.Chunk(apis, batchOfServices) {
		var names []string
		for _, api := range batch {
			names = append(names, parent+"/services/"+api)
		}
		answer, err := service.Services.BatchGet(parent).Names(names...).Context(ctx).Do()
		if err != nil {
			return nil, err
		}
		for _, s := range answer.Services {
			if s.State == "ENABLED" {
				on = append(on, s.Name[strings.LastIndex(s.Name, "/")+1:])
			}
		}
	}
	return on, nil
}

// batchOfPermissions is how many permissions one call may ask for.
// https://cloud.google.com/resource-manager/reference/rest/v3/projects/testIamPermissions
const batchOfPermissions = 100

// permissions asks for exactly those that the plan's resources take.
func (e *exam) permissions(ctx context.Context) []Finding {
	planned := map[string]bool{}
	var all []string
	for _, r := range e.graph.Resources() {
		if !planned[r.Type] {
			planned[r.Type] = true
			all = append(all, r.Type)
		}
	}
	needed, err := permissions.Of(all)
	if err != nil {
		return []Finding{unknown("", "%v", err)}
	}
	roles, err := permissions.Deploy(all)
	if err != nil {
		return []Finding{unknown("", "%v", err)}
	}
	names := permissions.Names(needed)
	granted, refused, err := e.granted(ctx, names)
	if err != nil {
		return []Finding{e.unasked("permissions", "roles/browser", err)}
	}
	byRole := map[string][]permissions.Permission{}
	for _, p := range needed {
		if !slices.Contains(granted, p.Name) && !slices.Contains(refused, p.Name) {
			role := roleFor(roles, p.Name)
			byRole[role] = append(byRole[role], p)
		}
	}
	var found []Finding
	for _, role := range roles {
		if lacking := byRole[role.Name]; len(lacking) > 0 {
			found = append(found, e.lacks(role.Name, lacking))
		}
	}
	if len(refused) > 0 {
		found = append(found, unknown("", "Google does not say of a project who has %s", enumerate(refused)))
	}
	if len(found) == 0 {
		return []Finding{ok("all %d that the plan's resources take", len(names))}
	}
	return found
}

// roleFor is the role that gives a permission: that of its own service before those of others, which hold it beside.
func roleFor(roles []permissions.Role, permission string) string {
	service, _, _ := strings.Cut(permission, ".")
	var holding []string
	for _, role := range roles {
		if slices.Contains(role.Holds, permission) {
			holding = append(holding, role.Name)
		}
	}
	if own := slices.IndexFunc(holding, func(role string) bool { return strings.HasPrefix(role, "roles/"+service+".") }); own >= 0 {
		return holding[own]
	}
	return holding[0] // permissions.Deploy has one for each
}

// lacks is the finding about permissions that one role would give.
func (e *exam) lacks(role string, missing []permissions.Permission) Finding {
	names := permissions.Names(missing)
	if !slices.ContainsFunc(names, func(name string) bool { return !strings.HasPrefix(name[strings.LastIndex(name, ".")+1:], "delete") }) {
		return later(e.grant(role), "%s lacks %s: `pulumi destroy` fails", e.member(), enumerate(names))
	}
	var lack, short []string
	for _, p := range missing {
		lack = append(lack, p.Type)
	}
	slices.SortStableFunc(lack, func(a, b string) int { return cmp.Compare(e.begin(a), e.begin(b)) })
	for _, typ := range slices.Compact(lack) {
		short = append(short, types.Short(typ))
	}
	return e.fails(e.grant(role), lack, "%s lacks %s, for %s", e.member(), enumerate(names), enumerate(short))
}

// enumerate names the first few.
func enumerate(names []string) string {
	const few = 2
	if len(names) <= few+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// granted returns those permissions that whoever asks has in the project, and those of which Google does not say it of a project.
func (e *exam) granted(ctx context.Context, names []string) (granted, refused []string, err error) {
	if e.google == nil {
		return nil, nil, errNoCredentials
	}
	ctx, cancel := e.patient(ctx)
	defer cancel()
	service, err := cloudresourcemanager.NewService(ctx, e.client())
	if err != nil {
		return nil, nil, err
	}
	var ask func(batch []string) error
	ask = func(batch []string) error {
		answer, err := service.Projects.TestIamPermissions("projects/"+e.config.Project,
			&cloudresourcemanager.TestIamPermissionsRequest{Permissions: batch}).Context(ctx).Do()
		var problem *googleapi.Error
		if errors.As(err, &problem) && problem.Code == http.StatusBadRequest {
			// One of them is not a project's; which, the answer does not say in any form to rely on.
			if len(batch) == 1 {
				refused = append(refused, batch[0])
				return nil
			}
			return errors.Join(ask(batch[:len(batch)/2]), ask(batch[len(batch)/2:]))
		}
		if err != nil {
			return err
		}
		granted = append(granted, answer.Permissions...)
		return nil
	}
	for batch := range slices.Chunk(names, batchOfPermissions) {
		if err := ask(batch); err != nil {
			return nil, nil, err
		}
	}
	return granted, refused, nil
}
