package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"openhands-gcp/changes"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// approvalsFor are those that a report asks for, as it says to write them.
func approvalsFor(t *testing.T, r *Report) []Approval {
	t.Helper()
	content := "approvals:\n"
	for _, d := range r.refused() {
		content += r.example(d)
	}
	approvals, err := ReadApprovals([]byte(content), "approvals.yaml")
	require.NoError(t, err)
	return approvals
}

func TestApprovals(t *testing.T) {
	raw := recording(t, "database-replaced")
	refused := reportOf(t, raw, "prod")
	require.True(t, refused.Failed())
	assert.Contains(t, refused.Markdown(), "    resource: sql.DatabaseInstance openhands-postgres\n    change: replace\n")
	approvals := approvalsFor(t, refused)
	other := func(change func(*Approval)) []Approval {
		out := slices.Clone(approvals)
		for i := range out {
			change(&out[i])
		}
		return out
	}
	for what, test := range map[string]struct {
		approvals []Approval
		failed    bool
		says      string
	}{
		"none":             {nil, true, "3 of what would be deleted or replaced have no approval."},
		"all":              {approvals, false, "Pulumi refuses it all the same, as it is protected"},
		"one is missing":   {approvals[1:], true, "1 of what would be deleted or replaced has no approval."},
		"another stack's":  {other(func(a *Approval) { a.Stack = "team" }), true, "Refused"},
		"another change":   {other(func(a *Approval) { a.Change = "delete" }), true, "Approvals that nothing needs"},
		"another resource": {other(func(a *Approval) { a.Resource += "x" }), true, "Approvals that nothing needs"},
		"over":             {other(func(a *Approval) { a.Until, a.until = "2026-11-30", today.Add(-time.Hour*12) }), true, "its approval held until `2026-11-30`"},
	} {
		t.Run(what, func(t *testing.T) {
			r := reportOf(t, raw, "prod", test.approvals...)
			assert.Equal(t, test.failed, r.Failed())
			assert.Contains(t, r.Markdown(), test.says)
		})
	}
	// Where the protection was lifted before, nothing else refuses it.
	lifted := recording(t, "database-replaced-unprotected")
	require.True(t, reportOf(t, lifted, "prod").Failed())
	allowed := reportOf(t, lifted, "prod", approvals...)
	assert.False(t, allowed.Failed())
	assert.NotContains(t, allowed.Markdown(), "Pulumi refuses it")
	// Until is a whole day.
	preview, err := Read(raw, "prod")
	require.NoError(t, err)
	last := approvals[0].until
	assert.False(t, New("prod", "prod", preview, approvals, last.Add(-time.Second)).Failed())
	assert.True(t, New("prod", "prod", preview, approvals, last).Failed())
}

// TestWhatNeedsAnApproval: nothing does where the stack was of profile dev and stays so, unless something was protected; all does where nobody knows.
func TestWhatNeedsAnApproval(t *testing.T) {
	raw := string(recording(t, "zone"))
	const dev = `"openhands:profile":"dev"`
	require.Contains(t, raw, dev)
	for what, test := range map[string]struct {
		was, document string
		failed        bool
	}{
		"dev before and after":            {"dev", raw, false},
		"the change itself makes it dev":  {"prod", raw, true},
		"nobody knows what it was":        {"", raw, true},
		"the change makes it prod":        {"dev", strings.ReplaceAll(raw, dev, `"openhands:profile":"prod"`), true},
		"the preview says no profile":     {"dev", strings.ReplaceAll(raw, dev, `"x":"dev"`), true},
		"something of it was protected":   {"dev", strings.Replace(raw, `"oldState":{`, `"oldState":{"protect":true,`, 3), true},
		"dev, and all of it is protected": {"dev", strings.ReplaceAll(raw, `"custom":true`, `"protect":true,"custom":true`), true},
	} {
		t.Run(what, func(t *testing.T) {
			preview, err := Read([]byte(test.document), "dev")
			require.NoError(t, err)
			r := New("dev", test.was, preview, nil, today)
			assert.Equal(t, test.failed, r.Failed())
			assert.Equal(t, test.was == "prod", strings.Contains(r.Markdown(), "- **open**: the stack becomes one of profile dev"))
			assert.True(t, slices.IsSortedFunc(r.Effects, func(a, b changes.Effect) int { return cmp.Compare(a.Grade, b.Grade) }))
		})
	}
}

func TestTheProfileOfAStackFile(t *testing.T) {
	for what, test := range map[string]struct{ content, profile string }{
		"dev":             {"config:\n  openhands:profile: dev\n", "dev"},
		"none":            {"config:\n  gcp:project: dev\n", ""},
		"nothing":         {"", ""},
		"a secret":        {"config:\n  openhands:profile:\n    secure: dev\n", ""},
		"another program": {"config:\n  other:profile: dev\n", ""},
	} {
		t.Run(what, func(t *testing.T) {
			profile, err := Profile([]byte(test.content))
			require.NoError(t, err)
			assert.Equal(t, test.profile, profile)
		})
	}
	_, err := Profile([]byte("config: [dev]"))
	require.ErrorContains(t, err, "cannot unmarshal")
}

func TestBadApprovals(t *testing.T) {
	good := map[string]string{
		"stack": "prod", "resource": "sql.DatabaseInstance openhands-postgres", "change": "replace", "because": "moved", "until": "2026-12-31",
	}
	file := func(key, value string) string {
		out := "approvals:\n  -"
		for _, k := range []string{"stack", "resource", "change", "because", "until"} {
			v := good[k]
			if k == key {
				v = value
			}
			out += fmt.Sprintf(" %s: %q\n   ", k, v)
		}
		return strings.TrimRight(out, " ")
	}
	for what, test := range map[string]struct{ content, problem string }{
		"nothing":           {"", ""},
		"none":              {"approvals: []", ""},
		"one":               {file("", ""), ""},
		"no stack":          {file("stack", ""), "entry 1: it has no stack"},
		"no type":           {file("resource", "openhands-postgres"), "no type and name"},
		"another change":    {file("change", "update"), "neither replace nor delete"},
		"no reason":         {file("because", " "), "no reason"},
		"no day":            {file("until", "tomorrow"), "until is no day"},
		"twice":             {file("", "") + strings.TrimPrefix(file("", ""), "approvals:\n"), "entry 2: another entry is for the same change"},
		"an unknown key":    {strings.ReplaceAll(file("", ""), "because", "reason"), "field reason not found"},
		"another list":      {"allowed: []", "field allowed not found"},
		"no list":           {"approvals: yes", "approvals.yaml"},
		"a second document": {"approvals: []\n---\napprovals: []\n", "more than one document"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := ReadApprovals([]byte(test.content), "approvals.yaml")
			if test.problem == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.problem)
		})
	}
}
