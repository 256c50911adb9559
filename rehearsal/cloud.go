package rehearsal

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Cloud is the simulated Google Cloud: one project with its objects. It is safe for concurrent use, as the engine creates in parallel.
type Cloud struct {
	project, region string

	mu       sync.Mutex // protects everything below
	objects  map[string]*object
	reserved map[string]string // names that stay taken after a deletion, and why
	needs    []need
}

// object is one thing that exists in the cloud.
type object struct {
	typ     string
	id      string
	urn     string // of the resource that created it
	inputs  values // with the provider's defaults
	outputs values // inputs and what the cloud computed
	left    string // why it stays although its resource was deleted; empty while the resource exists
}

// need says that one resource used another while it was created: the API it calls, the network it lies in. Something in the program's graph must
// make it wait, or it works by luck.
type need struct {
	urn, on string
	why     string
}

// NewCloud returns an empty project. Nothing but the two APIs that enable the others is on.
func NewCloud(project, region string) *Cloud {
	return &Cloud{project: project, region: region, objects: map[string]*object{}, reserved: map[string]string{}}
}

// values are the properties of an object in plain Go: string, bool, float64, []any, map[string]any.
type values map[string]any

// at returns the value at a path such as settings.ipConfiguration.ipv4Enabled, or nil.
func (v values) at(path string) any {
	var current any = map[string]any(v)
	for _, step := range strings.Split(path, ".") {
		m, ok := current.(map[string]any)
		if !ok {
			return nil
		}
		current = m[step]
	}
	return current
}

func (v values) str(path string) string {
	s, _ := v.at(path).(string)
	return s
}

func (v values) num(path string) float64 {
	n, _ := v.at(path).(float64)
	return n
}

func (v values) is(path string) bool {
	b, _ := v.at(path).(bool)
	return b
}

func (v values) list(path string) []any {
	l, _ := v.at(path).([]any)
	return l
}

// strs returns the strings of a list.
func (v values) strs(path string) []string {
	var out []string
	for _, item := range v.list(path) {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// set writes a value at a path, making the objects on the way.
func (v values) set(path string, value any) {
	steps := strings.Split(path, ".")
	current := map[string]any(v)
	for _, step := range steps[:len(steps)-1] {
		next, ok := current[step].(map[string]any)
		if !ok {
			next = map[string]any{}
			current[step] = next
		}
		current = next
	}
	current[steps[len(steps)-1]] = value
}

func (v values) clone() values {
	out := values{}
	for key, value := range v {
		out[key] = cloneValue(value)
	}
	return out
}

func cloneValue(value any) any {
	switch value := value.(type) {
	case map[string]any:
		return map[string]any(values(value).clone())
	case []any:
		out := make([]any, len(value))
		for i, item := range value {
			out[i] = cloneValue(item)
		}
		return out
	}
	return value
}

// kind is how the cloud treats one type: its rules about objects.
type kind struct {
	api string // that must be enabled, without .googleapis.com

	// check is everything that the API would refuse about the wanted inputs, at creation and at an update.
	check func(r *request) error
	// create sets r.id and what the cloud computes in r.outputs.
	create func(r *request) error
	// update is what the API refuses about a change, beyond check.
	update func(r *request) error
	// remove is what the API refuses about a deletion, and what it takes along. It may return why the object stays.
	remove func(r *request) (left string, err error)
}

// request is one call for one object. The cloud is locked while it runs.
type request struct {
	cloud   *Cloud
	typ     string
	urn     string
	id      string
	name    string // the resource's name in the program, for messages
	inputs  values
	outputs values
	old     *object // at an update or a deletion
}

func key(typ, id string) string { return typ + " " + id }

// find returns the object of a type whose id, name, self link or e-mail is ref.
func (c *Cloud) find(typ, ref string) *object {
	if ref == "" {
		return nil
	}
	for _, o := range c.objects {
		if o.typ == typ && (o.id == ref || o.outputs.str("name") == ref || o.outputs.str("selfLink") == ref || o.outputs.str("email") == ref) {
			return o
		}
	}
	return nil
}

// all returns the objects of a type, in a stable order.
func (c *Cloud) all(typ string) []*object {
	var out []*object
	for _, k := range slices.Sorted(maps.Keys(c.objects)) {
		if o := c.objects[k]; o.typ == typ {
			out = append(out, o)
		}
	}
	return out
}

// need returns the object that a field refers to, and notes that this request had to wait for it.
func (r *request) need(typ, path, ref string) (*object, error) {
	o := r.cloud.find(typ, ref)
	if o == nil {
		return nil, fmt.Errorf("%s: %q does not exist (no %s)", path, ref, shortType(typ))
	}
	r.needObject(o, path)
	return o, nil
}

func (r *request) needObject(o *object, why string) {
	if o.urn != "" && o.urn != r.urn {
		r.cloud.needs = append(r.cloud.needs, need{urn: r.urn, on: o.urn, why: why})
	}
}

// enabled fails unless the API is on.
func (r *request) enabled(api string) error {
	service := api + ".googleapis.com"
	o := r.cloud.find(serviceType, r.cloud.project+"/"+service)
	if o == nil {
		return fmt.Errorf("SERVICE_DISABLED: %s is not enabled in project %s", service, r.cloud.project)
	}
	r.needObject(o, "API "+service)
	return nil
}

// create makes an object, or says why the cloud refuses.
func (c *Cloud) create(typ, urn, name string, inputs values) (string, values, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := kinds[typ]
	if !ok {
		return "", nil, fmt.Errorf("the simulated cloud does not know type %s", typ)
	}
	r := &request{cloud: c, typ: typ, urn: urn, name: name, inputs: inputs, outputs: inputs.clone()}
	if k.api != "" {
		if err := r.enabled(k.api); err != nil {
			return "", nil, err
		}
	}
	if k.check != nil {
		if err := k.check(r); err != nil {
			return "", nil, err
		}
	}
	if err := k.create(r); err != nil {
		return "", nil, err
	}
	if existing, taken := c.objects[key(typ, r.id)]; taken && existing.left == "" {
		return "", nil, fmt.Errorf("alreadyExists: %s %s", shortType(typ), r.id)
	}
	if why, taken := c.reserved[key(typ, r.id)]; taken {
		return "", nil, fmt.Errorf("the name %s is %s", r.id, why)
	}
	c.objects[key(typ, r.id)] = &object{typ: typ, id: r.id, urn: urn, inputs: inputs, outputs: r.outputs}
	return r.id, r.outputs.clone(), nil
}

// read returns the object's properties, or nil where it does not exist.
func (c *Cloud) read(typ, _, id string) (inputs, outputs values) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.objects[key(typ, id)]
	if !ok || o.left != "" {
		return nil, nil
	}
	return o.inputs.clone(), o.outputs.clone()
}

func (c *Cloud) update(typ, urn, id string, inputs values) (values, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.objects[key(typ, id)]
	if !ok {
		return nil, fmt.Errorf("notFound: %s %s", shortType(typ), id)
	}
	k := kinds[typ]
	r := &request{cloud: c, typ: typ, urn: urn, id: id, inputs: inputs, outputs: inputs.clone(), old: o}
	for _, step := range []func(*request) error{k.check, k.update, k.create} {
		if step == nil {
			continue
		}
		if err := step(r); err != nil {
			return nil, err
		}
	}
	o.inputs, o.outputs = inputs, r.outputs
	return r.outputs.clone(), nil
}

func (c *Cloud) remove(typ, urn, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.objects[key(typ, id)]
	if !ok {
		return nil
	}
	left := ""
	if k := kinds[typ]; k.remove != nil {
		var err error
		if left, err = k.remove(&request{cloud: c, typ: typ, urn: urn, id: id, inputs: o.inputs, outputs: o.outputs, old: o}); err != nil {
			return err
		}
	}
	if left != "" {
		o.left = left
		return nil
	}
	delete(c.objects, key(typ, id))
	return nil
}

// Delete deletes an object, or says why the cloud refuses.
func (c *Cloud) Delete(typ, id string) error { return c.remove(typ, "", id) }

// drop removes an object that goes along with another.
func (c *Cloud) drop(o *object) { delete(c.objects, key(o.typ, o.id)) }

// Object is a line of a listing of the cloud.
type Object struct {
	Type, ID string
	Left     string // why it was left when its resource was deleted; empty for what still has one
}

// Objects lists what exists in the cloud.
func (c *Cloud) Objects() []Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Object
	for _, k := range slices.Sorted(maps.Keys(c.objects)) {
		o := c.objects[k]
		out = append(out, Object{Type: shortType(o.typ), ID: o.id, Left: o.left})
	}
	for _, k := range slices.Sorted(maps.Keys(c.reserved)) {
		typ, id, _ := strings.Cut(k, " ")
		out = append(out, Object{Type: shortType(typ) + " name", ID: id, Left: c.reserved[k]})
	}
	return out
}

// recordedNeeds lists what had to exist before what.
func (c *Cloud) recordedNeeds() []need {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.needs)
}

// shortType turns gcp:compute/network:Network into compute.Network.
func shortType(typ string) string {
	parts := strings.Split(typ, ":")
	if len(parts) != 3 {
		return typ
	}
	module, _, _ := strings.Cut(parts[1], "/")
	return module + "." + parts[2]
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

var (
	rfc1035    = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	bucketName = regexp.MustCompile(`^[a-z0-9][-_.a-z0-9]*[a-z0-9]$`)
)

// projectNumber is that of the simulated project.
const projectNumber = "123456789012"

// invoke answers the lookups that the program makes.
func (c *Cloud) invoke(token string, args values) (values, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token != "gcp:organizations/getProject:getProject" {
		return nil, fmt.Errorf("the simulated cloud does not know function %s", token)
	}
	r := &request{cloud: c}
	if err := r.enabled("cloudresourcemanager"); err != nil {
		return nil, err
	}
	project := args.str("projectId")
	if project != c.project {
		return nil, fmt.Errorf("projectId: %q is not project %s", project, c.project)
	}
	return values{"id": "projects/" + project, "projectId": project, "name": project, "number": projectNumber}, nil
}

// configured wants the provider's place stated: left out, the provider takes it from the environment of whoever runs the program.
func (c *Cloud) configured(provider string, settings values) []failure {
	if provider == "kubernetes" {
		return configuredKubernetes(settings)
	}
	var failures []failure
	for path, want := range map[string]string{"project": c.project, "region": c.region} {
		if got := settings.str(path); got != want {
			c.mu.Lock()
			created := len(c.objects) > 0
			c.mu.Unlock()
			if got == "" || !created { // a stack may move later
				failures = append(failures, failure{path, fmt.Sprintf("is %q, and the stack's is %q", got, want)})
			}
		}
	}
	if settings.str("zone") == "" {
		failures = append(failures, failure{"zone", "is not set, and would come from the environment"})
	}
	return failures
}
