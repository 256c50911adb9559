package permissions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Permission is a permission of IAM that a type of resource takes.
type Permission struct {
	Name   string // such as compute.networks.create
	Type   string // the resource's type, by its Pulumi token
	Method string // the call that Google refuses without it
	Reads  bool   // a preview or a refresh needs it too
}

// Why says what the permission is for.
func (p Permission) Why() string { return fmt.Sprintf("%s, for %s", p.Method, p.Type) }

// InCluster says whether GKE asks for the permission, for an object of Kubernetes: only in the cluster, and in the project in which the cluster is.
func (p Permission) InCluster() bool { return strings.HasPrefix(p.Type, "kubernetes:") }

// Of returns what resources of the types take, by type and permission. Types of components and of Pulumi itself take nothing. An unknown type is an error.
func Of(types []string) ([]Permission, error) {
	var all []Permission
	for _, typ := range types {
		if strings.HasPrefix(typ, "pulumi:") || strings.HasPrefix(typ, "openhands:") {
			continue
		}
		calls, known := table[typ]
		if !known {
			return nil, fmt.Errorf("say in permissions/table.go which permissions the calls for %s take", typ)
		}
		for _, c := range calls {
			for _, name := range strings.Fields(c.takes) {
				all = append(all, Permission{Name: name, Type: typ, Method: c.method, Reads: reads(name) && c.method != portForward})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Permission) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name)) })
	return slices.CompactFunc(all, func(a, b Permission) bool { return a.Type == b.Type && a.Name == b.Name }), nil
}

// Names are the permissions' names, each once, in order.
func Names(all []Permission) []string {
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
