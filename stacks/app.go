package stacks

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"openhands-gcp/infra/app"
	"openhands-gcp/infra/app/door"
	"openhands-gcp/release"
)

// Release is the configured release. The zero Release where validate has a problem with it to report.
func (c *Config) Release() release.Release {
	line, err := release.Lookup(c.Line(), c.App.Release, release.Runtime(c.App.Runtime))
	if err != nil {
		return release.Release{}
	}
	return line
}

// Line is the configured line.
func (c *Config) Line() release.Line { return release.Line(c.App.Line) }

// RunsSandboxes says whether conversations run in pods of this cluster.
func (c *Config) RunsSandboxes() bool { return c.App.Runtime == string(release.Kubernetes) }

func (c *Config) validateApp(report reporter) {
	const key = "openhands:app."
	line, err := release.Lookup(c.Line(), c.App.Release, release.Runtime(c.App.Runtime))
	if c.Line() == release.Server {
		c.validateEnv(report)
		c.validateRuntime(report)
		c.validateAppSize(report)
	}
	if c.App.DoorImage != "" {
		if err := release.CheckImage(c.App.DoorImage); err != nil {
			report(key+"doorImage", "%v", err)
		}
	}
	if err != nil {
		report(key+"release", "%v", err)
		return
	}
	if c.App.Image != "" {
		if err := line.CheckAppImage(c.App.Image); err != nil {
			report(key+"image", "%v. The release is that of openhands:app.release", err)
		}
	}
	if c.App.SandboxImage != "" {
		if err := line.CheckSandboxImage(c.App.SandboxImage); err != nil {
			report(key+"sandboxImage", "%v. The release is that of openhands:app.release", err)
		}
	}
	c.validateDigests(report)
	if line.UsesDatabase() {
		c.validateConnections(report, line)
	}
}

// validateEnv checks the names of the user's variables. A value is never part of a message.
func (c *Config) validateEnv(report reporter) {
	for prefix, variables := range map[string]map[string]string{"openhands:app.extraEnv.": c.App.ExtraEnv, "openhands:secretEnv.": c.SecretEnv} {
		for name := range variables {
			if err := release.CheckVariable(name); err != nil {
				report(prefix+name, "%v: %s", err, insteadOf(name))
			}
		}
	}
	for name, value := range c.App.ExtraEnv {
		if _, twice := c.SecretEnv[name]; twice {
			report("openhands:app.extraEnv."+name, "is in openhands:secretEnv too: remove one of them")
		}
		if u, err := url.Parse(value); release.NamesSecret(name) || (err == nil && u.User != nil) {
			report("openhands:app.extraEnv."+name, "looks like a secret, and would lie in clear in the stack file, the state and a ConfigMap: remove "+
				"it, and run `pulumi config set --secret --path openhands:secretEnv.%s`", name)
		}
	}
}

// validateDigests checks the digests of the release's images.
func (c *Config) validateDigests(report reporter) {
	for _, i := range []struct{ key, digest, image string }{
		{"openhands:app.imageDigest", c.App.ImageDigest, c.App.Image}, {"openhands:app.sandboxImageDigest", c.App.SandboxImageDigest, c.App.SandboxImage},
		{"openhands:app.doorImageDigest", c.App.DoorImageDigest, c.App.DoorImage},
	} {
		if i.digest == "" {
			continue
		}
		if err := release.CheckDigest(i.digest); err != nil {
			report(i.key, "%v", err)
		}
		if i.image != "" {
			report(i.key, "is of the release's image, and %s is configured in its place: write %[1]s@%s there, and remove this", i.image, i.digest)
		}
	}
	if c.App.SandboxImageDigest != "" && !c.RunsSandboxes() {
		report("openhands:app.sandboxImageDigest", "has no effect with runtime %s: its sandboxes are elsewhere", c.App.Runtime)
	}
}

// Image is an image that the stack runs.
type Image struct {
	Key       string // of the stack file, which names another one
	Reference string // with its registry
	// released says that it is the release's, which is pulled through a mirror.
	released bool
}

// Pinned says whether it is named by a digest.
func (i Image) Pinned() bool { return strings.Contains(i.Reference, "@") }

// Images are those that the stack runs.
func (c *Config) Images() []Image {
	type source struct {
		key, configured, digest, registry string
		released                          release.Image
	}
	sources := []source{
		{"openhands:app.image", c.App.Image, c.App.ImageDigest, "ghcr.io", c.Release().Image},
		{"openhands:app.sandboxImage", c.App.SandboxImage, c.App.SandboxImageDigest, "ghcr.io", c.Release().SandboxImage},
		{"openhands:app.doorImage", c.App.DoorImage, c.App.DoorImageDigest, "docker.io", door.Image},
	}
	if c.Single() {
		sources = sources[:1]
	}
	var images []Image
	for _, s := range sources {
		switch {
		case s.configured != "":
			images = append(images, Image{Key: s.key, Reference: s.configured})
		case s.released.Name != "":
			images = append(images, Image{Key: s.key, Reference: s.registry + "/" + s.released.Pinned(s.digest).String(), released: true})
		}
	}
	return images
}

// unpinned are the keys that would pin the images which a tag names, with those images.
func (c *Config) unpinned() map[string]string {
	out := map[string]string{}
	for _, image := range c.Images() {
		key := image.Key
		if image.released {
			key += "Digest"
		}
		if !image.Pinned() {
			out[key] = image.Reference
		}
	}
	return out
}

func (c *Config) validateRuntime(report reporter) {
	const key = "openhands:app."
	remote := c.App.Runtime == string(release.Remote)
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
			report(
				key+"remoteRuntimeUrl", "%q is out of reach: the application's NetworkPolicy lets it reach public addresses on port 443",
				c.App.RemoteRuntimeURL,
			)
		}
	}
	if c.Sandboxes.CPULimit < c.Sandboxes.CPURequest {
		report("openhands:sandboxes.cpuLimit", "is %g, below cpuRequest (%g)", c.Sandboxes.CPULimit, c.Sandboxes.CPURequest)
	}
}

// validateAppSize refuses an application that no node of its pool has room for: its pod would stay pending.
func (c *Config) validateAppSize(report reporter) {
	m, err := parseAppMachine(c.Cluster.AppPool.MachineType)
	if err != nil {
		return // reported already
	}
	cpus, memory := m.forPods()
	cpus, memory = cpus-app.DoorCPURequest, memory-app.DoorMemoryGiB // a door beside it
	if c.App.CPURequest > cpus || c.App.MemoryGiB > memory {
		report("openhands:app.memoryGiB", "the application asks for %g vCPU and %g GiB, and an %s has %.2f and %.1f left: choose a larger "+
			"openhands:cluster.appPool.machineType, or a smaller application",
			c.App.CPURequest, c.App.MemoryGiB, c.Cluster.AppPool.MachineType, cpus, memory)
	}
}

// instead are the keys that set a variable of the program.
var instead = map[string]string{
	"RUNTIME":                         "openhands:app.runtime",
	"SANDBOX_RUNTIME_CONTAINER_IMAGE": "openhands:app.sandboxImage",
	"MAX_CONCURRENT_CONVERSATIONS":    "openhands:sandboxes.max, which the quota and the node pool follow",
	"SANDBOX_REMOTE_RUNTIME_API_URL":  "openhands:app.remoteRuntimeUrl",
	"SANDBOX_API_KEY":                 "the secret openhands:sandboxApiKey",
}

// insteadOf says what to write instead of a variable that is refused.
func insteadOf(variable string) string {
	if key, ok := instead[variable]; ok {
		return "set " + key
	}
	return "remove it"
}

// oneReplica explains why there is no key for more replicas.
const oneReplica = release.OneReplica + ": there is no key for replicas or autoscaling. Sandboxes scale by nodes: raise openhands:sandboxes.max"

// noState explains why there is no key for a disk of the server's.
const noState = "the server keeps nothing on a disk: sessions, settings and secrets are in the bucket, the rest is in the database"

// teachings are for keys that people expect and that do not exist, with the reason.
var teachings = map[string]string{
	"openhands:app.autoscaling":   oneReplica,
	"openhands:app.hpa":           oneReplica,
	"openhands:app.minReplicas":   oneReplica,
	"openhands:app.maxReplicas":   oneReplica,
	"openhands:app.stateSizeGb":   noState,
	"openhands:app.regionalState": noState,
	"openhands:app.fileStore": "there is one file store that keeps sessions: the program sets FILE_STORE=" + release.FileStore +
		" and FILE_STORE_PATH to its bucket. Any other value (gcs too) silently becomes memory",
	"openhands:app.bucket": "the bucket is the program's own, and its name is generated: FILE_STORE_PATH",
	"openhands:exposure.iap": "Identity-Aware Proxy is always on: write openhands:exposure.login.members. Whoever really wants no login finds " +
		"the key in docs/configuration.md",
	"openhands:exposure.login.enabled": "the login is always on with mode gateway: write openhands:exposure.login.members",
	"openhands:exposure.cdn":           "an application behind a login that talks through WebSockets has nothing to cache",
}

// ofThePage is for what OpenHands keeps by itself.
const ofThePage = "model, base URL and API key are entered in the settings of the web page, and kept in the bucket. Remove the key from the file"

// everywhere are teachings whatever the section.
var everywhere = map[string]string{
	"llm": ofThePage, "llmApiKey": ofThePage, "llmModel": ofThePage, "llmBaseUrl": ofThePage, "apiKey": ofThePage, "model": ofThePage,
	"replicas": oneReplica,
}

// teach explains a key that does not exist, in whichever section somebody looks for it.
func teach(path string) (string, bool) {
	why, known := teachings[path]
	if name := path[strings.LastIndexAny(path, ":.")+1:]; !known {
		why, known = everywhere[name]
	}
	return fmt.Sprintf("no such key: %s", why), known
}
