package providers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/urn"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/values"
)

// Mocks answer a program in a unit test as the stand-ins do, so that a test without the engine is as strict as a rehearsal. They are safe for concurrent
// use.
type Mocks struct {
	Cloud *cloud.Cloud

	// Spoil changes the inputs of a resource before the cloud sees them, for tests of mistakes.
	Spoil func(typ, name string, inputs resource.PropertyMap)

	project, stack string
	providers      map[string]*Provider

	mu         sync.Mutex // protects what follows
	registered []Registered
}

// Registered is one registration of a resource by the program.
type Registered struct {
	state.Resource
	IgnoreChanges       []string
	DeleteBeforeReplace bool
	DeletedWith         string // URN of the resource whose deletion deletes this one too
	RetainOnDelete      bool   // the object stays when the resource goes
}

// NewMocks returns mocks for a stack of the project openhands, over an empty cloud.
func NewMocks(stack, gcpProject, region string) (*Mocks, error) {
	m := &Mocks{Cloud: NewCloud(gcpProject, region), project: "openhands", stack: stack, providers: map[string]*Provider{}}
	providers, err := All(m.Cloud, m.Cloud)
	if err != nil {
		return nil, err
	}
	for _, p := range providers {
		m.providers[p.Name] = p
	}
	return m, nil
}

// Option makes a program run on the mocks.
func (m *Mocks) Option() pulumi.RunOption { return pulumi.WithMocks(m.project, m.stack, m) }

// NewResource implements pulumi.MockResourceMonitor.
func (m *Mocks) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	inputs := args.Inputs.Copy()
	if m.Spoil != nil {
		m.Spoil(args.TypeToken, args.Name, inputs)
	}
	where := m.urn(args)
	if !args.Custom {
		m.record(args, where, "", inputs, inputs)
		return "", inputs, nil
	}
	id, outputs, err := m.create(args, where, values.Reveal(inputs))
	if err != nil {
		return "", nil, err
	}
	m.record(args, where, id, inputs, outputs)
	return id, outputs, nil
}

// create checks and creates a resource of a provider, or checks the settings of a provider.
func (m *Mocks) create(args pulumi.MockResourceArgs, where resource.URN, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
	ctx := context.Background()
	if name, isProvider := strings.CutPrefix(args.TypeToken, state.ProviderPrefix); isProvider {
		p, ok := m.providers[name]
		if !ok {
			return "", nil, fmt.Errorf("there is no simulated provider %s", name)
		}
		checked, err := p.CheckConfig(ctx, plugin.CheckConfigRequest{URN: where, News: inputs})
		if err == nil {
			err = failed(args.Name, checked.Failures)
		}
		return args.Name + "-id", inputs, err
	}
	name, _, _ := strings.Cut(args.TypeToken, ":")
	p, ok := m.providers[name]
	if !ok {
		return "", nil, fmt.Errorf("there is no simulated provider for type %s", args.TypeToken)
	}
	checked, err := p.Check(ctx, plugin.CheckRequest{URN: where, Name: args.Name, Type: tokens.Type(args.TypeToken), News: inputs})
	if err != nil {
		return "", nil, err
	}
	if err := failed(args.Name, checked.Failures); err != nil {
		return "", nil, err
	}
	created, err := p.Create(ctx, plugin.CreateRequest{URN: where, Name: args.Name, Type: tokens.Type(args.TypeToken), Properties: checked.Properties})
	if err != nil {
		return "", nil, err
	}
	// What is created as the program wants it, and differs from that already, would make every preview dirty.
	again, err := p.Diff(ctx, plugin.DiffRequest{
		URN: where, Name: args.Name, Type: tokens.Type(args.TypeToken), ID: created.ID, IgnoreChanges: args.RegisterRPC.GetIgnoreChanges(),
		OldInputs: checked.Properties, OldOutputs: created.Properties, NewInputs: checked.Properties,
	})
	if err == nil && again.Changes != plugin.DiffNone {
		err = fmt.Errorf("%s: the next preview would not be empty: %v", args.Name, slices.Sorted(maps.Keys(again.DetailedDiff)))
	}
	return string(created.ID), created.Properties, err
}

// failed joins failures into an error; nil where there are none.
func failed(name string, failures []plugin.CheckFailure) error {
	var problems []string
	for _, f := range failures {
		problems = append(problems, fmt.Sprintf("%s: %s: %s", name, f.Property, f.Reason))
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(problems, "\n"))
}

// Call implements pulumi.MockResourceMonitor.
func (m *Mocks) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	name, _, _ := strings.Cut(args.Token, ":")
	p, ok := m.providers[name]
	if !ok {
		return nil, fmt.Errorf("there is no simulated provider for function %s", args.Token)
	}
	answer, err := p.Invoke(context.Background(), plugin.InvokeRequest{Tok: tokens.ModuleMember(args.Token), Args: values.Reveal(args.Args)})
	return answer.Properties, err
}

// urn returns the URN that the mock monitor gives the resource.
func (m *Mocks) urn(args pulumi.MockResourceArgs) resource.URN {
	parentType := tokens.Type("")
	if parent := resource.URN(args.RegisterRPC.GetParent()); parent != "" && parent.QualifiedType() != resource.RootStackType {
		parentType = parent.QualifiedType()
	}
	return urn.New(tokens.QName(m.stack), tokens.PackageName(m.project), parentType, tokens.Type(args.TypeToken), args.Name)
}

func (m *Mocks) record(args pulumi.MockResourceArgs, where resource.URN, id string, inputs, outputs resource.PropertyMap) {
	rpc := args.RegisterRPC
	r := Registered{
		Resource: state.Resource{
			URN: string(where), Type: args.TypeToken, ID: id, Custom: args.Custom, Protect: rpc.GetProtect(), Parent: rpc.GetParent(), Provider: args.Provider,
			Inputs: sealed(inputs), Outputs: sealed(outputs), Dependencies: rpc.GetDependencies(),
		},
		IgnoreChanges:       rpc.GetIgnoreChanges(),
		DeleteBeforeReplace: rpc.GetDeleteBeforeReplace(),
		DeletedWith:         rpc.GetDeletedWith(),
		RetainOnDelete:      rpc.GetRetainOnDelete(),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.registered = append(m.registered, r)
}

// Resources returns what the program registered, in order of its URNs.
func (m *Mocks) Resources() []Registered {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(slices.Values(m.registered), func(a, b Registered) int { return strings.Compare(a.URN, b.URN) })
}

// Export returns what the program registered as a state file has it, secrets encrypted. Resources stand after what they wait for.
func (m *Mocks) Export() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var export state.Export
	for _, r := range m.registered {
		export.Deployment.Resources = append(export.Deployment.Resources, r.Resource)
	}
	return json.Marshal(export)
}

// sealed returns the properties as a state file has them. A secret becomes a hash, which shows whether it has changed.
func sealed(m resource.PropertyMap) map[string]any {
	return m.MapRepl(nil, func(v resource.PropertyValue) (any, bool) {
		if v.IsSecret() {
			hash := sha256.Sum256([]byte(v.SecretValue().Element.String()))
			return state.Encrypted(hex.EncodeToString(hash[:])), true
		}
		return nil, false
	})
}
