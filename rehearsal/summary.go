package rehearsal

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"openhands-gcp/rehearsal/screen"
	"openhands-gcp/rehearsal/state"
)

// printSummary says what was found, beside what each step said.
func (r *run) printSummary() {
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
		r.printLeft("Left in the project on purpose")
	}
	verdict := "stack " + r.Stack + " is as it must be"
	if r.graph == nil {
		verdict = "stack " + r.Stack + " has a plan"
	}
	r.printVerdict(verdict)
}

func (r *run) printVerdict(verdict string) {
	r.screen.Text("")
	row := screen.Row{Mark: screen.Good, Text: fmt.Sprintf("%s; rehearsed in %s", verdict, time.Since(r.started).Round(time.Second))}
	if r.log != "" {
		row.Text += "; the whole log: " + r.log
	}
	r.screen.Table(row)
}

// printPlan shows the resources by component, and what the program warns of.
func (r *run) printPlan(graph *state.Graph, warnings []string) {
	count := map[string]map[string]int{}
	for _, resource := range graph.Countable() {
		component := graph.Component(resource.URN)
		if count[component] == nil {
			count[component] = map[string]int{}
		}
		count[component][resource.Type[strings.LastIndex(resource.Type, ":")+1:]]++
	}
	var rows []screen.Row
	for _, component := range slices.Sorted(maps.Keys(count)) {
		var parts []string
		for _, typ := range slices.Sorted(maps.Keys(count[component])) {
			if n := count[component][typ]; n > 1 {
				typ = fmt.Sprintf("%d\u00a0%s", n, typ)
			}
			parts = append(parts, typ)
		}
		rows = append(rows, screen.Row{Name: component, Text: strings.Join(parts, ", ")})
	}
	r.screen.Text("")
	r.screen.Table(rows...)
	r.screen.Text("")
	for _, warning := range warnings {
		sentence, rest, cut := strings.Cut(warning, ". ")
		if cut && rest != "" {
			sentence += "."
		}
		r.screen.Table(screen.Row{Mark: screen.Warn, Text: sentence})
	}
	if len(warnings) > 0 {
		r.screen.Text("")
	}
}

// printQuotas says what the project needs before the stack is created in it.
func (r *run) printQuotas(quotas map[string]any) {
	r.screen.Title("What it takes of the quotas of Compute Engine (docs/quotas.md)")
	var rows []screen.Row
	for _, name := range slices.Sorted(maps.Keys(quotas)) {
		rows = append(rows, screen.Row{Name: name, Text: fmt.Sprint(quotas[name])})
	}
	r.screen.Table(rows...)
}

func (r *run) printExposure() {
	r.screen.Title("The way of a browser to the application")
	var rows []screen.Row
	for _, hop := range r.hops {
		rows = append(rows, screen.Row{Name: hop.What, Text: hop.Which})
	}
	r.screen.Table(rows...)
}

func (r *run) printTimeline() {
	r.screen.Title(fmt.Sprintf("A deployment takes about %.0f minutes, by what Google typically takes; it waits for", r.timeline.Total.Minutes()))
	var rows []screen.Row
	for _, step := range r.timeline.Critical {
		rows = append(rows, screen.Row{Name: step.Took.String(), Text: step.Name})
	}
	r.screen.Table(rows...)
	if r.timeline.Records > 0 {
		r.screen.Text(fmt.Sprintf("What the DNS records need exists after %s, before the cluster does (%s): with exposure.dnsZone, they are created then.",
			r.timeline.Records, r.timeline.Cluster))
	}
}

// printLeft shows what the project still has that no resource of the stack stands for.
func (r *run) printLeft(title string) {
	kinds, left := map[string]string{}, map[string][]string{}
	for _, o := range r.Cloud.List() {
		if o.Left != "" {
			kinds[o.Left] = o.Type
			left[o.Left] = append(left[o.Left], strings.TrimSuffix(o.ID[strings.LastIndex(o.ID, "/")+1:], ".googleapis.com"))
		}
	}
	if len(left) == 0 {
		return
	}
	r.screen.Title(title)
	var rows []screen.Row
	for _, why := range slices.Sorted(maps.Keys(left)) {
		rows = append(rows, screen.Row{Name: kinds[why], Text: strings.Join(left[why], ", "), Detail: []string{why}})
	}
	r.screen.Table(rows...)
}
