package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestServersMigrateOneByOne starts two at the same moment, on a database without a table.
func TestServersMigrateOneByOne(t *testing.T) {
	i := theInstallation(t)
	require.NoError(t, i.emptyDatabase(t.Context()))
	const migrate = `
import sys; sys.path.insert(0, "/launcher")
import importlib, json, launch
launch.write_logs_as_json()
release = json.load(open("/launcher/release.json"))
for module in release["imports"]: importlib.import_module(module)
launch.prepare_database(release["migrations"])
`
	outputs := make([]string, 2)
	var servers sync.WaitGroup
	for n := range outputs {
		servers.Go(func() {
			output, err := i.runPython(t.Context(), migrate)
			assert.NoError(t, err, output)
			outputs[n] = output
		})
	}
	servers.Wait()
	both := strings.Join(outputs, "\n")
	assert.Contains(t, both, "at revision 002, after 2 migrations")
	assert.Contains(t, both, "at revision 002, after 0 migrations")
}

// TestTheLauncherSaysWhatIsWrong has a database that no server can start with, of each kind. Nothing is changed in it.
func TestTheLauncherSaysWhatIsWrong(t *testing.T) {
	i := theInstallation(t)
	require.NoError(t, i.emptyDatabase(t.Context()))
	_, err := i.query(t.Context(), "CREATE TABLE alembic_version (version_num varchar(32)); INSERT INTO alembic_version VALUES ('999'); "+
		"GRANT SELECT ON alembic_version TO "+databaseUser)
	require.NoError(t, err)
	output, err := i.runPython(t.Context(), `
import sys; sys.path.insert(0, "/launcher")
import importlib, json, launch
from pydantic import SecretStr
release = json.load(open("/launcher/release.json"))
for module in release["imports"]: importlib.import_module(module)
import openhands.app_server.config as config
launch.PATIENCE_SECONDS = 1
database, said = config.get_global_config().db_session, {}
for case, change in {
    "newer": {}, "password": {"password": SecretStr("wrong-password")}, "name": {"name": "other"}, "user": {"user": "nobody"}, "port": {"port": 5433},
}.items():
    config.get_global_config().db_session = database.model_copy(update=change)
    try:
        launch.prepare_database(release["migrations"])
        said[case] = "nothing"
    except launch.Refused as refusal:
        said[case] = str(refusal)
print("SAID " + json.dumps(said))
`)
	require.NoError(t, err, output)
	_, after, found := strings.Cut(output, "SAID ")
	require.True(t, found, output)
	var said map[string]string
	require.NoError(t, json.NewDecoder(strings.NewReader(after)).Decode(&said))
	for kind, want := range map[string]string{
		"newer":    "is at revision 999, which this release of OpenHands does not know",
		"password": "it refuses the password",
		"name":     "it has no such database",
		"user":     "it refuses the password", // PostgreSQL does not say which users it has
		"port":     "has not answered for 1 seconds",
	} {
		assert.Contains(t, said[kind], want)
		assert.NotContains(t, said[kind], "wrong-password")
	}
	t.Log(fmt.Sprint(said))
	version, err := i.query(t.Context(), "SELECT version_num FROM alembic_version")
	require.NoError(t, err)
	assert.Equal(t, "999", version)
}
