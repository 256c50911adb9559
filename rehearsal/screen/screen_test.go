package screen

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// written returns what is written at a width where there is no terminal.
func written(t *testing.T, width string, write func(*Screen)) string {
	t.Helper()
	t.Setenv("COLUMNS", width)
	var out bytes.Buffer
	write(New(&out))
	return out.String()
}

func TestWithoutATerminalThereIsTextOnly(t *testing.T) {
	out := written(t, "80", func(s *Screen) {
		s.Title("a title")
		s.Table(Row{Mark: Bad, Name: "a", Text: "b", Detail: []string{"c"}})
		assert.NoError(t, s.While("up", func(progress func(string)) (string, error) {
			progress("3 of 7")
			return "created", nil
		}))
		s.Failure("why\nand more")
	})
	assert.NotContains(t, out, "\x1b")
	assert.NotContains(t, out, "\r")
	assert.NotContains(t, out, "3 of 7", "a step that takes no time has no progress to show")
	assert.True(t, strings.HasSuffix(out, "\nwhy\nand more\n"), out)
}

func TestAStepThatFailsSaysSoAndNothingElse(t *testing.T) {
	failed := errors.New("the reason is for the end")
	out := written(t, "80", func(s *Screen) {
		assert.Equal(t, failed, s.While("up", func(func(string)) (string, error) { return "", failed }))
	})
	assert.Regexp(t, `^✗ up +failed +0\.0 s\n$`, out)
}

// TestLinesFit: no line is wider than the screen, but for words that are, which stay whole: people copy them.
func TestLinesFit(t *testing.T) {
	const address = "https://console.cloud.google.com/a/very/long/address/that/does-not-fit-into-sixty-columns"
	for _, width := range []string{"60", "80", "160"} {
		out := written(t, width, func(s *Screen) {
			s.Table(Row{Name: "database", Text: strings.Repeat("word ", 60)})
			s.Table(Row{Name: "address", Text: "see " + address, Detail: []string{strings.Repeat("more ", 60)}})
			s.Text(strings.Repeat("word ", 60))
			assert.NoError(t, s.While("up", func(func(string)) (string, error) { return strings.Repeat("found ", 60), nil }))
			s.Failure(strings.Repeat("reason ", 60))
		})
		assert.Contains(t, out, address)
		limit := map[string]int{"60": 60, "80": 80, "160": 160}[width]
		for _, line := range strings.Split(out, "\n") {
			assert.True(t, len([]rune(line)) <= limit || strings.Contains(line, address), "%q is wider than %d", line, limit)
			assert.Equal(t, strings.TrimRight(line, " "), line, "a space at the end")
		}
	}
}

func TestNothingIsSaidOfACompilationThatWasNone(t *testing.T) {
	assert.Empty(t, written(t, "80", func(s *Screen) {
		assert.NoError(t, s.Compile(func(func(string)) error { return nil }))
	}))
	assert.Contains(t, written(t, "80", func(s *Screen) {
		assert.NoError(t, s.Compile(func(progress func(string)) error { progress("1 of 2 packages"); return nil }))
	}), "✓ compile")
}
