package stacks

import (
	"fmt"
	"net/url"

	"openhands-gcp/openhands"
)

// Release is the configured release. The zero Release where validate has a problem with it to report.
func (c *Config) Release() openhands.Release {
	release, err := openhands.Lookup(c.App.Release, openhands.Runtime(c.App.Runtime))
	if err != nil {
		return openhands.Release{}
	}
	return release
}

// RunsSandboxes says whether conversations run in pods of this cluster.
func (c *Config) RunsSandboxes() bool { return c.App.Runtime == string(openhands.Kubernetes) }

func (c *Config) validateApp(report reporter) {
	const key = "openhands:app."
	release, err := openhands.Lookup(c.App.Release, openhands.Runtime(c.App.Runtime))
	if err != nil {
		report(key+"release", "%v", err)
		return
	}
	if c.App.Image != "" {
		if err := openhands.CheckImage(c.App.Image); err != nil {
			report(key+"image", "%v", err)
		}
	}
	if c.App.SandboxImage != "" {
		if err := release.CheckSandboxImage(c.App.SandboxImage); err != nil {
			report(key+"sandboxImage", "%v", err)
		}
	}
	for name := range c.App.ExtraEnv {
		if err := openhands.CheckExtraEnv(name); err != nil {
			report(key+"extraEnv."+name, "%v", err)
		}
	}
	c.validateRuntime(report)
	// The server keeps a few connections for its administrators, and a rolling change of the database needs some more.
	const reserved = 10
	if budget := release.Connections + reserved; c.Database.MaxConnections < budget {
		report("openhands:database.maxConnections", "is %d, but one process of OpenHands opens up to %d connections, and %d are kept for administration: write at least %d",
			c.Database.MaxConnections, release.Connections, reserved, budget)
	}
}

func (c *Config) validateRuntime(report reporter) {
	const key = "openhands:app."
	remote := c.App.Runtime == string(openhands.Remote)
	for path, value := range map[string]string{key + "remoteRuntimeUrl": c.App.RemoteRuntimeURL, "openhands:sandboxApiKey": c.SandboxAPIKey} {
		switch {
		case remote && value == "":
			report(path, "is missing: runtime remote needs a runtime API that you bring")
		case !remote && value != "":
			report(path, "has no effect with runtime %s: remove it, or set openhands:app.runtime to remote", c.App.Runtime)
		}
	}
	if u, err := url.Parse(c.App.RemoteRuntimeURL); c.App.RemoteRuntimeURL != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		report(key+"remoteRuntimeUrl", "%q is not an https address", c.App.RemoteRuntimeURL)
	}
	if c.Sandboxes.CPULimit < c.Sandboxes.CPURequest {
		report("openhands:sandboxes.cpuLimit", "is %g, below cpuRequest (%g)", c.Sandboxes.CPULimit, c.Sandboxes.CPURequest)
	}
}

// teachings are for keys that people expect and that do not exist, with the reason.
var teachings = map[string]string{
	"openhands:app.replicas":    openhands.SingleProcess,
	"openhands:app.autoscaling": openhands.SingleProcess,
	"openhands:app.hpa":         openhands.SingleProcess,
	"openhands:app.minReplicas": openhands.SingleProcess,
	"openhands:app.maxReplicas": openhands.SingleProcess,
	"openhands:app.fileStore":   "there is one file store that keeps sessions: the program sets FILE_STORE=" + openhands.FileStore + " and FILE_STORE_PATH to its bucket. Any other value (gcs too) silently becomes memory",
	"openhands:app.bucket":      "the bucket is the program's own, and its name is generated: FILE_STORE_PATH",
	"openhands:app.llmApiKey":   "the web server ignores LLM_* variables: enter the key in the settings of the web page",
}

// teach explains a key that does not exist.
func teach(path string) (string, bool) {
	why, known := teachings[path]
	return fmt.Sprintf("no such key: %s", why), known
}
