package app

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// facts is a script that says, for every variable of a list, what the server makes of its environment without it. To be quick, it imports once what the
// server imports beside OpenHands' own modules, forks a process for each variable, and imports the whole server only where the settings alone show no
// difference. The database is not asked for.
const facts = `
import concurrent.futures, importlib, json, os, sys
IMAGE, NAMES = json.loads(sys.argv[1]), json.loads(sys.argv[2])

def settings():
    from openhands.core.config.utils import load_openhands_config
    return load_openhands_config().model_dump(mode="json")

def facts():
    import uvicorn
    for module in json.load(open("/launcher/release.json"))["imports"]: importlib.import_module(module)
    import openhands.server.listen as listen
    from openhands.server import shared
    from openhands.app_server.config import get_global_config
    from openhands.core import logger
    from openhands.server.middleware import LocalhostCORSMiddleware
    from openhands.server.routes import mcp
    app = get_global_config()
    database = app.db_session
    return {
        "settings": settings(),
        "file store": [type(shared.file_store).__name__, getattr(getattr(shared.file_store, "bucket", None), "name", None)],
        "database": [database.host, database.port, database.name, database.user, database.password.get_secret_value()],
        "sandbox": [type(app.sandbox).__name__, type(app.sandbox_spec).__name__],
        "state path": str(app.persistence_dir),
        "newer interface": any(getattr(route, "path", "").startswith("/api/v1") for route in listen.base_app.routes),
        "web page": any(getattr(route, "name", "") == "dist" for route in listen.base_app.routes),
        "address": [app.web_url, mcp.HOST],
        "origins": list(LocalhostCORSMiddleware(listen.base_app).allow_origins),
        "log": [logger.LOG_JSON, logger.LOG_JSON_LEVEL_KEY],
        "key of sessions": shared.config.jwt_secret.get_secret_value() if shared.config.jwt_secret else None,
        "trusted proxies": uvicorn.Config(None).forwarded_allow_ips,
    }

def forked(work):
    """Runs something in a process of its own and returns what it returns."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        try:
            found = work()
        except BaseException as failure:
            found = {"failure": type(failure).__name__}
        with os.fdopen(write, "w") as pipe: json.dump(found, pipe, default=str)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe: found = json.load(pipe)
    os.wait()
    return found

def unset(name):
    if name: del os.environ[name]
    if name in IMAGE: os.environ[name] = IMAGE[name]

def others():
    return [facts(), [m for m in sys.modules if not m.startswith(("openhands", "third_party", "__main__"))]]

complete, modules = forked(others)
for module in modules:
    try: importlib.import_module(module)
    except Exception: pass  # no module that can be imported by its name

def without(name):
    def quick(): unset(name); return {"settings": settings()}
    def whole(): unset(name); return facts()
    found = forked(quick)
    if found.get("settings") == complete["settings"]: found = forked(whole)
    changed = ["settings"] if list(found) == ["settings"] else [fact for fact in found if found[fact] != complete.get(fact)]
    print("CHANGED " + json.dumps({"Variable": name, "Facts": [found.get("failure", "")] if "failure" in found else changed}), flush=True)

with concurrent.futures.ThreadPoolExecutor(2) as pool: list(pool.map(without, NAMES))
`

// sameAsDefault are variables whose value is OpenHands' own default. They stay, because a later release may have another, and then somebody else's database
// or directory would be used without a word.
var sameAsDefault = []string{"DB_NAME", "DB_PORT", "SERVE_FRONTEND", "SANDBOX_USER_ID"}

// TestEveryVariableIsNeeded takes each variable of the closed list in turn from the server, and looks for what that changes.
func TestEveryVariableIsNeeded(t *testing.T) {
	i := theInstallation(t)
	env, err := i.environment(t.Context())
	require.NoError(t, err)
	var names []string
	for name := range env {
		names = append(names, name)
	}
	slices.Sort(names)
	image, err := json.Marshal(imageEnvironment)
	require.NoError(t, err)
	list, err := json.Marshal(names)
	require.NoError(t, err)
	output, err := i.runPython(t.Context(), facts, func(b *box) { b.command = append(b.command, string(image), string(list)) })
	require.NoError(t, err, output)
	changed := map[string][]string{}
	for _, line := range strings.Split(output, "\n") {
		if raw, isFact := strings.CutPrefix(line, "CHANGED "); isFact {
			var without struct {
				Variable string
				Facts    []string
			}
			require.NoError(t, json.Unmarshal([]byte(raw), &without))
			changed[without.Variable] = without.Facts
			t.Logf("without %s: %s", without.Variable, strings.Join(without.Facts, ", "))
		}
	}
	require.Len(t, changed, len(names), output)
	for _, name := range names {
		assert.Equal(t, slices.Contains(sameAsDefault, name), len(changed[name]) == 0, name)
	}
}
