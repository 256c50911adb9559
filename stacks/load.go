package stacks

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

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

	location []string // where in the document, from which it is taken out; nil where it stays
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
	problems = add(problems, checkSchema(document, source.SecretKeys))
	// What is wrong by itself is taken out, so that the rest can be checked too: a person wants all problems at once.
	for _, p := range problems {
		remove(document, p.location)
	}
	sweep(document)
	// Without a valid profile, what does not depend on it is checked with the defaults of dev.
	profile, _ := document["openhands:profile"].(string)
	config := Defaults(Profile(profile))
	if lineOf(document) == release.Canvas && !config.Single() {
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
	problems = add(problems, config.elsewhere(document))
	problems = add(problems, config.validate())
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

// add adds what a later check has found. Where an earlier one has a problem with a key, the later one has not seen it, nor what is below it.
func add(problems, more []Problem) []Problem {
	found := len(problems)
	for _, p := range more {
		unseen := slices.ContainsFunc(problems[:found], func(earlier Problem) bool {
			return earlier.Path == p.Path || (earlier.location != nil && strings.HasPrefix(p.Path, earlier.Path+"."))
		})
		if !unseen && !slices.ContainsFunc(problems, func(other Problem) bool { return other.Path == p.Path && other.Message == p.Message }) {
			problems = append(problems, p)
		}
	}
	return problems
}

// gone is in place of an item that was removed from a list, so that the others keep their numbers.
type gone struct{}

// remove takes a value out of a document.
func remove(document any, location []string) {
	if len(location) == 0 {
		return
	}
	step, last := location[0], len(location) == 1
	switch at := document.(type) {
	case map[string]any:
		if last {
			delete(at, step)
			return
		}
		remove(at[step], location[1:])
	case []any:
		n, err := strconv.Atoi(step)
		switch {
		case err != nil || n >= len(at):
		case last:
			at[n] = gone{}
		default:
			remove(at[n], location[1:])
		}
	}
}

// sweep returns a value without what was removed from its lists.
func sweep(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key := range value {
			value[key] = sweep(value[key])
		}
	case []any:
		for i := range value {
			value[i] = sweep(value[i])
		}
		return slices.DeleteFunc(value, func(item any) bool { return item == gone{} })
	}
	return value
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
			if err := json.Unmarshal([]byte(value), &parsed); err != nil || parsed == nil {
				problems = append(problems, Problem{Path: key, Message: notBelow(key, value, property), location: []string{key}})
				continue
			}
			document[key] = parsed
		case property != nil && value == "": // as in Pulumi.yaml
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
