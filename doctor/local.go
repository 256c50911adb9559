package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// leastKubectl is the first that speaks WebSocket, which the Connect gateway carries.
const leastKubectl = "v1.31"

// versionNumber is the first in what a command writes about itself.
var versionNumber = regexp.MustCompile(`v?([0-9]+\.[0-9]+(\.[0-9]+)?)`)

// tools looks for the commands that an `up`, and people after it, need on this machine.
func (e *exam) tools(ctx context.Context) []Finding {
	versions := map[string]string{}
	commands := [][]string{{"pulumi", "version"}, {"gcloud", "version"}}
	if !e.config.Single() {
		commands = append(commands, []string{"kubectl", "version", "--client"}, []string{"gke-gcloud-auth-plugin", "--version"})
	}
	var found []Finding
	for _, command := range commands {
		name := command[0]
		written, err := e.run(ctx, command...)
		switch {
		case err == nil:
			versions[name] = "v"
			if number := versionNumber.FindStringSubmatch(string(written)); number != nil {
				versions[name] = "v" + number[1]
			}
		case !errors.Is(err, exec.ErrNotFound):
			found = append(found, unknown("", "%s does not run: %v", name, err))
		case name == "pulumi":
			found = append(found, e.fails("curl -fsSL https://get.pulumi.com | sh -s -- --version "+e.PulumiVersion, nil, "the Pulumi CLI is not on PATH"))
		case name == "gke-gcloud-auth-plugin":
			found = append(found, e.fails("gcloud components install gke-gcloud-auth-plugin", []string{types.Namespace},
				"gke-gcloud-auth-plugin is not on PATH: nothing can be put into the cluster"))
		case name == "kubectl":
			found = append(found, later("gcloud components install kubectl", "kubectl is not on PATH: `up` does without, and people reach nothing by port-forward"))
		default:
			found = append(found, later("https://cloud.google.com/sdk/docs/install", "gcloud is not on PATH: `up` does without, and the outputs' commands do not"))
		}
	}
	if v := versions["pulumi"]; v != "" && v != "v"+e.PulumiVersion {
		found = append(found, later("curl -fsSL https://get.pulumi.com | sh -s -- --version "+e.PulumiVersion,
			"pulumi is %s, and this program is tested with %s", v[1:], e.PulumiVersion))
	}
	if v := versions["kubectl"]; v != "" && semver.Compare(v, leastKubectl) < 0 {
		found = append(found, later("gcloud components update kubectl",
			"kubectl is %s: the Connect gateway carries port-forward from %s on", v[1:], leastKubectl[1:]))
	}
	if len(found) == 0 {
		var all []string
		for _, command := range commands {
			all = append(all, strings.TrimSpace(command[0]+" "+strings.TrimPrefix(versions[command[0]], "v")))
		}
		found = append(found, ok("%s", strings.Join(all, ", ")))
	}
	return found
}

func (e *exam) run(ctx context.Context, command ...string) ([]byte, error) {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	written, err := e.Run(ctx, command[0], command[1:]...)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("no answer within %s", e.Patience)
	}
	return written, err
}

// state reads what the stack has already: names that it has itself are not taken. Nothing in it is decrypted.
func (e *exam) state(ctx context.Context) []Finding {
	stack := e.config.Stack
	exported, err := e.run(ctx, "pulumi", "stack", "export", "--stack", stack, "--non-interactive")
	if err != nil {
		text := err.Error()
		switch {
		case errors.Is(err, exec.ErrNotFound):
			return []Finding{unknown("", "the state could not be asked for without the Pulumi CLI")}
		case strings.Contains(text, "no stack named"):
			e.existing = map[string]bool{}
			return []Finding{e.fails("pulumi stack init "+stack+
				` --secrets-provider="gcpkms://projects/<project>/locations/<region>/keyRings/<ring>/cryptoKeys/<key>"`, nil, "the backend has no stack %s yet", stack)}
		}
		return []Finding{unknown("pulumi login gs://<bucket for the state>", "the state of stack %s cannot be read: %s", stack, firstLine(text))}
	}
	var export state.Export
	if err := json.Unmarshal(exported, &export); err != nil {
		return []Finding{unknown("", "the state of stack %s is not what `pulumi stack export` writes", stack)}
	}
	e.existing = map[string]bool{}
	count := 0
	for _, r := range export.Deployment.Resources {
		if !r.Custom || r.IsProvider() {
			continue
		}
		count++
		if name := fixedName(r); name != "" {
			e.existing[name] = true
		}
		e.created = e.created || slices.Contains([]string{types.Cluster, types.Instance}, r.Type)
	}
	if count == 0 {
		return []Finding{ok("the backend has stack %s, and nothing was created yet", stack)}
	}
	return []Finding{ok("stack %s exists already, with %s, whose names are its own", stack, counted(count, "resource"))}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// fixedName is what a resource is called where the name is the program's choice, and not generated: it can be taken. Empty for all others.
func fixedName(r state.Resource) string {
	inputs := values.Map(r.Inputs)
	switch r.Type {
	case types.Account:
		return "service account " + inputs.Str("accountId")
	case types.Repository:
		return "repository " + inputs.Str("repositoryId")
	case types.CustomRole:
		return "role " + inputs.Str("roleId")
	}
	return ""
}
