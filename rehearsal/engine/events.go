package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"openhands-gcp/rehearsal/state"
)

// Result is what a command of the CLI did.
type Result struct {
	Output string // all that it wrote
	// Planned are the steps that the engine began, or in a preview would begin. A resource that is replaced has several.
	Planned  []apitype.StepEventMetadata
	Errors   []string // what the engine said is wrong, with the resource that it is about
	Warnings []string
}

// eventServer receives what the engine tells while it works. The CLI sends it to --event-log, one stream for each operation of a command.
type eventServer struct {
	pulumirpc.UnimplementedEventsServer
	watch func(apitype.EngineEvent) // sees every event; nil where nobody watches

	mu     sync.Mutex // protects what follows
	result *Result    // of the command that runs
	broken error      // what of the events could not be read
}

// begin makes the server note what it receives in a result.
func (s *eventServer) begin(result *Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result, s.broken = result, nil
}

// end returns what went wrong with the events of the command, beside what went wrong with the command.
func (s *eventServer) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// StreamEvents is called by the CLI, which waits for its answer before it ends.
func (s *eventServer) StreamEvents(stream grpc.ClientStreamingServer[pulumirpc.EventRequest, emptypb.Empty]) error {
	for {
		request, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return stream.SendAndClose(&emptypb.Empty{})
		case err != nil:
			return err
		}
		s.receive(request.GetEvent())
	}
}

func (s *eventServer) receive(raw string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var event apitype.EngineEvent
	if err := json.Unmarshal([]byte(raw), &event); err != nil {
		s.broken = fmt.Errorf("event of the engine: %w", err)
		return
	}
	switch {
	case event.ResourcePreEvent != nil:
		s.result.Planned = append(s.result.Planned, event.ResourcePreEvent.Metadata)
	case event.DiagnosticEvent != nil && event.DiagnosticEvent.Severity == "error" && strings.TrimSpace(event.DiagnosticEvent.Message) != "update failed":
		s.result.Errors = append(s.result.Errors, describe(event.DiagnosticEvent))
	}
	if d := event.DiagnosticEvent; d != nil && d.Severity == "warning" {
		s.result.Warnings = append(s.result.Warnings, strings.TrimSpace(d.Message))
	}
	if s.watch != nil {
		s.watch(event)
	}
}

// describe says what a diagnostic is about, and what it says, without what the engine writes around it.
func describe(d *apitype.DiagnosticEvent) string {
	message := strings.TrimSpace(d.Message)
	name := state.ShortName(d.URN)
	if typ, _, _ := strings.Cut(name, " "); strings.HasPrefix(message, typ+" ") {
		return message // it says so itself
	}
	if d.URN != "" && !strings.Contains(d.URN, "::"+state.StackType+"::") {
		return name + ": " + message
	}
	return strings.TrimPrefix(message, "an unhandled error occurred: program failed: \n")
}
