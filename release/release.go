package release

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Line is one of the programs that are called OpenHands. Their versions overlap: a version alone names no release.
type Line string

// The lines.
const (
	// Server is the Python server: one installation for everybody, with a sandbox for each conversation. Upstream ended it in July 2026.
	Server Line = "server"
	// Canvas is Agent Canvas, which is maintained: an instance for a person or a team, in which the agent works beside the server.
	Canvas Line = "canvas"
)

// Runtime is where conversations get their sandboxes.
type Runtime string

// The runtimes.
const (
	Kubernetes Runtime = "kubernetes" // a pod for each conversation
	Remote     Runtime = "remote"     // a runtime API that the user brings
	Itself     Runtime = ""           // the application's own pod: whatever is in it, the agent reads
)

// Release is a release of OpenHands and what its line can do.
type Release struct {
	Line     Line
	Version  string
	Runtimes []Runtime

	Image        Image
	SandboxImage Image // the zero Image where the line starts no sandboxes
	tags         *regexp.Regexp
	sandboxTags  *regexp.Regexp

	Port      int    // HTTP and WebSocket (containers/app/Dockerfile; docker/entrypoint.sh of Agent Canvas)
	User      int    // that it runs as: owner of /app in the server's image, which itself ends as root
	StatePath string // OH_PERSISTENCE_DIR

	// Schema is the last migration of what the release keeps in a database, as it calls it: of the server's PostgreSQL, and of the file in which Agent Canvas has
	// its automations, on the volume. Migrations only go forward.
	Schema string
	// From are the releases of the line on whose data it was started (tests/app). What a person finds again of it: docs/upgrading.md.
	From []string

	// Instance is what only an application that is its own sandbox has.
	Instance Instance

	// Environment are variables with a fixed value that only this line needs.
	Environment map[string]string
	// BucketVariables take the name of the bucket.
	BucketVariables []string
	Launch          Launch
	// StopSeconds is how long a pod may take to stop.
	StopSeconds int

	// Connections is what one process may open to the database: a pool of 25 and 10 more, once for synchronous and once for asynchronous code. 0 where the
	// line has no database.
	Connections int

	// Paths of the probes. /ready does not exist before 1.5: there, the web page answers it with 200.
	StartupPath, LivenessPath, ReadinessPath string
}

// Instance is what an application that is its own sandbox keeps, and by which key it is called.
type Instance struct {
	// Home is the user's home, all of which must be writable. Kept are the directories below it that must outlive the pod.
	Home string
	Kept []string
	// KeyVariable takes the key of its API, which callers send in KeyHeader. The page carries it too: it guards the pod, and is no login.
	KeyVariable, KeyHeader string
	// KeepAliveSeconds is how long its server keeps an idle connection.
	KeepAliveSeconds int
}

// UsesDatabase says whether the line keeps something in a database.
func (r Release) UsesDatabase() bool { return r.Connections > 0 }

// UsesBucket says whether the line keeps something in a bucket.
func (r Release) UsesBucket() bool { return len(r.BucketVariables) > 0 }

// Image is an image of a public registry. A tag names whatever who may move it wants; a digest always the same bytes.
type Image struct {
	Name, Tag string
	// Digest is filled in only with a public source of it: none is known for the images below, which nobody has signed.
	Digest string
}

// String is the reference, without the registry.
func (i Image) String() string {
	reference := i.Name + ":" + i.Tag
	if i.Digest != "" {
		reference += "@" + i.Digest
	}
	return reference
}

// Pinned is the image with a digest, or with its own where that is empty.
func (i Image) Pinned(digest string) Image {
	if digest != "" {
		i.Digest = digest
	}
	return i
}

// Released returns a release by its version alone, which no two lines share.
func Released(version string) (Release, error) {
	var versions []string
	for _, r := range releases {
		if r.Version == version {
			return r, nil
		}
		versions = append(versions, r.Version)
	}
	return Release{}, fmt.Errorf("there is no release %q: write %s", version, strings.Join(versions, ", or "))
}

// CheckDigest refuses what is no digest.
func CheckDigest(digest string) error {
	if !sha256Digest.MatchString(digest) {
		return fmt.Errorf("%q is not a digest: write sha256: and 64 hexadecimal digits", digest)
	}
	return nil
}

// Launch is what the launcher (infra/app/launcher.py) has to know of a release, as it reads it.
type Launch struct {
	// Imports are modules that must be imported before the server reads its configuration.
	Imports []string `json:"imports,omitempty"`
	// Migrations are those of the database that need help, by revision.
	Migrations map[string]Migration `json:"migrations,omitempty"`
	// StopsAtOnce is set where a stop signal must not reach the server.
	StopsAtOnce bool `json:"stopsAtOnce,omitempty"`
}

// Migration helps one migration of the database over a mistake. Its SQL must be safe to run twice.
type Migration struct {
	Before  string `json:"before,omitempty"`  // runs before the migration
	Instead string `json:"instead,omitempty"` // runs in its place
}

// migration002 adds a column of a type that nothing creates on PostgreSQL: "type eventcallbackstatus does not exist"
// (openhands/app_server/app_lifespan/alembic/versions/002.py, in every release up to 1.11.0).
var migration002 = Migration{Before: `DO $$ BEGIN CREATE TYPE eventcallbackstatus AS ENUM ('ACTIVE', 'DISABLED', 'COMPLETED', 'ERROR'); ` +
	`EXCEPTION WHEN duplicate_object THEN NULL; END $$`}

// migration010 creates an index CONCURRENTLY, which PostgreSQL refuses inside a transaction, and with the driver of the image it is in one
// (versions/010.py, from 1.8.0 to 1.11.0).
var migration010 = Migration{Instead: `CREATE INDEX IF NOT EXISTS ix_event_callback_conversation_id_status_event_kind ` +
	`ON event_callback (conversation_id, status, event_kind)`}

// OneReplica is why there is one replica: with the default release, conversations live in the memory of the process
// (openhands/server/conversation_manager/standalone_conversation_manager.py).
const OneReplica = "conversations live in the memory of one process, and a second replica would lose them"

// releases are the supported ones, of each line the older first. Each was run (tests/app).
var releases = []Release{
	inPods("0.60.0", "001"),
	// 0.61.0 is left out: it imports a module that its own version of the SDK does not have, and ends at its start.
	inPods("0.62.0", "002", "0.60.0"),
	// The last releases of the Python server (July 2026). Upstream has removed it from its repository: it gets no fixes any more.
	elsewhere("1.10.0", "014"),
	elsewhere("1.11.0", "014", "0.62.0", "1.10.0"),
	inItself("1.16.0", "021"),
	inItself("1.20.0", "025", "1.16.0"),
}

// inPods is a release of the server whose conversations run in pods.
func inPods(version, schema string, from ...string) Release {
	return Release{
		Line: Server, Version: version, Runtimes: []Runtime{Kubernetes}, Schema: schema, From: from,
		Image: Image{Name: "openhands/openhands", Tag: version}, tags: tagsOf(version, "([.-]|$)"),
		SandboxImage: Image{Name: "openhands/runtime", Tag: minor(version) + "-nikolaik"}, sandboxTags: tagsOf(version, `(\.[0-9]+)?-`),
		Port: 3000, User: 42420, StatePath: "/.openhands", Connections: 70,
		StartupPath: "/health", LivenessPath: "/alive", ReadinessPath: "/alive",
		Environment: map[string]string{
			// The list of conversations asks the newer interface for its own. Without these it builds a Docker client, and answers 500.
			"OH_SANDBOX_KIND":      "ProcessSandboxServiceInjector",
			"OH_SANDBOX_SPEC_KIND": "ProcessSandboxSpecServiceInjector",
			// And with these, POST /api/v1/sandboxes starts an agent in the server's own pod, with the server's environment: that interface stays off.
			"ENABLE_V1": "0",
		},
		BucketVariables: []string{"FILE_STORE_PATH"},
		Launch: Launch{
			// The configuration knows only the kinds that were imported before it, and the server dies of one that it does not know.
			Imports: []string{
				"openhands.app_server.sandbox.process_sandbox_service",
				"openhands.app_server.sandbox.process_sandbox_spec_service",
			},
			Migrations: map[string]Migration{"002": migration002},
			// On a stop signal the runtime deletes the pod and the volume of the process's first conversation
			// (openhands/runtime/impl/kubernetes/kubernetes_runtime.py).
			StopsAtOnce: true,
		},
		StopSeconds: 5,
	}
}

// elsewhere is a release of the server whose conversations run where a runtime API puts them.
func elsewhere(version, schema string, from ...string) Release {
	return Release{
		Line: Server, Version: version, Runtimes: []Runtime{Remote}, Schema: schema, From: from,
		Image: Image{Name: "openhands/openhands", Tag: version}, tags: tagsOf(version, "([.-]|$)"),
		Port: 3000, User: 42420, StatePath: "/.openhands", Connections: 70,
		StartupPath: "/health", LivenessPath: "/alive", ReadinessPath: "/ready",
		Environment: map[string]string{
			"DB_SSL_MODE":        "require",
			"OH_FILE_STORE_KIND": "GoogleCloudFileStore", // of settings and secrets; FILE_STORE is of events
		},
		BucketVariables: []string{"FILE_STORE_PATH", "OH_FILE_STORE_BUCKET_NAME"},
		Launch:          Launch{Migrations: map[string]Migration{"002": migration002, "010": migration010}},
		StopSeconds:     60,
	}
}

// inItself is a release of Agent Canvas.
func inItself(version, schema string, from ...string) Release {
	return Release{
		Line: Canvas, Version: version, Runtimes: []Runtime{Itself}, Schema: schema, From: from,
		Image: Image{Name: "openhands/agent-canvas", Tag: version}, tags: tagsOf(version, "([.-]|$)"),
		Port: 8000, User: 10001,
		// It answers while the agent's server does, which a container whose agent has died goes on without.
		StartupPath: "/alive", LivenessPath: "/alive", ReadinessPath: "/alive",
		Instance: Instance{
			// The key that encrypts stored secrets is generated into the first of the directories, and lies where they lie: with another key it starts, and its
			// next write destroys them.
			Home: canvasHome, Kept: []string{".openhands", "workspace"},
			KeyVariable: "LOCAL_BACKEND_API_KEY", KeyHeader: "X-Session-API-Key",
			KeepAliveSeconds: 5, // the default of Node's server
		},
		Environment: map[string]string{
			"HOME": canvasHome,
			// In /tmp, where they are by default, the next start loses the work in them.
			"OH_CONVERSATION_WORKTREE_ROOT": canvasHome + "/workspace/.worktrees",
			// Nothing is told to anybody, and no list of prices is fetched at the start.
			"DO_NOT_TRACK": "1", "VITE_DO_NOT_TRACK": "1", "AGENT_CANVAS_DISABLE_TELEMETRY": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
			"LOG_JSON": "true",
			// Editor and desktop listen on ports of their own, on all addresses.
			"OH_ENABLE_VSCODE": "false", "OH_ENABLE_VNC": "false",
		},
		StopSeconds: 60, // 26 with a command that runs
	}
}

const canvasHome = "/home/openhands"

// minor is a version without its last number.
func minor(version string) string { return version[:strings.LastIndex(version, ".")] }

// tagsOf match the tags of images of a release, and of its patches.
func tagsOf(version, rest string) *regexp.Regexp {
	return regexp.MustCompile("^" + regexp.QuoteMeta(minor(version)) + rest)
}

// DefaultRelease is that of a line: of the server, the last whose conversations run in pods.
func DefaultRelease(line Line) string {
	if line == Canvas {
		return "1.20.0"
	}
	return "0.62.0"
}

// Lookup returns a release of a line that runs with a runtime. The error says which go together.
func Lookup(line Line, version string, runtime Runtime) (Release, error) {
	for _, r := range releases {
		if r.Line == line && r.Version == version && slices.Contains(r.Runtimes, runtime) {
			return r, nil
		}
	}
	with := ""
	if runtime != Itself {
		with = " with runtime " + string(runtime)
	}
	if other, found := lineOf(version); found && other != line {
		return Release{}, fmt.Errorf("release %s is of line %s, and the line is %s: write %s, or line %s", version, other, line, together(line), other)
	}
	return Release{}, fmt.Errorf("release %s%s is not supported: write %s", version, with, together(line))
}

// Of returns the releases of a line, the older first.
func Of(line Line) []Release {
	return slices.DeleteFunc(slices.Clone(releases), func(r Release) bool { return r.Line != line })
}

// Find returns a release of a line.
func Find(line Line, version string) (r Release, known bool) {
	at := slices.IndexFunc(releases, func(r Release) bool { return r.Line == line && r.Version == version })
	if at < 0 {
		return Release{}, false
	}
	return releases[at], true
}

// Before returns the newest release on whose data this one was started; there may be none.
func (r Release) Before() (before Release, known bool) {
	if len(r.From) == 0 {
		return Release{}, false
	}
	return Find(r.Line, r.From[len(r.From)-1])
}

// CheckFrom refuses to start the release on the data of another one of its line, unless that was tried: forward, or back to a release that has the same
// migrations. The error says which release to write instead.
func (r Release) CheckFrom(version string) error {
	old, known := Find(r.Line, version)
	back := slices.Contains(old.From, r.Version)
	switch {
	case version == r.Version, slices.Contains(r.From, version), back && old.Schema == r.Schema:
		return nil
	case back:
		return fmt.Errorf("release %[1]s cannot follow %[2]s, whose migrations have changed the data (%[3]s; %[1]s knows them up to %[4]s), "+
			"and there is no way back: "+
			"write openhands:app.release: %[2]s. What there was before the upgrade is in a backup: docs/upgrading.md, Back across a migration", r.Version, version,
			old.Schema, r.Schema)
	case !known:
		return fmt.Errorf("what runs is release %s, which this version of the program does not know: go to %s with the version of the program that does "+
			"(CHANGELOG.md), and then take this one", version, r.Version)
	}
	var next []string
	for _, other := range releases {
		if other.Line == r.Line && (slices.Contains(other.From, version) || slices.Contains(old.From, other.Version) && other.Schema == old.Schema) {
			next = append(next, other.Version)
		}
	}
	if len(next) == 0 {
		return fmt.Errorf("release %s was never started on the data of %s: write openhands:app.release: %[2]s", r.Version, version)
	}
	return fmt.Errorf("release %s was never started on the data of %s: write openhands:app.release: %s first", r.Version, version, strings.Join(next, ", or "))
}

// lineOf returns the line that has a version.
func lineOf(version string) (line Line, found bool) {
	for _, r := range releases {
		if r.Version == version {
			return r.Line, true
		}
	}
	return "", false
}

// together are the releases of a line, with their runtimes.
func together(line Line) string {
	var pairs []string
	for _, runtime := range []Runtime{Itself, Kubernetes, Remote} {
		var versions []string
		for _, r := range releases {
			if r.Line == line && slices.Contains(r.Runtimes, runtime) {
				versions = append(versions, r.Version)
			}
		}
		pair := strings.Join(versions, " or ")
		if runtime != Itself {
			pair += " with " + string(runtime)
		}
		if len(versions) > 0 {
			pairs = append(pairs, pair)
		}
	}
	return strings.Join(pairs, ", or ")
}

// CheckAppImage refuses an image of the application that is not of the release's line: environment, probes and runtime are the line's. Of an image by
// digest, the line cannot be seen.
func (r Release) CheckAppImage(image string) error {
	tag, err := checkImage(image)
	if err != nil {
		return err
	}
	if tag != "" && !r.tags.MatchString(tag) {
		return fmt.Errorf("%s is not of the line of release %s: its tag must match %s", image, r.Version, r.tags)
	}
	return nil
}

var sha256Digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// CheckImage refuses a reference that no registry would take, or that may name another image tomorrow.
func CheckImage(reference string) error {
	_, err := checkImage(reference)
	return err
}

// checkImage is CheckImage, and returns the tag, empty for an image by digest.
func checkImage(text string) (tag string, err error) {
	image, err := reference.Parse(text)
	if err != nil {
		return "", fmt.Errorf(
			"%q is not an image (%w): write <registry>/<path>:<tag> or <registry>/<path>@sha256:<64 hexadecimal digits>, the path in lower case", text,
			err,
		)
	}
	if image, ok := image.(reference.Digested); ok {
		return "", CheckDigest(image.Digest().String())
	}
	if image, ok := image.(reference.Tagged); ok {
		tag = image.Tag()
	}
	switch tag {
	case "":
		return "", fmt.Errorf("%s has no tag, which means latest: another image tomorrow, and of OpenHands a line without the Kubernetes runtime. "+
			"Write a tag or a digest", text)
	case "latest":
		return "", fmt.Errorf("%s: latest is another image tomorrow, and of OpenHands a line without the Kubernetes runtime. Write a tag or a digest", text)
	}
	return tag, nil
}

// CheckSandboxImage refuses an image of another line than the application's: its action server speaks another language. Of an image by digest, the
// line cannot be seen.
func (r Release) CheckSandboxImage(image string) error {
	if r.SandboxImage == (Image{}) {
		return fmt.Errorf("release %s starts no sandboxes of its own: remove the image", r.Version)
	}
	tag, err := checkImage(image)
	if err != nil {
		return err
	}
	if tag != "" && !r.sandboxTags.MatchString(tag) {
		return fmt.Errorf("%s is not of the line of release %s: its tag must match %s, as in %s", image, r.Version, r.sandboxTags, r.SandboxImage)
	}
	return nil
}

// suffix is the tag and the digest of a reference that checkImage has accepted.
var suffix = regexp.MustCompile(`(:[\w.-]+)?(@[\w:]+)?$`)

// Repository is an image's reference without tag and digest.
func Repository(image string) string { return suffix.ReplaceAllString(image, "") }
