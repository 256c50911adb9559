package probe

import (
	"context"
	"testing"

	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/stretchr/testify/require"
)

func text(s schema.Schema) *schema.Schema {
	s.Type = schema.TypeString
	return &s
}

func list(s schema.Schema, element any) *schema.Schema {
	s.Type, s.Elem = schema.TypeList, element
	return &s
}

// sdkProvider has one type with every rule that the facts hold.
func sdkProvider() tfbridge.ProviderInfo {
	block := func(fields map[string]*schema.Schema) *schema.Resource { return &schema.Resource{Schema: fields} }
	thing := block(map[string]*schema.Schema{
		"name":        text(schema.Schema{Required: true, ForceNew: true}),
		"zone":        text(schema.Schema{Optional: true, Computed: true}),
		"fingerprint": text(schema.Schema{Computed: true}),
		"token":       text(schema.Schema{Optional: true, Sensitive: true, ConflictsWith: []string{"access.0.key"}}),
		"tier":        text(schema.Schema{Optional: true, Default: "a, b: <c> \"d, e\""}),
		"labels":      {Type: schema.TypeMap, Optional: true, Elem: text(schema.Schema{})},
		"port":        list(schema.Schema{Optional: true, MaxItems: 3}, &schema.Schema{Type: schema.TypeInt}),
		"owner":       list(schema.Schema{Optional: true, MaxItems: 1}, text(schema.Schema{})),
		"policy": {Type: schema.TypeSet, Optional: true, ExactlyOneOf: []string{"policy", "access"}, Elem: block(map[string]*schema.Schema{
			"share": {Type: schema.TypeFloat, Optional: true, Default: 0.5},
			"force": {Type: schema.TypeBool, Optional: true, Default: false},
		})},
		"access": list(schema.Schema{Optional: true, MaxItems: 1, ExactlyOneOf: []string{"policy", "access"}}, block(map[string]*schema.Schema{
			"key":  text(schema.Schema{Required: true, ForceNew: true}),
			"mode": text(schema.Schema{Optional: true}),
		})),
		"old":         text(schema.Schema{Optional: true}),
		"etag":        text(schema.Schema{Required: true}),
		"size":        {Type: schema.TypeInt, Required: true},
		"single":      list(schema.Schema{Optional: true, MaxItems: 1}, block(map[string]*schema.Schema{"a": text(schema.Schema{Optional: true})})),
		"many":        list(schema.Schema{Optional: true}, block(map[string]*schema.Schema{"a": text(schema.Schema{Optional: true})})),
		"annotations": {Type: schema.TypeMap, Computed: true},
	})
	return tfbridge.ProviderInfo{
		P: shimv2.NewProvider(&schema.Provider{ResourcesMap: map[string]*schema.Resource{"demo_thing": thing}}),
		Resources: map[string]*tfbridge.ResourceInfo{"demo_thing": {Tok: "demo:index/thing:Thing", Fields: map[string]*tfbridge.SchemaInfo{
			"zone": {Name: "area", ForceNew: tfbridge.True()},
			"access": {Elem: &tfbridge.SchemaInfo{Fields: map[string]*tfbridge.SchemaInfo{
				"mode": {Name: "accessMode", Default: &tfbridge.DefaultInfo{Value: "ro"}},
			}}},
			"old":         {Omit: true},
			"etag":        {MarkAsComputedOnly: tfbridge.True()},
			"size":        {MarkAsOptional: tfbridge.True()},
			"single":      {MaxItemsOne: tfbridge.False()},
			"many":        {MaxItemsOne: tfbridge.True()},
			"annotations": {Secret: tfbridge.True()},
		}}},
	}
}

func TestRulesOfTheSDK(t *testing.T) {
	types, notes, err := Read(context.Background(), sdkProvider(), []string{"demo:index/thing:Thing"})
	require.NoError(t, err)
	require.Empty(t, notes)
	facts, err := Format(types)
	require.NoError(t, err)
	require.Equal(t, `{
"demo:index/thing:Thing": {
  "access": {"type": "list", "maxItems": 1, "exactlyOneOf": ["policy", "access"], "fields": {`+
		`"accessMode": {"type": "string", "default": "ro"}, "key": {"type": "string", "required": true, "replaces": true}}},
  "annotations": {"type": "map", "computed": true, "outputOnly": true, "secret": true},
  "area": {"type": "string", "computed": true, "replaces": true},
  "etag": {"type": "string", "computed": true, "outputOnly": true},
  "fingerprint": {"type": "string", "computed": true, "outputOnly": true},
  "labels": {"type": "map"},
  "many": {"type": "list", "maxItems": 1, "fields": {"a": {"type": "string"}}},
  "name": {"type": "string", "required": true, "replaces": true},
  "owner": {"type": "string"},
  "policies": {"type": "set", "exactlyOneOf": ["policy", "access"], "fields": {`+
		`"force": {"type": "bool", "default": false}, "share": {"type": "float", "default": 0.5}}},
  "ports": {"type": "list", "maxItems": 3},
  "singles": {"type": "list", "fields": {"a": {"type": "string"}}},
  "size": {"type": "int"},
  "tier": {"type": "string", "default": "a, b: <c> \"d, e\""},
  "token": {"type": "string", "secret": true, "conflictsWith": ["access.0.key"]}
}
}
`, string(facts))
}

func TestTypesThatTheProviderDoesNotHave(t *testing.T) {
	_, _, err := Read(context.Background(), sdkProvider(), []string{"demo:old/thing:Thing", "demo:index/thing:Thing", "demo:index/other:Other", "demo:a/b:B"})
	require.ErrorContains(t, err, "the provider has no type demo:old/thing:Thing; it has demo:index/thing:Thing\n", "it moved")
	require.ErrorContains(t, err, "the provider has no type demo:index/other:Other; it has demo:index/thing:Thing\n", "it was renamed")
	require.ErrorContains(t, err, "the provider has no type demo:a/b:B\n")
	require.NotContains(t, err.Error(), "no type demo:index/thing")
}
