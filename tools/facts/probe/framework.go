package probe

import (
	"context"
	"fmt"
	"math/big"
	"reflect"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
)

// framework asks a provider that is built on Terraform's plugin framework. Its schema does not tell defaults, nor what replaces a resource: both are
// code. The provider tells them when it plans a change, which needs no cloud.
type framework struct {
	server   tfprotov6.ProviderServer
	resource string
	object   tftypes.Object
	attrs    []*tfprotov6.SchemaAttribute
}

// frameworkServer returns the server of the type when its provider is built on the plugin framework, and nil when it is built on the SDK. A provider may
// be made of one of each.
func frameworkServer(ctx context.Context, provider shim.Provider, resource string) (tfprotov6.ProviderServer, error) {
	type serves interface {
		Server(context.Context) (tfprotov6.ProviderServer, error)
	}
	parts := []shim.Provider{provider}
	if value := reflect.Indirect(reflect.ValueOf(provider)); value.Kind() == reflect.Struct {
		if muxed := value.FieldByName("MuxedProviders"); muxed.IsValid() {
			parts, _ = muxed.Interface().([]shim.Provider)
		}
	}
	for _, part := range parts {
		if _, has := part.ResourcesMap().GetOk(resource); !has {
			continue
		}
		if part, ok := part.(serves); ok {
			return part.Server(ctx)
		}
		return nil, nil
	}
	return nil, fmt.Errorf("no part of the provider has %s", resource)
}

// frameworkFields reads the fields of a type that is built on the plugin framework.
func frameworkFields(ctx context.Context, server tfprotov6.ProviderServer, resource string, schemas shim.SchemaMap,
	infos map[string]*tfbridge.SchemaInfo) (Fields, error) {
	asked, err := newFramework(ctx, server, resource)
	if err != nil {
		return nil, err
	}
	defaults, err := asked.defaults(ctx)
	if err != nil {
		return nil, err
	}
	out := Fields{}
	for _, attr := range asked.attrs {
		schema, has := schemas.GetOk(attr.Name)
		if attr.Name == "id" || !has { // Pulumi has an identity of its own for every object.
			continue
		}
		f := basics(schema, infos[attr.Name])
		if f.Default = defaults[attr.Name]; f.Default != nil {
			f.Computed = false // The provider chooses the value, not the cloud.
		}
		if !f.OutputOnly {
			if f.Replaces, err = asked.replaces(ctx, attr); err != nil {
				return nil, fmt.Errorf("field %s: %w", attr.Name, err)
			}
		}
		out[tfbridge.TerraformToPulumiNameV2(attr.Name, schemas, infos)] = f
	}
	return out, nil
}

func newFramework(ctx context.Context, server tfprotov6.ProviderServer, resource string) (*framework, error) {
	answer, err := server.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		return nil, fmt.Errorf("the provider does not tell its schema: %w", err)
	}
	if err := problems(answer.Diagnostics); err != nil {
		return nil, fmt.Errorf("the provider does not tell its schema: %w", err)
	}
	schema, has := answer.ResourceSchemas[resource]
	if !has {
		return nil, fmt.Errorf("the provider's server does not have %s", resource)
	}
	for _, block := range schema.Block.BlockTypes {
		return nil, fmt.Errorf("block %s: the rules of fields inside a block of the plugin framework cannot be read", block.TypeName)
	}
	for _, attr := range schema.Block.Attributes {
		if _, object := attr.Type.(tftypes.Object); object || attr.NestedType != nil {
			return nil, fmt.Errorf("field %s: the rules of fields inside an object of the plugin framework cannot be read", attr.Name)
		}
	}
	object, _ := schema.ValueType().(tftypes.Object)
	return &framework{server: server, resource: resource, object: object, attrs: schema.Block.Attributes}, nil
}

// defaults are the values that the provider plans for fields which the program leaves out.
func (f *framework) defaults(ctx context.Context) (map[string]any, error) {
	config := f.config(nil)
	planned, _, err := f.plan(ctx, nil, config)
	if err != nil {
		return nil, fmt.Errorf("a plan with the required fields alone: %w", err)
	}
	out := map[string]any{}
	for _, attr := range f.attrs {
		if value := planned[attr.Name]; config[attr.Name].IsNull() && value.IsKnown() && !value.IsNull() {
			if out[attr.Name], err = plain(value); err != nil {
				return nil, fmt.Errorf("default of field %s: %w", attr.Name, err)
			}
		}
	}
	return out, nil
}

// replaces creates an object with one value of the field and plans another.
func (f *framework) replaces(ctx context.Context, attr *tfprotov6.SchemaAttribute) (bool, error) {
	values := map[string]tftypes.Value{}
	var err error
	if values[attr.Name], err = sample(attr.Type, false); err != nil {
		return false, err
	}
	state, _, err := f.plan(ctx, nil, f.config(values))
	if err != nil {
		return false, fmt.Errorf("a plan with a first value: %w", err)
	}
	for _, attr := range f.attrs { // What the cloud would choose.
		if value := state[attr.Name]; !value.IsFullyKnown() {
			if state[attr.Name], err = sample(attr.Type, false); err != nil {
				return false, err
			}
		}
	}
	if values[attr.Name], err = sample(attr.Type, true); err != nil {
		return false, err
	}
	_, paths, err := f.plan(ctx, state, f.config(values))
	if err != nil {
		return false, fmt.Errorf("a plan with another value: %w", err)
	}
	for _, path := range paths {
		if steps := path.Steps(); len(steps) > 0 && steps[0] == tftypes.AttributeName(attr.Name) {
			return true, nil
		}
	}
	return false, nil
}

// config is what a program writes: the required fields and the given ones.
func (f *framework) config(values map[string]tftypes.Value) map[string]tftypes.Value {
	config := map[string]tftypes.Value{}
	for _, attr := range f.attrs {
		value, given := values[attr.Name]
		if !given {
			value = tftypes.NewValue(attr.Type, nil)
			if first, err := sample(attr.Type, false); attr.Required && err == nil {
				value = first
			}
		}
		config[attr.Name] = value
	}
	return config
}

// plan asks what becomes of the state under the configuration. Without a state, the object is created.
func (f *framework) plan(ctx context.Context, state, config map[string]tftypes.Value) (map[string]tftypes.Value, []*tftypes.AttributePath, error) {
	prior, proposed := tftypes.NewValue(f.object, nil), tftypes.NewValue(f.object, config)
	if state != nil {
		prior = tftypes.NewValue(f.object, state)
	}
	request := &tfprotov6.PlanResourceChangeRequest{TypeName: f.resource}
	for _, part := range []struct {
		to    **tfprotov6.DynamicValue
		value tftypes.Value
	}{{&request.PriorState, prior}, {&request.Config, proposed}, {&request.ProposedNewState, proposed}} {
		encoded, err := tfprotov6.NewDynamicValue(f.object, part.value)
		if err != nil {
			return nil, nil, err
		}
		*part.to = &encoded
	}
	answer, err := f.server.PlanResourceChange(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	if err := problems(answer.Diagnostics); err != nil {
		return nil, nil, err
	}
	value, err := answer.PlannedState.Unmarshal(f.object)
	if err != nil {
		return nil, nil, err
	}
	planned := map[string]tftypes.Value{}
	if err := value.As(&planned); err != nil {
		return nil, nil, err
	}
	return planned, answer.RequiresReplace, nil
}

func problems(diagnostics []*tfprotov6.Diagnostic) error {
	for _, d := range diagnostics {
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			return fmt.Errorf("%s: %s", d.Summary, d.Detail)
		}
	}
	return nil
}

// sample is one of two values of a type.
func sample(typ tftypes.Type, other bool) (tftypes.Value, error) {
	pick := func(first, second any) (tftypes.Value, error) {
		if other {
			first = second
		}
		return tftypes.NewValue(typ, first), nil
	}
	var element tftypes.Type
	switch typ := typ.(type) {
	case tftypes.List:
		element = typ.ElementType
	case tftypes.Set:
		element = typ.ElementType
	case tftypes.Map:
		element = typ.ElementType
	}
	if element != nil {
		value, err := sample(element, other)
		if err != nil {
			return value, err
		}
		if typ.Is(tftypes.Map{}) {
			return tftypes.NewValue(typ, map[string]tftypes.Value{"key": value}), nil
		}
		return tftypes.NewValue(typ, []tftypes.Value{value}), nil
	}
	switch {
	case typ.Is(tftypes.String):
		return pick("first", "second")
	case typ.Is(tftypes.Number):
		return pick(8, 9)
	case typ.Is(tftypes.Bool):
		return pick(true, false)
	}
	return tftypes.Value{}, fmt.Errorf("values of type %s cannot be made up", typ)
}

// plain is a value of the provider as JSON writes it.
func plain(value tftypes.Value) (any, error) {
	var text string
	var truth bool
	number := new(big.Float)
	var err error
	switch typ := value.Type(); {
	case typ.Is(tftypes.String):
		err = value.As(&text)
		return text, err
	case typ.Is(tftypes.Bool):
		err = value.As(&truth)
		return truth, err
	case !typ.Is(tftypes.Number):
		return nil, fmt.Errorf("values of type %s cannot be written", typ)
	}
	if err = value.As(&number); err != nil {
		return nil, err
	}
	if whole, exact := number.Int64(); exact == big.Exact {
		return whole, nil
	}
	fraction, _ := number.Float64()
	return fraction, nil
}
