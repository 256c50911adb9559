// Package infra holds the components that an OpenHands installation on Google Cloud is made of.
//
// A component reads no configuration, builds no provider and knows no stack: it takes typed Args, creates its children on the providers that it
// inherits, and sets typed outputs. Which
// resources exist depends on plain Go fields of Args alone; a pulumi input never decides that, because a preview may not know it.
package infra
