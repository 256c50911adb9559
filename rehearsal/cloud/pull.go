package cloud

import (
	"fmt"
	"strings"

	"openhands-gcp/rehearsal/types"
)

// NeedImage checks that a service account may pull an image, where it lies in a repository of the stack, and notes that this request had to wait until it
// may. Private Google Access leads to Artifact Registry: no NAT is needed for it.
func (r *Request) NeedImage(image, account string) error {
	for _, repository := range r.All(types.Repository) {
		name := repository.Outputs.Str("name")
		if !strings.HasPrefix(image, fmt.Sprintf("%s-docker.pkg.dev/%s/%s/", repository.Outputs.Str("location"), r.Project, name)) {
			continue
		}
		grant := r.granted(types.RepositoryMember, "roles/artifactregistry.reader", "serviceAccount:"+account, func(grant *Object) bool {
			return grant.Inputs.Str("repository") == name
		})
		if grant == nil {
			return fmt.Errorf("ErrImagePull: %s may not read repository %s", account, name)
		}
		r.NeedObject(grant, account+" may pull the image")
	}
	return nil
}

// NeedInternet checks that there is a NAT for what runs in a network, and notes that this request had to wait for it, and for the network's firewall.
func (r *Request) NeedInternet(network string) error {
	out := false
	for _, nat := range r.All(types.NAT) {
		if router := r.Find(types.Router, nat.Inputs.Str("router")); router != nil && router.Inputs.Str("network") == network {
			r.NeedObject(nat, "the way to the internet")
			out = true
		}
	}
	if !out {
		return fmt.Errorf("network %s has no NAT: without one, nothing that has no public address reaches the internet", network)
	}
	for _, rule := range r.All(types.Firewall) {
		if rule.Inputs.Str("network") == network {
			r.NeedObject(rule, "what may enter its network")
		}
	}
	return nil
}
