// Command doctor asks the real project of a stack, and only reads, whether `pulumi up` will pass there. docs/doctor.md has its stations.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"openhands-gcp/doctor"
	"openhands-gcp/stacks"
	"openhands-gcp/tests/golden"
)

// Exit codes beside those of doctor.Report.
const cannotBegin = 2

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	stack := flag.String("stack", "", "name of the stack, whose file is Pulumi.<stack>.yaml")
	program := flag.String("program", "bin/openhands", "the compiled program")
	asJSON := flag.Bool("json", false, "write JSON")
	flag.Parse()
	report, err := examine(ctx, *stack, *program)
	if err == nil && *asJSON {
		err = report.JSON(os.Stdout)
	} else if err == nil {
		err = report.Text(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(cannotBegin)
	}
	os.Exit(report.Exit())
}

func examine(ctx context.Context, stack, program string) (*doctor.Report, error) {
	source, err := doctor.ReadStackFile(".", stack)
	if err != nil {
		return nil, err
	}
	config, err := stacks.Load(source)
	if err != nil {
		return nil, err
	}
	info := pulumi.RunInfo{Project: "openhands", Stack: stack, Config: source.Values, ConfigSecretKeys: source.SecretKeys}
	plan, err := golden.RecordProgram(ctx, info, program)
	if err != nil {
		return nil, err
	}
	outside := doctor.Outside{
		Public: &http.Client{}, Resolver: net.DefaultResolver, Run: run, PulumiVersion: sdkVersion(), Patience: 20 * time.Second,
	}
	credentials, err := google.FindDefaultCredentials(ctx, "https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")
	if err != nil {
		outside.NoCredentials = err
	} else {
		outside.Google = oauth2.NewClient(ctx, credentials.TokenSource)
	}
	return doctor.Examine(ctx, config, plan, outside)
}

// run runs a command of this machine. The error is what it says.
func run(ctx context.Context, name string, arguments ...string) ([]byte, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, err
	}
	var says strings.Builder
	cmd := exec.CommandContext(ctx, path, arguments...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "PULUMI_SKIP_UPDATE_CHECK=true"), &says
	cmd.WaitDelay = time.Second // for what it has started and leaves behind
	written, err := cmd.Output()
	if text := strings.TrimSpace(says.String()); err != nil && text != "" {
		return nil, fmt.Errorf("%s", text)
	}
	return written, err
}

// sdkVersion is the version of Pulumi's SDK that this program was built with.
func sdkVersion() string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/pulumi/pulumi/sdk/v3" {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return ""
}
