// Package cloud is the simulated Google Cloud: one project with its objects. It refuses what Google Cloud would refuse, about an object's values and
// about the objects that it refers to. What it does not know it refuses too: an unknown type is an error, never a silent success. The file rules.go
// lists the types; the rules themselves stand in the files by area, each with its source. What the provider says about fields is in package facts.
package cloud

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// Cloud is a simulated project. It is safe for concurrent use, as the engine creates in parallel.
type Cloud struct {
	// Configuration returns the text of the stack's configuration. The service accounts of the project that it names exist already: somebody else made them.
	// Nil where there is none. Set it before the first call.
	Configuration func() string

	rules map[string]Rule

	*neighbours
	// What follows is protected by the lock of the neighbours. The objects are those of one stack, and of its cluster.
	inventory *Inventory
	reserved  map[string]string // keys of names that stay taken after a deletion, and why
	refused   map[string]string // types of which nothing is taken, and why
	stalled   map[string]chan struct{}
	needs     []Need
}

// neighbours is what the stacks in one project share: each has a Cloud of its own.
type neighbours struct {
	mu       sync.Mutex
	stacks   []*Cloud
	numbered int // objects that Google has numbered
}

// Need says that one resource used another while it was created: the API it calls, the network it lies in. The program has to make it wait for that
// one: otherwise it works only while the engine happens to take them in this order.
type Need struct {
	URN, On string // On is the URN of what had to exist
	Why     string
}

// New returns an empty project, in which no API is enabled. Each table maps types to their rules: Rules, and those of Kubernetes.
func New(project, region string, tables ...map[string]Rule) *Cloud {
	rules := map[string]Rule{}
	for _, table := range tables {
		maps.Copy(rules, table)
	}
	return empty(rules, project, region)
}

func empty(rules map[string]Rule, id, region string) *Cloud {
	c := &Cloud{
		rules:      rules,
		neighbours: &neighbours{},
		inventory:  &Inventory{Project: id, Region: region, objects: map[string]*Object{}},
		reserved:   map[string]string{},
		refused:    map[string]string{},
		stalled:    map[string]chan struct{}{},
	}
	c.stacks = []*Cloud{c}
	return c
}

// Beside returns the cloud of another stack in the same project. Each has its own objects, and its own cluster; but a name of Google's that one of them has,
// the other cannot take, and what one deletes that is the other's too is gone for both, such as a grant of the same role to the same member.
func (c *Cloud) Beside() *Cloud {
	c.mu.Lock()
	defer c.mu.Unlock()
	other := empty(c.rules, c.inventory.Project, c.inventory.Region)
	other.neighbours = c.neighbours
	c.stacks = append(c.stacks, other)
	return other
}

// shared returns the object of another stack that has the same name, if it is the project's and not a cluster's.
func (c *Cloud) shared(typ, id string) (*Cloud, *Object) {
	for _, other := range c.stacks {
		if o := other.inventory.objects[key(typ, id)]; other != c && o != nil && o.Left == "" && strings.HasPrefix(typ, "gcp:") {
			return other, o
		}
	}
	return nil, nil
}

// many are the types of which two resources may stand for one thing: the API takes what is there already for an answer.
var many = []string{types.Service, types.AccountMember, types.ProjectMember, types.RepositoryMember, types.BucketMember, types.LoginMember}

// Refuse makes the cloud take no object of a type, for a reason. Without a reason it takes them again.
func (c *Cloud) Refuse(typ, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused[typ] = why; why == "" {
		delete(c.refused, typ)
	}
}

// Stall makes the creation of objects of a type take until it is called off, and then fail. What waits for it is cut off by then.
func (c *Cloud) Stall(typ string) (callOff func()) {
	stalled := make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalled[typ] = stalled
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.stalled, typ)
		close(stalled)
	}
}

// wait waits as long as the creation of a type stalls.
func (c *Cloud) wait(typ string) error {
	c.mu.Lock()
	stalled, stalls := c.stalled[typ]
	c.mu.Unlock()
	if !stalls {
		return nil
	}
	<-stalled
	return fmt.Errorf("%s: cut off", types.Short(typ))
}

// Create makes an object, or says why the cloud refuses. It returns the id, and the inputs with what the cloud computed.
func (c *Cloud) Create(typ, urn string, inputs values.Map) (id string, outputs values.Map, err error) {
	if err := c.wait(typ); err != nil {
		return "", nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	rule, ok := c.rules[typ]
	if !ok {
		return "", nil, types.Unknown(typ)
	}
	if why, refused := c.refused[typ]; refused {
		return "", nil, errors.New(why)
	}
	r := &Request{Inventory: c.inventory, cloud: c, Type: typ, URN: urn, Inputs: inputs, Outputs: inputs.Clone()}
	if rule.API != "" {
		if err := r.Enabled(rule.API); err != nil {
			return "", nil, err
		}
	}
	if rule.Check != nil {
		if err := rule.Check(r); err != nil {
			return "", nil, err
		}
	}
	if err := rule.Create(r); err != nil {
		return "", nil, err
	}
	k := key(typ, r.ID)
	if existing, taken := c.inventory.objects[k]; taken && existing.Left == "" && !rule.Upsert {
		return "", nil, fmt.Errorf("alreadyExists: %s %s", types.Short(typ), r.ID)
	}
	if _, o := c.shared(typ, r.ID); o != nil && !slices.Contains(many, typ) {
		return "", nil, fmt.Errorf("alreadyExists: %s %s, of another stack (%s)", types.Short(typ), r.ID, o.URN)
	}
	for _, stack := range c.stacks {
		if why, taken := stack.reserved[k]; taken {
			return "", nil, fmt.Errorf("the name %s is %s", r.ID, why)
		}
	}
	o := &Object{Type: typ, ID: r.ID, URN: urn, Inputs: inputs, Outputs: answered(rule.API, r.Outputs)}
	c.inventory.objects[k] = o
	return r.ID, o.Outputs.Clone(), nil
}

// Put makes the cloud have an object that somebody created before, as the state of a stack has it. Nothing of it is checked.
func (c *Cloud) Put(typ, urn, id string, inputs, outputs values.Map) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inventory.objects[key(typ, id)] = &Object{Type: typ, ID: id, URN: urn, Inputs: inputs, Outputs: outputs}
}

// Place says where the objects are that were put into the cloud.
func (c *Cloud) Place(project, region string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inventory.Project, c.inventory.Region = project, region
}

// Read returns the object's properties, or nil where it does not exist.
func (c *Cloud) Read(typ, _, id string) (inputs, outputs values.Map) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.inventory.objects[key(typ, id)]
	if !ok || o.Left != "" {
		return nil, nil
	}
	return o.Inputs.Clone(), o.Outputs.Clone()
}

// Update gives an object other inputs, or says why the cloud refuses. It returns the inputs with what the cloud computed.
func (c *Cloud) Update(typ, urn, id string, inputs values.Map) (outputs values.Map, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.inventory.objects[key(typ, id)]
	if !ok {
		return nil, fmt.Errorf("notFound: %s %s", types.Short(typ), id)
	}
	rule := c.rules[typ]
	r := &Request{Inventory: c.inventory, cloud: c, Type: typ, URN: urn, ID: id, Inputs: inputs, Outputs: inputs.Clone(), Old: o}
	for _, step := range []func(*Request) error{rule.Check, rule.Update, rule.Create} {
		if step == nil {
			continue
		}
		if err := step(r); err != nil {
			return nil, err
		}
	}
	o.Inputs, o.Outputs = inputs, answered(rule.API, r.Outputs)
	return o.Outputs.Clone(), nil
}

// DryRun returns what the cloud would refuse about a change of an object, beside what it says about any object with these inputs. It changes nothing.
func (c *Cloud) DryRun(typ, id string, inputs values.Map) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	rule, o := c.rules[typ], c.inventory.objects[key(typ, id)]
	if rule.Update == nil || o == nil {
		return nil
	}
	return rule.Update(&Request{Inventory: c.inventory, cloud: c, Type: typ, URN: o.URN, ID: id, Inputs: inputs, Outputs: inputs.Clone(), Old: o})
}

// Delete deletes an object, or says why the cloud refuses. An object that does not exist is no error.
func (c *Cloud) Delete(typ, urn, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.inventory.objects[key(typ, id)]
	if !ok {
		return nil
	}
	left := ""
	if rule := c.rules[typ]; rule.Remove != nil {
		var err error
		r := &Request{Inventory: c.inventory, cloud: c, Type: typ, URN: urn, ID: id, Inputs: o.Inputs, Outputs: o.Outputs, Old: o}
		if left, err = rule.Remove(r); err != nil {
			return err
		}
	}
	if left != "" {
		o.Left = left
		return nil
	}
	delete(c.inventory.objects, key(typ, id))
	if other, o := c.shared(typ, id); o != nil {
		delete(other.inventory.objects, key(typ, id))
	}
	return nil
}

// ProjectNumber is that of the simulated project.
const ProjectNumber = "123456789012"

// Invoke answers the lookups that the program makes.
func (c *Cloud) Invoke(token string, args values.Map) (values.Map, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lookup, known := map[string]func(*Request, values.Map) (values.Map, error){
		"gcp:organizations/getProject:getProject":           project,
		"gcp:container/getEngineVersions:getEngineVersions": engineVersions,
	}[token]
	if !known {
		return nil, fmt.Errorf("the simulated cloud does not know function %s", token)
	}
	return lookup(&Request{Inventory: c.inventory, cloud: c}, args)
}

// project answers what the project is.
func project(r *Request, args values.Map) (values.Map, error) {
	if err := r.Enabled("cloudresourcemanager"); err != nil {
		return nil, err
	}
	id := args.Str("projectId")
	if id != r.Project {
		return nil, fmt.Errorf("projectId: %q is not project %s", id, r.Project)
	}
	return values.Map{"id": "projects/" + id, "projectId": id, "name": id, "number": ProjectNumber}, nil
}

// Inventory returns what exists now.
func (c *Cloud) Inventory() *Inventory {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inventory.copied()
}

// Needs returns what had to exist before what.
func (c *Cloud) Needs() []Need {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.needs)
}

// Entry is a line of a listing of the cloud.
type Entry struct {
	Type, ID string // Type is short, such as compute.Network
	Left     string // why it was left when its resource was deleted; empty for what still has one
}

// List returns what exists in the cloud, and the names that stay taken.
func (c *Cloud) List() []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Entry
	for _, o := range c.inventory.Everything() {
		out = append(out, Entry{Type: types.Short(o.Type), ID: o.ID, Left: o.Left})
	}
	for _, k := range slices.Sorted(maps.Keys(c.reserved)) {
		typ, id, _ := strings.Cut(k, " ")
		out = append(out, Entry{Type: types.Short(typ) + " name", ID: id, Left: c.reserved[k]})
	}
	return out
}
