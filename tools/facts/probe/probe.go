package probe

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
)

// Read returns the fields of the given types, and notes on what it could not read.
func Read(ctx context.Context, provider tfbridge.ProviderInfo, types []string) (map[string]Fields, []string, error) {
	names := map[string]string{}
	for name, resource := range provider.Resources {
		names[string(resource.Tok)] = name
	}
	out, notes, missing := map[string]Fields{}, []string{}, []string{}
	for _, typ := range types {
		name, known := names[typ]
		if !known {
			missing = append(missing, typ)
			continue
		}
		resource, known := provider.P.ResourcesMap().GetOk(name)
		if !known {
			return nil, nil, fmt.Errorf("the provider maps %s to %s, which its Terraform provider does not have", typ, name)
		}
		info := provider.Resources[name]
		server, err := frameworkServer(ctx, provider.P, name)
		if err != nil {
			return nil, nil, fmt.Errorf("type %s: %w", typ, err)
		}
		if server == nil {
			out[typ] = fieldsOf(resource.Schema(), info.Fields)
			continue
		}
		if out[typ], err = frameworkFields(ctx, server, name, resource.Schema(), info.Fields); err != nil {
			return nil, nil, fmt.Errorf("type %s: %w", typ, err)
		}
		notes = append(notes, fmt.Sprintf("%s is built on Terraform's plugin framework, where conflicts between fields are code: "+
			"its conflictsWith and exactlyOneOf were not read", typ))
	}
	if len(missing) > 0 {
		return nil, nil, unknownTypes(missing, slices.Sorted(maps.Keys(names)))
	}
	return out, notes, nil
}

// unknownTypes names, next to each type that the provider does not have, those of the same name or module: a type that moved or was renamed is among them.
func unknownTypes(missing, known []string) error {
	var lines []string
	for _, typ := range missing {
		module, name := cut(typ)
		var similar []string
		for _, candidate := range known {
			if m, n := cut(candidate); m == module || strings.EqualFold(n, name) {
				similar = append(similar, candidate)
			}
		}
		line := "the provider has no type " + typ
		if len(similar) > 0 {
			line += "; it has " + strings.Join(similar, ", ")
		}
		lines = append(lines, line)
	}
	return fmt.Errorf("%s\nName types that it has: with -types all that are wanted, with -add those besides the present ones", strings.Join(lines, "\n"))
}

// cut takes gcp:redis/instance:Instance apart into redis and Instance.
func cut(typ string) (module, name string) {
	_, rest, _ := strings.Cut(typ, ":")
	module, _, _ = strings.Cut(rest, "/")
	_, name, _ = strings.Cut(rest, ":")
	return module, name
}

var typeNames = map[shim.ValueType]string{
	shim.TypeBool: "bool", shim.TypeInt: "int", shim.TypeFloat: "float", shim.TypeString: "string",
	shim.TypeList: "list", shim.TypeSet: "set", shim.TypeMap: "map",
}

// fieldsOf reads the fields of a type or of a block, as written with Terraform's SDK.
func fieldsOf(schemas shim.SchemaMap, infos map[string]*tfbridge.SchemaInfo) Fields {
	out := Fields{}
	schemas.Range(func(name string, schema shim.Schema) bool {
		if info := infos[name]; schema.Removed() == "" && (info == nil || !info.Omit && !info.Removed) {
			out[tfbridge.TerraformToPulumiNameV2(name, schemas, infos)] = fieldOf(schema, info)
		}
		return true
	})
	return out
}

func fieldOf(schema shim.Schema, info *tfbridge.SchemaInfo) *Field {
	f := basics(schema, info)
	f.Replaces = schema.ForceNew()
	f.Default = schema.Default()
	f.MaxItems = schema.MaxItems()
	f.ConflictsWith = schema.ConflictsWith()
	f.ExactlyOneOf = schema.ExactlyOneOf()
	override(f, info)
	switch element := schema.Elem().(type) {
	case shim.Resource:
		if schema.Type() == shim.TypeMap {
			break // The SDK takes it for a map of strings.
		}
		var infos map[string]*tfbridge.SchemaInfo
		if info != nil && info.Elem != nil {
			infos = info.Elem.Fields
		}
		f.Fields = fieldsOf(element.Schema(), infos)
	case shim.Schema:
		if tfbridge.IsMaxItemsOne(schema, info) { // Pulumi has the one value, and no list.
			f.Type, f.MaxItems = typeNames[element.Type()], 0
		}
	}
	return f
}

// basics are the rules that the SDK and the plugin framework tell in the same way.
func basics(schema shim.Schema, info *tfbridge.SchemaInfo) *Field {
	f := &Field{
		Type:       typeNames[schema.Type()],
		Required:   schema.Required(),
		Computed:   schema.Computed(),
		OutputOnly: schema.Computed() && !schema.Optional(),
		Secret:     schema.Sensitive(),
	}
	if info == nil {
		return f
	}
	if info.Secret != nil {
		f.Secret = *info.Secret
	}
	if info.MarkAsOptional != nil {
		f.Required = !*info.MarkAsOptional
	}
	if info.MarkAsComputedOnly != nil && *info.MarkAsComputedOnly {
		f.Computed, f.OutputOnly, f.Required = true, true, false
	}
	return f
}

// override puts the words of Pulumi's provider over those of the Terraform provider that it wraps.
func override(f *Field, info *tfbridge.SchemaInfo) {
	if info == nil {
		return
	}
	if info.ForceNew != nil {
		f.Replaces = *info.ForceNew
	}
	if info.Default != nil && info.Default.Value != nil {
		f.Default = info.Default.Value
	}
	switch {
	case info.MaxItemsOne == nil:
	case *info.MaxItemsOne:
		f.MaxItems = 1
	case f.MaxItems == 1:
		f.MaxItems = 0 // Pulumi has a list; that a second element is refused has no place in the facts, where one element means an object.
	}
}
