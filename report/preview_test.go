package report

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"openhands-gcp/changes"
)

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
