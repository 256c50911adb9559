package main

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what the test compares with")

// The marks around what this test writes.
const (
	resourcesBegin = "<!-- resources: written by `make docs` -->\n"
	resourcesEnd   = "<!-- end of resources -->\n"
)

// TestReadmeListsTheResources compares the README with the plan of the prod stack.
func TestReadmeListsTheResources(t *testing.T) {
	var b strings.Builder
	b.WriteString("| component | resource types |\n|---|---|\n")
	for _, c := range planOf(t, "tests/golden/prod.yaml").Components() {
		var types []string
		for _, typ := range slices.Sorted(maps.Keys(c.Types)) {
			text := "`" + typ + "`"
			if n := c.Types[typ]; n > 1 {
				text = fmt.Sprintf("%d x %s", n, text)
			}
			types = append(types, text)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.Join(c.Path, " / "), strings.Join(types, ", "))
	}
	assertWritten(t, "README.md", resourcesBegin, resourcesEnd, b.String())
}

// assertWritten compares what stands between two marks of a page with what a test would write there, or writes it, with -update.
func assertWritten(t *testing.T, page, begin, end, want string) {
	t.Helper()
	raw, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(raw), begin)
	require.True(t, ok, "%s has no line %q", page, begin)
	written, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "%s has no line %q", page, end)
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+begin+want+end+after), 0o644))
		return
	}
	assert.Equal(t, want, written, "run `make docs`")
}

// TestReadmePictureHasTheComponents compares the boxes of the README's picture with the components of the prod stack, and the table below it with those of
// the single one too.
func TestReadmePictureHasTheComponents(t *testing.T) {
	var want []string
	for _, c := range planOf(t, "tests/golden/prod.yaml").Components() {
		want = append(want, c.Path[len(c.Path)-1])
	}
	raw, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(raw), "```mermaid\n")
	picture, rest, ok := strings.Cut(rest, "```\n")
	require.True(t, ok, "the README has a picture")
	var boxes, rows []string
	for _, match := range regexp.MustCompile(`\[\(?([A-Z]\w+)[:\]]`).FindAllStringSubmatch(picture, -1) {
		boxes = append(boxes, match[1])
	}
	table, _, _ := strings.Cut(rest, resourcesBegin)
	for _, match := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `infra/").FindAllStringSubmatch(table, -1) {
		rows = append(rows, match[1])
	}
	assert.ElementsMatch(t, want, boxes)
	others := slices.Concat(planOf(t, "tests/golden/team.yaml").Components(), planOf(t, "tests/golden/single.yaml").Components())
	for _, c := range others {
		if component := c.Path[len(c.Path)-1]; !slices.Contains(want, component) {
			want = append(want, component)
		}
	}
	assert.ElementsMatch(t, want, rows)
}

// TestPagesNameTestsThatExist: docs/threats.md says with a letter by which command a test is run, and all pages say which test shows what they claim.
func TestPagesNameTestsThatExist(t *testing.T) {
	folders := map[string]string{"T": ".", "C": "tests/cluster", "A": "tests/app"}
	tests := map[string]string{} // the letter of its command, by the test's name
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for letter, folder := range folders {
		require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && letter == "T" && entry.IsDir() && slices.Contains([]string{"tests/cluster", "tests/app", "tools", "bin"}, path) {
				return fs.SkipDir
			}
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			for _, match := range declared.FindAllStringSubmatch(string(raw), -1) {
				if tests[match[1]] = letter; path == "main_boot_test.go" {
					tests[match[1]] = "M"
				}
			}
			return err
		}))
	}
	named, grouped := regexp.MustCompile("`(Test\\w+)`"), regexp.MustCompile("\\b([TCAM]) ((?:`Test\\w+`(?:, )?)+)")
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	count := 0
	for _, page := range append(pages, "README.md") {
		raw, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, match := range named.FindAllStringSubmatch(string(raw), -1) {
			count++
			assert.Containsf(t, tests, match[1], "%s names a test that does not exist", page)
		}
		for _, group := range grouped.FindAllStringSubmatch(string(raw), -1) {
			for _, match := range named.FindAllStringSubmatch(group[2], -1) {
				assert.Equalf(t, tests[match[1]], group[1], "%s: the letter of %s", page, match[1])
			}
		}
	}
	assert.Greater(t, count, 50)
}
