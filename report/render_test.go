package report

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
