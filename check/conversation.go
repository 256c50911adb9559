package check

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	product = "openhands-check" // begins the names of what a check makes
	fileOf  = "openhands-check.txt"

	metadataServer = "169.254.169.254"
	gvisorClass    = "gvisor" // the RuntimeClass that GKE makes with a pool of GKE Sandbox
)

// newMark is in what this check makes, and in nothing else.
func newMark() string {
	raw := make([]byte, 6)
	_, _ = rand.Read(raw) // never fails
	return product + "-" + hex.EncodeToString(raw)
}

// target is a place that the command tries to reach from inside of the sandbox. Stations that concern one kind of place have targets of its name.
type target struct{ station, what, host, port string }

// own is the application's own port inside of the sandbox, which is open: if it is not seen to be, nothing is known of the others.
const own = "own"

// placeLimit is how long the command tries to reach a place, in seconds. What a NetworkPolicy refuses does not answer at all.
const placeLimit = 5

// command writes a file, looks for gVisor, and tries to reach the targets, all at the same time. What it prints begins with the mark, and ends with "end". It
// is one command in one line: OpenHands 0.62 takes no more at a time.
func command(mark string, targets []target) string {
	var b strings.Builder
	fmt.Fprintf(&b, `bash -c 'm=%s; echo "$m proof $((40+2))" > %s; cat %[2]s; `, mark, fileOf)
	b.WriteString(`if dmesg 2>/dev/null | grep -qi gvisor; then g=yes; else g=no; fi; echo "$m gvisor $g"; `)
	fmt.Fprintf(&b, `p() { s=$(date +%%s%%3N); if timeout %d bash -c "exec 3<>/dev/tcp/$2/$3" 2>/dev/null; then r=open; else r=closed; fi; `, placeLimit)
	b.WriteString(`echo "$m place $1 $r $(($(date +%s%3N)-s))"; }; `)
	for i, t := range targets {
		fmt.Fprintf(&b, "p %d %s %s & ", i, t.host, t.port)
	}
	fmt.Fprintf(&b, `wait; echo "$m dir $PWD"; echo "$m end"'`)
	return b.String()
}

// place is what the command has found out about a target.
type place struct {
	open bool
	took time.Duration
}

// report is what the command has printed.
type report struct {
	proof  bool
	gvisor bool
	dir    string // in which it ran
	places map[int]place
}

var placeLine = regexp.MustCompile(`^place (\d+) (open|closed) (\d+)$`)

// readReport reads what a command has printed, and says whether it has come to its end.
func readReport(mark, printed string) (r report, complete bool) {
	r.places = map[int]place{}
	for _, line := range strings.Split(printed, "\n") {
		said, found := strings.CutPrefix(strings.TrimSpace(line), mark+" ")
		if !found {
			continue
		}
		switch m := placeLine.FindStringSubmatch(said); {
		case m != nil:
			n, _ := strconv.Atoi(m[1]) // digits
			milliseconds, _ := strconv.Atoi(m[3])
			r.places[n] = place{m[2] == "open", time.Duration(milliseconds) * time.Millisecond}
		case said == "proof 42":
			r.proof = true
		case said == "gvisor yes":
			r.gvisor = true
		case strings.HasPrefix(said, "dir "):
			r.dir = strings.TrimPrefix(said, "dir ")
		case said == "end":
			complete = true
		}
	}
	return r, complete
}

// sandbox is where the command has run, as Kubernetes has it.
type sandbox struct {
	what    string // for people
	class   string // RuntimeClass
	machine bool   // there is no gVisor on a single machine
	see     string // command that shows it
}

// afterConversation are the stations that go by what the command has printed.
func afterConversation(targets []target) []string {
	stations := []string{"sandbox", "command"}
	for _, t := range targets {
		if t.station != own && !slices.Contains(stations, t.station) {
			stations = append(stations, t.station)
		}
	}
	return stations
}

// judge walks the stations that go by what the command has printed.
func (w *walk) judge(ctx context.Context, box sandbox, r report, targets []target) {
	w.station(ctx, "sandbox", func(context.Context) (string, error) { return box.judge(r) })
	w.station(ctx, "command", func(context.Context) (string, error) {
		if !r.proof {
			return "", fail("has the sandbox room for files? "+box.see, "the command has run, and its file does not have what it wrote")
		}
		return "ran, and its output was seen in the conversation", nil
	})
	for _, station := range afterConversation(targets)[2:] {
		w.stationThatTook(ctx, station, func(context.Context) (string, time.Duration, error) {
			return judgePlaces(station, r, targets)
		})
	}
}

func (s sandbox) judge(r report) (string, error) {
	switch {
	case s.machine:
		return "", notHere("a single machine has no gVisor: the container is the sandbox (docs/threats.md)")
	case s.class != gvisorClass:
		return "", fail(s.see, "%s has the RuntimeClass %q, and not %s: a hostile repository is one hole in Linux away from the node", s.what, s.class, gvisorClass)
	case !r.gvisor:
		return "", fail(s.see, "%s has the RuntimeClass %s, and the kernel inside does not say that it is gVisor", s.what, s.class)
	}
	return s.what + " runs in gVisor, and its kernel says so", nil
}

// judgePlaces says whether the places of a station are refused.
func judgePlaces(station string, r report, targets []target) (string, time.Duration, error) {
	var (
		took    time.Duration
		refused []string
	)
	for i, t := range targets {
		found, tried := r.places[i]
		address := net.JoinHostPort(t.host, t.port)
		switch {
		case t.station == own && (!tried || !found.open):
			return "", took, fail("is bash in the sandbox's image, with /dev/tcp?", "the sandbox does not reach its own port %s: what it reaches is not known", t.port)
		case t.station != station:
			continue
		case !tried:
			return "", took, fail("", "%s (%s) was not tried", t.what, address)
		case found.open:
			return "", found.took, fail("a NetworkPolicy that allows more: they only add up. `kubectl get networkpolicies --all-namespaces`; docs/threats.md",
				"the sandbox REACHES %s (%s)", t.what, address)
		}
		took = max(took, found.took)
		refused = append(refused, t.what)
	}
	return "refused: " + strings.Join(refused, ", "), took, nil
}
