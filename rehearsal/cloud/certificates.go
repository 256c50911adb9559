package cloud

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/types"
)

// domainName is one without a trailing dot.
var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,63}$`)

func checkAuthorization(r *Request) error {
	if domain := r.Inputs.Str("domain"); !domainName.MatchString(domain) {
		return fmt.Errorf("domain: %q is not a domain name", domain)
	}
	return r.namedRFC1035()
}

func createAuthorization(r *Request) error {
	r.Outputs["dnsResourceRecords"] = []any{map[string]any{
		"name": "_acme-challenge." + r.Inputs.Str("domain") + ".", "type": "CNAME",
		"data": "00000000-0000-0000-0000-000000000000.1.authorize.certificatemanager.goog.",
	}}
	return certified("dnsAuthorizations")(r)
}

// certified creates an object of Certificate Manager.
func certified(collection string) func(*Request) error {
	return func(r *Request) error {
		r.ID = fmt.Sprintf("projects/%s/locations/global/%s/%s", r.Project, collection, r.Inputs.Str("name"))
		r.Outputs["project"] = r.Project
		return nil
	}
}

func checkCertificate(r *Request) error {
	for _, domain := range r.Inputs.Strs("managed.domains") {
		if !slices.ContainsFunc(r.Inputs.Strs("managed.dnsAuthorizations"), func(id string) bool {
			o := r.Find(types.DNSAuthorization, id)
			// An authorization of a domain is for the names one level below it too, by a star.
			return o != nil && o.Inputs.Str("domain") == strings.TrimPrefix(domain, "*.")
		}) {
			return fmt.Errorf("managed.dnsAuthorizations: none is for %s", domain)
		}
	}
	if err := r.needAll(types.DNSAuthorization, "managed.dnsAuthorizations"); err != nil {
		return err
	}
	return r.namedRFC1035()
}

func removeCertificateMap(r *Request) (string, error) {
	for _, o := range r.All(types.CertificateMapEntry) {
		if o.Inputs.Str("map") == r.Outputs.Str("name") {
			return "", fmt.Errorf("certificate map %s has entries", r.Outputs.Str("name"))
		}
	}
	return servesNoGateway("certificate map")(r)
}

func checkMapEntry(r *Request) error {
	if _, err := r.Need(types.CertificateMap, "map", r.Inputs.Str("map")); err != nil {
		return err
	}
	if err := r.needAll(types.Certificate, "certificates"); err != nil {
		return err
	}
	return r.namedRFC1035()
}

func createMapEntry(r *Request) error {
	r.ID = fmt.Sprintf("projects/%s/locations/global/certificateMaps/%s/certificateMapEntries/%s", r.Project, r.Inputs.Str("map"), r.Inputs.Str("name"))
	return nil
}

// checkRecord checks a DNS record. Its zone is the user's own, and need not be in the project.
func checkRecord(r *Request) error {
	if name := r.Inputs.Str("name"); !strings.HasSuffix(name, ".") {
		return fmt.Errorf("name: %q does not end with a dot", name)
	}
	for _, data := range r.Inputs.Strs("rrdatas") {
		ip, err := netip.ParseAddr(data)
		switch {
		case r.Inputs.Str("type") == "A" && (err != nil || !ip.Is4()):
			return fmt.Errorf("rrdatas: %q is not an IPv4 address", data)
		case r.Inputs.Str("type") == "CNAME" && !strings.HasSuffix(data, "."):
			return fmt.Errorf("rrdatas: %q does not end with a dot", data)
		}
	}
	return nil
}

func createRecord(r *Request) error {
	r.ID = fmt.Sprintf("projects/%s/managedZones/%s/rrsets/%s/%s", r.Project, r.Inputs.Str("managedZone"), r.Inputs.Str("name"), r.Inputs.Str("type"))
	r.Outputs["project"] = r.Project
	return nil
}
