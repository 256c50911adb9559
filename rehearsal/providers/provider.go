package providers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// Backend is what a stand-in keeps its objects in. Types are Pulumi's tokens. The methods are those of cloud.Cloud.
type Backend interface {
	Create(typ, urn string, inputs values.Map) (id string, outputs values.Map, err error)
	// Put keeps an object that exists already.
	Put(typ, urn, id string, inputs, outputs values.Map)
	// Read returns nil outputs where the object does not exist.
	Read(typ, urn, id string) (inputs, outputs values.Map)
	Update(typ, urn, id string, inputs values.Map) (outputs values.Map, err error)
	Delete(typ, urn, id string) error
	Invoke(token string, args values.Map) (values.Map, error)
}

// schema is what a provider knows about the fields of its types.
type schema interface {
	// Name adds the name that the provider makes up where the program gives none.
	Name(req plugin.CheckRequest, inputs resource.PropertyMap) error
	Check(typ string, inputs resource.PropertyMap) []plugin.CheckFailure
	// Complete adds the defaults.
	Complete(typ string, inputs resource.PropertyMap) resource.PropertyMap
	Diff(req plugin.DiffRequest) map[string]plugin.PropertyDiff
	// Planned is the state of an object as a preview knows it; old is nil at a creation.
	Planned(typ string, inputs, old resource.PropertyMap) resource.PropertyMap
	// State turns the backend's answer into the properties of a resource.
	State(typ string, outputs values.Map) resource.PropertyMap
}

// Provider stands in for a real one, and implements plugin.Provider. What it knows about fields comes from a schema, what it knows about objects from a
// backend.
type Provider struct {
	plugin.UnimplementedProvider
	Name string

	version semver.Version
	schema  schema
	backend Backend
	config  []string // the keys of the provider's own configuration that the program uses
	// identity are those of them that say which cloud it is.
	identity []resource.PropertyKey
	// dryRun returns what the cloud would refuse about a change. The real provider asks in a preview, where it knows all values; nil where it does not ask.
	dryRun func(typ, id string, inputs values.Map) error
	// configured returns what is wrong with that configuration; nil where there is none.
	configured func(settings values.Map) []plugin.CheckFailure
}

// Handshake asks the engine for plain values: the schema says which ones are secret.
func (p *Provider) Handshake(context.Context, plugin.ProviderHandshakeRequest) (*plugin.ProviderHandshakeResponse, error) {
	return &plugin.ProviderHandshakeResponse{}, nil
}

func (p *Provider) GetPluginInfo(context.Context) (plugin.PluginInfo, error) {
	return plugin.PluginInfo{Version: &p.version}, nil
}

// Attach has nothing to do: the stand-in never calls the engine.
func (p *Provider) Attach(string) error { return nil }

func (p *Provider) SignalCancellation(context.Context) error { return nil }

func (p *Provider) Close() error { return nil }

func (p *Provider) CheckConfig(_ context.Context, req plugin.CheckConfigRequest) (plugin.CheckConfigResponse, error) {
	var failures []plugin.CheckFailure
	for key := range req.News {
		if name := string(key); !slices.Contains(p.config, name) && name != "version" && !strings.HasPrefix(name, "__") {
			failures = append(failures, plugin.CheckFailure{Property: key, Reason: "the simulated provider has no such setting"})
		}
	}
	if p.configured != nil {
		failures = append(failures, p.configured(values.Of(req.News))...)
	}
	return plugin.CheckConfigResponse{Properties: req.News, Failures: failures}, nil
}

// DiffConfig asks for a replacement, and with it for one of every object, where a setting changed that says which cloud the provider speaks to. For the
// others the real providers update themselves, another project or region included, and leave it to each resource what follows.
func (p *Provider) DiffConfig(_ context.Context, req plugin.DiffConfigRequest) (plugin.DiffConfigResponse, error) {
	diff := plugin.DiffResult{Changes: plugin.DiffNone}
	req.OldInputs, _ = guess(req.OldInputs, req.NewInputs)
	if object := req.OldInputs.Diff(req.NewInputs); object != nil {
		diff.Changes, diff.ChangedKeys = plugin.DiffSome, object.ChangedKeys()
		for _, key := range p.identity {
			if object.Updated(key) {
				diff.ReplaceKeys = append(diff.ReplaceKeys, key)
			}
		}
	}
	return diff, nil
}

func (p *Provider) Configure(context.Context, plugin.ConfigureRequest) (plugin.ConfigureResponse, error) {
	return plugin.ConfigureResponse{}, nil
}

func (p *Provider) Check(_ context.Context, req plugin.CheckRequest) (plugin.CheckResponse, error) {
	inputs := req.News.Copy()
	if err := p.schema.Name(req, inputs); err != nil {
		return plugin.CheckResponse{}, err
	}
	return plugin.CheckResponse{Properties: inputs, Failures: p.schema.Check(string(req.Type), inputs)}, nil
}

func (p *Provider) Diff(_ context.Context, req plugin.DiffRequest) (plugin.DiffResponse, error) {
	if inputs, guessed := guess(req.OldInputs, req.NewInputs); guessed && !inputs.ContainsUnknowns() {
		outputs, _ := guess(req.OldOutputs, req.NewInputs)
		p.Load(string(req.Type), string(req.URN), string(req.ID), values.Of(inputs), values.Of(outputs))
		req.OldInputs, req.OldOutputs = inputs, outputs
	}
	detailed := p.schema.Diff(req)
	if len(detailed) == 0 {
		return plugin.DiffResult{Changes: plugin.DiffNone}, nil
	}
	result := plugin.DiffResult{Changes: plugin.DiffSome, DetailedDiff: detailed}
	for _, path := range slices.Sorted(maps.Keys(detailed)) {
		key := resource.PropertyKey(strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' })[0])
		result.ChangedKeys = append(result.ChangedKeys, key)
		if detailed[path].Kind.IsReplace() {
			result.ReplaceKeys = append(result.ReplaceKeys, key)
		}
	}
	return result, nil
}

// Load makes the backend have an object of an exported state.
func (p *Provider) Load(typ, urn, id string, inputs, outputs map[string]any) {
	complete := p.schema.Complete(typ, resource.NewPropertyMapFromMap(inputs))
	p.backend.Put(typ, urn, id, values.Of(complete), outputs)
}

// guess returns properties of an exported state with what the program says now in place of the secrets that nobody could read: so a change of one does not
// show, and nothing seems to change that does not.
func guess(old, wanted resource.PropertyMap) (guessed resource.PropertyMap, anything bool) {
	guessed = resource.PropertyMap{}
	for key, value := range old {
		var found bool
		if guessed[key], found = guessValue(value, wanted[key]); found {
			anything = true
		}
	}
	return guessed, anything
}

func guessValue(old, wanted resource.PropertyValue) (resource.PropertyValue, bool) {
	plain, now := values.Plain(old), values.Plain(wanted)
	switch {
	case plain.IsString() && plain.StringValue() == state.Unread && !wanted.IsNull():
		return wanted, true
	case plain.IsObject() && now.IsObject():
		object, found := guess(plain.ObjectValue(), now.ObjectValue())
		return resource.NewProperty(object), found
	case plain.IsArray() && now.IsArray() && len(plain.ArrayValue()) == len(now.ArrayValue()):
		items, anything := make([]resource.PropertyValue, len(plain.ArrayValue())), false
		for i, item := range plain.ArrayValue() {
			var found bool
			if items[i], found = guessValue(item, now.ArrayValue()[i]); found {
				anything = true
			}
		}
		return resource.NewProperty(items), anything
	}
	return old, false
}

func (p *Provider) Create(_ context.Context, req plugin.CreateRequest) (plugin.CreateResponse, error) {
	inputs := p.schema.Complete(string(req.Type), req.Properties)
	if req.Preview {
		return plugin.CreateResponse{Properties: p.schema.Planned(string(req.Type), inputs, nil)}, nil
	}
	id, outputs, err := p.backend.Create(string(req.Type), string(req.URN), values.Of(inputs))
	if err != nil {
		return plugin.CreateResponse{}, fmt.Errorf("%s %q: %w", types.Short(string(req.Type)), req.URN.Name(), err)
	}
	return plugin.CreateResponse{ID: resource.ID(id), Properties: p.schema.State(string(req.Type), outputs)}, nil
}

func (p *Provider) Read(_ context.Context, req plugin.ReadRequest) (plugin.ReadResponse, error) {
	inputs, outputs := p.backend.Read(string(req.Type), string(req.URN), string(req.ID))
	if outputs == nil {
		return plugin.ReadResponse{}, nil // it is gone
	}
	read := req.Inputs
	if read == nil { // an import
		read = p.schema.State(string(req.Type), inputs)
	}
	return plugin.ReadResponse{ReadResult: plugin.ReadResult{ID: req.ID, Inputs: read, Outputs: p.schema.State(string(req.Type), outputs)}}, nil
}

func (p *Provider) Update(_ context.Context, req plugin.UpdateRequest) (plugin.UpdateResponse, error) {
	inputs := p.schema.Complete(string(req.Type), req.NewInputs)
	if req.Preview {
		if p.dryRun != nil && !inputs.ContainsUnknowns() {
			if err := p.dryRun(string(req.Type), string(req.ID), values.Of(inputs)); err != nil {
				return plugin.UpdateResponse{}, fmt.Errorf("%s %q: %w", types.Short(string(req.Type)), req.URN.Name(), err)
			}
		}
		return plugin.UpdateResponse{Properties: p.schema.Planned(string(req.Type), inputs, req.OldOutputs)}, nil
	}
	outputs, err := p.backend.Update(string(req.Type), string(req.URN), string(req.ID), values.Of(inputs))
	if err != nil {
		return plugin.UpdateResponse{}, fmt.Errorf("%s %q: %w", types.Short(string(req.Type)), req.URN.Name(), err)
	}
	return plugin.UpdateResponse{Properties: p.schema.State(string(req.Type), outputs)}, nil
}

func (p *Provider) Delete(_ context.Context, req plugin.DeleteRequest) (plugin.DeleteResponse, error) {
	if err := p.backend.Delete(string(req.Type), string(req.URN), string(req.ID)); err != nil {
		return plugin.DeleteResponse{}, fmt.Errorf("%s %q: %w", types.Short(string(req.Type)), req.URN.Name(), err)
	}
	return plugin.DeleteResponse{}, nil
}

func (p *Provider) Invoke(_ context.Context, req plugin.InvokeRequest) (plugin.InvokeResponse, error) {
	result, err := p.backend.Invoke(string(req.Tok), values.Of(req.Args))
	if err != nil {
		return plugin.InvokeResponse{}, fmt.Errorf("%s: %w", req.Tok, err)
	}
	return plugin.InvokeResponse{Properties: resource.NewPropertyMapFromMap(result)}, nil
}
