package rehearsal

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
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
	configured(settings values) []failure
}

// provider stands in for a real one: what it knows about fields comes from the facts of the real one, what it knows about objects from the backend.
type provider struct {
	plugin.UnimplementedProvider
	name    string
	version semver.Version
	types   map[string]fields
	config  []string // the keys of the provider's own configuration that the program uses
	backend backend
}

func newProvider(name, version string, config []string, b backend) (*provider, error) {
	types, err := loadFacts(name + "-" + version)
	if err != nil {
		return nil, err
	}
	parsed, err := semver.Parse(version)
	if err != nil {
		return nil, fmt.Errorf("version of provider %s: %w", name, err)
	}
	return &provider{name: name, version: parsed, types: types, config: config, backend: b}, nil
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
	for _, f := range p.backend.configured(values(revealed(req.News).Mappable())) {
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

func (p *provider) fieldsOf(typ string) (fields, error) {
	fs, ok := p.types[typ]
	if !ok {
		return nil, fmt.Errorf("the simulated provider %s does not know type %s; it knows %s", p.name, typ, strings.Join(slices.Sorted(maps.Keys(p.types)), ", "))
	}
	return fs, nil
}

func (p *provider) Check(_ context.Context, req plugin.CheckRequest) (plugin.CheckResponse, error) {
	fs, err := p.fieldsOf(string(req.Type))
	if err != nil {
		return plugin.CheckResponse{}, err
	}
	inputs := req.News.Copy()
	if f, ok := fs["name"]; ok && !f.OutputOnly {
		if _, set := inputs["name"]; !set {
			inputs["name"] = autoname(req)
		}
	}
	var failures []plugin.CheckFailure
	for _, f := range checkInputs(fs, inputs) {
		failures = append(failures, plugin.CheckFailure{Property: resource.PropertyKey(f.path), Reason: f.reason})
	}
	return plugin.CheckResponse{Properties: inputs, Failures: failures}, nil
}

// autoname keeps the name that a resource has, and makes one of the resource's name and seven hexadecimal digits where it has none, as the real
// providers do.
func autoname(req plugin.CheckRequest) resource.PropertyValue {
	if old, ok := req.Olds["name"]; ok {
		return old
	}
	if len(req.RandomSeed) == 0 {
		h := fnv.New32a()
		h.Write([]byte(req.URN)) // never fails
		return resource.NewProperty(fmt.Sprintf("%s-%07x", req.URN.Name(), h.Sum32()&0xfffffff))
	}
	return resource.NewProperty(fmt.Sprintf("%s-%s", req.URN.Name(), hex.EncodeToString(req.RandomSeed)[:7]))
}

func (p *provider) Diff(_ context.Context, req plugin.DiffRequest) (plugin.DiffResponse, error) {
	fs, err := p.fieldsOf(string(req.Type))
	if err != nil {
		return plugin.DiffResponse{}, err
	}
	detailed := diffInputs(fs, req.NewInputs, req.OldOutputs, req.IgnoreChanges)
	if decide, ok := decidedByCode[string(req.Type)]; ok {
		decide(req, detailed)
	}
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

// decidedByCode are the differences about which the real provider decides by code, so that its schema does not show it.
var decidedByCode = map[string]func(plugin.DiffRequest, map[string]plugin.PropertyDiff){
	// The location is kept in upper case.
	bucketType: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		if wanted, state := plain(req.NewInputs["location"]), plain(req.OldOutputs["location"]); wanted.IsString() && state.IsString() &&
			strings.EqualFold(wanted.StringValue(), state.StringValue()) {
			delete(detailed, "location")
		}
	},
	// The primary range of a subnet can only grow in place.
	subnetworkType: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		const path = "ipCidrRange"
		d, changed := detailed[path]
		wanted, err1 := netip.ParsePrefix(values(req.NewInputs.Mappable()).str(path))
		state, err2 := netip.ParsePrefix(values(req.OldOutputs.Mappable()).str(path))
		if changed && (err1 != nil || err2 != nil || wanted.Bits() > state.Bits() || !wanted.Contains(state.Addr())) {
			detailed[path] = d.ToReplace()
		}
	},
	// A disk cannot shrink: a smaller one means another instance.
	sqlInstanceType: func(req plugin.DiffRequest, detailed map[string]plugin.PropertyDiff) {
		const path = "settings.diskSize"
		wanted, state := values(req.NewInputs.Mappable()), values(req.OldOutputs.Mappable())
		if d, changed := detailed[path]; changed && wanted.num(path) < state.num(path) {
			detailed[path] = d.ToReplace()
		}
	},
}

func (p *provider) Create(_ context.Context, req plugin.CreateRequest) (plugin.CreateResponse, error) {
	fs, err := p.fieldsOf(string(req.Type))
	if err != nil {
		return plugin.CreateResponse{}, err
	}
	inputs := withDefaults(fs, req.Properties)
	if req.Preview {
		return plugin.CreateResponse{Properties: planned(fs, inputs, nil)}, nil
	}
	id, outputs, err := p.backend.create(string(req.Type), string(req.URN), req.URN.Name(), values(inputs.Mappable()))
	if err != nil {
		return plugin.CreateResponse{}, fmt.Errorf("%s %q: %w", shortType(string(req.Type)), req.URN.Name(), err)
	}
	return plugin.CreateResponse{ID: resource.ID(id), Properties: state(fs, outputs)}, nil
}

// planned is the state of an object as a preview knows it: what the cloud will compute is unknown, unless it is known already.
func planned(fs fields, inputs, old resource.PropertyMap) resource.PropertyMap {
	out := inputs.Copy()
	for name, f := range fs {
		key := resource.PropertyKey(name)
		if _, set := out[key]; set || (!f.Computed && !f.OutputOnly) {
			continue
		}
		if value, known := old[key]; known {
			out[key] = value
		} else if old == nil {
			out[key] = resource.MakeComputed(resource.NewProperty(""))
		}
	}
	return out
}

// state turns the cloud's answer into the properties of a resource; what the facts call secret is secret.
func state(fs fields, outputs values) resource.PropertyMap {
	properties := resource.NewPropertyMapFromMap(outputs)
	for name, f := range fs {
		key := resource.PropertyKey(name)
		if value, ok := properties[key]; ok && f.Secret {
			properties[key] = resource.MakeSecret(value)
		}
	}
	return properties
}

func (p *provider) Read(_ context.Context, req plugin.ReadRequest) (plugin.ReadResponse, error) {
	fs, err := p.fieldsOf(string(req.Type))
	if err != nil {
		return plugin.ReadResponse{}, err
	}
	inputs, outputs := p.backend.read(string(req.Type), string(req.URN), string(req.ID))
	if outputs == nil {
		return plugin.ReadResponse{}, nil // it is gone
	}
	read := req.Inputs
	if read == nil { // an import
		read = state(fs, inputs)
	}
	return plugin.ReadResponse{ReadResult: plugin.ReadResult{ID: req.ID, Inputs: read, Outputs: state(fs, outputs)}}, nil
}

func (p *provider) Update(_ context.Context, req plugin.UpdateRequest) (plugin.UpdateResponse, error) {
	fs, err := p.fieldsOf(string(req.Type))
	if err != nil {
		return plugin.UpdateResponse{}, err
	}
	inputs := withDefaults(fs, req.NewInputs)
	if req.Preview {
		return plugin.UpdateResponse{Properties: planned(fs, inputs, req.OldOutputs)}, nil
	}
	outputs, err := p.backend.update(string(req.Type), string(req.URN), string(req.ID), values(inputs.Mappable()))
	if err != nil {
		return plugin.UpdateResponse{}, fmt.Errorf("%s %q: %w", shortType(string(req.Type)), req.URN.Name(), err)
	}
	return plugin.UpdateResponse{Properties: state(fs, outputs)}, nil
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
