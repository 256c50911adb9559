package cloud

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

var (
	kmsName   = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	poolName  = regexp.MustCompile(`^[a-z0-9-]+$`)
	federate  = regexp.MustCompile(`^principal(?:Set)?://iam\.googleapis\.com/(projects/[0-9]+/locations/global/workloadIdentityPools/[^/]+)/`)
	inProject = regexp.MustCompile(`^principalSet://cloudresourcemanager\.googleapis\.com/projects/([^/]*)/type/`)
)

// checkKeyRing: https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings/create
func checkKeyRing(r *Request) error { return named("name", r.Inputs.Str("name"), kmsName, 63) }

func createKeyRing(r *Request) error {
	r.ID = fmt.Sprintf("projects/%s/locations/%s/keyRings/%s", r.in(), r.Inputs.Str("location"), r.Inputs.Str("name"))
	r.Outputs["project"] = r.in()
	return nil
}

// removeKeyRing plays the provider, which forgets the ring. https://cloud.google.com/kms/docs/faq#cannot_delete
func removeKeyRing(*Request) (string, error) { return "Google deletes no key ring", nil }

func checkCryptoKey(r *Request) error {
	if _, err := r.Need(types.KeyRing, "keyRing", r.Inputs.Str("keyRing")); err != nil {
		return err
	}
	if period := r.Inputs.Str("rotationPeriod"); period != "" && !regexp.MustCompile(`^[0-9]{5,}(\.[0-9]+)?s$`).MatchString(period) {
		return fmt.Errorf("rotationPeriod: %q is not a number of seconds of at least a day, as 7776000s", period)
	}
	return named("name", r.Inputs.Str("name"), kmsName, 63)
}

func createCryptoKey(r *Request) error {
	r.ID = r.Inputs.Str("keyRing") + "/cryptoKeys/" + r.Inputs.Str("name")
	r.Outputs["destroyScheduledDuration"] = "2592000s"
	return nil
}

// removeCryptoKey plays the provider, which destroys the versions of a key.
func removeCryptoKey(*Request) (string, error) {
	return "all of its versions are destroyed: nobody can decrypt what was encrypted with it", nil
}

// checkIdentityPool: https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools/create
func checkIdentityPool(r *Request) error {
	id := r.Inputs.Str("workloadIdentityPoolId")
	if len(id) < 4 || strings.HasPrefix(id, "gcp-") {
		return fmt.Errorf("workloadIdentityPoolId: %q has fewer than 4 characters, or begins with gcp-", id)
	}
	return named("workloadIdentityPoolId", id, poolName, 32)
}

func createIdentityPool(r *Request) error {
	id := r.Inputs.Str("workloadIdentityPoolId")
	r.ID = fmt.Sprintf("projects/%s/locations/global/workloadIdentityPools/%s", r.in(), id)
	number, _ := r.cloud.number(r.in())
	r.Outputs["name"] = fmt.Sprintf("projects/%s/locations/global/workloadIdentityPools/%s", number, id)
	r.Outputs["project"], r.Outputs["state"] = r.in(), "ACTIVE"
	return nil
}

func removeIdentityPool(r *Request) (string, error) {
	r.cloud.reserved[key(r.Type, r.ID)] = "taken for 30 days after its pool was deleted"
	return "", nil
}

// checkIdentityProvider: Google wants a condition for an issuer that many people share.
// https://cloud.google.com/iam/docs/workload-identity-federation-with-deployment-pipelines#conditions
func checkIdentityProvider(r *Request) error {
	found := false
	for _, pool := range r.All(types.IdentityPool) {
		if pool.Inputs.Str("workloadIdentityPoolId") == r.Inputs.Str("workloadIdentityPoolId") {
			r.NeedObject(pool, "workloadIdentityPoolId")
			found = true
		}
	}
	mapping, _ := r.Inputs.At("attributeMapping").(map[string]any)
	issuer := r.Inputs.Str("oidc.issuerUri")
	switch {
	case !found:
		return fmt.Errorf("workloadIdentityPoolId: %q does not exist", r.Inputs.Str("workloadIdentityPoolId"))
	case mapping["google.subject"] == nil:
		return errors.New("attributeMapping: google.subject is needed")
	case !strings.HasPrefix(issuer, "https://"):
		return fmt.Errorf("oidc.issuerUri: %q is not an https address", issuer)
	case issuer == "https://token.actions.githubusercontent.com" && !strings.Contains(r.Inputs.Str("attributeCondition"), "assertion."):
		return errors.New("attributeCondition: must reference one of the provider's claims: everybody on GitHub has this issuer")
	}
	return named("workloadIdentityPoolProviderId", r.Inputs.Str("workloadIdentityPoolProviderId"), poolName, 32)
}

func createIdentityProvider(r *Request) error {
	path := fmt.Sprintf("/locations/global/workloadIdentityPools/%s/providers/%s",
		r.Inputs.Str("workloadIdentityPoolId"), r.Inputs.Str("workloadIdentityPoolProviderId"))
	number, _ := r.cloud.number(r.in())
	r.ID = "projects/" + r.in() + path
	r.Outputs["name"], r.Outputs["project"], r.Outputs["state"] = "projects/"+number+path, r.in(), "ACTIVE"
	return nil
}

// checkPrincipal checks members that are no accounts: of a pool, which must exist, or all of a project.
func (r *Request) checkPrincipal(path, member string) error {
	if match := federate.FindStringSubmatch(member); match != nil {
		_, err := r.Need(types.IdentityPool, path, match[1])
		return err
	}
	if match := inProject.FindStringSubmatch(member); match != nil {
		for _, project := range append([]string{r.Project}, r.cloud.Others...) {
			if number, _ := r.cloud.number(project); number == match[1] {
				return nil
			}
		}
		return fmt.Errorf("%s: there is no project %s", path, match[1])
	}
	return nil
}

// keyRings lists the rings of a project and a place.
func keyRings(r *Request, args values.Map) (values.Map, error) {
	r.Inputs = args
	if err := r.Enabled("cloudkms"); err != nil {
		return nil, err
	}
	var rings []any
	for _, o := range r.All(types.KeyRing) {
		if o.Inputs.Str("location") == args.Str("location") && strings.HasPrefix(o.ID, "projects/"+r.in()+"/") {
			rings = append(rings, map[string]any{"id": o.ID, "name": o.ID})
		}
	}
	return values.Map{"id": "keyRings", "location": args.Str("location"), "keyRings": rings}, nil
}

// cryptoKeys lists the keys of a ring.
func cryptoKeys(r *Request, args values.Map) (values.Map, error) {
	if err := r.Enabled("cloudkms"); err != nil {
		return nil, err
	}
	ring := args.Str("keyRing")
	var keys []any
	for _, o := range r.All(types.CryptoKey) {
		if o.Inputs.Str("keyRing") == ring {
			keys = append(keys, map[string]any{"id": o.ID, "name": o.Inputs.Str("name"), "keyRing": ring})
		}
	}
	return values.Map{"id": ring, "keyRing": ring, "keys": keys}, nil
}
