package workflows

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	pinned   = regexp.MustCompile(`^[^@]+@[0-9a-f]{40}$`)
	usesLine = regexp.MustCompile(`(?m)^\s*(?:- )?uses: (\S+)(.*)$`)
	version  = regexp.MustCompile(`^ # v\d+\.\d+\.\d+$`)
)

// needed are the rights to write on GitHub that a job has for a script, and the rights of no other job.
var needed = map[string]string{
	"pull-requests": ".github/scripts/comment.sh",
	"issues":        ".github/scripts/drift.sh",
}

// sameRepository lets no fork's pull request through: whoever opens one would get the identity.
const sameRepository = "github.event.pull_request.head.repo.full_name == github.repository"

// Problems are what is wrong with a workflow, each with its job.
func Problems(w Workflow) []string {
	var found []string
	report := func(job, format string, args ...any) {
		at := w.Path
		if job != "" {
			at += ", job " + job
		}
		found = append(found, at+": "+fmt.Sprintf(format, args...))
	}
	called := len(w.On) == 1 && has(w.On, "workflow_call")
	text(w.Text, func(format string, args ...any) { report("", format, args...) })
	for _, event := range []string{"pull_request_target", "workflow_run", "issue_comment"} {
		if has(w.On, event) {
			report("", "%s gives what a stranger has written this repository's rights: write pull_request", event)
		}
	}
	if w.Permissions == nil {
		report("", "has no permissions: every job gets the repository's default ones; write `permissions: {}`, and what a job needs in the job")
	}
	for right, value := range w.Permissions {
		if value == "write" {
			report("", "%s: write for every job: give it to the job that needs it", right)
		}
	}
	for _, name := range w.jobs() {
		job := w.Jobs[name]
		report := func(format string, args ...any) { report(name, format, args...) }
		if w.Concurrency == nil && job.Concurrency == nil && job.Uses == "" && !called {
			report("has no concurrency: two runs meet on the same stack, comment or issue")
		}
		login(w, job, called, report)
		if job.Uses != "" {
			continue // what it calls has less, or the same
		}
		for _, right := range job.writes() {
			switch script := needed[right]; {
			case script == "":
				report("%s: write is used by nothing: remove it", right)
			case !job.runs(script):
				report("%s: write is for %s, which the job does not run: remove it", right, script)
			}
		}
		if job.Timeout == 0 {
			report("has no timeout-minutes: one that hangs costs six hours, and holds the stack")
		}
		if strings.HasSuffix(job.RunsOn, "-latest") {
			report("runs on %s, another image tomorrow: name its version", job.RunsOn)
		}
		for _, step := range job.Steps {
			checkStep(w, job, step, report)
		}
	}
	return found
}

func login(w Workflow, job Job, called bool, report func(string, ...any)) {
	if !job.hasLogin() {
		if job.runs("google-github-actions/") || job.runs("./.github/actions/set-up") {
			report("logs in to Google without id-token: write")
		}
		return
	}
	if job.Uses == "" && !job.runs("./.github/actions/set-up") {
		report("id-token: write, and no login to Google: remove it")
	}
	if job.Uses == "" && job.Environment == "" {
		report("logs in to Google outside of an environment: the identity asks for one")
	}
	if writes := job.writes(); len(writes) > 0 && job.Uses == "" {
		report("logs in to Google and may write %s: what it runs has both then; write from a job without login", strings.Join(writes, ", "))
	}
	if has(w.On, "pull_request") && (!strings.Contains(job.If, sameRepository) || strings.Contains(job.If, "||")) {
		report("logs in to Google for pull requests from forks: write `if: %s`, and no || beside it", sameRepository)
	}
	if !called && !strings.Contains(job.If, "vars.STACKS != ''") {
		report("fails in a repository that was not set up: add `if: vars.STACKS != ''`")
	}
	if c := job.Concurrency; job.Uses == "" && c != nil && c.Cancel != "false" {
		report("a newer run cuts this one off, in the middle of a deployment: write cancel-in-progress: false")
	}
	if c := w.Concurrency; c != nil && c.Cancel != "false" && !has(w.On, "pull_request") {
		report("a newer run cuts this one off, in the middle of what it does at Google: write cancel-in-progress: false")
	}
	for _, step := range job.Steps {
		if late.MatchString(step.If) && !strings.Contains(step.If, "steps.") && step.Run != "" {
			report("step %q runs although a step before it has failed, such as the one that looks whose commit this is: name the step that it follows, by "+
				"steps.<id>.outcome", step.Title())
		}
	}
}

// late is the condition of a step that runs after one that has failed.
var late = regexp.MustCompile(`always\(\)|failure\(\)|cancelled\(\)`)

func checkStep(w Workflow, job Job, step Step, report func(string, ...any)) {
	if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != "false" {
		report("step %q leaves GitHub's token in the checkout, where every later step reads it: write persist-credentials: false", step.Title())
	}
	if step.Uses != "" && !strings.HasPrefix(step.Uses, "./") && !pinned.MatchString(step.Uses) {
		report("%s is not pinned: write the commit, whoever may move the tag could run anything here", step.Uses)
	}
	if strings.HasPrefix(step.Uses, "actions/download-artifact@") && step.With["path"] == "" {
		report("step %q lays what another job has left over the checkout: give it a path of its own", step.Title())
	}
	if step.Run == "" {
		return
	}
	if strings.Contains(step.Run, "${{") {
		report("step %q has an expression in its script, which runs what somebody calls a branch: hand it over by env", step.Title())
	}
	if tells(step.Run) {
		report("step %q writes a secret into the log", step.Title())
	}
	for name, value := range step.Env {
		if strings.Contains(value, "github.token") && len(job.writes()) == 0 {
			report("step %q takes %s, and has nothing to write with it: remove it", step.Title(), name)
		}
	}
	if w.Defaults.Run.Shell != "bash" {
		report("step %q runs in a shell that goes on after the first command of a pipe has failed: write `defaults: {run: {shell: bash}}`", step.Title())
	}
}

var secret = regexp.MustCompile(`(echo|printf)[^\n]*\$\{?[A-Z_]*(TOKEN|SECRET|PASSWORD|PASSPHRASE|KEY)`)

// tells says whether a script writes a secret into the log.
func tells(script string) bool {
	return strings.Contains(script, "set -x") || secret.MatchString(script)
}

// ScriptProblems are what is wrong with a script that workflows run.
func ScriptProblems(path, script string) []string {
	var found []string
	report := func(format string, args ...any) { found = append(found, path+": "+fmt.Sprintf(format, args...)) }
	text(script, report)
	if tells(script) {
		report("writes a secret into the log")
	}
	if !strings.Contains(script, "\nset -euo pipefail\n") {
		report("goes on after a command has failed: write set -euo pipefail")
	}
	return found
}

// text are the rules for the text of workflows and actions alike.
func text(all string, report func(string, ...any)) {
	for _, found := range usesLine.FindAllStringSubmatch(all, -1) {
		switch uses, comment := found[1], found[2]; {
		case strings.HasPrefix(uses, "./"):
		case !pinned.MatchString(uses):
			report("%s is not pinned: write the commit, whoever may move the tag could run anything here", uses)
		case !version.MatchString(comment):
			report("%s does not say which version it is: write ` # vX.Y.Z` behind it", uses)
		}
	}
	for _, key := range []string{"credentials_json", "secrets.", "secrets: inherit", "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "GOOGLE_CREDENTIALS"} {
		if strings.Contains(all, key) {
			report("%s: a long-lived key. Identities are lent for the length of a job", key)
		}
	}
	if regexp.MustCompile(`:latest\b`).MatchString(all) {
		report(":latest is another image tomorrow")
	}
}

// ActionProblems are what is wrong with an action.
func ActionProblems(a Action) []string {
	var found []string
	report := func(format string, args ...any) { found = append(found, a.Path+": "+fmt.Sprintf(format, args...)) }
	text(a.Text, report)
	for _, step := range a.Runs.Steps {
		if strings.HasPrefix(step.Uses, "google-github-actions/setup-gcloud@") && step.With["version"] == "" {
			report("installs another gcloud tomorrow: write its version")
		}
	}
	return found
}

// Versions returns the commits of each action that is used.
func Versions(texts ...string) map[string][]string {
	out := map[string][]string{}
	for _, text := range texts {
		for _, found := range usesLine.FindAllStringSubmatch(text, -1) {
			name, commit, remote := strings.Cut(found[1], "@")
			if remote && !slices.Contains(out[name], commit) {
				out[name] = append(out[name], commit)
			}
		}
	}
	return out
}

func has(m map[string]any, key string) bool { _, ok := m[key]; return ok }
