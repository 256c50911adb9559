//go:build delivery

package delivery

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/rehearsal/types"
)

// notRun are the steps that nothing here runs, with what runs it, or why nothing does.
var notRun = map[string]string{
	"test.yml test make test":                                     "the tests that run this one",
	"test.yml test make rehearse":                                 ".ci/run",
	"test.yml everything sudo env \"PATH=$PATH\" CI=true .ci/run": "it is .ci/run",
	"deploy-stack.yml deploy Check":                               "it asks a deployment on Google Cloud; tests/app runs it on the real application",
	"images.yml images Tools":                                     "make bin/crane and bin/images run here; trivy takes many minutes to compile",
}

// TestDelivery plays what happens to a change: it is planned, reported, deployed, cut off, looked after.
func TestDelivery(t *testing.T) {
	r := newRunner(t)
	options := built(t)
	options.Stack = "dev"
	r.env["STACK"] = options.Stack
	t.Run("Images", func(t *testing.T) { images(t, r) })
	t.Run("Fork", func(t *testing.T) { fork(t, r) })
	r.reach(t, options)
	require.NoError(t, r.cloud.SetConfig(t.Context(), "openhands:app.release", "0.60.0"))
	t.Run("PullRequest", func(t *testing.T) { pullRequest(t, r) })
	t.Run("Deployment", func(t *testing.T) { deployment(t, r) })
	t.Run("Drift", func(t *testing.T) { drift(t, r) })
	t.Run("Release", func(t *testing.T) { release(t, r) })
	t.Run("EveryStep", func(t *testing.T) {
		for file, w := range r.all {
			for name, job := range w.Jobs {
				for _, step := range job.Steps {
					key := file + " " + name + " " + step.Title()
					if step.Run == "" || r.ran[key] {
						assert.NotContains(t, notRun, key, "it is run")
						continue
					}
					assert.Contains(t, notRun, key, "no test runs this step")
				}
			}
		}
	})
}

func built(t *testing.T) engine.Options {
	t.Helper()
	absolute, err := filepath.Abs(root)
	require.NoError(t, err)
	options := engine.Options{Root: absolute, Output: io.Discard}
	require.NoError(t, options.Build(t.Context()))
	return options
}

// pullRequest plans a stack that does not exist yet, and comments twice: the second time on the same comment.
func pullRequest(t *testing.T, r *runner) {
	answers := filepath.Join(t.TempDir(), "comments.json")
	comment := map[string]string{"GH_TOKEN": "token", "GH_ANSWERS": answers, "PULL_REQUEST": "7", "RUN_URL": "https://example.com/run", "GITHUB_REPOSITORY": "o/r"}
	r.must(t, "preview-stack.yml", "plan", "Plan", nil)
	r.write(t, "plan/preview.json", r.read(t, "preview.json"))
	r.write(t, "proposed/approvals.yaml", r.read(t, "approvals.yaml"))
	r.must(t, "preview-stack.yml", "report", "Report", nil)
	report := r.read(t, "comment.md")
	assert.True(t, strings.HasPrefix(report, "<!-- openhands-preview:dev -->\n"), report[:min(len(report), 300)])

	// Somebody else's comment that begins alike is not touched.
	marker := `<!-- openhands-preview:dev -->`
	others := `[{"id": 1, "user": {"login": "ann"}, "body": "` + marker + `"},
		{"id": 2, "user": {"login": "github-actions[bot]"}, "body": "<!-- openhands-preview:prod -->"}]`
	require.NoError(t, os.WriteFile(answers, []byte(others), 0o600))
	r.must(t, "preview-stack.yml", "report", "Comment", comment)
	assert.Contains(t, r.called(t), "POST repos/o/r/issues/7/comments body=\n"+report)
	require.NoError(t, os.WriteFile(answers, []byte(`[{"id": 3, "user": {"login": "github-actions[bot]"}, "body": "`+marker+`\nold"}]`), 0o600))
	r.must(t, "preview-stack.yml", "report", "Comment", comment)
	assert.Contains(t, r.called(t), "PATCH repos/o/r/issues/comments/3 body=\n"+report)

	// No plan: the comment says so, and the old report is gone. A text that the next run would not find is refused.
	r.write(t, "comment.md", "")
	r.must(t, "preview-stack.yml", "report", "Comment", comment)
	assert.Contains(t, r.called(t), "**No report**: the plan ended before it said anything. [The run](https://example.com/run)")
	r.write(t, "comment.md", "anything\n")
	output, err := r.run(t, "preview-stack.yml", "report", "Comment", comment)
	require.Error(t, err)
	assert.Contains(t, output, "the next run would not find its comment")
	assert.Empty(t, r.called(t))

	// A plan that fails is reported as one.
	r.write(t, "plan/preview.json", "{")
	output, err = r.run(t, "preview-stack.yml", "report", "Report", nil)
	require.Error(t, err, output)
}

// deployment deploys the stack: it is cut off in the middle, as by a cancelled run, and goes on.
func deployment(t *testing.T, r *runner) {
	summary := map[string]string{"GITHUB_STEP_SUMMARY": filepath.Join(t.TempDir(), "summary.md")}
	r.must(t, "deploy-stack.yml", "deploy", "Plan", nil)
	r.must(t, "deploy-stack.yml", "deploy", "Report", summary)
	written, err := os.ReadFile(summary["GITHUB_STEP_SUMMARY"])
	require.NoError(t, err)
	assert.Contains(t, string(written), "<!-- openhands-preview:dev -->")

	assert.Equal(t, "The release stays.\n", r.must(t, "deploy-stack.yml", "deploy", "Backup", nil))
	callOff := r.cloud.Cloud.Stall(types.Cluster)
	up, output := r.start(t, "deploy-stack.yml", "deploy", "Deploy", nil)
	settled(t, r)
	require.NoError(t, syscall.Kill(-up.Process.Pid, syscall.SIGKILL))
	require.Error(t, up.Wait())
	callOff()
	text, err := r.run(t, "deploy-stack.yml", "deploy", "Deploy", nil)
	require.Error(t, err, "the lock of the one that was cut off is gone:\n%s\n%s", output, text)
	require.Contains(t, text, "the stack is currently locked")
	r.must(t, "deploy-stack.yml", "deploy", "Let go of the lock", nil)
	r.must(t, "deploy-stack.yml", "deploy", "Deploy", nil)
	assert.True(t, has(r, types.Cluster))

	r.must(t, "deploy-stack.yml", "deploy", "Way back", summary)
	written, err = os.ReadFile(summary["GITHUB_STEP_SUMMARY"])
	require.NoError(t, err)
	assert.Regexp(t, "stack `dev` and, as commit, the last one that was deployed well: `[0-9a-f]{40}`", string(written))
}

// settled waits until the database is there, and nothing else is being made: what Google has made, and Pulumi has not written down, is made a second time.
func settled(t *testing.T, r *runner) {
	t.Helper()
	count, since := 0, time.Now()
	require.Eventually(t, func() bool {
		if now := len(r.cloud.Cloud.List()); now != count {
			count, since = now, time.Now()
		}
		return has(r, types.SQLInstance) && time.Since(since) > 3*time.Second
	}, 3*time.Minute, 50*time.Millisecond, "the deployment did not get to the database")
}

// tell hands what was found to the job that writes the issue.
func (r *runner) tell(t *testing.T, env map[string]string) {
	t.Helper()
	r.write(t, "found/drift.txt", r.read(t, "drift.txt"))
	r.must(t, "drift.yml", "tell", "Issue", env)
}

func has(r *runner, typ string) bool {
	for _, entry := range r.cloud.Cloud.List() {
		if entry.Type == types.Short(typ) {
			return true
		}
	}
	return false
}

// drift looks at the stack that was deployed: nothing differs, then somebody deletes an alert, then it is back.
func drift(t *testing.T, r *runner) {
	answers := filepath.Join(t.TempDir(), "issues.json")
	env := map[string]string{"GH_TOKEN": "token", "GH_ANSWERS": answers, "RUN_URL": "https://example.com/run", "GITHUB_REPOSITORY": "o/r"}
	open := func(issues string) { require.NoError(t, os.WriteFile(answers, []byte(issues), 0o600)) }
	const none = `[{"number": 4, "title": "Stack dev is not what its state says", "pull_request": {}},
		{"number": 5, "title": "Stack prod is not what its state says"}]`
	const one = `[{"number": 6, "title": "Stack dev is not what its state says"}]`

	open(none)
	r.must(t, "drift.yml", "look", "Look", nil)
	r.tell(t, env)
	assert.Empty(t, r.called(t), "nothing differs, and no issue is open")

	i := -1
	entries := r.cloud.Cloud.List()
	for at, entry := range entries {
		if entry.Type == types.Short(types.Alert) {
			i = at
		}
	}
	require.GreaterOrEqual(t, i, 0)
	require.NoError(t, r.cloud.Cloud.Delete(types.Alert, "", entries[i].ID))
	output, err := r.run(t, "drift.yml", "look", "Look", nil)
	require.Error(t, err, output)
	r.tell(t, env)
	opened := r.called(t)
	assert.Contains(t, opened, "POST repos/o/r/issues title=Stack dev is not what its state says body=\n")
	assert.Contains(t, opened, "AlertPolicy")
	assert.NotContains(t, opened, "secret-")
	open(one)
	r.tell(t, env)
	assert.Contains(t, r.called(t), "PATCH repos/o/r/issues/6 body=\n")

	r.must(t, "deploy-stack.yml", "deploy", "Deploy", nil) // which does not know that it is gone
	_, err = r.cloud.Run(t.Context(), "refresh", "--yes", "--skip-preview")
	require.NoError(t, err)
	r.must(t, "deploy-stack.yml", "deploy", "Deploy", nil)
	r.must(t, "drift.yml", "look", "Look", nil)
	r.tell(t, env)
	closed := r.called(t)
	assert.Contains(t, closed, "POST repos/o/r/issues/6/comments body=Nothing differs any more: https://example.com/run --silent\n")
	assert.Contains(t, closed, "PATCH repos/o/r/issues/6 state=closed --silent\n")
}

// release brings the stack another release of OpenHands: its database is backed up first.
func release(t *testing.T, r *runner) {
	require.NoError(t, r.cloud.SetConfig(t.Context(), "openhands:app.release", "0.62.0"))
	r.must(t, "deploy-stack.yml", "deploy", "Plan", nil)
	r.must(t, "deploy-stack.yml", "deploy", "Backup", nil)
	var databases []string
	for _, entry := range r.cloud.Cloud.List() {
		if entry.Type == types.Short(types.SQLInstance) {
			databases = append(databases, entry.ID[strings.LastIndex(entry.ID, "/")+1:])
		}
	}
	require.Len(t, databases, 1)
	assert.Equal(t, "gcloud sql backups create --quiet --instance="+databases[0]+" --description=before another release of OpenHands\n", r.called(t))
	r.must(t, "deploy-stack.yml", "deploy", "Deploy", nil)
	r.must(t, "deploy-stack.yml", "deploy", "Plan", nil)
	assert.Equal(t, "The release stays.\n", r.must(t, "deploy-stack.yml", "deploy", "Backup", nil))
	assert.Empty(t, r.called(t))
}

// fork is a change of somebody who has no credentials.
func fork(t *testing.T, r *runner) {
	git := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		cmd.Dir = r.dir
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, "git %v\n%s", args, output)
		return strings.TrimSpace(string(output))
	}
	git("init", "--quiet", "--initial-branch=main")
	git("add", "--all")
	git("commit", "--quiet", "--message=before")
	before := git("rev-parse", "HEAD")
	git("update-ref", "refs/remotes/origin/main", before)
	plan := r.read(t, "tests/golden/dev.plan")
	stack := r.read(t, "Pulumi.dev.yaml")
	r.write(t, "Pulumi.dev.yaml", stack+"\n  openhands:database:\n    tier: db-custom-1-3840\n")
	r.write(t, "tests/golden/dev.plan", plan+"a line that is new\n")
	git("commit", "--quiet", "--all", "--message=after")
	env := map[string]string{"BASE": before, "GITHUB_STEP_SUMMARY": filepath.Join(t.TempDir(), "summary.md")}

	for _, name := range []string{"pulumi", "openhands"} { // what is built already
		built, err := os.ReadFile(filepath.Join(root, "bin", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, "bin", name), built, 0o755))
	}
	r.must(t, "preview.yml", "fork", "Rehearse", env)
	r.must(t, "preview.yml", "fork", "Summary", env)
	summary, err := os.ReadFile(env["GITHUB_STEP_SUMMARY"])
	require.NoError(t, err)
	assert.Contains(t, string(summary), "<!-- openhands-preview:dev -->")
	assert.Contains(t, string(summary), "restarts on another machine")
	assert.Contains(t, string(summary), "+a line that is new\n")

	// Only what is of main is deployed; what else is asked for is not even checked out.
	after := git("rev-parse", "HEAD")
	for wanted, reason := range map[string]string{
		after: "is not of main", "main": "is not of main", "": "is not of main", "nothing": "there is no commit nothing",
	} {
		output, err := r.run(t, "deploy-stack.yml", "deploy", "Commit", map[string]string{"COMMIT": wanted})
		require.Error(t, err)
		assert.Contains(t, output, reason)
		assert.Equal(t, after, git("rev-parse", "HEAD"))
	}
	r.must(t, "deploy-stack.yml", "deploy", "Commit", map[string]string{"COMMIT": before})
	assert.Equal(t, before, git("rev-parse", "HEAD"))
	r.must(t, "deploy-stack.yml", "deploy", "Commit", map[string]string{"COMMIT": ""})
	git("checkout", "--quiet", "main")

	r.write(t, "Pulumi.dev.yaml", stack)
	r.write(t, "tests/golden/dev.plan", plan)
}

// images copies a release between registries, and refuses what does not pass the gate or was moved.
func images(t *testing.T, r *runner) {
	make := exec.CommandContext(t.Context(), "make", "bin/crane", "bin/images")
	make.Dir = r.dir
	output, err := make.CombinedOutput()
	require.NoError(t, err, "%s", output)
	crane := filepath.Join(r.dir, "bin/crane")
	upstream, own := registry(t, crane), registry(t, crane)+"/project/images"
	require.NoError(t, os.Rename(filepath.Join(r.dir, "bin/images"), filepath.Join(r.dir, "bin/images-of-the-world")))
	r.write(t, "bin/images", "#!/usr/bin/env bash\nset -euo pipefail\nbin/images-of-the-world \"$@\" | sed -E 's,^(ghcr|docker)\\.io,"+upstream+",'\n")
	r.write(t, "bin/trivy", recorded+
		"grep -q \"${VULNERABLE:-nothing}\" <<< \"$*\" && [[ \"$*\" != *cyclonedx* ]] && { echo 'CVE-2026-1 CRITICAL' >&2; exit 1; }\nexit 0\n")
	for _, name := range []string{"bin/images", "bin/trivy"} {
		require.NoError(t, os.Chmod(filepath.Join(r.dir, name), 0o755))
	}
	push := func(reference, content string) string {
		layer := filepath.Join(t.TempDir(), "layer.tar")
		for _, args := range [][]string{
			{"tar", "-cf", layer, "--transform", "s,.*," + content + ",", os.DevNull},
			{crane, "append", "--new_layer", layer, "--new_tag", reference},
		} {
			output, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
			require.NoError(t, err, "%s", output)
		}
		digest, err := exec.CommandContext(t.Context(), crane, "digest", reference).Output()
		require.NoError(t, err)
		return strings.TrimSpace(string(digest))
	}
	app := push(upstream+"/openhands/openhands:0.62.0", "app")
	push(upstream+"/openhands/runtime:0.62-nikolaik", "runtime")
	push(upstream+"/envoyproxy/envoy:distroless-v1.40.0", "envoy")
	env := func() map[string]string {
		return map[string]string{
			"RELEASE": "0.62.0", "REF": "refs/tags/0.62.0", "IMAGES_REPOSITORY": own, "GITHUB_STEP_SUMMARY": filepath.Join(t.TempDir(), "summary.md"),
		}
	}

	vulnerable := env()
	vulnerable["VULNERABLE"] = "openhands/runtime"
	text, err := r.run(t, "images.yml", "images", "Copy", vulnerable)
	require.Error(t, err)
	assert.Contains(t, text, "CVE-2026-1 CRITICAL")
	require.Error(t, exec.CommandContext(t.Context(), crane, "digest", own+"/openhands/runtime:0.62-nikolaik").Run(), "it was copied all the same")
	r.called(t)

	r.must(t, "images.yml", "images", "Log in to the repository", env())
	assert.Contains(t, r.called(t), "gcloud auth configure-docker --quiet "+strings.Split(own, "/")[0]+"\n")
	for range 2 { // the second time, the copies are there
		good := env()
		r.must(t, "images.yml", "images", "Copy", good)
		summary, err := os.ReadFile(good["GITHUB_STEP_SUMMARY"])
		require.NoError(t, err)
		assert.Contains(t, string(summary), "  openhands:app:\n    image: "+own+"/openhands/openhands@"+app+"\n    sandboxImage: ")
		copied, err := exec.CommandContext(t.Context(), crane, "digest", own+"/openhands/openhands:0.62.0").Output()
		require.NoError(t, err)
		assert.Equal(t, app, strings.TrimSpace(string(copied)))
		calls := r.called(t)
		assert.Contains(t, calls, "trivy image --quiet --format cyclonedx --output sbom/openhands.cdx.json "+upstream+"/openhands/openhands@"+app)
		assert.Contains(t, calls, "--severity CRITICAL --ignore-unfixed --ignorefile .trivyignore.yaml --exit-code 1 "+upstream+"/openhands/openhands@"+app)
	}
	push(upstream+"/openhands/openhands:0.62.0", "somethingelse")
	text, err = r.run(t, "images.yml", "images", "Copy", env())
	require.Error(t, err)
	assert.Contains(t, text, "somebody has moved its tag")
	r.called(t)

	// What docker builds is not built here: it is pushed by the test, under the name that it would have.
	source := filepath.Join(r.dir, "source")
	for _, args := range [][]string{
		{"init", "--quiet", source},
		{"-C", source, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--allow-empty", "--message=source"},
	} {
		output, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput()
		require.NoError(t, err, "%s", output)
	}
	commit, err := exec.CommandContext(t.Context(), "git", "-C", source, "rev-parse", "HEAD").Output()
	require.NoError(t, err)
	name := own + "/openhands/openhands:0.62.0-" + string(commit[:7])
	digest := push(name, "built")
	r.command(t, "docker", recorded)
	good := env()
	r.must(t, "images.yml", "images", "Build", good)
	summary, err := os.ReadFile(good["GITHUB_STEP_SUMMARY"])
	require.NoError(t, err)
	assert.Contains(t, string(summary), "    image: "+own+"/openhands/openhands@"+digest+"\n")
	calls := r.called(t)
	assert.Contains(t, calls, "--tag "+name+" source\n")
	assert.Less(t, strings.Index(calls, "--exit-code 1 "+name), strings.Index(calls, "docker push "+name), "it is pushed before it has passed the gate")
	require.NoError(t, os.RemoveAll(source))
}

// registry starts an empty registry, and returns its host.
func registry(t *testing.T, crane string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), crane, "registry", "serve", "--address", "127.0.0.1:0")
	output, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // it says that it was killed
	})
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if _, port, found := strings.Cut(lines.Text(), "serving on port "); found {
			return "127.0.0.1:" + port
		}
	}
	require.Fail(t, "the registry does not start")
	return ""
}
