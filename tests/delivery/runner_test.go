//go:build delivery

package delivery

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/tests/workflows"
)

const root = "../.."

// runner is where the jobs run.
type runner struct {
	dir   string // the copy of the repository
	bin   string // what stands before everything in PATH
	calls string // what the stand-ins write down
	env   map[string]string
	cloud *engine.Engine // nil where no job asks for a stack
	all   map[string]workflows.Workflow
	ran   map[string]bool // steps, by workflow, job and title
}

// gh is GitHub's command line. It answers questions from the file $GH_ANSWERS by the real jq, and writes down every other call, with the text that is sent.
const gh = `#!/usr/bin/env bash
set -euo pipefail
query= method=GET
args=("$@")
for ((i = 0; i < ${#args[@]}; i++)); do
	case "${args[i]}" in
	--jq) query=${args[i + 1]} ;;
	--method) method=${args[i + 1]} ;;
	esac
done
[ -n "${GH_TOKEN:-}" ] || { echo "gh: no token" >&2; exit 4; }
if [ "$method" = GET ]; then
	jq --raw-output "$query" "$GH_ANSWERS"
	exit
fi
{
	printf '%s' "$method"
	for argument in "${args[@]:1}"; do
		case "$argument" in
		--method | "$method" | --field | --raw-field) ;;
		body=@*) printf ' body=\n'; cat "${argument#body=@}" ;;
		*) printf ' %s' "$argument" ;;
		esac
	done
	echo
} >> "$CALLS"
`

// recorded is a command that is only written down.
const recorded = `#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "$CALLS"
`

// newRunner copies the repository, as git has it and as it is now.
func newRunner(t *testing.T) *runner {
	t.Helper()
	absolute, err := filepath.Abs(root)
	require.NoError(t, err)
	r := &runner{dir: t.TempDir(), bin: t.TempDir(), env: map[string]string{}, all: map[string]workflows.Workflow{}, ran: map[string]bool{}}
	r.calls = filepath.Join(t.TempDir(), "calls")
	copying := exec.CommandContext(t.Context(), "bash", "-eo", "pipefail", "-c",
		`git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done |
			tar --null --files-from=- -c | tar -x -C "$1"`,
		"copy", r.dir)
	copying.Dir = absolute
	output, err := copying.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.NoError(t, os.MkdirAll(filepath.Join(r.dir, "bin"), 0o755))
	all, _, err := workflows.Read(root)
	require.NoError(t, err)
	for _, w := range all {
		r.all[w.Path] = w
	}
	r.command(t, "gh", gh)
	r.command(t, "gcloud", recorded)
	return r
}

// command puts a script before everything else of its name.
func (r *runner) command(t *testing.T, name, script string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(r.bin, name), []byte(script), 0o755))
}

// reach makes `pulumi` reach a stack on the simulated cloud.
func (r *runner) reach(t *testing.T, options engine.Options) {
	t.Helper()
	e, err := engine.New(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	r.cloud = e
	r.command(t, "pulumi", fmt.Sprintf("#!/usr/bin/env bash\ncd %q\nexec %q \"$@\"\n", e.Dir(), options.CLI))
}

// step is the step of a job that has a title, and the job.
func (r *runner) step(t *testing.T, file, job, title string) (workflows.Job, workflows.Step) {
	t.Helper()
	j, ok := r.all[file].Jobs[job]
	require.True(t, ok, "%s has no job %s", file, job)
	i := slices.IndexFunc(j.Steps, func(s workflows.Step) bool { return s.Run != "" && s.Title() == title })
	require.GreaterOrEqual(t, i, 0, "%s, job %s has no step %q", file, job, title)
	return j, j.Steps[i]
}

// start begins a step as a runner of GitHub does. Values of the workflow's expressions are those of env.
func (r *runner) start(t *testing.T, file, job, title string, env map[string]string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	j, step := r.step(t, file, job, title)
	shell := r.all[file].Defaults.Run.Shell
	r.ran[file+" "+job+" "+title] = true
	cmd := exec.CommandContext(t.Context(), shell, "--noprofile", "--norc", "-eo", "pipefail", "-c", step.Run)
	cmd.Dir = r.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = os.Environ()
	if r.cloud != nil {
		cmd.Env = r.cloud.Environ()
	}
	values := maps.Clone(r.env)
	maps.Copy(values, env)
	for _, wanted := range []map[string]string{j.Env, step.Env} {
		for name, value := range wanted {
			if _, given := values[name]; !given && strings.Contains(value, "${{") {
				require.Contains(t, []string{"PULUMI_BACKEND_URL"}, name, "%s, job %s, step %q wants %s", file, job, title, name)
			}
		}
	}
	for name, value := range values {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, "PATH="+r.bin+":"+os.Getenv("PATH"), "CALLS="+r.calls, "CI=true")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	return cmd, &output
}

// run runs a step to its end.
func (r *runner) run(t *testing.T, file, job, title string, env map[string]string) (string, error) {
	t.Helper()
	cmd, output := r.start(t, file, job, title, env)
	err := cmd.Wait()
	return output.String(), err
}

// must runs a step that has to pass.
func (r *runner) must(t *testing.T, file, job, title string, env map[string]string) string {
	t.Helper()
	output, err := r.run(t, file, job, title, env)
	require.NoError(t, err, "%s, job %s, step %q\n%s", file, job, title, output)
	return output
}

// called returns what the stand-ins wrote down since the last time.
func (r *runner) called(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(r.calls)
	if os.IsNotExist(err) {
		return ""
	}
	require.NoError(t, err)
	require.NoError(t, os.Remove(r.calls))
	return string(raw)
}

// write writes a file of the copy.
func (r *runner) write(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(r.dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

func (r *runner) read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(r.dir, name))
	require.NoError(t, err)
	return string(raw)
}
