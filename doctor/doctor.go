// Package doctor asks a real project, and only reads, whether `pulumi up` of a stack will pass there: before the first resource exists. It knows from the
// program's own plan what the stack takes, and from the simulated clock how many minutes an `up` would run until it fails.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/timeline"
	"openhands-gcp/stacks"
	"openhands-gcp/tests/golden"
)

// Result is how a finding turned out.
type Result string

// The results.
const (
	OK      Result = "ok"
	Fails   Result = "fails"   // `pulumi up` will fail
	Later   Result = "later"   // `pulumi up` passes, and something else will not
	Unknown Result = "unknown" // it could not be asked, or the answer does not say
)

// Finding is one thing that a station found.
type Finding struct {
	Station string `json:"station"`
	Result  Result `json:"result"`
	// AfterMinutes is how long `pulumi up` runs until it fails, about; 0 is before anything is created. It is there where the result is fails.
	AfterMinutes *int   `json:"afterMinutes,omitempty"`
	What         string `json:"what"`
	Mend         string `json:"mend,omitempty"` // a command
}

// Report is what all stations found, in their order.
type Report struct {
	Stack    string    `json:"stack"`
	Project  string    `json:"project"`
	Identity string    `json:"identity,omitempty"` // who asked
	Findings []Finding `json:"findings"`
}

// Exit is the exit code: 1 where `pulumi up` will fail, 2 where nothing says so and something could not be asked, else 0.
func (r *Report) Exit() int {
	has := func(result Result) bool {
		return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Result == result })
	}
	switch {
	case has(Fails):
		return 1
	case has(Unknown):
		return 2
	}
	return 0
}

// Resolver looks names up, as net.Resolver does.
type Resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
	LookupNS(ctx context.Context, name string) ([]*net.NS, error)
}

// Outside is what the doctor asks.
type Outside struct {
	// Google has the credentials of whoever deploys; nil where there are none, of which NoCredentials says why.
	Google        *http.Client
	NoCredentials error
	// Public is for the registries of images, which are asked without credentials.
	Public   *http.Client
	Resolver Resolver
	// Run runs a command of this machine, and returns what it writes.
	Run func(ctx context.Context, name string, arguments ...string) ([]byte, error)
	// PulumiVersion is that of the SDK in the program.
	PulumiVersion string
	// Patience is how long each call may take.
	Patience time.Duration
}

// exam is one examination.
type exam struct {
	Outside
	config *stacks.Config
	graph  *state.Graph
	begins map[string]time.Duration // by URN

	google   *http.Client // for reading only
	identity string
	existing map[string]bool // names that the stack's own state has; nil where it could not be read
	created  bool            // the state has a cluster, or a machine
}

// Examine asks every station. What cannot be asked hides nothing else.
func Examine(ctx context.Context, config *stacks.Config, plan *golden.Plan, outside Outside) (*Report, error) {
	graph := plan.Graph()
	course, err := timeline.New(graph)
	if err != nil {
		return nil, fmt.Errorf("examine stack %s: %w", config.Stack, err)
	}
	e := &exam{Outside: outside, config: config, graph: graph, begins: course.Begins}
	report := &Report{Stack: config.Stack, Project: config.Project}
	add := func(station string, found []Finding) {
		for _, f := range found {
			f.Station = station
			report.Findings = append(report.Findings, f)
		}
	}
	// The others use what these two find out.
	add("credentials", e.credentials(ctx))
	report.Identity = e.identity
	add("tools", e.tools(ctx))
	add("state", e.state(ctx))
	stations := []struct {
		name string
		ask  func(context.Context) []Finding
	}{
		{"project", e.project}, {"billing", e.billing}, {"APIs", e.apis}, {"permissions", e.permissions}, {"quotas", e.quotas},
		{"policies", e.policies}, {"version", e.version}, {"images", e.images}, {"DNS", e.dns}, {"names", e.names},
	}
	found := make([][]Finding, len(stations))
	var wait sync.WaitGroup
	for i, station := range stations {
		wait.Go(func() { found[i] = station.ask(ctx) })
	}
	wait.Wait()
	for i, station := range stations {
		add(station.name, found[i])
	}
	return report, nil
}

// patient gives a call its time.
func (e *exam) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, e.Patience)
}

// resources are those of a type in the plan.
func (e *exam) resources(typ string) []state.Resource {
	return slices.DeleteFunc(e.graph.Resources(), func(r state.Resource) bool { return r.Type != typ })
}

// has says whether the plan has a resource of a type.
func (e *exam) has(typ string) bool { return len(e.resources(typ)) > 0 }

// after is when the first resource of one of the types is created, in minutes: 0 where that is before anything else, or there is none.
func (e *exam) after(types ...string) *int {
	first := time.Duration(0)
	if planned := slices.DeleteFunc(slices.Clone(types), func(typ string) bool { return !e.has(typ) }); len(planned) > 0 {
		first = e.begin(slices.MinFunc(planned, func(a, b string) int { return cmp.Compare(e.begin(a), e.begin(b)) }))
	}
	minutes := int(math.Round(first.Minutes()))
	if first > 0 {
		minutes = max(minutes, 1)
	}
	return &minutes
}

// begin is when the first resource of a type is created.
func (e *exam) begin(typ string) time.Duration {
	var all []time.Duration
	for _, r := range e.resources(typ) {
		all = append(all, e.begins[r.URN])
	}
	if len(all) == 0 {
		return 0
	}
	return slices.Min(all)
}

// fails is a finding about what `pulumi up` fails at: the creation of resources of these types, or all of it where there are none.
func (e *exam) fails(mend string, types []string, format string, args ...any) Finding {
	return Finding{Result: Fails, AfterMinutes: e.after(types...), What: fmt.Sprintf(format, args...), Mend: mend}
}

func ok(format string, args ...any) Finding {
	return Finding{Result: OK, What: fmt.Sprintf(format, args...)}
}

func later(mend, format string, args ...any) Finding {
	return Finding{Result: Later, What: fmt.Sprintf(format, args...), Mend: mend}
}

func unknown(mend, format string, args ...any) Finding {
	return Finding{Result: Unknown, What: fmt.Sprintf(format, args...), Mend: mend}
}

// gcloud is a command for the stack's project.
func (e *exam) gcloud(format string, args ...any) string {
	return "gcloud " + fmt.Sprintf(format, args...) + " --project=" + e.config.Project
}
