package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
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
	raw, err := os.ReadFile("README.md")
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(raw), resourcesBegin)
	require.True(t, ok)
	listed, after, ok := strings.Cut(rest, resourcesEnd)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile("README.md", []byte(before+resourcesBegin+b.String()+resourcesEnd+after), 0o644))
		return
	}
	assert.Equal(t, b.String(), listed, "run `make docs`")
}

// TestReadmePictureHasTheComponents compares the boxes of the README's picture, and the table below it, with the components of the prod stack.
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
	assert.ElementsMatch(t, want, rows)
}
