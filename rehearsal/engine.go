package rehearsal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// Engine runs the Pulumi CLI on one stack, with the simulated cloud in place of the real one. Close it.
type Engine struct {
	Stack     string
	Cloud     *Cloud
	Protected bool // the stack's profile is prod: it must refuse to be destroyed

	Exposed        bool // browsers reach the application from the internet
	OpenToEveryone bool // the stack was told to have no login

	cli        string
	dir        string // of the project: Pulumi.yaml and the stack file
	env        []string
	servers    []*grpc.Server
	temp       string
	forwarding *forwarding // nil without a real API server
	out        io.Writer   // where the CLI's own output goes
}

// EngineOptions are the arguments of NewEngine.
type EngineOptions struct {
	Root    string // of the repository
	Stack   string
	CLI     string    // path of the Pulumi CLI
	Program string    // path of the compiled program
	Output  io.Writer // for the CLI's progress display

	APIServer APIServer // that every Kubernetes object is forwarded to; none where nil
}

// passphrase encrypts the state of a rehearsal, which is thrown away with it.
const passphrase = "rehearsal"

// NewEngine starts the stand-ins and creates the stack from a copy of its stack file.
func NewEngine(ctx context.Context, options EngineOptions) (_ *Engine, err error) {
	e := &Engine{Stack: options.Stack, cli: options.CLI, out: options.Output}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if e.temp, err = os.MkdirTemp("", "openhands-rehearsal-"); err != nil {
		return nil, fmt.Errorf("directory for the rehearsal: %w", err)
	}
	e.dir = filepath.Join(e.temp, "project")
	for _, dir := range []string{e.dir, filepath.Join(e.temp, "home"), filepath.Join(e.temp, "state")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, fmt.Errorf("directory for the rehearsal: %w", err)
		}
	}
	file, err := readStackFile(filepath.Join(options.Root, "Pulumi."+options.Stack+".yaml"))
	if err != nil {
		return nil, err
	}
	e.Cloud = NewCloud(file.value("gcp:project"), file.value("gcp:region"))
	e.Protected = file.value("openhands:profile") == "prod" && file.value("openhands:teardown") != "true"
	if options.APIServer != nil {
		e.forwarding = &forwarding{Cloud: e.Cloud, api: options.APIServer, pools: map[string]bool{}}
	}
	if exposure, ok := file.config["openhands:exposure"].(map[string]any); ok {
		e.Exposed = exposure["host"] != nil // which has no effect, and is refused, without a gateway
		e.OpenToEveryone = exposure["dangerouslyOpenToEveryoneWithoutLogin"] == true
	}
	if err := e.serve(options.Program); err != nil {
		return nil, err
	}
	project, err := os.ReadFile(filepath.Join(options.Root, "Pulumi.yaml"))
	if err != nil {
		return nil, fmt.Errorf("project file: %w", err)
	}
	if err := os.WriteFile(filepath.Join(e.dir, "Pulumi.yaml"), project, 0o600); err != nil {
		return nil, fmt.Errorf("copy the project file: %w", err)
	}
	if err := file.write(e.stackFilePath()); err != nil {
		return nil, err
	}
	if _, err := e.quiet(ctx, "stack", "init", options.Stack); err != nil {
		return nil, err
	}
	return e, e.encrypt(ctx, file)
}

// encrypt puts markers in place of a stack file's secrets.
func (e *Engine) encrypt(ctx context.Context, file *stackFile) error {
	for _, path := range file.secrets {
		if _, err := e.quiet(ctx, "config", "set", "--secret", "--path", path, Marker+"configured"); err != nil {
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
	if err := file.write(e.stackFilePath()); err != nil {
		return err
	}
	return e.encrypt(ctx, file)
}

// serve starts the stand-ins on loopback, and sets the environment by which the CLI finds them.
func (e *Engine) serve(program string) error {
	var providers []string
	kubernetes := backend(e.Cloud)
	if e.forwarding != nil {
		kubernetes = e.forwarding
	}
	for _, standIn := range standIns(e.Cloud, kubernetes) {
		p, err := newProvider(standIn)
		if err != nil {
			return err
		}
		port, err := e.listen(func(s *grpc.Server) {
			pulumirpc.RegisterResourceProviderServer(s, plugin.NewProviderServer(p))
		})
		if err != nil {
			return err
		}
		providers = append(providers, fmt.Sprintf("%s:%d", p.name, port))
	}
	language, err := e.listen(func(s *grpc.Server) {
		pulumirpc.RegisterLanguageRuntimeServer(s, &languageHost{program: program})
	})
	if err != nil {
		return err
	}
	e.env = append(cleanEnvironment(),
		"PULUMI_BACKEND_URL=file://"+filepath.ToSlash(filepath.Join(e.temp, "state")),
		"PULUMI_HOME="+filepath.Join(e.temp, "home"),
		"PULUMI_CONFIG_PASSPHRASE="+passphrase,
		"PULUMI_SKIP_UPDATE_CHECK=true",
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true",
		"PULUMI_DEBUG_PROVIDERS="+strings.Join(providers, ","),
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
			fmt.Fprintf(os.Stderr, "stand-in: %v\n", err)
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

// Run runs a command of the CLI on the stack and shows its output. It returns that output too.
func (e *Engine) Run(ctx context.Context, args ...string) (string, error) {
	return e.command(ctx, e.out, args)
}

// quiet runs a command whose output matters only when it fails.
func (e *Engine) quiet(ctx context.Context, args ...string) (string, error) {
	output, err := e.command(ctx, io.Discard, args)
	if err != nil {
		return output, fmt.Errorf("%w\n%s", err, output)
	}
	return output, nil
}

func (e *Engine) command(ctx context.Context, show io.Writer, args []string) (string, error) {
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, e.cli, append(args, "--non-interactive", "--stack", e.Stack)...)
	if args[0] == "stack" && args[1] == "init" {
		cmd = exec.CommandContext(ctx, e.cli, append(args, "--non-interactive")...)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that the CLI can end in good order
	cmd.WaitDelay = 30 * time.Second
	cmd.Dir, cmd.Env = e.dir, e.env
	cmd.Stdout, cmd.Stderr = io.MultiWriter(show, &output), io.MultiWriter(show, &output)
	if err := cmd.Run(); err != nil {
		return output.String(), fmt.Errorf("pulumi %s: %w", strings.Join(args, " "), err)
	}
	return output.String(), nil
}

// Export returns the stack's state as `pulumi stack export` writes it.
func (e *Engine) Export(ctx context.Context) ([]byte, error) {
	output, err := e.quiet(ctx, "stack", "export")
	return []byte(output), err
}

// stackFilePath is the rehearsal's copy of the stack file.
func (e *Engine) stackFilePath() string { return filepath.Join(e.dir, "Pulumi."+e.Stack+".yaml") }

func (e *Engine) readStackFile() ([]byte, error) {
	raw, err := os.ReadFile(e.stackFilePath())
	if err != nil {
		return nil, fmt.Errorf("copy of the stack file: %w", err)
	}
	return raw, nil
}

func (e *Engine) writeStackFile(raw []byte) error {
	if err := os.WriteFile(e.stackFilePath(), raw, 0o600); err != nil {
		return fmt.Errorf("copy of the stack file: %w", err)
	}
	return nil
}

// SetConfig changes a value in the rehearsal's copy of the stack file.
func (e *Engine) SetConfig(ctx context.Context, key, value string) error {
	_, err := e.quiet(ctx, "config", "set", "--path", key, value)
	return err
}
