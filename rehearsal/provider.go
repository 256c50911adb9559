package rehearsal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

// backend is what a stand-in provider keeps its objects in.
type backend interface {
	create(typ, urn, name string, inputs values) (id string, outputs values, err error)
	read(typ, urn, id string) (inputs, outputs values)
	update(typ, urn, id string, inputs values) (values, error)
	remove(typ, urn, id string) error
	invoke(token string, args values) (values, error)
	// configured says what is wrong with the provider's own settings.
	configured(provider string, settings values) []failure
}

// schema is what a provider knows about the fields of its types.
type schema interface {
	// named adds the name that the provider makes up where the program gives none.
	named(req plugin.CheckRequest, inputs resource.PropertyMap) error
	check(typ string, inputs resource.PropertyMap) []failure
	// complete adds the defaults.
	complete(typ string, inputs resource.PropertyMap) resource.PropertyMap
	diff(req plugin.DiffRequest) map[string]plugin.PropertyDiff
	// planned is the state of an object as a preview knows it; old is nil at a creation.
	planned(typ string, inputs, old resource.PropertyMap) resource.PropertyMap
	// state turns the cloud's answer into the properties of a resource.
	state(typ string, outputs values) resource.PropertyMap
}

// provider stands in for a real one: what it knows about fields comes from the facts of the real one, what it knows about objects from the backend.
type provider struct {
	plugin.UnimplementedProvider
	name    string
	version semver.Version
	schema  schema
	config  []string // the keys of the provider's own configuration that the program uses
	backend backend
}

func newProvider(s standIn) (*provider, error) {
	parsed, err := semver.Parse(s.version)
	if err != nil {
		return nil, fmt.Errorf("version of provider %s: %w", s.name, err)
	}
	p := &provider{name: s.name, version: parsed, schema: kubernetesSchema{}, config: s.config, backend: s.backend}
	if s.name != "kubernetes" {
		types, err := loadFacts(s.name + "-" + s.version)
		if err != nil {
			return nil, err
		}
		p.schema = factSchema{s.name, types}
	}
	return p, nil
}

// Handshake asks for plain values: what is secret, the facts say.
func (p *provider) Handshake(context.Context, plugin.ProviderHandshakeRequest) (*plugin.ProviderHandshakeResponse, error) {
	return &plugin.ProviderHandshakeResponse{}, nil
}

func (p *provider) GetPluginInfo(context.Context) (plugin.PluginInfo, error) {
	return plugin.PluginInfo{Version: &p.version}, nil
}

// Attach has nothing to do: the engine attaches to this process for every operation, and every one is told where its engine is by its own request.
func (p *provider) Attach(string) error { return nil }

func (p *provider) SignalCancellation(context.Context) error { return nil }

func (p *provider) Close() error { return nil }

func (p *provider) CheckConfig(_ context.Context, req plugin.CheckConfigRequest) (plugin.CheckConfigResponse, error) {
	var failures []plugin.CheckFailure
	for key := range req.News {
		if name := string(key); !slices.Contains(p.config, name) && name != "version" && !strings.HasPrefix(name, "__") {
			failures = append(failures, plugin.CheckFailure{Property: key, Reason: "the simulated provider has no such setting"})
		}
	}
	for _, f := range p.backend.configured(p.name, values(revealed(req.News).Mappable())) {
		failures = append(failures, plugin.CheckFailure{Property: resource.PropertyKey(f.path), Reason: f.reason})
	}
	return plugin.CheckConfigResponse{Properties: req.News, Failures: failures}, nil
}

// DiffConfig never asks for a replacement: the real providers take another project or region as an update of themselves, and leave it to each
// resource what follows.
func (p *provider) DiffConfig(_ context.Context, req plugin.DiffConfigRequest) (plugin.DiffConfigResponse, error) {
	diff := plugin.DiffResult{Changes: plugin.DiffNone}
	if object := req.OldInputs.Diff(req.NewInputs); object != nil {
		diff.Changes, diff.ChangedKeys = plugin.DiffSome, object.Keys()
	}
	return diff, nil
}

func (p *provider) Configure(context.Context, plugin.ConfigureRequest) (plugin.ConfigureResponse, error) {
	return plugin.ConfigureResponse{}, nil
}

func (p *provider) Check(_ context.Context, req plugin.CheckRequest) (plugin.CheckResponse, error) {
	inputs := req.News.Copy()
	if err := p.schema.named(req, inputs); err != nil {
		return plugin.CheckResponse{}, err
	}
	var failures []plugin.CheckFailure
	for _, f := range p.schema.check(string(req.Type), inputs) {
		failures = append(failures, plugin.CheckFailure{Property: resource.PropertyKey(f.path), Reason: f.reason})
	}
	return plugin.CheckResponse{Properties: inputs, Failures: failures}, nil
}

func (p *provider) Diff(_ context.Context, req plugin.DiffRequest) (plugin.DiffResponse, error) {
	detailed := p.schema.diff(req)
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

func (p *provider) Create(_ context.Context, req plugin.CreateRequest) (plugin.CreateResponse, error) {
	inputs := p.schema.complete(string(req.Type), req.Properties)
	if req.Preview {
		return plugin.CreateResponse{Properties: p.schema.planned(string(req.Type), inputs, nil)}, nil
	}
	id, outputs, err := p.backend.create(string(req.Type), string(req.URN), req.URN.Name(), values(inputs.Mappable()))
	if err != nil {
		return plugin.CreateResponse{}, fmt.Errorf("%s %q: %w", shortType(string(req.Type)), req.URN.Name(), err)
	}
	return plugin.CreateResponse{ID: resource.ID(id), Properties: p.schema.state(string(req.Type), outputs)}, nil
}

func (p *provider) Read(_ context.Context, req plugin.ReadRequest) (plugin.ReadResponse, error) {
	inputs, outputs := p.backend.read(string(req.Type), string(req.URN), string(req.ID))
	if outputs == nil {
		return plugin.ReadResponse{}, nil // it is gone
	}
	read := req.Inputs
	if read == nil { // an import
		read = p.schema.state(string(req.Type), inputs)
	}
	return plugin.ReadResponse{ReadResult: plugin.ReadResult{ID: req.ID, Inputs: read, Outputs: p.schema.state(string(req.Type), outputs)}}, nil
}

func (p *provider) Update(_ context.Context, req plugin.UpdateRequest) (plugin.UpdateResponse, error) {
	inputs := p.schema.complete(string(req.Type), req.NewInputs)
	if req.Preview {
		return plugin.UpdateResponse{Properties: p.schema.planned(string(req.Type), inputs, req.OldOutputs)}, nil
	}
	outputs, err := p.backend.update(string(req.Type), string(req.URN), string(req.ID), values(inputs.Mappable()))
	if err != nil {
		return plugin.UpdateResponse{}, fmt.Errorf("%s %q: %w", shortType(string(req.Type)), req.URN.Name(), err)
	}
	return plugin.UpdateResponse{Properties: p.schema.state(string(req.Type), outputs)}, nil
}

func (p *provider) Delete(_ context.Context, req plugin.DeleteRequest) (plugin.DeleteResponse, error) {
	if err := p.backend.remove(string(req.Type), string(req.URN), string(req.ID)); err != nil {
		return plugin.DeleteResponse{}, fmt.Errorf("%s %q: %w", shortType(string(req.Type)), req.URN.Name(), err)
	}
	return plugin.DeleteResponse{}, nil
}

func (p *provider) Invoke(_ context.Context, req plugin.InvokeRequest) (plugin.InvokeResponse, error) {
	result, err := p.backend.invoke(string(req.Tok), values(req.Args.Mappable()))
	if err != nil {
		return plugin.InvokeResponse{}, fmt.Errorf("%s: %w", req.Tok, err)
	}
	return plugin.InvokeResponse{Properties: resource.NewPropertyMapFromMap(result)}, nil
}
