package stacks

import (
	"bytes"
	_ "embed" // for the descriptions of the keys
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/agext/levenshtein"
	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"openhands-gcp/release"
)

// Source is the configuration of a stack as the Pulumi engine hands it to the program: every key with its namespace, objects as JSON. A Pulumi
// context cannot list its keys, so the program takes this from pulumi.RunInfo.
type Source struct {
	Stack      string
	Values     map[string]string // as pulumi.RunInfo.Config
	SecretKeys []string          // as pulumi.RunInfo.ConfigSecretKeys
}

// Problem is one thing that is wrong in a stack's configuration.
type Problem struct {
	Path    string // key and path inside of it, e.g. openhands:network.podsCidr
	Message string // what is wrong, and what to write instead

	location []string // where in the document, if it is there
}

// Error is all that is wrong in a stack's configuration.
type Error struct {
	Stack    string
	Problems []Problem
}

func (e *Error) Error() string {
	var b strings.Builder
	noun := "problems"
	if len(e.Problems) == 1 {
		noun = "problem"
	}
	fmt.Fprintf(&b, "stack %s: %d %s in the configuration; nothing was changed", e.Stack, len(e.Problems), noun)
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "\n  %s: %s", p.Path, p.Message)
	}
	return b.String()
}

// Load reads the configuration of a stack. The error is an *Error that lists every problem.
func Load(source Source) (*Config, error) {
	document, problems := parse(source)
	for _, p := range checkSchema(document) {
		if !slices.ContainsFunc(problems, func(other Problem) bool { return other.Path == p.Path }) {
			problems = append(problems, p)
		}
	}
	// What is wrong by itself is taken out, so that the rest can be checked too: a person wants all problems at once.
	for _, p := range problems {
		remove(document, p.location)
	}
	// Without a valid profile, what does not depend on it is checked with the defaults of dev.
	profile, _ := document["openhands:profile"].(string)
	config := Defaults(Profile(profile))
	if lineOf(document) == release.Canvas {
		config = config.ofCanvas()
	}
	config.Profile = Profile(profile)
	config.Stack = source.Stack
	raw, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("stack %s: %w", source.Stack, err)
	}
	// Into the defaults: what the stack file does not name keeps the profile's value.
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, fmt.Errorf("stack %s: %w", source.Stack, err)
	}
	config.fillInstances()
	elsewhere := config.elsewhere(document)
	for _, p := range slices.Concat(elsewhere, config.validate()) {
		if !slices.ContainsFunc(problems, func(other Problem) bool { return other.Path == p.Path }) {
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		return nil, newError(source.Stack, problems)
	}
	return &config, nil
}

// lineOf is the line that a document names; empty where it names none.
func lineOf(document map[string]any) release.Line {
	app, _ := document["openhands:app"].(map[string]any)
	line, _ := app["line"].(string)
	return release.Line(line)
}

// remove takes a value out of a document.
func remove(document map[string]any, location []string) {
	for i, step := range location {
		if i == len(location)-1 {
			delete(document, step)
			return
		}
		next, ok := document[step].(map[string]any)
		if !ok { // an item of a list: the whole list goes
			delete(document, step)
			return
		}
		document = next
	}
}

func newError(stack string, problems []Problem) *Error {
	slices.SortStableFunc(problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	return &Error{Stack: stack, Problems: problems}
}

// secretKeys are those whose values are secrets. They are keys of their own, secret as a whole: inside of an object, a secret comes out in clear.
var secretKeys = []string{"openhands:sandboxApiKey", "openhands:iapClientSecret", "openhands:secretEnv"}

// engineNamespace holds settings of Pulumi itself, such as pulumi:disable-default-providers.
const engineNamespace = "pulumi:"

// parse turns the engine's strings into values of the types that the schema expects.
func parse(source Source) (map[string]any, []Problem) {
	document := map[string]any{}
	var problems []Problem
	for _, key := range slices.Sorted(maps.Keys(source.Values)) {
		if strings.HasPrefix(key, engineNamespace) {
			continue
		}
		if _, read := Schema().Properties.Get(key); read && slices.Contains(source.SecretKeys, key) && !slices.Contains(secretKeys, key) {
			// Nothing else is said of it: a message could show the value.
			problems = append(problems, Problem{Path: key, Message: "is encrypted, but it is not a secret, and its values become visible properties " +
				"of resources: write it in clear. A secret variable of the server goes into openhands:secretEnv"})
			continue
		}
		value := source.Values[key]
		switch property, _ := Schema().Properties.Get(key); {
		case property != nil && (property.Type == "object" || property.Type == "array"):
			var parsed any
			if err := json.Unmarshal([]byte(value), &parsed); err != nil {
				problems = append(problems, Problem{Path: key, Message: "is a single value, expected an object: write its keys below it, indented"})
				continue
			}
			document[key] = parsed
		case property != nil && property.Type == "boolean" && (value == "true" || value == "false"):
			document[key] = value == "true"
		default:
			document[key] = value
		}
	}
	for _, key := range secretKeys {
		// The empty object is the default in Pulumi.yaml.
		if value := source.Values[key]; value != "" && value != "{}" && !slices.Contains(source.SecretKeys, key) {
			problems = append(problems, Problem{
				Path: key, Message: "is a secret in clear: run `" + setSecret(key) + "`, and replace the one that was in the file",
			})
		}
	}
	return document, problems
}

// setSecret is the command that sets a secret key.
func setSecret(key string) string {
	if property, _ := Schema().Properties.Get(key); property != nil && property.Type == "object" {
		return "pulumi config set --secret --path " + key + ".<name>"
	}
	return "pulumi config set --secret " + key
}

// checkSchema reports unknown and missing keys, wrong types, and values outside of their limits.
func checkSchema(document map[string]any) []Problem {
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
	var problems []Problem
	var walk func(e *validator.ValidationError)
	walk = func(e *validator.ValidationError) {
		for _, cause := range e.Causes {
			walk(cause)
		}
		if len(e.Causes) == 0 {
			problems = append(problems, explain(e)...)
		}
	}
	walk(failure)
	return problems
}

func explain(e *validator.ValidationError) []Problem {
	location := e.InstanceLocation
	problem := func(at []string, format string, args ...any) Problem {
		return Problem{Path: strings.Join(at, "."), Message: fmt.Sprintf(format, args...), location: at}
	}
	var problems []Problem
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, key := range k.Properties {
			at := append(slices.Clone(location), key)
			message, known := teach(strings.Join(at, "."))
			if !known {
				message = unknownKey(key, keysAt(location))
			}
			problems = append(problems, problem(at, "%s", message))
		}
	case *kind.Required:
		for _, key := range k.Missing {
			problems = append(problems, problem(append(slices.Clone(location), key), "is missing: %s", describeMissing(key)))
		}
	case *kind.Type:
		problems = append(problems, problem(location, "is a %s, expected %s: %s", k.Got, strings.Join(k.Want, " or "), correctType(k)))
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

// correctType says what to write instead of a value of a wrong type.
func correctType(k *kind.Type) string {
	switch {
	case k.Got == "null":
		return "give it a value, or remove the key"
	case slices.Contains(k.Want, "string"):
		return "in YAML, write it in quotes"
	case k.Got == "string":
		return "in YAML, write it without quotes"
	}
	return "docs/configuration.md lists the types"
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

// unknownKey names the key that was probably meant. Pulumi and the providers ignore unknown keys, so a typing error would change nothing, silently.
func unknownKey(key string, known []string) string {
	best, distance := "", len(key)/2+1
	for _, candidate := range known {
		if d := levenshtein.Distance(strings.ToLower(key), strings.ToLower(candidate), nil); d < distance {
			best, distance = candidate, d
		}
	}
	if best != "" {
		return fmt.Sprintf("unknown key: did you mean %s?", best)
	}
	return "unknown key: remove it, or write one of " + strings.Join(known, ", ")
}

// keysAt lists the keys that the schema has at a place.
func keysAt(location []string) []string {
	schema := Schema()
	for _, step := range location {
		next, ok := schema.Properties.Get(step)
		if !ok {
			return nil
		}
		schema = next
	}
	var keys []string
	for pair := schema.Properties.Oldest(); pair != nil; pair = pair.Next() {
		keys = append(keys, pair.Key)
	}
	return keys
}

func list(values []any) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, ", ")
}

// Schema is the JSON Schema of Config, derived from the type. Everything but the profile and the place has a default.
func Schema() *jsonschema.Schema { return configSchema }

var configSchema = func() *jsonschema.Schema {
	descriptions := descriptions()
	reflector := jsonschema.Reflector{
		DoNotReference: true, Anonymous: true, RequiredFromJSONSchemaTags: true,
		LookupComment: func(t reflect.Type, field string) string { return descriptions[t.Name()+"."+field] },
	}
	schema := reflector.Reflect(&Config{})
	schema.Required = []string{"gcp:project", "gcp:region", "openhands:profile"}
	return schema
}()

//go:embed config.go
var configSource string

// descriptions are the comments above the fields of the types in config.go, by type and field: a key is described where it is declared.
func descriptions() map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", configSource, parser.ParseComments)
	if err != nil {
		panic(err) // it has compiled
	}
	found := map[string]string{}
	ast.Inspect(file, func(node ast.Node) bool {
		declared, ok := node.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if object, ok := declared.Type.(*ast.StructType); ok {
			for _, field := range object.Fields.List {
				for _, name := range field.Names {
					found[declared.Name.Name+"."+name.Name] = strings.Join(strings.Fields(field.Doc.Text()), " ")
				}
			}
		}
		return false
	})
	return found
}

// compiled is the same schema in the form of the validator.
var compiled = sync.OnceValues(func() (*validator.Schema, error) {
	raw, err := json.Marshal(configSchema)
	if err != nil {
		return nil, err
	}
	document, err := validator.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	compiler := validator.NewCompiler()
	if err := compiler.AddResource("config.json", document); err != nil {
		return nil, err
	}
	return compiler.Compile("config.json")
})
