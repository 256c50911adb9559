package stacks

import (
	"fmt"
	"slices"
	"strings"

	"openhands-gcp/release"
)

// belonging is a key, or a section of keys, that only some stacks have.
type belonging struct {
	path   string
	where  func(c *Config) bool
	reason string // why the others have it not, and what to write instead
}

func (c *Config) ofServer() bool  { return c.Line() == release.Server }
func (c *Config) isCanvas() bool  { return c.Line() == release.Canvas }
func (c *Config) onCluster() bool { return !c.Single() }

const (
	noDatabase = "line canvas has no database: an instance keeps everything on its volume. Remove it, or choose line server in openhands:app"
	noServer   = "line canvas has no server apart from the instances, whose sizes are in openhands:instances. Remove it"
	noSandbox  = "line canvas has no sandboxes: the agent works in the instance, whose size is in openhands:instances. Remove it"
	oneMachine = "profile single is one machine, without a cluster or what stands beside one: remove it, or choose profile dev or prod"
	noVariable = "an instance takes no variables: whatever is in it, its agent reads. Enter keys in the settings of its page, and remove it"
)

// belongings are all of them. A key of another line would have no effect, and somebody would rely on it.
var belongings = []belonging{
	{"openhands:machine", (*Config).Single, "it is for profile single, and this one has a cluster: remove it, or choose profile single"},
	{"openhands:cluster", (*Config).onCluster, oneMachine},
	{"openhands:sandboxes", (*Config).onCluster, oneMachine + ". The machine's own size is openhands:machine.machineType"},
	{"openhands:instances", (*Config).onCluster, oneMachine + ". Who may open the page is openhands:machine.members"},
	{"openhands:exposure", (*Config).onCluster, oneMachine + ". The page is reached through a tunnel, by those in openhands:machine.members"},
	{"openhands:iapClientSecret", (*Config).onCluster, oneMachine},
	{"openhands:observability", (*Config).onCluster, oneMachine},
	{"openhands:network.podsCidr", (*Config).onCluster, oneMachine},
	{"openhands:network.servicesCidr", (*Config).onCluster, oneMachine},
	{"openhands:network.controlPlaneCidr", (*Config).onCluster, oneMachine},
	{"openhands:app.doorImage", (*Config).onCluster, oneMachine + ". The tunnel is the door"},
	{"openhands:app.doorImageDigest", (*Config).onCluster, oneMachine + ". The tunnel is the door"},
	{"openhands:instances", (*Config).isCanvas, "line server is one installation for everybody: remove it, or choose line canvas in openhands:app"},
	{"openhands:database", (*Config).ofServer, noDatabase},
	{"openhands:network.peeringCidr", (*Config).ofServer, noDatabase},
	{
		"openhands:bucket", (*Config).ofServer,
		"line canvas has no bucket: an instance keeps everything on its volume. Remove it, or choose line server in openhands:app",
	},
	{"openhands:exposure.login.members", (*Config).ofServer, "with line canvas, each instance has its own people: write them in openhands:instances"},
	{
		"openhands:exposure.dangerouslyOpenToEveryoneWithoutLogin", (*Config).ofServer,
		"an instance of line canvas has a person's keys, and is not opened to everyone. Remove it",
	},
	{"openhands:app.runtime", (*Config).ofServer, noSandbox},
	{"openhands:app.sandboxImage", (*Config).ofServer, noSandbox},
	{"openhands:app.sandboxImageDigest", (*Config).ofServer, noSandbox},
	{"openhands:app.remoteRuntimeUrl", (*Config).ofServer, noSandbox},
	{"openhands:sandboxApiKey", (*Config).ofServer, noSandbox},
	{"openhands:app.cpuRequest", (*Config).ofServer, noServer},
	{"openhands:app.memoryGiB", (*Config).ofServer, noServer},
	{
		"openhands:app.egress", (*Config).ofServer,
		"line canvas has no server apart from the instances: what they may reach is openhands:sandboxes.egress",
	},
	{"openhands:app.extraEnv", (*Config).ofServer, noVariable},
	{"openhands:secretEnv", (*Config).ofServer, noVariable},
	{"openhands:sandboxes.max", (*Config).ofServer, noSandbox},
	{"openhands:sandboxes.warm", (*Config).ofServer, noSandbox},
	{"openhands:sandboxes.maxVolumes", (*Config).ofServer, noSandbox},
	{"openhands:sandboxes.volumeGiB", (*Config).ofServer, noSandbox},
	{"openhands:sandboxes.cpuRequest", (*Config).ofServer, noSandbox},
	{"openhands:sandboxes.cpuLimit", (*Config).ofServer, noSandbox},
	{"openhands:sandboxes.memoryRequestGiB", (*Config).ofServer, noSandbox},
}

// Has says whether a stack of this profile and line has a key, given by its path.
func (c *Config) Has(path string) bool {
	for _, b := range belongings {
		if !b.where(c) && (path == b.path || strings.HasPrefix(path, b.path+".")) {
			return false
		}
	}
	return true
}

// elsewhere reports the keys of a stack file that belong to other stacks.
func (c *Config) elsewhere(document map[string]any) []Problem {
	var problems []Problem
	for _, b := range belongings {
		if !b.where(c) && isSet(document, strings.Split(b.path, ".")) && !slices.ContainsFunc(problems, func(p Problem) bool { return p.Path == b.path }) {
			problems = append(problems, Problem{Path: b.path, Message: fmt.Sprintf("does not belong to this stack: %s", b.reason)})
		}
	}
	return problems
}

// isSet says whether a document has a value at a path. The empty objects and texts that Pulumi.yaml has as defaults are none.
func isSet(value any, path []string) bool {
	for _, step := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return false
		}
		if value, ok = object[step]; !ok {
			return false
		}
	}
	switch v := value.(type) {
	case map[string]any:
		return len(v) > 0
	case []any:
		return len(v) > 0
	case string:
		return v != ""
	}
	return value != nil
}
