package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/changes"
)

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

// TestStepsOfOneResource: the engine deletes what an earlier replacement has left in the same preview in which it keeps, or changes, what came after it.
func TestStepsOfOneResource(t *testing.T) {
	const typ, urn = "gcp:sql/databaseInstance:DatabaseInstance", "urn:pulumi:prod::openhands::gcp:sql/databaseInstance:DatabaseInstance::openhands-postgres"
	state := func(tier string) map[string]any {
		return map[string]any{"type": typ, "custom": true, "inputs": map[string]any{"settings": map[string]any{"tier": tier}}}
	}
	step := func(op string, was, is map[string]any) map[string]any {
		s := map[string]any{"op": op, "urn": urn}
		if was != nil {
			s["oldState"] = was
		}
		if is != nil {
			s["newState"] = is
		}
		return s
	}
	same, left := step("same", state("a"), state("a")), step("delete", state("a"), nil)
	changed := update(typ, "openhands-postgres", map[string]any{"deletionProtection": true}, map[string]any{"deletionProtection": false},
		map[string]string{"deletionProtection": "update"})
	pieces := []map[string]any{
		step("create-replacement", nil, state("b")), step("replace", state("a"), state("b")), step("delete-replaced", state("a"), nil),
	}
	for what, test := range map[string]struct {
		steps  []map[string]any
		graded []string
	}{
		"a leftover first":    {[]map[string]any{left, same}, []string{"LOST"}},
		"a leftover last":     {[]map[string]any{same, left}, []string{"LOST"}},
		"and a change":        {[]map[string]any{left, changed}, []string{"LOST", "open"}},
		"a change, and it":    {[]map[string]any{changed, left}, []string{"LOST", "open"}},
		"after a replacement": {append([]map[string]any{same}, pieces...), []string{"LOST"}},
		"before one":          {append(pieces[:3:3], same), []string{"LOST"}},
	} {
		t.Run(what, func(t *testing.T) {
			document := preview(t, test.steps...)
			r := reportOf(t, document, "prod")
			var graded []string
			for _, e := range r.Effects {
				if e.Grade <= changes.Open {
					graded = append(graded, e.Grade.String())
				}
			}
			assert.Equal(t, test.graded, graded)
			assert.True(t, r.Failed(), "it needs an approval")
		})
	}
	p, err := Read(preview(t, pieces...), "prod")
	assert.NoError(t, err)
	assert.Len(t, p.Changes, 1, "the steps of one replacement")
	assert.NotNil(t, p.Changes[0].Old)
	assert.NotNil(t, p.Changes[0].New)
}
