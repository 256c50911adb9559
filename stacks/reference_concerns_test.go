package stacks_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"openhands-gcp/stacks"
)

// concern is a chapter of the reference: keys that one decides about together.
type concern struct {
	title, about, example string
	keys                  []string
}

var concerns = []concern{
	{
		"Where and in which profile", "Project, region and profile are all that a stack must say, and in profiles `dev` and `single` the zone.",
		`config:
  gcp:project: my-project
  gcp:region: europe-west4
  gcp:zone: europe-west4-a
  openhands:profile: dev
  openhands:labels:
    team: platform
`, []string{"gcp:project", "gcp:region", "gcp:zone", "openhands:profile", "openhands:labels", "openhands:teardown"},
	},
	{
		"What runs", "The line and the release of OpenHands, its images, its size and its variables. A variable that is a secret is set by `pulumi config set " +
			"--secret --path openhands:secretEnv.<name>`, and never written into the file.",
		`config:
  openhands:app:
    memoryGiB: 3
    extraEnv:
      MAX_ITERATIONS: "200"
`, []string{"openhands:app", "openhands:sandboxApiKey", "openhands:secretEnv"},
	},
	{
		"Instances of Agent Canvas", "With `line: canvas`, an instance for each person or team, instead of one server for everybody.",
		`config:
  openhands:app:
    line: canvas
  openhands:instances:
    - name: ann
    - name: platform
      memoryLimitGiB: 8
`, []string{"openhands:instances"},
	},
	{
		"A single machine", "With profile `single`, one virtual machine, without a cluster.",
		`config:
  openhands:profile: single
  openhands:machine:
    members: [user:ann@example.com]
`, []string{"openhands:machine"},
	},
	{
		"Sandboxes", "How many conversations there may be at a time, how large they are, on which nodes, and what they may reach ([egress.md](egress.md)).",
		`config:
  openhands:sandboxes:
    max: 8
    memoryRequestGiB: 4
    pool:
      machineType: e2-standard-8
      spot: false
`, []string{"openhands:sandboxes"},
	},
	{
		"The way in", "How browsers reach OpenHands, and who may log in ([exposure.md](exposure.md)). The client's secret is set by `pulumi config set --secret " +
			"openhands:iapClientSecret`.",
		`config:
  openhands:exposure:
    mode: gateway
    host: openhands.example.com
    login:
      members:
        - group:developers@example.com
    armor:
      requestsPerMinute: 600
`, []string{"openhands:exposure", "openhands:iapClientSecret"},
	},
	{
		"The network", "The ranges of addresses. Choose them before the first `up`: most of them cannot change while the cluster exists.",
		`config:
  openhands:network:
    nodesCidr: 10.8.0.0/22
    podsCidr: 10.96.0.0/16
    servicesCidr: 10.112.0.0/20
    peeringCidr: 10.128.0.0/20
`, []string{"openhands:network"},
	},
	{
		"The cluster", "Its versions, who reaches it, when it is upgraded, and the nodes of the application.",
		`config:
  openhands:cluster:
    access:
      connectGateway:
        members: [user:ann@example.com]
    maintenance:
      days: [SA, SU]
      startHour: 20
    appPool:
      machineType: e2-standard-4
`, []string{"openhands:cluster"},
	},
	{
		"The database", "Cloud SQL, in which the server keeps its tables.",
		`config:
  openhands:database:
    tier: db-custom-2-7680
    maxConnections: 200
    backups:
      retained: 14
      pointInTimeDays: 7
    highAvailability: true
`, []string{"openhands:database"},
	},
	{
		"The file store", "The bucket, which holds what was said in conversations, the settings and their keys.",
		`config:
  openhands:bucket:
    location: EU
    softDeleteDays: 14
`, []string{"openhands:bucket"},
	},
	{
		"Own images", "The repository of your own images.",
		`config:
  openhands:registry:
    keepNewest: 20
    immutableTags: true
`, []string{"openhands:registry"},
	},
	{
		"Alerts", "Who is told when something is wrong.",
		`config:
  openhands:observability:
    notificationEmails:
      - ops@example.com
`, []string{"openhands:observability"},
	},
}

// TestEveryKeyHasAConcern, and one only.
func TestEveryKeyHasAConcern(t *testing.T) {
	var listed, keys []string
	for _, c := range concerns {
		listed = append(listed, c.keys...)
	}
	for pair := stacks.Schema().Properties.Oldest(); pair != nil; pair = pair.Next() {
		keys = append(keys, pair.Key)
	}
	assert.ElementsMatch(t, keys, listed)
}

// TestExamplesOfTheReferenceLoad puts each into a stack file that has besides only what it must.
func TestExamplesOfTheReferenceLoad(t *testing.T) {
	for _, c := range concerns {
		t.Run(c.title, func(t *testing.T) {
			var file struct{ Config map[string]any }
			require.NoError(t, yaml.Unmarshal([]byte(c.example), &file))
			values := minimal("dev")
			for key, value := range file.Config {
				text, isText := value.(string)
				if !isText {
					raw, err := json.Marshal(value)
					require.NoError(t, err)
					text = string(raw)
				}
				values[key] = text
			}
			_, err := stacks.Load(stacks.Source{Stack: "dev", Values: values})
			require.NoError(t, err)
		})
	}
}
