// Package stacks turns the configuration of a Pulumi stack into a typed Config: the defaults of a profile (dev or prod), overridden by what the
// stack file says, checked as a whole. All problems of a stack are reported together, each with the path of its key and what to write instead.
package stacks
