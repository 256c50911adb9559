package stacks

import (
	"fmt"
	"net/netip"
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
	for name := range c.App.ExtraEnv {
		if err := openhands.CheckExtraEnv(name); err != nil {
			report(key+"extraEnv."+name, "%v", err)
		}
	}
	c.validateRuntime(report)
	c.validateAppSize(report)
	if err != nil {
		report(key+"release", "%v", err)
		return
	}
	if c.App.Image != "" {
		if err := release.CheckAppImage(c.App.Image); err != nil {
			report(key+"image", "%v", err)
		}
	}
	if c.App.SandboxImage != "" {
		if err := release.CheckSandboxImage(c.App.SandboxImage); err != nil {
			report(key+"sandboxImage", "%v", err)
		}
	}
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
	if u, err := url.Parse(c.App.RemoteRuntimeURL); c.App.RemoteRuntimeURL != "" {
		if err != nil || u.Scheme != "https" || u.Hostname() == "" {
			report(key+"remoteRuntimeUrl", "%q is not an https address", c.App.RemoteRuntimeURL)
		} else if ip, err := netip.ParseAddr(u.Hostname()); (u.Port() != "" && u.Port() != "443") || (err == nil && ip.IsPrivate()) {
			report(key+"remoteRuntimeUrl", "%q is out of reach: the application's NetworkPolicy lets it reach public addresses on port 443", c.App.RemoteRuntimeURL)
		}
	}
	if c.Sandboxes.CPULimit < c.Sandboxes.CPURequest {
		report("openhands:sandboxes.cpuLimit", "is %g, below cpuRequest (%g)", c.Sandboxes.CPULimit, c.Sandboxes.CPURequest)
	}
}

// validateAppSize refuses an application that no node of its pool has room for: its pod would stay pending.
func (c *Config) validateAppSize(report reporter) {
	m, err := parseMachineType(c.Cluster.AppPool.MachineType)
	if err != nil {
		return // of another family, or reported already
	}
	cpus, memory := m.allocatable()
	cpus, memory = cpus-systemCPU, memory-systemMemoryGiB
	if c.App.CPURequest > cpus || c.App.MemoryGiB > memory {
		report("openhands:app.memoryGiB", "the application asks for %g vCPU and %g GiB, and an %s has %.2f and %.1f left: choose a larger openhands:cluster.appPool.machineType, or a smaller application",
			c.App.CPURequest, c.App.MemoryGiB, c.Cluster.AppPool.MachineType, cpus, memory)
	}
}

// noState answers who asks for a disk of the server's.
const noState = "the server keeps nothing on a disk: sessions, settings and secrets are in the bucket, the rest is in the database"

// teachings are for keys that people expect and that do not exist, with the reason.
var teachings = map[string]string{
	"openhands:app.replicas":           openhands.OneReplica,
	"openhands:app.autoscaling":        openhands.OneReplica,
	"openhands:app.hpa":                openhands.OneReplica,
	"openhands:app.minReplicas":        openhands.OneReplica,
	"openhands:app.maxReplicas":        openhands.OneReplica,
	"openhands:app.stateSizeGb":        noState,
	"openhands:app.regionalState":      noState,
	"openhands:app.fileStore":          "there is one file store that keeps sessions: the program sets FILE_STORE=" + openhands.FileStore + " and FILE_STORE_PATH to its bucket. Any other value (gcs too) silently becomes memory",
	"openhands:app.bucket":             "the bucket is the program's own, and its name is generated: FILE_STORE_PATH",
	"openhands:exposure.iap":           "Identity-Aware Proxy is always on: write openhands:exposure.login.members. Whoever really wants no login finds the key in docs/configuration.md",
	"openhands:exposure.login.enabled": "the login is always on with mode gateway: write openhands:exposure.login.members",
	"openhands:exposure.cdn":           "an application behind a login that talks through WebSockets has nothing to cache",
	"openhands:app.llmApiKey":          "the web server ignores LLM_* variables: enter the key in the settings of the web page",
}

// teach explains a key that does not exist.
func teach(path string) (string, bool) {
	why, known := teachings[path]
	return fmt.Sprintf("no such key: %s", why), known
}
