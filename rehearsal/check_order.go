package rehearsal

import (
	"fmt"
	"slices"
)

// CheckOrder returns the resources that used another one which nothing makes them wait for. Such a program works by luck.
func CheckOrder(c *Cloud, g *Graph) []string {
	var problems []string
	for _, n := range c.Needs() {
		if _, exists := g.Resource(n.URN); !exists {
			continue
		}
		if !g.WaitsFor(n.URN, n.On) {
			problems = append(problems, fmt.Sprintf("%s needs %s (%s), and nothing makes it wait for that: pass an output of it, or DependsOn",
				ShortName(n.URN), ShortName(n.On), n.Why))
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}
