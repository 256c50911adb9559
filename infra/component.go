package infra

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// child returns the options of a resource that belongs to the component parent. It builds a fresh slice every time: append on a slice shared by
// several children would overwrite the options of one with those of another.
func child(parent pulumi.Resource, extra ...pulumi.ResourceOption) []pulumi.ResourceOption {
	return slices.Concat([]pulumi.ResourceOption{pulumi.Parent(parent)}, extra)
}

// protectIf returns the protect option when on, and nothing otherwise: an explicit Protect(false) would override protection that is inherited.
func protectIf(on bool) []pulumi.ResourceOption {
	if on {
		return []pulumi.ResourceOption{pulumi.Protect(true)}
	}
	return nil
}

// argErrors collects what is wrong with the arguments of one component, so that a caller sees every problem at once.
type argErrors struct {
	component string // as in `storage bucket "data"`
	problems  []error
}

func checkArgs(kind, name string) *argErrors {
	return &argErrors{component: fmt.Sprintf("%s %q", kind, name)}
}

// require records a problem unless ok.
func (e *argErrors) require(ok bool, format string, args ...any) {
	if !ok {
		e.problems = append(e.problems, fmt.Errorf("%s: "+format, append([]any{e.component}, args...)...))
	}
}

// err returns all problems, in the same order every time.
func (e *argErrors) err() error {
	slices.SortFunc(e.problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(e.problems...)
}
