// Package checks says what is wrong with a deployment: with its state, with the order of its creation, with its outputs, and with the objects that a
// conversation, or a browser's request, needs. Each check returns sentences; none means that all is well.
package checks

import (
	"fmt"
	"slices"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
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
	problems = append(problems, deadlocks(c.Inventory(), g)...)
	slices.Sort(problems)
	return slices.Compact(problems)
}

// deadlocks are Services that wait for pods which wait for them: the provider waits until a Service with a selector leads to a pod, ten minutes long, and
// fails. https://github.com/pulumi/pulumi-kubernetes/issues/1995
func deadlocks(inventory *cloud.Inventory, g *state.Graph) []string {
	var problems []string
	for _, service := range inventory.All(types.KubernetesService) {
		selector := service.Inputs.Labels("spec.selector")
		if len(selector) == 0 || service.Inputs.Labels("metadata.annotations")["pulumi.com/skipAwait"] == "true" {
			continue
		}
		for _, typ := range []string{types.Deployment, types.StatefulSet} {
			for _, workload := range inventory.All(typ) {
				if workload.Inputs.Str("metadata.namespace") == service.Inputs.Str("metadata.namespace") &&
					kubernetes.Selects(selector, workload.Inputs.Labels("spec.template.metadata.labels")) && g.WaitsFor(workload.URN, service.URN) {
					problems = append(problems, fmt.Sprintf("Service %s waits for a pod, and the pods of %s wait for the Service", service.ID, workload.ID))
				}
			}
		}
	}
	return problems
}
