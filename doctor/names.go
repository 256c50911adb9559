package doctor

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"google.golang.org/api/artifactregistry/v1"
	"google.golang.org/api/dns/v1"
	"google.golang.org/api/iam/v1"

	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
	"openhands-gcp/release"
)

// dns asks whether browsers will find the host, and Google the proof that the domain is yours.
func (e *exam) dns(ctx context.Context) []Finding {
	if !e.config.Exposed() {
		return nil
	}
	if e.config.Exposure.DNSZone == "" {
		return e.elsewhere(ctx)
	}
	zone, records, err := e.getZone(ctx)
	name, host := e.config.Exposure.DNSZone, e.config.Exposure.Host
	record := []string{types.DNSRecord}
	switch {
	case missing(err):
		return []Finding{e.fails(e.gcloud("dns managed-zones create %s --dns-name=<domain>. --description=OpenHands", name), record,
			"there is no zone %s in the project", name)}
	case err != nil:
		return []Finding{e.unasked("zone "+name, "roles/dns.reader", err)}
	case zone.Visibility == "private":
		return []Finding{e.fails(e.gcloud("dns managed-zones list"), record, "zone %s is private: nobody outside sees its records", name)}
	case !strings.HasSuffix("."+host+".", "."+zone.DnsName):
		return []Finding{e.fails(e.gcloud("dns managed-zones list"), record, "zone %s is of %s, and %s is not below it", name, zone.DnsName, host)}
	}
	var found []Finding
	if existing := recordNames(records); !e.created { // else they are its own
		for _, r := range [][2]string{{"A", e.served() + "."}, {"CNAME", "_acme-challenge." + host + "."}} {
			if slices.Contains(existing, r[0]+" "+r[1]) {
				found = append(found, e.taken(e.gcloud("dns record-sets delete %s --zone=%s --type=%s", r[1], name, r[0]), types.DNSRecord,
					r[0]+" record "+r[1], "choose another host"))
			}
		}
	}
	if !e.delegated(ctx, zone) {
		found = append(found, later("dig +short NS "+zone.DnsName, "the domain's registrar does not lead to zone %s (%s): no certificate is issued, and no browser "+
			"finds %s", name, strings.Join(zone.NameServers, ", "), host))
	}
	if len(found) == 0 {
		return []Finding{ok("zone %s of %s is public, and the world asks it", name, zone.DnsName)}
	}
	return found
}

// served is the name of the address record: of line canvas, every name below the host.
func (e *exam) served() string {
	if e.config.Line() == release.Canvas {
		return "*." + e.config.Exposure.Host
	}
	return e.config.Exposure.Host
}

// elsewhere looks at a host whose records people make by hand.
func (e *exam) elsewhere(ctx context.Context) []Finding {
	host := e.config.Exposure.Host
	ctx, cancel := e.patient(ctx)
	defer cancel()
	addresses, err := e.Resolver.LookupHost(ctx, host)
	var problem *net.DNSError
	switch {
	case errors.As(err, &problem) && problem.IsNotFound:
		return []Finding{ok("%s leads nowhere yet: make the records of `pulumi stack output dnsRecords` after the first `up`", host)}
	case err != nil:
		return []Finding{unknown("dig +short "+host, "%s could not be looked up", host)}
	case e.created:
		return []Finding{ok("%s leads to %s", host, strings.Join(addresses, ", "))}
	}
	return []Finding{later("pulumi stack output dnsRecords", "%s leads to %s today, which is no address of this stack: after `up`, replace the record", host,
		strings.Join(addresses, ", "))}
}

func recordNames(records []*dns.ResourceRecordSet) []string {
	var names []string
	for _, r := range records {
		names = append(names, r.Type+" "+r.Name)
	}
	return names
}

// delegated says whether whoever asks for the zone's domain is led to the zone.
func (e *exam) delegated(ctx context.Context, zone *dns.ManagedZone) bool {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	servers, err := e.Resolver.LookupNS(ctx, strings.TrimSuffix(zone.DnsName, "."))
	return err == nil && slices.ContainsFunc(servers, func(s *net.NS) bool { return slices.Contains(zone.NameServers, s.Host) })
}

func (e *exam) getZone(ctx context.Context) (*dns.ManagedZone, []*dns.ResourceRecordSet, error) {
	if e.google == nil {
		return nil, nil, errNoCredentials
	}
	ctx, cancel := e.patient(ctx)
	defer cancel()
	service, err := dns.NewService(ctx, e.client())
	if err != nil {
		return nil, nil, err
	}
	project, name := e.config.Project, e.config.Exposure.DNSZone
	zone, err := service.ManagedZones.Get(project, name).Context(ctx).Do()
	if err != nil {
		return nil, nil, err
	}
	var records []*dns.ResourceRecordSet
	err = service.ResourceRecordSets.List(project, name).Pages(ctx, func(page *dns.ResourceRecordSetsListResponse) error {
		records = append(records, page.Rrsets...)
		return nil
	})
	return zone, records, err
}

// taken is the finding about something that is there already. Without the state nobody knows whose it is.
func (e *exam) taken(mend, typ, what, instead string) Finding {
	if e.existing == nil {
		return unknown("", "%s is there already: where it is not this stack's own, `up` fails", what)
	}
	return e.fails(mend, []string{typ}, "%s is there already, of an earlier life or somebody else's: delete it where nobody uses it, or %s", what,
		instead)
}

// names asks for what the program does not generate a name for.
func (e *exam) names(ctx context.Context) []Finding {
	var found []Finding
	all := 0
	for _, r := range e.graph.Resources() {
		name := fixedName(r)
		if name == "" {
			continue
		}
		if all++; e.existing[name] {
			continue
		}
		f, is := e.named(ctx, r, name)
		if !is {
			continue
		}
		found = append(found, f)
		if e.google == nil {
			break // nor could the others be asked
		}
	}
	if len(found) == 0 {
		return []Finding{ok("all %d that are not generated are free, or this stack's own", all)}
	}
	return found
}

// named asks for one. is says whether there is anything to say of it.
func (e *exam) named(ctx context.Context, r state.Resource, name string) (f Finding, is bool) {
	inputs, project := values.Map(r.Inputs), e.config.Project
	if e.google == nil {
		return e.unasked("names", "", errNoCredentials), true
	}
	ctx, cancel := e.patient(ctx)
	defer cancel()
	mend, role, deleted := "", "", false
	var err error
	switch r.Type {
	case types.Account:
		email := inputs.Str("accountId") + "@" + project + ".iam.gserviceaccount.com"
		mend, role = e.gcloud("iam service-accounts delete %s", email), "roles/iam.serviceAccountViewer"
		var service *iam.Service
		if service, err = iam.NewService(ctx, e.client()); err == nil {
			_, err = service.Projects.ServiceAccounts.Get("projects/" + project + "/serviceAccounts/" + email).Context(ctx).Do()
		}
	case types.CustomRole:
		mend, role = e.gcloud("iam roles delete %s", inputs.Str("roleId")), "roles/iam.roleViewer"
		var service *iam.Service
		if service, err = iam.NewService(ctx, e.client()); err == nil {
			var found *iam.Role
			if found, err = service.Projects.Roles.Get("projects/" + project + "/roles/" + inputs.Str("roleId")).Context(ctx).Do(); err == nil {
				deleted = found.Deleted
			}
		}
	case types.Repository:
		role = "roles/artifactregistry.reader"
		mend = e.gcloud("artifacts repositories delete %s --location=%s", inputs.Str("repositoryId"), inputs.Str("location"))
		var service *artifactregistry.Service
		if service, err = artifactregistry.NewService(ctx, e.client()); err == nil {
			_, err = service.Projects.Locations.Repositories.Get("projects/" + project + "/locations/" + inputs.Str("location") + "/repositories/" +
				inputs.Str("repositoryId")).Context(ctx).Do()
		}
	}
	_, off := disabled(err)
	switch {
	case missing(err) || off: // where the API is off, there is nothing of it
		return Finding{}, false
	case err != nil:
		return e.unasked(name, role, err), true
	case deleted:
		// https://cloud.google.com/iam/docs/creating-custom-roles#deleting-custom-role
		return unknown(e.gcloud("iam roles undelete %s", inputs.Str("roleId")),
			"%s was deleted: for 7 days `up` takes it back, and for 30 days more its name is taken",
			name), true
	}
	return e.taken(mend, r.Type, name, "give the stack another name"), true
}
