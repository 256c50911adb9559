// Package checks says what is wrong with a deployment: with its state, with the order of its creation, with its outputs, and with the objects that a
// conversation, or a browser's request, needs. Each check returns sentences; none means that all is well.
package checks

import (
	"fmt"
	"slices"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/state"
)

// Order returns the resources that used another one which nothing makes them wait for. Such a program works only while the engine happens to take them
// in this order.
func Order(c *cloud.Cloud, g *state.Graph) []string {
	var problems []string
	for _, n := range c.Needs() {
		if _, exists := g.Resource(n.URN); !exists {
			continue
		}
		if !g.WaitsFor(n.URN, n.On) {
			problems = append(problems, fmt.Sprintf("%s needs %s (%s), and nothing makes it wait for that: pass an output of it, or DependsOn",
				state.ShortName(n.URN), state.ShortName(n.On), n.Why))
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}
