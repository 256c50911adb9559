package stacks

import (
	"bytes"
	_ "embed" // for the descriptions of the keys
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"sync"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

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

// schemaAt is what the schema says of a place; nil where it has none.
func schemaAt(location []string) *jsonschema.Schema {
	schema := Schema()
	for _, step := range location {
		next := schema.Items // where the step is the number of an item
		if next == nil && schema.AdditionalProperties != nil && schema.AdditionalProperties.Type != "" {
			next = schema.AdditionalProperties // of a map
		}
		if schema.Properties != nil {
			if property, ok := schema.Properties.Get(step); ok {
				next = property
			}
		}
		if next == nil {
			return nil
		}
		schema = next
	}
	return schema
}

// keysAt lists the keys that the schema has at a place.
func keysAt(location []string) []string {
	schema := schemaAt(location)
	if schema == nil || schema.Properties == nil {
		return nil
	}
	var keys []string
	for pair := schema.Properties.Oldest(); pair != nil; pair = pair.Next() {
		keys = append(keys, pair.Key)
	}
	return keys
}
