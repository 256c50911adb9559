package checks

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/types"
)

// launch is what the launcher of the server is told about the release.
type launch struct {
	Imports    []string
	Migrations map[string]struct{ Before, Instead string }

	StopsAtOnce      bool
	KeepAliveSeconds int
}

// needsLauncher is what the server of either runtime does not start without, as seen with the real application (docs/proven.md).
var needsLauncher = map[string]struct {
	imports    []string
	migrations []string
	variables  map[string]string
}{
	"kubernetes": {
		imports:    []string{"openhands.app_server.sandbox.process_sandbox_service", "openhands.app_server.sandbox.process_sandbox_spec_service"},
		migrations: []string{"002"},
		variables: map[string]string{
			"OH_SANDBOX_KIND": "ProcessSandboxServiceInjector", "OH_SANDBOX_SPEC_KIND": "ProcessSandboxSpecServiceInjector", "ENABLE_V1": "0",
		},
	},
	"remote": {
		migrations: []string{"002", "010"},
		variables:  map[string]string{"OH_FILE_STORE_KIND": "GoogleCloudFileStore", "DB_SSL_MODE": "require"},
	},
}

// launcher reads what the launcher is told, from the ConfigMap that is mounted where the server's command looks for it. found is false where there is none.
func (s *server) launcher() (l launch, found bool) {
	for _, container := range s.Spec.Template.Spec.Containers {
		if len(container.Command) != 2 || container.Command[0] != "python" {
			continue
		}
		for _, mount := range container.VolumeMounts {
			for _, volume := range s.Spec.Template.Spec.Volumes {
				if volume.Name != mount.Name || volume.ConfigMap == nil || mount.MountPath != path.Dir(container.Command[1]) {
					continue
				}
				o := s.Find(types.ConfigMap, s.Namespace+"/"+volume.ConfigMap.Name)
				if o == nil {
					continue
				}
				files := o.Inputs.Labels("data")
				if files[path.Base(container.Command[1])] != "" && json.Unmarshal([]byte(files["release.json"]), &l) == nil {
					return l, true
				}
			}
		}
	}
	return launch{}, false
}

// checkLauncher looks for what the server needs of its launcher to come up, and to stop without harm.
func (t *conversation) checkLauncher() {
	l, found := t.launcher()
	if !found {
		t.report("the server has no launcher: its own start command knows no kind of sandbox, and fails at its first migration")
		return
	}
	runtime := t.env["RUNTIME"]
	needs, known := needsLauncher[runtime]
	if !known {
		t.report("RUNTIME is %q: the server would start sandboxes with Docker, which its pod does not have", runtime)
		return
	}
	for _, module := range needs.imports {
		if !slices.Contains(l.Imports, module) {
			t.report("the server dies at its start: %s is not imported before it", module)
		}
	}
	for _, revision := range needs.migrations {
		if m := l.Migrations[revision]; m.Before == "" && m.Instead == "" {
			t.report("the server does not start on an empty database: nothing helps it over migration %s", revision)
		}
	}
	for name, value := range needs.variables {
		if t.env[name] != value {
			t.report("%s is %q, must be %q", name, t.env[name], value)
		}
	}
	if runtime == "kubernetes" && !l.StopsAtOnce {
		t.report("a stop signal reaches the server, and it deletes the volume of a conversation")
	}
	if bucket := t.env["OH_FILE_STORE_BUCKET_NAME"]; strings.HasPrefix(t.env["OH_FILE_STORE_KIND"], "Google") && bucket != t.env["FILE_STORE_PATH"] {
		t.report("OH_FILE_STORE_BUCKET_NAME is %q, and FILE_STORE_PATH %q: settings and events must be in one bucket", bucket, t.env["FILE_STORE_PATH"])
	}
}
