package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recording returns what the CLI wrote of a change in the report's tests.
func recording(t *testing.T, name string) string {
	t.Helper()
	packed, err := os.Open(filepath.Join("..", "..", "report", "testdata", name+".json.gz"))
	require.NoError(t, err)
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	require.NoError(t, err)
	raw, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(raw)
}

// TestExitCodes: 0 where the change may be made, 1 where it may not, with a report all the same, and 2 without one.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	none := file("none.yaml", "approvals: []\n")
	approved := file("approved.yaml", `approvals:
  - {stack: prod, resource: storage.Bucket openhands-files, change: replace, because: It is empty., until: 2026-12-31}
`)
	failed := file("failed.json", `{"diagnostics":[{"severity":"error","message":"no"}]}`)
	quiet := file("quiet.json", recording(t, "database-disk-limit"))
	bucket := file("bucket.json", recording(t, "bucket-location"))
	for what, test := range map[string]struct {
		args []string
		code int
		says string // on either output
	}{
		"nothing to refuse":        {[]string{"-stack", "prod", "-approvals", none, quiet}, fine, "<!-- openhands-preview:prod -->\n"},
		"at a terminal":            {[]string{"-stack", "prod", "-approvals", none, "-format", "terminal", quiet}, fine, "Preview of stack prod: no data is lost"},
		"as JSON":                  {[]string{"-stack", "prod", "-approvals", none, "-format", "json", quiet}, fine, `"failed": false`},
		"without an approval":      {[]string{"-stack", "prod", "-approvals", none, bucket}, refused, "resource: storage.Bucket openhands-files"},
		"with one":                 {[]string{"-stack", "prod", "-approvals", approved, bucket}, fine, "because `It is empty.`"},
		"a preview that failed":    {[]string{"-stack", "prod", "-approvals", none, failed}, refused, "the preview failed"},
		"no stack":                 {[]string{"-approvals", none, quiet}, unusable, "name the stack"},
		"another stack":            {[]string{"-stack", "dev", "-approvals", none, quiet}, unusable, `of stack "prod"`},
		"no file":                  {[]string{"-stack", "prod", "-approvals", none}, unusable, "name one file"},
		"a file that is not there": {[]string{"-stack", "prod", "-approvals", none, filepath.Join(dir, "x")}, unusable, "no such file"},
		"no approvals":             {[]string{"-stack", "prod", "-approvals", filepath.Join(dir, "x"), quiet}, unusable, "the file says `approvals: []`"},
		"bad approvals":            {[]string{"-stack", "prod", "-approvals", quiet, quiet}, unusable, "field config not found"},
		"no preview":               {[]string{"-stack", "prod", "-approvals", none, file("text.json", "Updating (prod)")}, unusable, "the preview is no JSON"},
		"another format":           {[]string{"-stack", "prod", "-approvals", none, "-format", "html", quiet}, unusable, "write markdown, terminal or json"},
		"a stack with markup":      {[]string{"-stack", "a --> b", "-approvals", none, quiet}, unusable, "name the stack"},
		"an unknown flag":          {[]string{"-force", quiet}, unusable, "not defined"},
	} {
		t.Run(what, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			assert.Equal(t, test.code, run(test.args, &stdout, &stderr, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)))
			assert.Contains(t, stdout.String()+stderr.String(), test.says)
			assert.Equal(t, test.code == unusable, stdout.Len() == 0, "a report is written, or none")
			assert.Equal(t, test.code != fine, strings.HasPrefix(stderr.String(), "preview-report:") || strings.Contains(stderr.String(), "flag"))
		})
	}
}

// TestTheRepositorysApprovalsAreReadable, as the workflows read them.
func TestTheRepositorysApprovalsAreReadable(t *testing.T) {
	_, err := read("prod", "../../approvals.yaml", []string{"nothing"}, time.Now())
	require.ErrorContains(t, err, "preview: open nothing")
}

// TestTheStackFileDecides: what a change proposes, such as profile dev, does not take its approvals away.
func TestTheStackFileDecides(t *testing.T) {
	document := recording(t, "zone")
	t.Chdir(t.TempDir())
	for file, content := range map[string]string{"preview.json": document, "approvals.yaml": "approvals: []\n"} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	}
	for _, test := range []struct {
		stackFile string
		code      int
	}{
		{"", refused}, // there is none
		{"config:\n  openhands:profile: dev\n", fine},
		{"config:\n  openhands:profile: prod\n", refused},
		{"config:\n  openhands:profile: \"\"\n", refused},
		{"config: [", unusable},
	} {
		if test.stackFile != "" {
			require.NoError(t, os.WriteFile("Pulumi.dev.yaml", []byte(test.stackFile), 0o600))
		}
		assert.Equal(t, test.code, run([]string{"-stack", "dev", "preview.json"}, io.Discard, io.Discard, time.Now()), test.stackFile)
	}
}
