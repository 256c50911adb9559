package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
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

// TestReadmeListsTheResources compares the README with the plan of the dev stack.
func TestReadmeListsTheResources(t *testing.T) {
	mocks, err := deployed(t, "dev", stackFile(t, "dev"), nil)
	require.NoError(t, err)
	graph := graphOf(t, mocks)
	counts := map[string]map[string]int{}
	for _, r := range mocks.Resources() {
		component := graph.Component(r.URN)
		if !r.Custom || component == "" {
			continue
		}
		if counts[component] == nil {
			counts[component] = map[string]int{}
		}
		counts[component][r.Type]++
	}
	var b strings.Builder
	b.WriteString("| component | resource types |\n|---|---|\n")
	for _, component := range slices.Sorted(maps.Keys(counts)) {
		var types []string
		for _, typ := range slices.Sorted(maps.Keys(counts[component])) {
			text := "`" + typ + "`"
			if n := counts[component][typ]; n > 1 {
				text = fmt.Sprintf("%d x %s", n, text)
			}
			types = append(types, text)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", component, strings.Join(types, ", "))
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
