// Package component is what all components share: how they check their arguments, register themselves and their children, and let others wait for them.
package component

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Explain says in which component something failed, as in: StorageBucket "data": create the bucket: ... Every constructor defers it.
func Explain(err *error, typ, name string) {
	if *err != nil {
		*err = fmt.Errorf("%s %q: %w", typ[strings.LastIndex(typ, ":")+1:], name, *err)
	}
}

// Register checks the arguments of a component, and then registers it. The error lists everything that is wrong with the arguments.
func Register[Args any](
	ctx *pulumi.Context, typ, name string, c pulumi.ComponentResource, args *Args, validate func(*Args, *Check), opts ...pulumi.ResourceOption,
) error {
	if args == nil {
		return errors.New("its arguments are nil")
	}
	check := &Check{}
	validate(args, check)
	if len(check.problems) > 0 {
		slices.Sort(check.problems)
		return errors.New(strings.Join(check.problems, "; "))
	}
	return ctx.RegisterComponentResource(typ, name, c, opts...)
}

// Child returns the options of a resource that belongs to the component parent. It builds a fresh slice every time: append on a slice shared by several
// children would overwrite the options of one with those of another.
func Child(parent pulumi.Resource, extra ...pulumi.ResourceOption) []pulumi.ResourceOption {
	return slices.Concat([]pulumi.ResourceOption{pulumi.Parent(parent)}, extra)
}

// ProtectIf returns the protect option when on, and nothing otherwise: an explicit Protect(false) would override protection that is inherited.
func ProtectIf(on bool) []pulumi.ResourceOption {
	if on {
		return []pulumi.ResourceOption{pulumi.Protect(true)}
	}
	return nil
}

// Readiness is part of every component that others wait for without using an output of it.
type Readiness struct {
	resources []pulumi.Resource
}

// Ready makes a resource wait for the component. Use it in place of DependsOn on the component: that waits only for those children whose registration has
// already begun, which happens in the background, so that some would be left out by luck.
func (r *Readiness) Ready() pulumi.ResourceOption { return pulumi.DependsOn(r.resources) }

// Awaits adds resources without which the component is not ready.
func (r *Readiness) Awaits(resources ...pulumi.Resource) {
	r.resources = append(r.resources, resources...)
}

// Check collects what is wrong with the arguments of one component, so that a caller sees every problem at once.
type Check struct {
	problems []string
}

// Require records a problem unless ok.
func (c *Check) Require(ok bool, format string, args ...any) {
	if !ok {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

// Strings requires every text to be set. The key is the name of the field.
func (c *Check) Strings(fields map[string]string) {
	for field, value := range fields {
		c.Require(value != "", "%s is required", field)
	}
}

// Inputs requires every input to be set. The key is the name of the field.
func (c *Check) Inputs(fields map[string]pulumi.StringInput) {
	for field, value := range fields {
		c.Require(value != nil, "%s is required", field)
	}
}
