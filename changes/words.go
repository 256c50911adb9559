package changes

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"openhands-gcp/rehearsal/types"
)

// Title is what people call a resource: its type and its name, such as sql.DatabaseInstance openhands-postgres.
func (c Change) Title() string { return types.Short(c.Type) + " " + c.Name() }

// Describe says in a line what happens to a resource.
func (c Change) Describe() string {
	text := fmt.Sprintf("%s %s", c.Op, c.Title())
	var parts []string
	for _, p := range c.Properties {
		part := p.Path + c.Values(p)
		if p.Replaces {
			part += " (and so it is replaced)"
		}
		parts = append(parts, part)
	}
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	return text
}

// Values says from what to what a property changes, after a colon; nothing where its values may be nobody's business.
func (c Change) Values(p Property) string {
	if hidden(c.Type, p.Path) {
		return ""
	}
	was, is := p.From, p.To
	if a, ok := was.(string); ok {
		if b, ok := is.(string); ok && min(len(a), len(b)) > most {
			was, is = ends(a, b)
		}
	}
	from, to := show(was), show(is)
	switch {
	case from == "" || to == "":
		return ""
	case from == aSecret && to == aSecret:
		return ": another secret"
	}
	return ": " + from + " → " + to
}

// ends are what long texts have from a little before where they differ.
func ends(a, b string) (string, string) {
	before, after := []rune(a), []rune(b)
	same := 0
	for same < min(len(before), len(after)) && before[same] == after[same] {
		same++
	}
	if same -= 12; same <= 0 {
		return a, b
	}
	return "…" + string(before[same:]), "…" + string(after[same:])
}

// private are names of properties whose values are not shown, although Pulumi does not know them to be secret: what people put there is their own.
var private = regexp.MustCompile(`(?i)password|secret|token|credential|private|user-?data|\benv\b|\bargs\b|\bcommand\b|\bresult\b|apikey|\bdata\b|stringdata`)

func hidden(typ, path string) bool {
	return typ == "kubernetes:core/v1:Secret" || strings.HasPrefix(typ, "random:") || private.MatchString(path)
}

// sealed marks a secret in the engine's events. In the output of pulumi preview --json it is this text.
const (
	sealed = "4dabf18193072939515e22adb298388d"
	secret = "[secret]"

	aSecret = "a secret"
)

const most = 60 // runes of a value

// show writes a value in a few words: a number, a word, or a list of these. What is made of more parts may have anything in it, and is not shown.
func show(value any) string { return strings.Join(strings.Fields(inWords(value)), " ") }

func inWords(value any) string {
	text := ""
	switch value := value.(type) {
	case nil:
		return "none"
	case string:
		text = value
	case bool, float64, int:
		text = fmt.Sprint(value)
	case map[string]any:
		if value[sealed] == nil {
			return ""
		}
		return aSecret
	case []any:
		for _, item := range value {
			switch item.(type) {
			case string, bool, float64, int:
			default:
				return ""
			}
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return ""
		}
		text = string(raw)
	default:
		return ""
	}
	switch {
	case strings.Contains(text, secret):
		return aSecret
	case strings.Contains(text, unknown):
		return "known later"
	case text == "":
		return `""`
	}
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}
