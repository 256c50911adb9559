package check

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os/exec"
	"slices"
	"time"
)

// Options say what to check, and from where.
type Options struct {
	Outputs Outputs
	// Instance is the one of line canvas to check; all where empty.
	Instance string
	// LoginAs is the address of a service account that may log in, and whose tokens the caller may sign; empty where the way through the login is not walked.
	LoginAs string
	// Patience is how long a conversation may take to begin, on a node that has to come first: ten minutes where 0.
	Patience time.Duration

	// Network is the machine's own where zero.
	Network Network
	// Kubectl and Gcloud are the programs of these names where empty.
	Kubectl, Gcloud string
}

// Network is how names are resolved and connections opened.
type Network struct {
	Resolve     func(ctx context.Context, host string) ([]netip.Addr, error)
	Dial        func(ctx context.Context, network, address string) (net.Conn, error)
	Authorities *x509.CertPool // those of the machine where nil
}

// Verdict is what came of a station.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Failed  Verdict = "failed"
	Skipped Verdict = "skipped" // what it needs is not there; the reason says what
)

// Result is what was found at a station.
type Result struct {
	Station  string  `json:"station"`
	Instance string  `json:"instance,omitempty"`
	Verdict  Verdict `json:"result"`
	Seconds  float64 `json:"seconds"`
	// Found is what is there, or what is wrong, and Look where to look for the reason.
	Found string `json:"found"`
	Look  string `json:"look,omitempty"`
}

// Audience is told how the walk goes.
type Audience interface {
	Begin(station string)
	Progress(text string)
	End(Result)
}

// Run walks the way, and returns what it found. It ends early with the context, and removes what it has made all the same.
func Run(ctx context.Context, options Options, audience Audience) ([]Result, error) {
	w := &walk{Options: options, audience: audience}
	if err := w.prepare(); err != nil {
		return nil, err
	}
	switch {
	case w.Outputs.InstanceName != "":
		w.machine(ctx)
	case len(w.Outputs.URLs) > 0:
		w.instances(ctx)
	default:
		w.server(ctx)
	}
	return w.results, nil
}

// Passed says that no station has failed.
func Passed(results []Result) bool {
	return !slices.ContainsFunc(results, func(r Result) bool { return r.Verdict == Failed })
}

// walk is one check under way.
type walk struct {
	Options
	audience Audience
	results  []Result
	instance string // whose stations these are
	cluster  *cluster
}

func (w *walk) prepare() error {
	if w.Kubectl == "" {
		w.Kubectl = "kubectl"
	}
	if w.Gcloud == "" {
		w.Gcloud = "gcloud"
	}
	if w.Patience == 0 {
		w.Patience = 10 * time.Minute
	}
	if w.Network.Resolve == nil {
		w.Network.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if w.Network.Dial == nil {
		w.Network.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if err := w.Outputs.validate(); err != nil {
		return err
	}
	if w.Instance != "" && w.Outputs.URLs[w.Instance] == "" {
		return fmt.Errorf("the stack has no instance %q: its instances are %s", w.Instance, listOf(w.Outputs.URLs))
	}
	return nil
}

// failure is why a station fails, and where to look.
type failure struct{ what, look string }

func (f *failure) Error() string { return f.what }

func fail(look, format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...), look}
}

// notHere is why a station is skipped.
type notHere string

func (n notHere) Error() string { return string(n) }

// station walks one. It returns whether the walk may go on to those that need it.
func (w *walk) station(ctx context.Context, name string, visit func(context.Context) (found string, err error)) bool {
	return w.stationThatTook(ctx, name, func(ctx context.Context) (string, time.Duration, error) {
		begun := time.Now()
		found, err := visit(ctx)
		return found, time.Since(begun), err
	})
}

// stationThatTook is a station that says itself how long it took.
func (w *walk) stationThatTook(ctx context.Context, name string, visit func(context.Context) (string, time.Duration, error)) bool {
	w.audience.Begin(name)
	found, took, err := visit(ctx)
	r := Result{Station: name, Instance: w.instance, Verdict: OK, Seconds: float64(took.Round(10*time.Millisecond)) / float64(time.Second), Found: found}
	var (
		failed *failure
		absent notHere
	)
	switch {
	case err == nil:
	case errors.As(err, &absent):
		r.Verdict, r.Found = Skipped, err.Error()
	case ctx.Err() != nil:
		r.Verdict, r.Found = Failed, "the check was stopped here"
	case errors.As(err, &failed):
		r.Verdict, r.Found, r.Look = Failed, failed.what, failed.look
	case errors.Is(err, exec.ErrNotFound):
		r.Verdict, r.Found, r.Look = Failed, err.Error(), "README.md, \"Deploying for real\", says what has to be installed"
	default:
		r.Verdict, r.Found = Failed, err.Error()
	}
	w.results = append(w.results, r)
	w.audience.End(r)
	return r.Verdict == OK
}

// skip notes stations that cannot be walked.
func (w *walk) skip(ctx context.Context, reason string, stations ...string) {
	for _, name := range stations {
		w.station(ctx, name, func(context.Context) (string, error) { return "", notHere(reason) })
	}
}

// server walks the way to the Python server.
func (w *walk) server(ctx context.Context) {
	if w.public(w.Outputs.URL) {
		w.wayIn(ctx, hostOf(w.Outputs.URL))
	}
	w.inCluster(ctx, func() { w.serverConversation(ctx) })
}

// instances walks the way to instances of Agent Canvas.
func (w *walk) instances(ctx context.Context) {
	w.inCluster(ctx, func() {
		for _, name := range sorted(w.Outputs.URLs) {
			if w.Instance != "" && name != w.Instance {
				continue
			}
			w.instance = name
			if w.public(w.Outputs.URLs[name]) {
				w.wayIn(ctx, hostOf(w.Outputs.URLs[name]))
			}
			w.instanceConversation(ctx, name)
		}
	})
}

// public says whether an address is reached by a browser from the internet.
func (w *walk) public(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https"
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
