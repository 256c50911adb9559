package report

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"openhands-gcp/changes"
	"openhands-gcp/rehearsal/state"
)

// today is when the reports of the tests are made.
var today = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// recording returns what the CLI wrote of a change in testdata/changes.yaml.
func recording(t *testing.T, name string) []byte {
	t.Helper()
	packed, err := os.ReadFile(filepath.Join("testdata", name+".json.gz"))
	require.NoError(t, err)
	r, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	raw, err := io.ReadAll(r)
	require.NoError(t, err)
	return raw
}

// recordedChange is what a change is expected to mean.
type recordedChange struct {
	Name, Stack  string
	Graded, Says string
	Field        string
	Approvals    []string
	Restarts     []string
	Quotas       bool
	Nothing      bool // changes
}

func recordedChanges(t *testing.T) []recordedChange {
	t.Helper()
	raw, err := os.ReadFile("testdata/changes.yaml")
	require.NoError(t, err)
	var all []recordedChange
	require.NoError(t, yaml.Unmarshal(raw, &all))
	require.NotEmpty(t, all)
	return all
}

func reportOf(t *testing.T, raw []byte, stack string, approvals ...Approval) *Report {
	t.Helper()
	preview, err := Read(raw, stack)
	require.NoError(t, err)
	was := "prod"
	if stack == "dev" {
		was = "dev"
	}
	return New(stack, was, preview, approvals, today)
}

// TestRecordedChangesAreGraded is over what the real CLI says of real changes.
func TestRecordedChangesAreGraded(t *testing.T) {
	for _, test := range recordedChanges(t) {
		t.Run(test.Name, func(t *testing.T) {
			raw := recording(t, test.Name)
			r := reportOf(t, raw, test.Stack)
			require.Empty(t, r.Errors)
			if test.Nothing {
				assert.Empty(t, texts(r.Effects))
				return
			}
			require.NotEmpty(t, r.Effects)
			assert.Equal(t, test.Graded, r.Effects[0].Grade.String(), "the worst: %s", r.Effects[0].Text)
			i := slices.IndexFunc(r.Effects, func(e changes.Effect) bool {
				return e.Grade == r.Effects[0].Grade && strings.Contains(e.Text, test.Says)
			})
			if !assert.GreaterOrEqual(t, i, 0, "no line of that grade says %q: %v", test.Says, texts(r.Effects)) {
				return
			}
			if test.Field != "" {
				assert.Contains(t, r.Markdown(), test.Field)
			}
			var approvals, restarts []string
			for _, d := range r.refused() {
				approvals = append(approvals, string(d.Change.Op)+" "+d.Change.Title())
			}
			for _, restart := range r.Restarts {
				if len(restart.Who) == 0 {
					restarts = append(restarts, "*")
				}
				restarts = append(restarts, restart.Who...)
			}
			slices.Sort(approvals)
			slices.Sort(restarts)
			if test.Graded != "LOST" || len(test.Approvals) > 0 { // or it takes a whole stack with it, with a list that is long
				assert.ElementsMatch(t, test.Approvals, approvals)
				assert.ElementsMatch(t, test.Restarts, slices.Compact(restarts))
			} else {
				assert.Equal(t, test.Stack != "dev", len(approvals) > 0, "approvals: %v", approvals)
			}
			assert.Equal(t, test.Quotas, len(r.Quotas) > 0, "quotas: %v", r.Quotas)
			assert.Equal(t, len(approvals) > 0, r.Failed())
			for _, format := range []string{r.Markdown(), terminal(r)} {
				assert.NotContains(t, format, state.Marker, "a secret of the rehearsal")
			}
		})
	}
}

func texts(effects []changes.Effect) (out []string) {
	for _, e := range effects {
		out = append(out, e.Grade.String()+": "+e.Text)
	}
	return out
}

func terminal(r *Report) string {
	var out bytes.Buffer
	r.Terminal(&out)
	return out.String()
}

// preview is a document with one step more than what it needs, for what no stack of ours does.
func preview(t *testing.T, steps ...map[string]any) []byte {
	t.Helper()
	counts := map[string]int{"same": 1}
	for _, s := range steps {
		counts[s["op"].(string)]++
	}
	raw, err := json.Marshal(map[string]any{"config": map[string]string{"openhands:profile": "prod"}, "steps": steps, "changeSummary": counts})
	require.NoError(t, err)
	return raw
}

func update(typ, name string, was, is map[string]any, paths map[string]string) map[string]any {
	diff := map[string]any{}
	for path, kind := range paths {
		diff[path] = map[string]any{"kind": kind, "inputDiff": true}
	}
	op := "update"
	for _, kind := range paths {
		if strings.HasSuffix(kind, "-replace") {
			op = "replace"
		}
	}
	return map[string]any{
		"op": op, "urn": "urn:pulumi:prod::openhands::" + typ + "::" + name, "detailedDiff": diff,
		"oldState": map[string]any{"type": typ, "custom": true, "inputs": was}, "newState": map[string]any{"type": typ, "custom": true, "inputs": is},
	}
}

// TestTheFieldThatForces: a real provider says for each field of what kind its difference is.
func TestTheFieldThatForces(t *testing.T) {
	r := reportOf(t, preview(t, update("gcp:sql/databaseInstance:DatabaseInstance", "openhands-postgres",
		map[string]any{"region": "a", "settings": map[string]any{"tier": "b"}}, map[string]any{"region": "c", "settings": map[string]any{"tier": "d"}},
		map[string]string{"region": "update-replace", "settings.tier": "update"})), "prod")
	assert.Contains(t, r.Markdown(), "replace `sql.DatabaseInstance openhands-postgres`: `region: a → c` forces it, `settings.tier: b → d`\n")
}

func TestNothingChanges(t *testing.T) {
	r := reportOf(t, preview(t), "prod")
	assert.False(t, r.Failed())
	assert.Contains(t, r.Markdown(), "**Nothing changes.**")
}
