// Package tests holds the tests of the components through their public API, on Pulumi mocks that answer as the simulated cloud does.
package tests
