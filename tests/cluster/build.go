package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"openhands-gcp/rehearsal/build"
)

// The programs of the cluster.
const (
	etcd              = "etcd"
	apiServer         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
	kwok              = "kwok"
)

// Build compiles the programs of the cluster into bin/cluster and returns that directory. They are the tools that the go.mod of this package and
// of kwok/ pin. The first time takes ten minutes on two cores; later, Go finds in seconds that nothing changed.
func Build(ctx context.Context, root string, progress build.Progress) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("root of the repository: %w", err)
	}
	bin := filepath.Join(root, "bin", "cluster")
	module := moduleDir(root)
	release, err := moduleProperty(ctx, module, "k8s.io/kubernetes", "{{.Version}}")
	if err != nil {
		return "", err
	}
	flags, err := versionFlags(release)
	if err != nil {
		return "", err
	}
	if err := goBuild(ctx, "kwok", filepath.Join(module, "kwok"), bin, "", progress); err != nil {
		return "", fmt.Errorf("build kwok: %w", err)
	}
	if err := goBuild(ctx, "the Kubernetes control plane", module, bin, flags, progress); err != nil {
		return "", fmt.Errorf("build the control plane: %w", err)
	}
	return bin, nil
}

// binary is where Go puts a program, by the name of its directory.
func binary(bin, program string) string {
	if program == etcd {
		program = "server"
	}
	return filepath.Join(bin, program)
}

func moduleDir(root string) string { return filepath.Join(root, "tests", "cluster") }

// versionFlags are what the release build of Kubernetes gives the linker: the servers derive from their version which API versions and feature
// gates they have.
func versionFlags(release string) (string, error) {
	parsed, err := version.ParseSemantic(release)
	if err != nil {
		return "", fmt.Errorf("version of k8s.io/kubernetes: %w", err)
	}
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags,
			fmt.Sprintf("-X %s.gitVersion=%s", pkg, release),
			fmt.Sprintf("-X %s.gitMajor=%d", pkg, parsed.Major()),
			fmt.Sprintf("-X %s.gitMinor=%d", pkg, parsed.Minor()),
			fmt.Sprintf("-X %s.gitTreeState=clean", pkg))
	}
	return strings.Join(flags, " "), nil
}

func goBuild(ctx context.Context, name, module, bin, ldflags string, progress build.Progress) error {
	return build.Go(ctx, build.Program{
		Name: name, Dir: module, Package: "tool", Output: bin + string(filepath.Separator), Flags: []string{"-ldflags=" + strings.TrimSpace("-s -w "+ldflags)},
	}, progress)
}

// moduleProperty evaluates a template of `go list -m` for a module that the one in dir requires.
func moduleProperty(ctx context.Context, dir, module, template string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", template, module)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("module %s: %w: %s", module, err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(output)), nil
}
