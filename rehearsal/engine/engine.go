// Package engine runs the real Pulumi engine on the real program, with stand-ins for the providers and for Go's language host in this process: the
// Pulumi CLI attaches to them on loopback. The stack lives in a temporary directory.
package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"

	"openhands-gcp/rehearsal/build"
	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/providers"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/release"
)

// Engine runs the Pulumi CLI on one stack, with the simulated cloud in place of the real one. Close it.
type Engine struct {
	Stack     string
	Cloud     *cloud.Cloud
	Protected []string // types that the stack protects: it must refuse to be destroyed
	Region    string
	Zone      string // of a zonal cluster, or of a machine; empty for a regional cluster
	Machine   bool   // the stack is one machine, without a cluster
	Instances bool   // the stack has instances of Agent Canvas
	Release   release.Release

	Exposed        bool // browsers reach the application from the internet
	OpenToEveryone bool // the stack was told to have no login
	NodesOfOnesOwn bool // the stack was told how many nodes the sandboxes may have

	cli        string
	dir        string // of the project: Pulumi.yaml and the stack file
	env        []string
	servers    []*grpc.Server
	temp       string
	forwarding *providers.Forwarding // nil without a real API server
	out        io.Writer             // where the CLI's own output goes
	standIns   []*providers.Provider
	language   *languageHost
	events     *eventServer
	eventLog   string // where the CLI sends the events
}

// Options are the arguments of New.
type Options struct {
	Root    string // of the repository
	Stack   string
	CLI     string    // path of the Pulumi CLI
	Program string    // path of the compiled program
	Output  io.Writer // for the CLI's own output

	Progress build.Progress // hears how far it is when something is compiled

	Watch func(apitype.EngineEvent) // sees what the engine does, while it does it; nil where nobody watches

	File   string       // path of the stack file; Stack's own in Root where empty
	Beside *cloud.Cloud // cloud of another stack in the same project; the project is empty where nil

	APIServer providers.APIServer // that every Kubernetes object is forwarded to; none where nil
}

// passphrase encrypts the state of a rehearsal, which is thrown away with it.
const passphrase = "rehearsal"

// New starts the stand-ins and creates the stack from a copy of its stack file.
func New(ctx context.Context, options Options) (_ *Engine, err error) {
	e := &Engine{Stack: options.Stack, cli: options.CLI, out: &lockedWriter{w: options.Output}, events: &eventServer{watch: options.Watch}}
	e.language = &languageHost{program: options.Program, out: e.out}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if err := e.makeDirectories(); err != nil {
		return nil, err
	}
	file, err := readStackFile(cmp.Or(options.File, StackFile(options.Root, options.Stack)))
	if err != nil {
		return nil, err
	}
	if e.Cloud = options.Beside; e.Cloud == nil {
		e.Cloud = providers.NewCloud(file.value("gcp:project"), file.value("gcp:region"))
	}
	e.Cloud.Configuration = e.configuration
	if options.APIServer != nil {
		e.forwarding = providers.Forward(e.Cloud, options.APIServer)
	}
	if err := e.serve(); err != nil {
		return nil, err
	}
	if err := e.copyProject(options.Root); err != nil {
		return nil, err
	}
	if err := file.write(e.stackFilePath()); err != nil {
		return nil, err
	}
	if _, err := e.Quiet(ctx, "stack", "init", options.Stack); err != nil {
		return nil, err
	}
	return e, e.adopt(ctx, file)
}

// adopt gives the stack the configuration of a stack file.
func (e *Engine) adopt(ctx context.Context, file *stackFile) error {
	e.Zone, e.Exposed, e.OpenToEveryone, e.NodesOfOnesOwn = "", false, false, false
	if file.value("openhands:profile") != "prod" {
		e.Zone = file.value("gcp:zone")
	}
	e.Machine = file.value("openhands:profile") == "single"
	e.Instances = file.line() == release.Canvas
	e.Release = file.release()
	e.Region, e.Protected = file.value("gcp:region"), file.protects()
	if exposure, ok := file.config["openhands:exposure"].(map[string]any); ok {
		e.Exposed = exposure["host"] != nil // which has no effect, and is refused, without a gateway
		e.OpenToEveryone = exposure["dangerouslyOpenToEveryoneWithoutLogin"] == true
	}
	if sandboxes, ok := file.config["openhands:sandboxes"].(map[string]any); ok {
		pool, _ := sandboxes["pool"].(map[string]any)
		e.NodesOfOnesOwn = pool["maxNodes"] != nil
	}
	if err := file.write(e.stackFilePath()); err != nil {
		return err
	}
	return e.encrypt(ctx, file)
}

// StackFile is the path of a stack's file.
func StackFile(root, stack string) string { return filepath.Join(root, "Pulumi."+stack+".yaml") }

// makeDirectories makes the directories of the rehearsal: the project, Pulumi's home and the state.
func (e *Engine) makeDirectories() (err error) {
	if e.temp, err = os.MkdirTemp("", "openhands-rehearsal-"); err != nil {
		return fmt.Errorf("directory for the rehearsal: %w", err)
	}
	e.dir = filepath.Join(e.temp, "project")
	for _, dir := range []string{e.dir, filepath.Join(e.temp, "home"), filepath.Join(e.temp, "state")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("directory for the rehearsal: %w", err)
		}
	}
	return nil
}

// copyProject copies the project file.
func (e *Engine) copyProject(root string) error {
	project, err := os.ReadFile(filepath.Join(root, "Pulumi.yaml"))
	if err != nil {
		return fmt.Errorf("project file: %w", err)
	}
	if err := os.WriteFile(filepath.Join(e.dir, "Pulumi.yaml"), project, 0o600); err != nil {
		return fmt.Errorf("copy the project file: %w", err)
	}
	return nil
}

// encrypt puts markers in place of a stack file's secrets.
func (e *Engine) encrypt(ctx context.Context, file *stackFile) error {
	for _, path := range file.secrets {
		if _, err := e.Quiet(ctx, "config", "set", "--secret", "--path", path, state.Marker+"configured"); err != nil {
			return err
		}
	}
	return nil
}

// Reconfigure gives the stack the configuration of another stack file. It takes effect with the next command.
func (e *Engine) Reconfigure(ctx context.Context, path string) error {
	file, err := readStackFile(path)
	if err != nil {
		return err
	}
	return e.adopt(ctx, file)
}

// Become gives the stack another program, with its project file, and another stack file. It takes effect with the next command.
func (e *Engine) Become(ctx context.Context, options Options) error {
	e.language.program = options.Program
	if err := e.copyProject(options.Root); err != nil {
		return err
	}
	return e.Reconfigure(ctx, cmp.Or(options.File, StackFile(options.Root, e.Stack)))
}

// serve starts the stand-ins on loopback, and sets the environment by which the CLI finds them.
func (e *Engine) serve() error {
	backend := providers.Backend(e.Cloud)
	if e.forwarding != nil {
		backend = e.forwarding
	}
	var err error
	if e.standIns, err = providers.All(e.Cloud, backend); err != nil {
		return err
	}
	var attached []string
	for _, p := range e.standIns {
		port, err := e.listen(func(s *grpc.Server) {
			pulumirpc.RegisterResourceProviderServer(s, plugin.NewProviderServer(p))
		})
		if err != nil {
			return err
		}
		attached = append(attached, fmt.Sprintf("%s:%d", p.Name, port))
	}
	language, err := e.listen(func(s *grpc.Server) {
		pulumirpc.RegisterLanguageRuntimeServer(s, e.language)
	})
	if err != nil {
		return err
	}
	events, err := e.listen(func(s *grpc.Server) { pulumirpc.RegisterEventsServer(s, e.events) })
	if err != nil {
		return err
	}
	e.eventLog = fmt.Sprintf("tcp://127.0.0.1:%d", events)
	e.env = append(cleanEnvironment(),
		"PULUMI_BACKEND_URL=file://"+filepath.ToSlash(filepath.Join(e.temp, "state")),
		"PULUMI_HOME="+filepath.Join(e.temp, "home"),
		"PULUMI_CONFIG_PASSPHRASE="+passphrase,
		"PULUMI_SKIP_UPDATE_CHECK=true",
		"PULUMI_DEBUG_COMMANDS=true", // which has --event-log
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true",
		"PULUMI_DEBUG_PROVIDERS="+strings.Join(attached, ","),
		fmt.Sprintf("PULUMI_DEBUG_LANGUAGES=go:%d", language),
	)
	return nil
}

// cleanEnvironment is this process's environment without what would lead the CLI to a real backend, stack or account.
func cleanEnvironment() []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "PULUMI_") || strings.HasPrefix(name, "GOOGLE_") || strings.HasPrefix(name, "CLOUDSDK_") {
			continue
		}
		env = append(env, entry)
	}
	return env
}

// listen serves on a free port of loopback.
func (e *Engine) listen(register func(*grpc.Server)) (port int, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("stand-in: %w", err)
	}
	const largest = 400 << 20 // as Pulumi's own servers
	server := grpc.NewServer(grpc.MaxRecvMsgSize(largest), grpc.MaxSendMsgSize(largest))
	register(server)
	e.servers = append(e.servers, server)
	go func() {
		// Serve ends with the server; a failure shows as a failed call of the CLI.
		if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			fmt.Fprintf(e.out, "stand-in: %v\n", err)
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// Close stops the stand-ins and removes the stack with its state.
func (e *Engine) Close() error {
	for _, server := range e.servers {
		server.Stop()
	}
	if e.temp == "" {
		return nil
	}
	return os.RemoveAll(e.temp)
}

// Run runs a preview, an up, a refresh or a destroy of the stack. The error says what the engine said is wrong.
func (e *Engine) Run(ctx context.Context, args ...string) (Result, error) {
	var result Result
	e.events.begin(&result)
	fmt.Fprintf(e.out, "\n$ pulumi %s\n", strings.Join(args, " "))
	output, err := e.command(ctx, e.out, append(args, "--event-log="+e.eventLog))
	result.Output = output
	switch broken := e.events.end(); {
	case err != nil && ctx.Err() != nil:
		return result, fmt.Errorf("pulumi %s: %w", args[0], ctx.Err())
	case err != nil && len(result.Errors) == 0:
		return result, fmt.Errorf("%w\n%s", err, output)
	case err != nil:
		return result, errors.New(strings.Join(result.Errors, "\n"))
	case broken != nil:
		return result, broken
	}
	return result, nil
}

// lockedWriter is for the CLI and for the program, which write at the same time.
type lockedWriter struct {
	mu sync.Mutex // protects w
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// Quiet runs another command and shows nothing. It returns the output, which is also in the error.
func (e *Engine) Quiet(ctx context.Context, args ...string) (string, error) {
	output, err := e.command(ctx, io.Discard, args)
	if err != nil {
		return output, fmt.Errorf("%w\n%s", err, output)
	}
	return output, nil
}

// PreviewJSON returns what `pulumi preview --json` writes. A preview that fails writes a document too, which has the errors; the error is for one that wrote
// none.
func (e *Engine) PreviewJSON(ctx context.Context, args ...string) ([]byte, error) {
	var document, said bytes.Buffer
	cmd := e.cmd(ctx, append([]string{"preview", "--json"}, args...))
	cmd.Stdout, cmd.Stderr = &document, &said
	if err := cmd.Run(); err != nil && document.Len() == 0 {
		return nil, fmt.Errorf("pulumi preview --json: %w\n%s", err, said.String())
	}
	return document.Bytes(), nil
}

// command runs a command of the CLI, copies its output to show, and returns it.
func (e *Engine) command(ctx context.Context, show io.Writer, args []string) (string, error) {
	var output bytes.Buffer
	cmd := e.cmd(ctx, args)
	both := io.MultiWriter(show, &output)
	cmd.Stdout, cmd.Stderr = both, both
	if err := cmd.Run(); err != nil {
		return output.String(), fmt.Errorf("pulumi %s: %w", strings.Join(args, " "), err)
	}
	return output.String(), nil
}

// cmd is a command of the CLI on the stack.
func (e *Engine) cmd(ctx context.Context, args []string) *exec.Cmd {
	arguments := append(slices.Clone(args), "--non-interactive", "--color=never")
	if !(args[0] == "stack" && args[1] == "init") {
		arguments = append(arguments, "--stack", e.Stack)
	}
	cmd := exec.CommandContext(ctx, e.cli, arguments...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that the CLI can end in good order
	cmd.WaitDelay = 30 * time.Second
	cmd.Dir, cmd.Env = e.dir, e.env
	return cmd
}

// Export returns the stack's state as `pulumi stack export` writes it.
func (e *Engine) Export(ctx context.Context) ([]byte, error) {
	output, err := e.Quiet(ctx, "stack", "export")
	return []byte(output), err
}

// Environ is an environment in which the CLI, started by somebody else, finds the stack and the simulated cloud.
func (e *Engine) Environ() []string { return slices.Clone(e.env) }

// Dir is the directory of the project, with its stack file.
func (e *Engine) Dir() string { return e.dir }

// stackFilePath is the rehearsal's copy of the stack file.
func (e *Engine) stackFilePath() string { return StackFile(e.dir, e.Stack) }

// ReadStackFile returns the rehearsal's copy of the stack file.
func (e *Engine) ReadStackFile() ([]byte, error) {
	raw, err := os.ReadFile(e.stackFilePath())
	if err != nil {
		return nil, fmt.Errorf("copy of the stack file: %w", err)
	}
	return raw, nil
}

// configuration is the rehearsal's copy of the stack file as it is now; empty where it cannot be read, and then the CLI says so.
func (e *Engine) configuration() string {
	raw, err := e.ReadStackFile()
	if err != nil {
		return ""
	}
	return string(raw)
}

// WriteStackFile replaces the rehearsal's copy of the stack file.
func (e *Engine) WriteStackFile(raw []byte) error {
	if err := os.WriteFile(e.stackFilePath(), raw, 0o600); err != nil {
		return fmt.Errorf("copy of the stack file: %w", err)
	}
	return nil
}

// SetConfig changes a value in the rehearsal's copy of the stack file.
func (e *Engine) SetConfig(ctx context.Context, key, value string) error {
	_, err := e.Quiet(ctx, "config", "set", "--path", key, value)
	return err
}

// ChangedByRepetition applies every object of Kubernetes to the real API server again, and returns those that changed: there should be none. Without a
// real API server there is none either.
func (e *Engine) ChangedByRepetition(ctx context.Context) ([]string, error) {
	if e.forwarding == nil {
		return nil, nil
	}
	return e.forwarding.ChangedByRepetition(ctx)
}

// Leftovers lists what the real API server still has of the stack's objects. checked is false without a real API server.
func (e *Engine) Leftovers(ctx context.Context) (left []string, checked bool, err error) {
	if e.forwarding == nil {
		return nil, false, nil
	}
	left, err = e.forwarding.Leftovers(ctx)
	return left, true, err
}
