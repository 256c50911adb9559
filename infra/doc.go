// Package infra holds the components that an OpenHands installation on Google Cloud is made of.
//
// A component reads no configuration, builds no provider and knows no stack: it takes typed Args, creates its children on the providers that it
// inherits, and sets typed outputs. Plain Go fields of Args steer the program; pulumi inputs only flow into properties.
package infra
