package stacks

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"gopkg.in/yaml.v3"
)

// checkSchema reports unknown and missing keys, wrong types, and values outside of their limits. No message shows the value of a secret key.
func checkSchema(document map[string]any, secretKeys []string) []Problem {
	schema, err := compiled()
	if err != nil { // a mistake in the type Config, which every test finds
		return []Problem{{Path: "configuration", Message: fmt.Sprintf("its schema: %v", err)}}
	}
	if err = schema.Validate(document); err == nil {
		return nil
	}
	failure, ok := err.(*validator.ValidationError)
	if !ok {
		return []Problem{{Path: "configuration", Message: err.Error()}}
	}
	checked := checked{document, secretKeys}
	var problems []Problem
	var walk func(e *validator.ValidationError)
	walk = func(e *validator.ValidationError) {
		for _, cause := range e.Causes {
			walk(cause)
		}
		if len(e.Causes) == 0 {
			problems = append(problems, checked.explain(e)...)
		}
	}
	walk(failure)
	return problems
}

// checked is a document that something is wrong with.
type checked struct {
	document   map[string]any
	secretKeys []string // whose values are encrypted
}

func (c checked) explain(e *validator.ValidationError) []Problem {
	location := e.InstanceLocation
	problem := func(at []string, format string, args ...any) Problem {
		return Problem{Path: pathOf(at), Message: fmt.Sprintf(format, args...), location: at}
	}
	var problems []Problem
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, key := range k.Properties {
			at := append(slices.Clone(location), key)
			problems = append(problems, problem(at, "%s", c.unknownKey(location, key)))
		}
	case *kind.Required:
		for _, key := range k.Missing {
			problems = append(problems, problem(append(slices.Clone(location), key), "is missing: %s", describeMissing(key)))
		}
	case *kind.Type:
		problems = append(problems, problem(location, "is %s, expected %s: %s", articled(k.Got), expected(k.Want), c.correctType(location, k)))
	case *kind.Enum:
		problems = append(problems, problem(location, "is %v: write one of %s", k.Got, list(k.Want)))
	case *kind.Minimum:
		problems = append(problems, problem(location, "is %s: write %s or more", number(k.Got), number(k.Want)))
	case *kind.Maximum:
		problems = append(problems, problem(location, "is %s: write %s or less", number(k.Got), number(k.Want)))
	default:
		problems = append(problems, problem(location, "%s", k.LocalizedString(message.NewPrinter(language.English))))
	}
	return problems
}

// pathOf writes a place as `pulumi config set --path` takes it.
func pathOf(location []string) string {
	var b strings.Builder
	for i, step := range location {
		if _, err := strconv.Atoi(step); err == nil && i > 0 {
			b.WriteString("[" + step + "]")
			continue
		}
		if i > 0 {
			b.WriteString(".")
		}
		b.WriteString(step)
	}
	return b.String()
}

// kinds are YAML's words for the types of JSON.
var kinds = map[string]string{"array": "a list", "object": "an object", "null": "empty", "integer": "a whole number"}

func articled(kind string) string {
	if word, ok := kinds[kind]; ok && kind != "integer" {
		return word
	}
	return "a " + kind
}

func expected(want []string) string {
	if word, ok := kinds[want[0]]; ok {
		return word
	}
	return "a " + want[0]
}

// correctType says what to write instead of a value of a wrong type.
func (c checked) correctType(location []string, k *kind.Type) string {
	value := c.at(location)
	switch want := k.Want[0]; {
	case k.Got == "null":
		return "give it a value, or remove the key"
	case want == "array" && k.Got == "object":
		return "begin every item with a dash:" + lines(location, []any{"<item>"})
	case want == "array":
		return "write" + c.linesOf(location, location)
	case want == "object" && len(keysAt(location)) > 0:
		return "write its keys below it, indented, each with its value: " + strings.Join(keysAt(location), ", ")
	case want == "object":
		return "write names below it, indented, each with its value"
	case want == "string":
		return "in YAML, write it in quotes"
	case want == "boolean":
		return "write true or false, without quotes"
	case want == "integer" && k.Got == "number":
		return "write it without a fraction"
	case k.Got == "string":
		if text, _ := value.(string); json.Valid([]byte(text)) {
			return "in YAML, write it without quotes"
		}
		return "write a number, without a unit and without quotes"
	}
	return "docs/configuration.md has an example"
}

// notBelow says what is wrong with a key of an object, or of a list, that has a single value or none.
func notBelow(key, value string, property *jsonschema.Schema) string {
	is, below := "is a single value, expected "+kinds[property.Type], "names, each with its value"
	if value == "" || value == "null" {
		is = "has nothing below it"
	}
	if keys := keysAt([]string{key}); len(keys) > 0 {
		below = "its keys (" + strings.Join(keys, ", ") + ")"
	} else if property.Type == "array" {
		below = "its items, each with a dash"
	}
	return fmt.Sprintf("%s: write %s below it, each two blanks further to the right than %s, or remove it", is, below, key)
}

// number writes a limit as people do.
func number(r *big.Rat) string {
	if r.IsInt() {
		return r.RatString()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func describeMissing(key string) string {
	switch key {
	case "openhands:profile":
		return "run `pulumi config set openhands:profile dev` (or prod)"
	case "gcp:project":
		return "run `pulumi config set gcp:project <your project's id>`"
	case "gcp:region":
		return "run `pulumi config set gcp:region us-central1`, or another region"
	}
	return "set it"
}

// unknownKey says where the key belongs that was probably meant. Pulumi and the providers ignore unknown keys, so a typing error would change nothing,
// silently.
func (c checked) unknownKey(location []string, key string) string {
	at := append(slices.Clone(location), key)
	if why, known := teach(pathOf(at)); known {
		return why
	}
	if dotted := strings.Split(strings.Join(at, "."), "."); len(dotted) > len(at) {
		switch {
		case isSecret(dotted):
			return "unknown key, for a dot in a key leads nowhere without --path: run `pulumi config set --secret --path " + pathOf(dotted) +
				"`, and remove this one, with the secret that was in the file"
		case schemaAt(dotted) != nil:
			return "unknown key, for a dot in a key leads nowhere: write" + c.linesOf(dotted, at) +
				"\n    or set it by `pulumi config set --path " + pathOf(dotted) + " <value>`"
		}
		location, key = dotted[:len(dotted)-1], dotted[len(dotted)-1]
	}
	homes, near, known := homesOf(key), nearest(key, keysAt(location)), keysAt(location)
	inside := slices.DeleteFunc(slices.Clone(homes), func(home []string) bool { return len(location) == 0 || home[0] != location[0] })
	switch {
	case near != "" && (len(homes) == 0 || strings.EqualFold(near, key)):
		return fmt.Sprintf("unknown key: did you mean %s?", near)
	case len(inside) == 1:
		return "unknown key here: write" + c.linesOf(inside[0], at)
	case len(homes) == 1:
		return "unknown key here: " + homes[0][0] + " has it. Write" + c.linesOf(homes[0], at)
	case len(homes) > 1:
		paths := make([]string, len(homes))
		for i, home := range homes {
			paths[i] = pathOf(home)
		}
		return "unknown key here: did you mean " + strings.Join(paths, ", or ") + "? `pulumi config set --path <one of these> <value>` sets it"
	case len(known) > 0:
		return "unknown key: remove it, or write one of " + strings.Join(known, ", ")
	}
	return "unknown key: remove it"
}

// at is the value at a place.
func (c checked) at(location []string) any {
	var value any = c.document
	for _, step := range location {
		switch at := value.(type) {
		case map[string]any:
			value = at[step]
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n >= len(at) {
				return nil
			}
			value = at[n]
		default:
			return nil
		}
	}
	return value
}

// homesOf are the places of the keys that have a name, wherever they are.
func homesOf(name string) [][]string {
	var found [][]string
	var walk func(at []string, schema *jsonschema.Schema)
	walk = func(at []string, schema *jsonschema.Schema) {
		if schema.Properties == nil {
			return
		}
		for pair := schema.Properties.Oldest(); pair != nil; pair = pair.Next() {
			here := append(slices.Clone(at), pair.Key)
			if strings.EqualFold(unspaced(pair.Key), unspaced(name)) {
				found = append(found, here)
			}
			walk(here, pair.Value)
		}
	}
	walk(nil, Schema())
	return found
}

// unspaced is a key without its namespace.
func unspaced(key string) string { return key[strings.Index(key, ":")+1:] }

// nearest is the key that a typing error may have been; empty where none is near.
func nearest(key string, known []string) string {
	best, distance := "", 0
	typed := strings.ToLower(unspaced(key))
	for _, candidate := range known {
		name := strings.ToLower(unspaced(candidate))
		d := levenshtein.Distance(typed, name, nil)
		short, long := min(len(typed), len(name)), max(len(typed), len(name))
		if within := short >= 3 && (strings.Contains(typed, name) || strings.Contains(name, typed)); d > long/3 && !within {
			continue
		}
		if best == "" || d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// isSecret says whether a place is, or is in, a secret.
func isSecret(location []string) bool { return slices.Contains(secretKeys, location[0]) }

// linesOf are the lines that set a key to the value that is at another place. It is not shown where it is encrypted, or may be a secret: a variable, or
// whatever is more than a single value.
func (c checked) linesOf(location, from []string) string {
	schema, value := schemaAt(location), c.at(from)
	list := schema != nil && schema.Type == "array"
	text, isText := value.(string)
	switch _, isObject := value.(map[string]any); {
	case isSecret(location), slices.Contains(c.secretKeys, from[0]), isObject, value == nil, len(keysAt(location[:len(location)-1])) == 0:
		value = "<value>"
	case isText && schema != nil && schema.Type != "string":
		var typed any
		if err := json.Unmarshal([]byte(text), &typed); err == nil {
			value = typed
		}
		if _, isObject := typed.(map[string]any); isObject {
			value = "<value>"
		}
	}
	if _, isList := value.([]any); list && !isList {
		value = []any{value}
	}
	return lines(location, value)
}

// lines are those of a stack file in which a key has a value.
func lines(location []string, value any) string {
	for _, step := range slices.Backward(location) {
		if _, err := strconv.Atoi(step); err == nil {
			value = []any{value}
			continue
		}
		value = map[string]any{step: value}
	}
	var b strings.Builder
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(value); err != nil {
		return " " + pathOf(location)
	}
	return "\n    " + strings.ReplaceAll(strings.TrimSpace(b.String()), "\n", "\n    ")
}

func list(values []any) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, ", ")
}
