package openhands

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Runtime is where conversations get their sandboxes.
type Runtime string

// The runtimes.
const (
	Kubernetes Runtime = "kubernetes" // a pod for each conversation
	Remote     Runtime = "remote"     // a runtime API that the user brings
)

// Release is a release of OpenHands and what its line can do.
type Release struct {
	Version  string
	Runtimes []Runtime

	Image        string // name and tag on ghcr.io
	SandboxImage string // the same for sandboxes; empty where the line starts none
	tags         *regexp.Regexp
	sandboxTags  *regexp.Regexp

	Port      int    // HTTP and WebSocket (containers/app/Dockerfile)
	User      int    // owner of /app in the image; the image itself ends as root
	StatePath string // OH_PERSISTENCE_DIR

	// Connections is what one process may open to the database: a pool of 25 and 10 more, once for synchronous and once for asynchronous code.
	Connections int

	// Paths of the probes. /ready does not exist before 1.5: there, the web page answers it with 200.
	StartupPath, LivenessPath, ReadinessPath string

	// DatabaseTLS is set where the line reads DB_SSL_MODE. Older ones try TLS by themselves.
	DatabaseTLS bool
}

// SingleProcess is why there is one replica: conversations live in the memory of the process, and the state volume is of one node
// (openhands/server/conversation_manager/standalone_conversation_manager.py).
const SingleProcess = "conversations live in the memory of one process, and a second replica would lose them: there is no key for replicas or autoscaling. Sandboxes scale by nodes: raise openhands:sandboxes.max"

// releases are the supported ones. Agent Canvas, the all-in-one image, is another shape (a StatefulSet without sandboxes) and not among them.
var releases = []Release{
	{
		Version: "0.62.0", Runtimes: []Runtime{Kubernetes},
		Image: "openhands/openhands:0.62.0", tags: regexp.MustCompile(`^0\.62([.-]|$)`), SandboxImage: "openhands/runtime:0.62-nikolaik", sandboxTags: regexp.MustCompile(`^0\.62(\.[0-9]+)?-`),
		Port: 3000, User: 42420, StatePath: "/.openhands", Connections: 70,
		StartupPath: "/health", LivenessPath: "/alive", ReadinessPath: "/alive",
	},
	{
		Version: "1.9.3", Runtimes: []Runtime{Remote},
		Image: "openhands/openhands:1.9.3", tags: regexp.MustCompile(`^1\.9([.-]|$)`),
		Port: 3000, User: 42420, StatePath: "/.openhands", Connections: 70,
		StartupPath: "/health", LivenessPath: "/alive", ReadinessPath: "/ready", DatabaseTLS: true,
	},
}

// DefaultRelease is the last line whose conversations run in pods.
const DefaultRelease = "0.62.0"

// Lookup returns a release that runs with a runtime. The error says which go together.
func Lookup(version string, runtime Runtime) (Release, error) {
	for _, r := range releases {
		if r.Version == version && slices.Contains(r.Runtimes, runtime) {
			return r, nil
		}
	}
	return Release{}, fmt.Errorf("release %s with runtime %s is not supported: write %s", version, runtime, together())
}

func together() string {
	var pairs []string
	for _, r := range releases {
		for _, runtime := range r.Runtimes {
			pairs = append(pairs, fmt.Sprintf("%s with %s", r.Version, runtime))
		}
	}
	return strings.Join(pairs, ", or ")
}

// CheckAppImage refuses an image of the application that is not of the release's line: environment, probes and runtime are the line's. Of an image by
// digest, the line cannot be seen.
func (r Release) CheckAppImage(reference string) error {
	if err := checkImage(reference); err != nil {
		return err
	}
	if _, tag, digest := split(reference); digest == "" && !r.tags.MatchString(tag) {
		return fmt.Errorf("%s is not of the line of release %s: its tag must match %s, or set openhands:app.release", reference, r.Version, r.tags)
	}
	return nil
}

var sha256Digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// checkImage refuses a reference that may name another image tomorrow.
func checkImage(reference string) error {
	name, tag, digest := split(reference)
	switch {
	case name == "" || strings.ContainsAny(reference, " \t"):
		return fmt.Errorf("%q is not an image", reference)
	case digest != "" && !sha256Digest.MatchString(digest):
		return fmt.Errorf("%s: %q is not a digest: write sha256: and 64 hexadecimal digits", reference, digest)
	case digest != "":
		return nil
	case tag == "":
		return fmt.Errorf("%s has no tag, which means latest: a line without the Kubernetes runtime, and another image tomorrow. Write a tag or a digest", reference)
	case tag == "latest":
		return fmt.Errorf("%s: latest is a line without the Kubernetes runtime, and another image tomorrow. Write a tag or a digest", reference)
	}
	return nil
}

// CheckSandboxImage refuses an image of another line than the application's: its action server speaks another language. Of an image by digest, the
// line cannot be seen.
func (r Release) CheckSandboxImage(reference string) error {
	if r.SandboxImage == "" {
		return fmt.Errorf("release %s starts no sandboxes of its own: remove the image", r.Version)
	}
	if err := checkImage(reference); err != nil {
		return err
	}
	if _, tag, digest := split(reference); digest == "" && !r.sandboxTags.MatchString(tag) {
		return fmt.Errorf("%s is not of the line of release %s: its tag must match %s, as in %s", reference, r.Version, r.sandboxTags, r.SandboxImage)
	}
	return nil
}

// Repository is an image's reference without tag and digest.
func Repository(reference string) string {
	name, _, _ := split(reference)
	return name
}

// split takes an image's reference apart. The colon of a registry's port does not begin a tag.
func split(reference string) (name, tag, digest string) {
	name, digest, _ = strings.Cut(reference, "@")
	if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
		name, tag = name[:colon], name[colon+1:]
	}
	return name, tag, digest
}
