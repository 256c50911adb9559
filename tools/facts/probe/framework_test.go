package probe

import (
	"context"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	shimschema "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/schema"
	"github.com/stretchr/testify/require"
)

// modern is a provider of the plugin framework with one type, whose schema a test gives.
type modern struct {
	provider.Provider
	schema schema.Schema
}

func (m modern) Metadata(_ context.Context, _ provider.MetadataRequest, to *provider.MetadataResponse) {
	to.TypeName = "modern"
}
func (m modern) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse) {}
func (m modern) DataSources(context.Context) []func() datasource.DataSource               { return nil }
func (m modern) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return modernThing{schema: m.schema} }}
}

type modernThing struct {
	resource.Resource
	schema schema.Schema
}

func (m modernThing) Metadata(_ context.Context, asked resource.MetadataRequest, to *resource.MetadataResponse) {
	to.TypeName = asked.ProviderTypeName + "_thing"
}

func (m modernThing) Schema(_ context.Context, _ resource.SchemaRequest, to *resource.SchemaResponse) {
	to.Schema = m.schema
}

// served stands for the bridge's own wrapper of such a provider. Like that one, it knows neither defaults nor what replaces a resource.
type served struct {
	shim.Provider
	of modern
}

func (s served) Server(context.Context) (tfprotov6.ProviderServer, error) {
	return providerserver.NewProtocol6(s.of)(), nil
}

// mixed stands for the bridge's wrapper of a provider made of several.
type mixed struct {
	shim.Provider
	MuxedProviders []shim.Provider
}

// upper fills in what the program leaves out, as code: the schema does not tell this default.
type upper struct{ planmodifier.String }

func (upper) Description(context.Context) string         { return "" }
func (upper) MarkdownDescription(context.Context) string { return "" }
func (upper) PlanModifyString(_ context.Context, asked planmodifier.StringRequest, to *planmodifier.StringResponse) {
	if asked.ConfigValue.IsNull() {
		to.PlanValue = types.StringValue("upper")
	}
}

// settled asks for another object only when it sees what the cloud chose for the present one.
type settled struct{ upper }

func (settled) PlanModifyString(ctx context.Context, asked planmodifier.StringRequest, to *planmodifier.StringResponse) {
	var result types.String
	to.Diagnostics.Append(asked.State.GetAttribute(ctx, path.Root("result"), &result)...)
	to.RequiresReplace = !result.IsNull() && !result.IsUnknown()
}

func modernProvider(s schema.Schema) tfbridge.ProviderInfo {
	fields := shimschema.SchemaMap{}
	for name, attr := range s.Attributes {
		kind := map[string]shim.ValueType{"size": shim.TypeInt, "keepers": shim.TypeMap}[name]
		if kind == shim.TypeInvalid {
			kind = shim.TypeString
		}
		fields[name] = (&shimschema.Schema{Type: kind, Required: attr.IsRequired(), Optional: attr.IsOptional(), Computed: attr.IsComputed(),
			Sensitive: attr.IsSensitive()}).Shim()
	}
	resources := shimschema.ResourceMap{"modern_thing": (&shimschema.Resource{Schema: fields}).Shim()}
	wrapper := served{(&shimschema.Provider{ResourcesMap: resources}).Shim(), modern{schema: s}}
	info := sdkProvider()
	info.P = mixed{(&shimschema.Provider{ResourcesMap: resources}).Shim(), []shim.Provider{info.P, wrapper}}
	info.Resources["modern_thing"] = &tfbridge.ResourceInfo{Tok: "demo:index/modern:Modern"}
	return info
}

func TestRulesOfThePluginFramework(t *testing.T) {
	provider := modernProvider(schema.Schema{Attributes: map[string]schema.Attribute{
		"id":     schema.StringAttribute{Computed: true},
		"length": schema.StringAttribute{Required: true, PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()}},
		"size":   schema.Int64Attribute{Optional: true, Computed: true, Default: int64default.StaticInt64(4)},
		"style":  schema.StringAttribute{Optional: true, Computed: true, PlanModifiers: []planmodifier.String{upper{}}},
		"region": schema.StringAttribute{
			Optional: true, Computed: true, PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplaceIfConfigured()},
		},
		"shape":   schema.StringAttribute{Optional: true, PlanModifiers: []planmodifier.String{settled{}}},
		"result":  schema.StringAttribute{Computed: true, Sensitive: true},
		"keepers": schema.MapAttribute{Optional: true, ElementType: types.StringType, PlanModifiers: []planmodifier.Map{mapplanmodifier.RequiresReplace()}},
	}})
	out, notes, err := Read(context.Background(), provider, []string{"demo:index/modern:Modern"})
	require.NoError(t, err)
	require.Len(t, notes, 1, "what could not be read must be said")
	require.Contains(t, notes[0], "demo:index/modern:Modern")
	facts, err := Format(out)
	require.NoError(t, err)
	require.Equal(t, `{
"demo:index/modern:Modern": {
  "keepers": {"type": "map", "replaces": true},
  "length": {"type": "string", "required": true, "replaces": true},
  "region": {"type": "string", "computed": true, "replaces": true},
  "result": {"type": "string", "computed": true, "outputOnly": true, "secret": true},
  "shape": {"type": "string", "replaces": true},
  "size": {"type": "int", "default": 4},
  "style": {"type": "string", "default": "upper"}
}
}
`, string(facts))
}

func TestFrameworkFieldsThatCannotBeRead(t *testing.T) {
	for name, s := range map[string]schema.Schema{
		"block": {Blocks: map[string]schema.Block{"inner": schema.ListNestedBlock{}}},
		"object": {Attributes: map[string]schema.Attribute{"inner": schema.SingleNestedAttribute{Optional: true,
			Attributes: map[string]schema.Attribute{"a": schema.StringAttribute{Optional: true}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Read(context.Background(), modernProvider(s), []string{"demo:index/modern:Modern"})
			require.ErrorContains(t, err, "type demo:index/modern:Modern: ")
			require.ErrorContains(t, err, "inner: the rules of fields inside")
		})
	}
}
