package release

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhichReleaseMayFollow: from one release of a line to another there is a way where it was tried, and back only without a migration in between.
func TestWhichReleaseMayFollow(t *testing.T) {
	for _, row := range []struct {
		line     Line
		from, to string
		refused  string // part of the reason; none where empty
	}{
		{Server, "0.60.0", "0.60.0", ""},
		{Server, "0.60.0", "0.62.0", ""},
		{Server, "0.62.0", "0.60.0",
			"whose migrations have changed the data (002; 0.60.0 knows them up to 001), and there is no way back: write openhands:app.release: 0.62.0"},
		{Server, "0.62.0", "1.11.0", ""},
		{Server, "1.11.0", "0.62.0", "there is no way back: write openhands:app.release: 1.11.0"},
		{Server, "0.60.0", "1.11.0", "never started on the data of 0.60.0: write openhands:app.release: 0.62.0 first"},
		{Server, "0.62.0", "1.10.0", "write openhands:app.release: 1.11.0 first"},
		{Server, "1.11.0", "0.60.0", "write openhands:app.release: 1.10.0 first"},
		{Server, "1.10.0", "1.11.0", ""},
		{Server, "1.11.0", "1.10.0", ""},
		{Canvas, "1.16.0", "1.20.0", ""},
		{Canvas, "1.20.0", "1.16.0", "there is no way back"},
		{Canvas, "1.25.0", "1.20.0", "what runs is release 1.25.0, which this version of the program does not know"},
		{Canvas, "1.11.0", "1.20.0", "does not know"}, // of the other line
	} {
		t.Run(string(row.line)+" "+row.from+" to "+row.to, func(t *testing.T) {
			r, known := Find(row.line, row.to)
			require.True(t, known)
			if err := r.CheckFrom(row.from); row.refused == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, row.refused)
			}
		})
	}
}

// TestTheTableIsInOrder: a release follows older ones of its line, with a schema that is not older.
func TestTheTableIsInOrder(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range releases {
		for _, from := range r.From {
			before, known := Find(r.Line, from)
			assert.True(t, known && seen[string(r.Line)+from], "%s %s follows %s, which does not come before it", r.Line, r.Version, from)
			assert.LessOrEqual(t, before.Schema, r.Schema)
		}
		seen[string(r.Line)+r.Version] = true
	}
}
