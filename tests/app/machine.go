package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
	table "openhands-gcp/release"
)

// machineStackFile is a stack with a single machine.
const machineStackFile = `config:
  gcp:project: my-openhands-single
  gcp:region: us-central1
  gcp:zone: us-central1-a
  openhands:profile: single
  openhands:machine:
    members: [user:ann@example.com]
`

// machineDisk is where the machine has its data disk.
const machineDisk = "/mnt/disks/openhands"

// machine returns the instance that the stack's machine runs: what its cloud-init document writes is written, its data disk is prepared by its own script,
// and its unit's arguments for Docker say what the container is.
func (d *deployment) machine(ctx context.Context) (*instance, error) {
	raw, err := d.engine.Export(ctx)
	if err != nil {
		return nil, err
	}
	export, err := state.Parse(raw)
	if err != nil {
		return nil, err
	}
	var userData string
	for _, r := range export.Deployment.Resources {
		if metadata, has := r.Inputs["metadata"].(map[string]any); has && r.Type == types.Instance {
			userData, _ = metadata["user-data"].(string)
		}
	}
	var document struct {
		Files []struct{ Path, Content string } `yaml:"write_files"`
	}
	if err := yaml.Unmarshal([]byte(userData), &document); err != nil || len(document.Files) == 0 {
		return nil, fmt.Errorf("cloud-init document %q: %w", userData, err)
	}
	root := filepath.Join(d.dir, "machine")
	disk := filepath.Join(root, machineDisk)
	units := map[string]string{}
	moved := strings.NewReplacer("/etc/openhands/", root+"/etc/openhands/", machineDisk, disk)
	for _, file := range document.Files {
		if name, isUnit := strings.CutPrefix(file.Path, "/etc/systemd/system/"); isUnit {
			units[name] = strings.ReplaceAll(moved.Replace(file.Content), " \\\n", "")
			continue
		}
		path := filepath.Join(root, file.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(file.Content), 0o644); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(disk, 0o755); err != nil {
		return nil, err
	}
	if _, err := command(ctx, nil, "sh", "-c", setting(units["openhands-data.service"], "ExecStart")); err != nil {
		return nil, err
	}
	unit := units["openhands.service"]
	stop := strings.Fields(setting(unit, "ExecStop"))
	seconds, err := strconv.Atoi(stop[len(stop)-2])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", stop, err)
	}
	return &instance{
		deployment: d, name: "machine", venv: d.canvases[table.DefaultRelease(table.Canvas)], kept: disk, port: 8000, probe: "/alive", patience: 5 * time.Minute,
		grace: time.Duration(seconds) * time.Second,
		container: func(_ context.Context, dir string) (*box, error) {
			return dockerRun(setting(unit, "ExecStart"), dir, canvasImage)
		},
	}, nil
}

// setting is one of a unit.
func setting(unit, name string) string {
	for _, line := range strings.Split(unit, "\n") {
		if value, is := strings.CutPrefix(line, name+"="); is {
			return value
		}
	}
	return ""
}

// dockerRun is the container that Docker makes by a command. dir is for its volumes without a name, which Docker fills with what the image has there: /tmp is
// everybody's, and a home its user's.
func dockerRun(command, dir string, image map[string]string) (*box, error) {
	b := &box{env: maps.Clone(image)}
	arguments := strings.Fields(command)[2:] // docker run
	for _, argument := range arguments[:len(arguments)-1] {
		flag, value, _ := strings.Cut(argument, "=")
		var err error
		switch flag {
		case "--user":
			user, _, _ := strings.Cut(value, ":")
			b.user, err = strconv.Atoi(user)
		case "--read-only":
			b.readOnly = true
		case "--mount":
			var m mount
			m, err = dockerMount(value, dir, b.user)
			b.mounts = append(b.mounts, m)
		case "--env-file":
			err = readVariables(value, b.env)
		case "--rm", "--name", "--publish", "--cap-drop", "--security-opt", "--memory", "--memory-swap", "--pids-limit", "--log-opt", "--attach":
		default:
			err = errors.New("the tests do not know it")
		}
		if err != nil {
			return nil, fmt.Errorf("docker run %s: %w", argument, err)
		}
	}
	slices.SortStableFunc(b.mounts, func(x, y mount) int { return len(x.target) - len(y.target) }) // as Docker mounts them: a directory before what is in it
	return b, nil
}

// dockerMount is one of a container, whose volumes without a name are in dir.
func dockerMount(description, dir string, user int) (mount, error) {
	values := map[string]string{}
	for _, pair := range strings.Split(description, ",") {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	m := mount{source: values["source"], target: values["destination"]}
	switch {
	case values["type"] == "bind" && m.source != "" && m.target != "":
		return m, nil
	case values["type"] != "volume" || m.source != "" || m.target == "":
		return m, errors.New("the tests know no such mount")
	}
	m.source = filepath.Join(dir, "volumes", m.target)
	if err := os.MkdirAll(m.source, 0o755); err != nil {
		return m, err
	}
	if m.target == "/tmp" {
		return m, os.Chmod(m.source, 0o777|os.ModeSticky)
	}
	return m, os.Chown(m.source, user, user)
}

// readVariables adds those of one of Docker's files.
func readVariables(file string, env map[string]string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	return nil
}
