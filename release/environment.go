package release

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// FileStore is the kind of file store. Any other value but local and s3 silently becomes memory, and every session is lost at the next restart
// (openhands/storage/__init__.py).
const FileStore = "google_cloud"

// never are variables that break the open-source image, with the reason.
var never = map[string]string{
	"GCP_DB_INSTANCE": "it switches to a connector for Cloud SQL that is not in the image, and the server crashes. The database is reached by " +
		"its private address",
	"GCP_PROJECT":               "it belongs to a connector for Cloud SQL that is not in the image",
	"GCP_REGION":                "it belongs to a connector for Cloud SQL that is not in the image",
	"DEBUG_LLM":                 "the server asks for input at its start, and hangs",
	"OPENHANDS_CONFIG_CLS":      "the open-source server raises an error at its start",
	"GOOGLE_CLOUD_BUCKET_NAME":  "it is never read: the bucket is FILE_STORE_PATH, which the program sets",
	"KUBERNETES_PRIVILEGED":     "a sandbox that is privileged is none",
	"ALLOW_SET_CONVERSATION_ID": "whoever uses the web page would choose the names of pods and volumes",
	"SESSION_API_KEY":           "every call without it is refused then, those of the web page and of the clean-up too",
	"DB_POOL_SIZE":              "it is ignored; the size of the pool is fixed, and the connection budget counts with it",
}

// reasons are for variables of the program that people try to set, with what another value would do.
var reasons = map[string]string{
	"FILE_STORE":           "any value but local, s3 and google_cloud silently becomes memory (gcs too), and every session is lost at the next restart",
	"FILE_STORE_PATH":      "it is the name of the bucket, and with another value the server asks for a bucket that does not exist, and dies",
	"SANDBOX_USER_ID":      "any value but 0 makes the image look for a Docker socket, and die",
	"OH_SANDBOX_KIND":      "any other value builds a Docker client, and the list of conversations answers 500",
	"OH_SANDBOX_SPEC_KIND": "any other value builds a Docker client, and the list of conversations answers 500",
	"OH_PERSISTENCE_DIR":   "it is the directory that the server can write to",
	"ENABLE_V1":            "with the newer interface on, whoever is logged in starts an agent in the server's own pod, with the server's secrets",
}

// owned are the variables of the server that the program sets, with the runtime kubernetes or remote. Those of single releases are in the table of releases.
var owned = func() []string {
	names := []string{
		"RUNTIME", "SANDBOX_RUNTIME_CONTAINER_IMAGE", "FILE_STORE", "OH_PERSISTENCE_DIR",
		"DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASS", "JWT_SECRET", "WEB_HOST", "PERMITTED_CORS_ORIGINS", "LOG_JSON", "LOG_JSON_LEVEL_KEY",
		"WORKSPACE_BASE", "SANDBOX_USER_ID", "SERVE_FRONTEND", "MAX_CONCURRENT_CONVERSATIONS", "SANDBOX_REMOTE_RUNTIME_API_URL", "SANDBOX_API_KEY",
		"FORWARDED_ALLOW_IPS",
	}
	for _, r := range releases {
		if r.Line == Server {
			names = slices.Concat(names, slices.Collect(maps.Keys(r.Environment)), r.BucketVariables)
		}
	}
	return names
}()

// reservedPrefixes begin families of variables that are not for users, with the reason.
var reservedPrefixes = map[string]string{
	"OH_":      "variables that begin with OH_ are the server's own configuration, which the program sets as a whole",
	"DB_":      "the database is the program's own",
	"SANDBOX_": "the sandboxes are the program's own",
	"GOOGLE_":  "the server is known to Google by its Kubernetes service account, which other credentials would replace",
	"PYTHON":   "it changes the interpreter under the server",
	"LD_":      "it changes what the server loads",
	"PORT":     "the probes and the Service expect the release's port",
	"LLM_":     "the web server ignores LLM_* variables. Model, base URL and key are entered in the settings of the web page",
}

// kubernetesPrefix begins the settings of the Kubernetes runtime, all of which are the program's.
const kubernetesPrefix = "KUBERNETES_"

// secretName is how the name of a variable begins or ends whose value is a secret.
var secretName = regexp.MustCompile(`(?i)(^|_)(api_?key|key|token|secret|password|passwd|pass|pwd|credentials?|private_?key|pat|dsn)(_|$)`)

// NamesSecret reports whether a variable has the name of a secret.
func NamesSecret(name string) bool { return secretName.MatchString(name) }

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// CheckVariable refuses a variable of the user's that would override one of the program's or break the server. The error completes a sentence that begins
// with the variable's name.
func CheckVariable(name string) error {
	if !variable.MatchString(name) {
		return errors.New("is not the name of an environment variable")
	}
	if why, broken := never[name]; broken {
		return fmt.Errorf("must not be set: %s", why)
	}
	for prefix, why := range reservedPrefixes {
		if strings.HasPrefix(strings.ToUpper(name), prefix) && !slices.Contains(owned, name) {
			return fmt.Errorf("must not be set: %s", why)
		}
	}
	if !strings.HasPrefix(name, kubernetesPrefix) && !slices.Contains(owned, name) {
		return nil
	}
	if why, known := reasons[name]; known {
		return fmt.Errorf("is set by the program: %s", why)
	}
	return errors.New("is set by the program")
}
