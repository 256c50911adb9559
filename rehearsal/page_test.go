package rehearsal

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPageSaysWhatIsExecuted: each command of the page is run by make rehearse PAGE=..., or asks Google or GitHub and is marked.
func TestPageSaysWhatIsExecuted(t *testing.T) {
	raw, err := os.ReadFile("../" + Page)
	require.NoError(t, err)
	blocks, err := pageBlocks(string(raw))
	require.NoError(t, err)
	assert.Equal(t, []string{"make rehearse PROGRAM=bootstrap", "make rehearse STACK=prod STEPS=preview"}, blocks[0].commands)
	assert.Equal(t, []string{"bootstrap home is as it must be", "stack prod has a plan"}, blocks[0].seen())
	for _, c := range []struct{ from, to, says string }{
		{"```sh executed\npulumi up", "```sh\npulumi up", "write `sh executed` or `sh not executed`"},
		{"```sh executed\npulumi up", "```sh not executed\npulumi up", "let the test run it"},
		{"```sh executed\npulumi up", "```sh executed\ngcloud up", "begins with neither make, pulumi nor cd"},
		{"sh bin/github.sh", "sh bin/other.sh", "let the test run it"},
		{"*Seen*: `bootstrap home", "*Then*: `bootstrap home", "says nothing in backticks"},
	} {
		broken := strings.Replace(string(raw), c.from, c.to, 1)
		require.NotEqual(t, string(raw), broken)
		_, err := pageBlocks(broken)
		assert.ErrorContains(t, err, c.says)
	}
}
