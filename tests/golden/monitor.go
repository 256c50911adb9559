package golden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/urn"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"openhands-gcp/rehearsal/cloud/facts"
)

// Record runs a program against an engine that creates nothing, and returns its plan. info has the stack, the project and the configuration.
func Record(ctx context.Context, info pulumi.RunInfo, program pulumi.RunFunc) (*Plan, error) {
	return record(info, func(address string) (err error) {
		info.MonitorAddr, info.EngineAddr = address, address
		run, err := pulumi.NewContext(ctx, info)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, run.Close()) }()
		return pulumi.RunWithContext(run, program)
	})
}

// RecordProgram is Record for a compiled program, at a path.
func RecordProgram(ctx context.Context, info pulumi.RunInfo, path string) (*Plan, error) {
	config, err := json.Marshal(info.Config)
	if err != nil {
		return nil, fmt.Errorf("configuration for the program: %w", err)
	}
	secrets, err := json.Marshal(info.ConfigSecretKeys)
	if err != nil {
		return nil, fmt.Errorf("names of the secrets for the program: %w", err)
	}
	return record(info, func(address string) error {
		cmd := exec.CommandContext(ctx, path)
		cmd.Env = append(os.Environ(),
			pulumi.EnvProject+"="+info.Project, pulumi.EnvStack+"="+info.Stack, pulumi.EnvConfig+"="+string(config),
			pulumi.EnvConfigSecretKeys+"="+string(secrets), pulumi.EnvDryRun+"="+strconv.FormatBool(info.DryRun),
			pulumi.EnvMonitor+"="+address, pulumi.EnvEngine+"="+address,
		)
		output, err := cmd.CombinedOutput()
		if err != nil && len(output) > 0 {
			return errors.New(strings.TrimSpace(string(output)))
		}
		return err
	})
}

// record serves an engine to whatever runs the program.
func record(info pulumi.RunInfo, run func(address string) error) (_ *Plan, err error) {
	m := &monitor{plan: &Plan{Outputs: map[resource.URN]resource.PropertyMap{}}, project: info.Project, stack: info.Stack}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("plan of stack %s: %w", info.Stack, err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(largestMessage))
	pulumirpc.RegisterResourceMonitorServer(server, m)
	pulumirpc.RegisterEngineServer(server, &engine{monitor: m})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		server.Stop()
		if failed := <-served; failed != nil && !errors.Is(failed, grpc.ErrServerStopped) {
			err = errors.Join(err, failed)
		}
	}()
	if err := run(listener.Addr().String()); err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, line := range m.plan.Logs {
			if text, is := strings.CutPrefix(line, "error: "); is {
				err = errors.New(strings.TrimSpace(text)) // a program on its own says it here, and no more than a number at its end
			}
		}
		return nil, fmt.Errorf("plan of stack %s: %w", info.Stack, err)
	}
	return m.plan, nil
}

const largestMessage = 400 << 20 // bytes, as Pulumi's own servers

// engine takes what the program logs into the plan.
type engine struct {
	pulumirpc.UnimplementedEngineServer
	*monitor
}

func (e *engine) Log(_ context.Context, req *pulumirpc.LogRequest) (*emptypb.Empty, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.plan.Logs = append(e.plan.Logs, fmt.Sprintf("%s: %s", strings.ToLower(req.GetSeverity().String()), req.GetMessage()))
	return &emptypb.Empty{}, nil
}

// monitor answers the program's registrations with symbols.
type monitor struct {
	pulumirpc.UnimplementedResourceMonitorServer
	project, stack string

	mu   sync.Mutex // protects plan
	plan *Plan
}

// SupportsFeature leaves out outputValues: inputs then arrive as plain values, with marks on those that are secret.
func (*monitor) SupportsFeature(_ context.Context, req *pulumirpc.SupportsFeatureRequest) (*pulumirpc.SupportsFeatureResponse, error) {
	return &pulumirpc.SupportsFeatureResponse{HasSupport: req.GetId() != "outputValues"}, nil
}

func unmarshal(properties *structpb.Struct) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(properties, plugin.MarshalOptions{KeepSecrets: true, KeepResources: true})
}

func marshal(properties resource.PropertyMap) (*structpb.Struct, error) {
	return plugin.MarshalProperties(properties, plugin.MarshalOptions{KeepSecrets: true, KeepResources: true})
}

func (m *monitor) RegisterResource(_ context.Context, req *pulumirpc.RegisterResourceRequest) (*pulumirpc.RegisterResourceResponse, error) {
	inputs, err := unmarshal(req.GetObject())
	if err != nil {
		return nil, err
	}
	parentType := tokens.Type("")
	if parent := resource.URN(req.GetParent()); parent != "" && parent.QualifiedType() != resource.RootStackType {
		parentType = parent.QualifiedType()
	}
	r := &Resource{
		URN:    urn.New(tokens.QName(m.stack), tokens.PackageName(m.project), parentType, tokens.Type(req.GetType()), req.GetName()),
		Inputs: inputs, request: req,
	}
	outputs := inputs
	id := ""
	if req.GetCustom() {
		id = r.symbol("id")
	}
	if id != "" && !r.isProvider() {
		if outputs, err = facts.Symbols(req.GetType(), inputs, r.output); err != nil {
			return nil, err
		}
	}
	object, err := marshal(outputs)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plan.Resources = append(m.plan.Resources, r)
	return &pulumirpc.RegisterResourceResponse{Urn: string(r.URN), Id: id, Object: object}, nil
}

func (m *monitor) RegisterResourceOutputs(_ context.Context, req *pulumirpc.RegisterResourceOutputsRequest) (*emptypb.Empty, error) {
	outputs, err := unmarshal(req.GetOutputs())
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plan.Outputs[resource.URN(req.GetUrn())] = outputs
	return &emptypb.Empty{}, nil
}

// RegisterResourceHook takes the hook: nothing was there before a plan.
func (*monitor) RegisterResourceHook(context.Context, *pulumirpc.RegisterResourceHookRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// RegisterErrorHook takes the hook: nothing fails in a plan.
func (*monitor) RegisterErrorHook(context.Context, *pulumirpc.RegisterErrorHookRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// answers are the properties of what the program looks up, by the token of the function. A property without a value is a symbol in the plan; what the program
// checks, and does not pass on, has one.
var answers = map[string]resource.PropertyMap{
	"gcp:organizations/getProject:getProject": {"id": {}, "number": {}, "projectId": {}, "name": {}},
	"gcp:kms/getKeyRings:getKeyRings":         {"keyRings": resource.NewProperty([]resource.PropertyValue{})},
	"gcp:kms/getCryptoKeys:getCryptoKeys":     {"keys": resource.NewProperty([]resource.PropertyValue{})},
	"gcp:container/getEngineVersions:getEngineVersions": {"releaseChannelLatestVersion": resource.NewProperty(resource.PropertyMap{
		"RAPID": resource.NewProperty("1.37.0-gke.1"), "REGULAR": resource.NewProperty("1.36.0-gke.1"),
	})},
}

func (m *monitor) Invoke(_ context.Context, req *pulumirpc.ResourceInvokeRequest) (*pulumirpc.ResourceInvokeResponse, error) {
	properties, known := answers[req.GetTok()]
	if !known {
		return nil, fmt.Errorf("the golden plans do not know function %s: add what it returns to answers, in tests/golden", req.GetTok())
	}
	if req.GetProvider() == "" {
		return nil, fmt.Errorf("function %s is called without a provider, and the default ones are disabled: pass pulumi.Parent", req.GetTok())
	}
	args, err := unmarshal(req.GetArgs())
	if err != nil {
		return nil, err
	}
	var given []string
	for _, key := range args.StableKeys() {
		given = append(given, fmt.Sprintf("%s=%v", key, args[key].V))
	}
	_, function, _ := strings.Cut(req.GetTok(), "/")
	_, function, _ = strings.Cut(function, ":")
	function = fmt.Sprintf("%s(%s)", function, strings.Join(given, ", "))
	answer := resource.PropertyMap{}
	for property, value := range properties {
		if value.IsNull() {
			value = resource.NewProperty(fmt.Sprintf("${%s: %s}", function, property))
		}
		answer[property] = value
	}
	object, err := marshal(answer)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.ResourceInvokeResponse{Return: object}, nil
}
