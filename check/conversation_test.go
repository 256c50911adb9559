package check

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// printed is what the command prints in a sandbox that is held as it should be.
const printed = `openhands-check-01 proof 42
openhands-check-01 gvisor yes
openhands-check-01 place 0 open 3
openhands-check-01 place 1 closed 5002
openhands-check-01 place 2 closed 5003
openhands-check-01 place 3 closed 4
openhands-check-01 dir /workspace
openhands-check-01 end
`

var places = []target{
	{own, "itself", "127.0.0.1", "8080"},
	{"metadata", "the metadata server", metadataServer, "80"},
	{"database", "the database", "10.1.0.2", "5432"},
	{"neighbour", "the API server", "34.118.224.1", "443"},
}

// TestWhatTheSandboxSays has each station pass, and fail by what the command prints, or by what Kubernetes says.
func TestWhatTheSandboxSays(t *testing.T) {
	box := sandbox{what: "pod a", class: "gvisor", see: "`kubectl get pod a`"}
	for name, c := range map[string]struct {
		old, new string
		box      *sandbox
		station  string
		verdict  Verdict
		found    string
	}{
		"gVisor":                     {"", "", nil, "sandbox", OK, "pod a runs in gVisor, and its kernel says so"},
		"no RuntimeClass":            {"", "", &sandbox{what: "pod a"}, "sandbox", Failed, `pod a has the RuntimeClass "", and not gvisor`},
		"another kernel":             {"gvisor yes", "gvisor no", nil, "sandbox", Failed, "the kernel inside does not say that it is gVisor"},
		"a machine":                  {"gvisor yes", "gvisor no", &sandbox{machine: true}, "sandbox", Skipped, "a single machine has no gVisor"},
		"the command":                {"", "", nil, "command", OK, "ran, and its output was seen"},
		"a disk that is full":        {"proof 42", "proof", nil, "command", Failed, "its file does not have what it wrote"},
		"metadata refused":           {"", "", nil, "metadata", OK, "refused: the metadata server"},
		"metadata":                   {"place 1 closed", "place 1 open", nil, "metadata", Failed, "the sandbox REACHES the metadata server (169.254.169.254:80)"},
		"the database refused":       {"", "", nil, "database", OK, "refused: the database"},
		"the database":               {"place 2 closed", "place 2 open", nil, "database", Failed, "the sandbox REACHES the database (10.1.0.2:5432)"},
		"the neighbour refused":      {"", "", nil, "neighbour", OK, "refused: the API server"},
		"the neighbour":              {"place 3 closed", "place 3 open", nil, "neighbour", Failed, "the sandbox REACHES the API server (34.118.224.1:443)"},
		"a place that was not tried": {"place 3 closed", "plaice 3 closed", nil, "neighbour", Failed, "the API server (34.118.224.1:443) was not tried"},
		"a shell that reaches nothing": {
			"place 0 open", "place 0 closed", nil, "neighbour", Failed, "the sandbox does not reach its own port 8080: what it reaches is not known",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWalk(t, Options{Outputs: exposed})
			b := box
			if c.box != nil {
				b = *c.box
			}
			r, complete := readReport("openhands-check-01", strings.Replace(printed, c.old, c.new, 1))
			require.True(t, complete)
			w.judge(t.Context(), b, r, places)
			got := w.found()[c.station]
			assert.Equal(t, string(c.verdict), got[0], got)
			assert.Contains(t, got[1], c.found)
			assert.Equal(t, []string{"sandbox", "command", "metadata", "database", "neighbour"}, afterConversation(places))
			if c.found == "refused: the database" {
				assert.InDelta(t, 5.0, w.results[3].Seconds, 0.1, "the time inside of the sandbox")
			}
		})
	}
}

// TestTheCommand runs in a real shell, beside something that listens and something that does not.
func TestTheCommand(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Fatalf("the command is bash's: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	closed, err := freePort()
	require.NoError(t, err)
	targets := []target{
		{own, "itself", "127.0.0.1", strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)}, {"neighbour", "nobody", "127.0.0.1", strconv.Itoa(closed)},
	}
	text := command("openhands-check-02", targets)
	assert.NotContains(t, text, "\n", "OpenHands takes one line")
	cmd := exec.Command("bash", "-c", text)
	cmd.Dir = t.TempDir()
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, string(output))
	r, complete := readReport("openhands-check-02", string(output))
	assert.True(t, complete, string(output))
	assert.True(t, r.proof)
	assert.Equal(t, cmd.Dir, r.dir)
	assert.True(t, r.places[0].open)
	assert.False(t, r.places[1].open)
	_, complete = readReport("openhands-check-02", fmt.Sprintf("$ %s\n", text))
	assert.False(t, complete, "the command itself is no output")
}
