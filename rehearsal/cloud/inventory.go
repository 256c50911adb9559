package cloud

import (
	"maps"
	"slices"

	"openhands-gcp/rehearsal/values"
)

// Object is one thing that exists in the project. Its maps do not change: an update gives it new ones.
type Object struct {
	Type    string
	ID      string
	URN     string     // of the resource that created it
	Inputs  values.Map // with the provider's defaults
	Outputs values.Map // the inputs, and what the cloud computed
	Left    string     // why it stays although its resource was deleted; empty while the resource exists
}

// Inventory is what exists in a project.
type Inventory struct {
	Project, Region string

	objects map[string]*Object // by key
}

func key(typ, id string) string { return typ + " " + id }

// Find returns the object of a type whose id, name, self link or e-mail is ref, or nil.
func (i *Inventory) Find(typ, ref string) *Object {
	if ref == "" {
		return nil
	}
	for _, o := range i.objects {
		if o.Type == typ && (o.ID == ref || o.Outputs.Str("name") == ref || o.Outputs.Str("selfLink") == ref || o.Outputs.Str("email") == ref) {
			return o
		}
	}
	return nil
}

// granted returns the grant of a role to a member, of those of a type that are on the right object, or nil. on is nil for the project.
func (i *Inventory) granted(typ, role, member string, on func(grant *Object) bool) *Object {
	for _, o := range i.All(typ) {
		if o.Inputs.Str("role") == role && o.Inputs.Str("member") == member && (on == nil || on(o)) {
			return o
		}
	}
	return nil
}

// All returns the objects of a type, in the order of their ids.
func (i *Inventory) All(typ string) []*Object {
	return slices.DeleteFunc(i.Everything(), func(o *Object) bool { return o.Type != typ })
}

// Everything returns all objects, in the order of their types and ids.
func (i *Inventory) Everything() []*Object {
	var out []*Object
	for _, k := range slices.Sorted(maps.Keys(i.objects)) {
		out = append(out, i.objects[k])
	}
	return out
}

// copied returns an inventory that does not change with the cloud.
func (i *Inventory) copied() *Inventory {
	out := &Inventory{Project: i.Project, Region: i.Region, objects: map[string]*Object{}}
	for k, o := range i.objects {
		object := *o
		out.objects[k] = &object
	}
	return out
}
