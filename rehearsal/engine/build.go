package engine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"

	"openhands-gcp/rehearsal/build"
)

// sdkModule is the module whose version the CLI must have.
const sdkModule = "github.com/pulumi/pulumi/sdk/v3"

// Build returns the path of a Pulumi CLI of the SDK's version, and of the compiled program. The CLI is $PULUMI_BIN, the one on PATH, or is built
// from the pins in tools/ into bin/, which takes minutes the first time.
func Build(ctx context.Context, root string, progress build.Progress) (cli, program string, err error) {
	if cli, err = BuildCLI(ctx, root, progress); err != nil {
		return "", "", err
	}
	program, err = BuildProgram(ctx, root, "openhands", ".", progress)
	return cli, program, err
}

// BuildCLI returns the path of a Pulumi CLI of the SDK's version.
func BuildCLI(ctx context.Context, root string, progress build.Progress) (string, error) {
	version, err := sdkVersion(root)
	if err != nil {
		return "", err
	}
	return findCLI(ctx, root, version, progress)
}

// Build fills in CLI and Program: see the function Build.
func (o *Options) Build(ctx context.Context) (err error) {
	o.CLI, o.Program, err = Build(ctx, o.Root, o.Progress)
	return err
}

// BuildProgram compiles a Pulumi program of the repository into bin/, and returns its path.
func BuildProgram(ctx context.Context, root, name, pkg string, progress build.Progress) (string, error) {
	program := filepath.Join(root, "bin", name)
	// Without what only a debugger reads, the program is linked in half of the time.
	what := build.Program{Name: "the program", Dir: root, Package: pkg, Output: program, Flags: []string{"-ldflags=-s -w"}}
	if err := build.Go(ctx, what, progress); err != nil {
		return "", fmt.Errorf("build the program %s: %w", name, err)
	}
	return program, nil
}

func sdkVersion(root string) (string, error) {
	path := filepath.Join(root, "go.mod")
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("version of the Pulumi SDK: %w (run from the root of the repository)", err)
	}
	file, err := modfile.Parse(path, raw, nil)
	if err != nil {
		return "", fmt.Errorf("version of the Pulumi SDK: %w", err)
	}
	for _, require := range file.Require {
		if require.Mod.Path == sdkModule {
			return require.Mod.Version, nil
		}
	}
	return "", fmt.Errorf("version of the Pulumi SDK: %s does not require %s", path, sdkModule)
}

func findCLI(ctx context.Context, root, version string, progress build.Progress) (string, error) {
	if given := os.Getenv("PULUMI_BIN"); given != "" {
		found, err := cliVersion(ctx, given)
		if err != nil {
			return "", fmt.Errorf("PULUMI_BIN: %w", err)
		}
		if found != version {
			return "", fmt.Errorf("PULUMI_BIN: %s is version %s, and the SDK in go.mod is %s: give a CLI of that version, or none, and it is built",
				given, found, version)
		}
		return given, nil
	}
	if path, err := exec.LookPath("pulumi"); err == nil {
		if found, err := cliVersion(ctx, path); err == nil && found == version {
			return path, nil
		}
	}
	cli := filepath.Join(root, "bin", "pulumi")
	if found, err := cliVersion(ctx, cli); err == nil && found == version {
		return cli, nil
	}
	what := build.Program{
		Name: "the Pulumi CLI " + version, Dir: filepath.Join(root, "tools"), Package: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", Output: cli,
		Flags: append(build.Idle(idle...), "-ldflags=-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version="+version),
	}
	if err := build.Go(ctx, what, progress); err != nil {
		return "", fmt.Errorf("build the Pulumi CLI: %w", err)
	}
	return cli, nil
}

// idle are packages of the CLI that do nothing in a rehearsal: backends and keys of other clouds, documents of OpenAPI, colours for source text.
var idle = []string{
	"github.com/pb33f/...", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi/cloud/...", "github.com/aws/...", "github.com/Azure/...", "github.com/AzureAD/...",
	"cloud.google.com/...", "github.com/envoyproxy/...", "github.com/alecthomas/chroma/...", "github.com/yuin/...", "github.com/pgavlin/goldmark/...",
	"github.com/google/go-tpm/...",
}

func cliVersion(ctx context.Context, cli string) (string, error) {
	cmd := exec.CommandContext(ctx, cli, "version")
	cmd.Env = append(os.Environ(), "PULUMI_SKIP_UPDATE_CHECK=true")
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s version: %w", cli, err)
	}
	return strings.TrimSpace(string(output)), nil
}
