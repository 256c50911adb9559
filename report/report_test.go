package report

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
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
			assert.Equal(t, test.failed, New("dev", test.was, preview, nil, today).Failed())
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

// TestWhatIsNoPreview: nothing that is not understood may end as "nothing changes".
func TestWhatIsNoPreview(t *testing.T) {
	raw := string(recording(t, "database-machine"))
	for what, test := range map[string]struct{ document, problem string }{
		"nothing":                {"", "no JSON"},
		"text":                   {"Previewing update (prod)", "no JSON"},
		"polluted":               {"warning: a new version\n" + raw, "no JSON"},
		"cut off":                {raw[:len(raw)/2], "no JSON"},
		"two documents":          {raw + raw, "more than one JSON document"},
		"events":                 {`{"sequence":0,"preludeEvent":{}}` + "\n" + `{"sequence":1}`, "more than one JSON document"},
		"another document":       {`{"version":3,"deployment":{}}`, "neither a changeSummary nor an error"},
		"an empty one":           {`{}`, "neither a changeSummary nor an error"},
		"a list":                 {`[]`, "no JSON"},
		"steps of another name":  {strings.Replace(raw, `"steps":`, `"changes":`, 1), "counts 1 x update and lists 0"},
		"a step is missing":      {strings.Replace(raw, `"update":1`, `"update":2`, 1), "counts 2 x update and lists 1"},
		"an unknown operation":   {strings.Replace(raw, `"op":"update"`, `"op":"transmute"`, 1), `operation "transmute"`},
		"it is counted":          {strings.Replace(raw, `"update":1`, `"update":1,"transmute":1`, 1), `operations "transmute"`},
		"states of another name": {strings.ReplaceAll(raw, `"oldState":`, `"before":`), "lacks the state before or after"},
		"no name":                {strings.ReplaceAll(raw, `"urn":`, `"name":`), "names no resource"},
		"another stack":          {strings.ReplaceAll(raw, "urn:pulumi:prod::", "urn:pulumi:dev::"), `of stack "dev", and not of prod`},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := Read([]byte(test.document), "prod")
			require.ErrorContains(t, err, test.problem)
		})
	}
}

func TestAPreviewThatFailed(t *testing.T) {
	for what, document := range map[string]string{
		"an error":        `{"diagnostics":[{"message":"error: stack prod: 1 problem","severity":"error"}]}`,
		"a corrupt state": `{"changeSummary":{"same":1},"maybeCorrupt":true}`,
		"after some steps": strings.Replace(string(recording(t, "database-machine")),
			`"diagnostics":[`, `"diagnostics":[{"message":"error: no","severity":"error"},`, 1),
	} {
		t.Run(what, func(t *testing.T) {
			r := reportOf(t, []byte(document), "prod")
			assert.True(t, r.Failed())
			assert.Contains(t, r.Markdown(), "The preview failed, and what it would do is not known")
		})
	}
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

// TestSecretsAreNotShown: markers are planted wherever a secret may be, and in what Pulumi does not know to be one.
func TestSecretsAreNotShown(t *testing.T) {
	const marker = "planted-marker"
	for typ, path := range map[string]string{
		"kubernetes:core/v1:Secret":                   "data.KEY",
		"kubernetes:core/v1:ConfigMap":                "data.LLM_BASE_URL",
		"kubernetes:apps/v1:Deployment":               "spec.template.spec.containers[0].env[0].value",
		"kubernetes:apps/v1:StatefulSet":              "spec.template.spec.containers[0]",
		"random:index/randomPassword:RandomPassword":  "result",
		"gcp:sql/user:User":                           "password",
		"gcp:compute/instance:Instance":               `metadata["user-data"]`,
		"kubernetes:networking.gke.io/v1:Some":        "spec.default.iap.oauth2ClientSecret",
		"gcp:sql/databaseInstance:DatabaseInstance":   "rootPassword",
		"gcp:monitoring/alertPolicy:AlertPolicy":      "documentation",
		"kubernetes:gateway.networking.k8s.io/v1:One": "spec.apiKey",
	} {
		inputs := func(value string) map[string]any {
			return map[string]any{
				"data": map[string]any{"KEY": value, "LLM_BASE_URL": value}, "result": value, "password": value, "rootPassword": value,
				"metadata": map[string]any{"user-data": value}, "documentation": map[string]any{"content": value},
				"spec": map[string]any{
					"apiKey": value, "default": map[string]any{"iap": map[string]any{"oauth2ClientSecret": map[string]any{"name": value}}},
					"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"env": []any{map[string]any{"name": "A", "value": value}}}}}},
				},
			}
		}
		r := reportOf(t, preview(t, update(typ, "openhands-x", inputs(marker+"-a"), inputs(marker+"-b"), map[string]string{path: "update"})), "prod")
		var document bytes.Buffer
		require.NoError(t, r.JSON(&document))
		for format, text := range map[string]string{"markdown": r.Markdown(), "terminal": terminal(r), "json": document.String()} {
			assert.NotContains(t, text, marker, "%s of %s, as %s", path, typ, format)
			assert.Contains(t, text, "openhands-x")
		}
	}
}

// TestWhatPeopleWriteIsNoMarkup: a name is shown as code, whatever it is made of, and nobody is pinged by one.
func TestWhatPeopleWriteIsNoMarkup(t *testing.T) {
	for _, name := range []string{"@everyone", "`@everyone`", "a``b", "</details><script>", "a\n# title", "\x1b[31mred", "| a | b |", "x]]>--><!--"} {
		steps := preview(t, update("gcp:iap/webIamMember:WebIamMember", name, map[string]any{"member": "user:" + name}, map[string]any{"member": "user:b" + name},
			map[string]string{"member": "update-replace"}))
		text := reportOf(t, steps, "prod").Markdown()
		assert.NotContains(t, text, "\x1b")
		for _, line := range strings.Split(text, "\n") {
			assert.False(t, strings.HasPrefix(line, "# "))
			assert.NotContains(t, outsideOfCode(line), strings.Trim(clean(name), "`"), "%q is outside of code in %q", name, line)
		}
	}
}

// outsideOfCode is what a line of Markdown has beside its code.
func outsideOfCode(line string) string {
	out := ""
	for {
		begin := strings.Index(line, "`")
		if begin < 0 {
			return out + line
		}
		fence := line[begin : begin+len(line[begin:])-len(strings.TrimLeft(line[begin:], "`"))]
		rest := line[begin+len(fence):]
		end := -1
		for i := 0; i < len(rest); {
			n := len(rest[i:]) - len(strings.TrimLeft(rest[i:], "`"))
			if n == len(fence) {
				end = i
				break
			}
			i += max(n, 1)
		}
		if end < 0 {
			return out + line
		}
		out, line = out+line[:begin], rest[end+len(fence):]
	}
}

// TestACommentFits: it ends where GitHub's limit is, after a whole part, and says how much it left out.
func TestACommentFits(t *testing.T) {
	name := strings.Repeat("n", 90)
	many := func(n int) []byte {
		var steps []map[string]any
		for i := range n {
			steps = append(steps, update("gcp:sql/databaseInstance:DatabaseInstance", fmt.Sprintf("%s-%d", name, i),
				map[string]any{"region": "a"}, map[string]any{"region": "b"},
				map[string]string{"region": "update-replace"}))
		}
		return preview(t, steps...)
	}
	cut := 0
	for _, n := range []int{1, 24, 25, 26, 100, 140, 150, 160, 170, 180, 190, 200, 400, 1000} {
		r := reportOf(t, many(n), "prod")
		text := r.Markdown()
		require.LessOrEqual(t, len(text), Limit)
		assert.Equal(t, 0, strings.Count(text, "```")%2, "a quotation is cut")
		assert.Contains(t, text, "**LOST**: the database and its backups", "%d", n)
		if strings.Contains(text, "Left out, as a comment has at most") {
			cut++
			continue
		}
		assert.Equal(t, n, strings.Count(text, "    resource: sql.DatabaseInstance"), "%d need an approval, and nothing says that some are left out", n)
	}
	assert.Positive(t, cut)
}

var rewrite = flag.Bool("update", false, "write the example in docs/preview-report.md anew")

// TestTheExample is the comment that the documentation shows: several changes at once.
func TestTheExample(t *testing.T) {
	const page = "../docs/preview-report.md"
	const begin, end = "<!-- example: written by `make docs` -->\n", "<!-- end of example -->"
	text := reportOf(t, recording(t, "example"), "team").Markdown()
	quoted := "\n> " + strings.ReplaceAll(strings.TrimSpace(strings.SplitN(text, "\n", 2)[1]), "\n", "\n> ") + "\n\n"
	quoted = strings.ReplaceAll(quoted, "> \n", ">\n")
	raw, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(raw), begin)
	require.True(t, ok)
	example, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	if *rewrite {
		require.NoError(t, os.WriteFile(page, []byte(before+begin+quoted+end+after), 0o644))
		return
	}
	assert.True(t, quoted == example, "docs/preview-report.md has an old example: make docs")
}

func TestNothingChanges(t *testing.T) {
	r := reportOf(t, preview(t), "prod")
	assert.False(t, r.Failed())
	assert.Contains(t, r.Markdown(), "**Nothing changes.**")
}
