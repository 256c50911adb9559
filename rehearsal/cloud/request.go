package cloud

import (
	"fmt"
	"regexp"
	"slices"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// Rule is how the cloud treats the objects of one type.
type Rule struct {
	API string // that must be enabled, without .googleapis.com; none where empty

	// Check returns what the API would refuse about the wanted inputs, at a creation and at an update; nil where there is nothing to check.
	Check func(r *Request) error
	// Create sets r.ID, and in r.Outputs what the cloud computes. It also runs at an update.
	Create func(r *Request) error
	// Update returns what the API refuses about a change, beyond Check; nil where it refuses nothing.
	Update func(r *Request) error
	// Remove returns what the API refuses about a deletion, and drops the objects that Google deletes with this one. left says why the object stays;
	// empty where it goes. Nil where there is nothing to refuse or drop.
	Remove func(r *Request) (left string, err error)
	// Upsert says that a creation of what is there already changes it, as Kubernetes' server-side apply of a patch does.
	Upsert bool
}

// Request is one call about one object. The cloud is locked while it runs, and its inventory is the cloud's own.
type Request struct {
	*Inventory

	Type, URN, ID   string
	Inputs, Outputs values.Map
	Old             *Object // nil at a creation

	cloud *Cloud
}

// Need returns the object that a field refers to, and notes that this request had to wait for it.
func (r *Request) Need(typ, path, ref string) (*Object, error) {
	o := r.Find(typ, ref)
	if o == nil {
		return nil, fmt.Errorf("%s: %q does not exist (no %s)", path, ref, types.Short(typ))
	}
	r.NeedObject(o, path)
	return o, nil
}

// NeedObject notes that this request had to wait for an object.
func (r *Request) NeedObject(o *Object, why string) {
	if o.URN != "" && o.URN != r.URN {
		r.cloud.needs = append(r.cloud.needs, Need{URN: r.URN, On: o.URN, Why: why})
	}
}

// needAll is Need for every item of the list at a path.
func (r *Request) needAll(typ, path string) error {
	for _, ref := range r.Inputs.Strs(path) {
		if _, err := r.Need(typ, path, ref); err != nil {
			return err
		}
	}
	return nil
}

// Enabled fails unless an API, without .googleapis.com, is on.
func (r *Request) Enabled(api string) error {
	service := api + ".googleapis.com"
	o := r.Find(types.Service, r.in()+"/"+service)
	if o == nil {
		return fmt.Errorf("SERVICE_DISABLED: %s is not enabled in project %s", service, r.in())
	}
	r.NeedObject(o, "API "+service)
	return nil
}

// in is the project that the request is about: the one that it names, of those that there are, or the provider's.
func (r *Request) in() string {
	if named := r.Inputs.Str("project"); slices.Contains(r.cloud.Others, named) {
		return named
	}
	return r.Project
}

// Drop deletes an object that Google deletes with another.
func (r *Request) Drop(o *Object) { delete(r.objects, key(o.Type, o.ID)) }

// unusedBy refuses a deletion while the list of an object of a type names this one.
func unusedBy(typ, path string) func(*Request) (string, error) {
	return func(r *Request) (string, error) {
		for _, o := range r.All(typ) {
			for _, id := range o.Inputs.Strs(path) {
				if id == r.ID {
					return "", fmt.Errorf("%s %s is used by %s", types.Short(r.Type), r.ID, o.ID)
				}
			}
		}
		return "", nil
	}
}

// named checks a name against the rule of its type.
func named(path, name string, rule *regexp.Regexp, limit int) error {
	if len(name) > limit {
		return fmt.Errorf("%s: %q has %d characters, the limit is %d", path, name, len(name), limit)
	}
	if !rule.MatchString(name) {
		return fmt.Errorf("%s: %q does not match %s", path, name, rule)
	}
	return nil
}

// namedRFC1035 checks the input name against the rule that most types have.
func (r *Request) namedRFC1035() error { return named("name", r.Inputs.Str("name"), rfc1035, 63) }

var rfc1035 = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
