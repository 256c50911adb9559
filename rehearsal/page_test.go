package rehearsal

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPageSaysWhatIsExecuted: each command of the page is run by make rehearse PAGE=..., or is one of gcloud or gh and marked.
func TestPageSaysWhatIsExecuted(t *testing.T) {
	raw, err := os.ReadFile("../" + Page)
	require.NoError(t, err)
	lines, err := pageLines(string(raw))
	require.NoError(t, err)
	assert.Contains(t, lines, "pulumi up")
	assert.Contains(t, lines, "make rehearse PROGRAM=bootstrap")
	for _, c := range []struct{ from, to, says string }{
		{"```sh executed\npulumi up", "```sh\npulumi up", "write `sh executed` or `sh not executed`"},
		{"```sh executed\npulumi up", "```sh not executed\npulumi up", "let the test run it"},
		{"```sh executed\npulumi up", "```sh executed\ngcloud up", "begins with neither make, pulumi nor cd"},
	} {
		broken := strings.Replace(string(raw), c.from, c.to, 1)
		require.NotEqual(t, string(raw), broken)
		_, err := pageLines(broken)
		assert.ErrorContains(t, err, c.says)
	}
}
