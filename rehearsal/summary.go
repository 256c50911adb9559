package rehearsal

import (
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"openhands-gcp/rehearsal/types"
)

// printSummary says what was rehearsed, and what came of it.
func (r *run) printSummary() {
	fmt.Fprintf(r.out, "\n=== Summary of the rehearsal of stack %s\n", r.Stack)
	if r.graph != nil {
		r.printResources()
	}
	if quotas, ok := r.quotas.(map[string]any); ok {
		r.printQuotas(quotas)
	}
	if len(r.hops) > 0 {
		r.printExposure()
	}
	if r.timeline != nil {
		r.printTimeline()
	}
	if r.destroyed {
		r.printLeft()
	}
	fmt.Fprintln(r.out)
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	verdict := "PASS"
	for _, l := range r.summary {
		if l.result != "ok" {
			verdict = "FAIL"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.step, l.result, l.detail)
	}
	r.flush(w)
	fmt.Fprintf(r.out, "%s: stack %s\n", verdict, r.Stack)
}

// flush writes a table.
func (r *run) flush(w *tabwriter.Writer) {
	if err := w.Flush(); err != nil {
		fmt.Fprintln(r.out, err)
	}
}

func (r *run) printResources() {
	count := map[string]map[string]int{}
	total := 0
	for _, resource := range r.graph.Resources() {
		component := r.graph.Component(resource.URN)
		if !resource.Custom || component == "" {
			continue
		}
		if count[component] == nil {
			count[component] = map[string]int{}
		}
		count[component][types.Short(resource.Type)]++
		total++
	}
	fmt.Fprintf(r.out, "\n%d resources, by component:\n", total)
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	for _, component := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(w, "  %s\t", component)
		for i, typ := range slices.Sorted(maps.Keys(count[component])) {
			if i > 0 {
				fmt.Fprint(w, ", ")
			}
			if n := count[component][typ]; n > 1 {
				fmt.Fprintf(w, "%d ", n)
			}
			fmt.Fprint(w, typ)
		}
		fmt.Fprintln(w)
	}
	r.flush(w)
}

// printQuotas says what the project needs before the stack is created in it.
func (r *run) printQuotas(quotas map[string]any) {
	fmt.Fprintln(r.out, "\nWhat it takes of the quotas of Compute Engine (docs/quotas.md):")
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(quotas)) {
		fmt.Fprintf(w, "  %s\t%s\n", name, quotas[name])
	}
	r.flush(w)
}

func (r *run) printExposure() {
	fmt.Fprintln(r.out, "\nThe way of a browser to the application:")
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	for _, hop := range r.hops {
		fmt.Fprintf(w, "  %s\t%s\n", hop.What, hop.Which)
	}
	r.flush(w)
}

func (r *run) printTimeline() {
	fmt.Fprintf(r.out, "\nSimulated deployment time: %s, %.2f times the longest chain that no program avoids (%s). The critical path:\n",
		r.timeline.Total, float64(r.timeline.Total)/float64(r.timeline.Shortest), r.timeline.Shortest)
	var at time.Duration
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, step := range r.timeline.Critical {
		fmt.Fprintf(w, "  %s\t%s\t  %s\n", at, step.Took, step.Name)
		at += step.Took
	}
	r.flush(w)
	if r.timeline.Records > 0 {
		fmt.Fprintf(r.out, "What the DNS records need exists after %s, before the cluster does (%s): with exposure.dnsZone, they are created then.\n",
			r.timeline.Records, r.timeline.Cluster)
	}
}

func (r *run) printLeft() {
	left := map[string][]string{}
	for _, o := range r.Cloud.List() {
		left[o.Left] = append(left[o.Left], o.Type+" "+o.ID)
	}
	fmt.Fprintln(r.out, "\nLeft in the project on purpose:")
	for _, why := range slices.Sorted(maps.Keys(left)) {
		fmt.Fprintf(r.out, "  %s:\n", why)
		for _, what := range left[why] {
			fmt.Fprintf(r.out, "    %s\n", what)
		}
	}
}
