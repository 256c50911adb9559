package stacks_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/stacks"
)

// TestBadInput has, for every mistake that the configuration is checked for, the key that is named and what is said.
func TestBadInput(t *testing.T) {
	type values map[string]string
	cases := []struct {
		mistake string
		profile string // dev unless set
		stack   string // "dev" unless set
		set     values // an empty value removes the key
		path    string
		says    string
	}{
		// Lines, and the instances of one.
		{mistake: "line that there is not", set: values{"openhands:app": `{"line":"enterprise"}`}, path: "openhands:app.line", says: "write one of server, canvas"},
		{
			mistake: "release of the other line", set: values{"openhands:app": `{"release":"1.20.0"}`}, path: "openhands:app.release",
			says: "release 1.20.0 is of line canvas, and the line is server: write 0.60.0 or 0.62.0 with kubernetes, or 1.10.0 or 1.11.0 with remote, or line canvas",
		},
		{
			mistake: "release of the server in line canvas", set: canvas(`{"name":"ann"}`, "openhands:app", `{"line":"canvas","release":"0.62.0"}`),
			path: "openhands:app.release", says: "release 0.62.0 is of line server, and the line is canvas: write 1.16.0 or 1.20.0, or line server",
		},
		{
			mistake: "release that canvas has not", set: canvas(`{"name":"ann"}`, "openhands:app", `{"line":"canvas","release":"1.25.0"}`),
			path: "openhands:app.release", says: "release 1.25.0 is not supported: write 1.16.0 or 1.20.0",
		},
		{
			mistake: "instances of the server", set: values{"openhands:instances": `[{"name":"ann"}]`}, path: "openhands:instances",
			says: "one installation for everybody",
		},
		{mistake: "no instance", set: values{"openhands:app": `{"line":"canvas"}`}, path: "openhands:instances", says: "- name: ann"},
		{
			mistake: "database of canvas", set: canvas(`{"name":"ann"}`, "openhands:database", `{"tier":"db-g1-small"}`), path: "openhands:database",
			says: "keeps everything on its volume",
		},
		{mistake: "bucket of canvas", set: canvas(`{"name":"ann"}`, "openhands:bucket", `{"location":"EU"}`), path: "openhands:bucket", says: "has no bucket"},
		{
			mistake: "sandboxes of canvas", set: canvas(`{"name":"ann"}`, "openhands:sandboxes", `{"max":3}`), path: "openhands:sandboxes.max",
			says: "the agent works in the instance",
		},
		{
			mistake: "variables of canvas", set: canvas(`{"name":"ann"}`, "openhands:app", `{"line":"canvas","extraEnv":{"A":"b"}}`),
			path: "openhands:app.extraEnv", says: "whatever is in it, its agent reads",
		},
		{
			mistake: "login of all instances", profile: "prod", path: "openhands:exposure.login.members",
			set:  values{"openhands:app": `{"line":"canvas"}`, "openhands:instances": `[{"name":"ann","members":["user:ann@example.com"]}]`},
			says: "each instance has its own people",
		},
		{
			mistake: "instance for nobody", profile: "prod", path: "openhands:instances (ann).members", says: "Write who may log in",
			set: values{
				"openhands:app": `{"line":"canvas"}`, "openhands:instances": `[{"name":"ann","members":[]}]`, "openhands:exposure": `{"host":"openhands.example.com"}`,
			},
		},
		{
			mistake: "instance for everybody", profile: "prod", path: "openhands:instances (ann).members", says: "is everyone on the internet",
			set: values{
				"openhands:app": `{"line":"canvas"}`, "openhands:instances": `[{"name":"ann","members":["allUsers"]}]`,
				"openhands:exposure": `{"host":"openhands.example.com"}`,
			},
		},
		{mistake: "two instances on one host", set: canvas(`{"name":"ann"},{"name":"ann"}`), path: "openhands:instances (ann)", says: "two instances have this name"},
		{
			mistake: "instance with a name that is no part of a host", set: canvas(`{"name":"Ann_1"}`), path: "openhands:instances (Ann_1)",
			says: `"Ann_1" is not a name`,
		},
		{mistake: "instance without a name", set: canvas(`{"members":[]}`), path: "openhands:instances[0].name", says: "is missing"},
		{mistake: "unknown key of an instance", set: canvas(`{"name":"ann","cpu":2}`), path: "openhands:instances[0].cpu", says: "unknown key"},
		{
			mistake: "instance that no node has room for", set: canvas(`{"name":"ann","memoryLimitGiB":64}`), path: "openhands:instances (ann)",
			says: "of an e2-standard-4",
		},
		{
			mistake: "limit below the request", set: canvas(`{"name":"ann","cpuRequest":2,"cpuLimit":1}`), path: "openhands:instances (ann).cpuLimit",
			says: "is 1, below cpuRequest (2)",
		},
		{
			mistake: "memory below the request", set: canvas(`{"name":"ann","memoryRequestGiB":4,"memoryLimitGiB":2}`),
			path: "openhands:instances (ann).memoryLimitGiB", says: "is 2, below memoryRequestGiB (4)",
		},
		{
			mistake: "one who is a member of too many", profile: "prod", path: "openhands:instances", says: "is a member of 21 instances",
			set: values{
				"openhands:app": `{"line":"canvas"}`, "openhands:exposure": `{"host":"openhands.example.com"}`,
				"openhands:instances": "[" + strings.Join(strings.Split(strings.Repeat(`{"name":"a*","members":["user:ann@example.com"]};`, 21), ";")[:21], ",") + "]",
			},
		},
		{
			mistake: "fewer nodes than the instances need", path: "openhands:sandboxes.pool.maxNodes", says: "2 instances need 2 nodes",
			set: canvas(`{"name":"ann","memoryRequestGiB":10,"memoryLimitGiB":10},{"name":"bob","memoryRequestGiB":10,"memoryLimitGiB":10}`,
				"openhands:sandboxes", `{"pool":{"maxNodes":1}}`),
		},

		// Keys and types.
		{mistake: "unknown key", set: values{"openhands:netwrok": "{}"}, path: "openhands:netwrok", says: "did you mean openhands:network?"},
		{mistake: "key in the wrong case", set: values{"openhands:Network": "{}"}, path: "openhands:Network", says: "did you mean openhands:network?"},
		{
			mistake: "nested key in the wrong case", set: values{"openhands:network": `{"podsCIDR":"10.16.0.0/16"}`}, path: "openhands:network.podsCIDR",
			says: "did you mean podsCidr?",
		},
		{
			mistake: "nested unknown key", set: values{"openhands:database": `{"backups":{"kept":3}}`}, path: "openhands:database.backups.kept",
			says: "unknown key",
		},
		{mistake: "key of the provider", set: values{"gcp:credentials": "key.json"}, path: "gcp:credentials", says: "unknown key"},
		{mistake: "key of another provider", set: values{"kubernetes:context": "kind"}, path: "kubernetes:context", says: "unknown key"},
		{mistake: "profile missing", set: values{"openhands:profile": ""}, path: "openhands:profile", says: "pulumi config set openhands:profile"},
		{mistake: "project missing", set: values{"gcp:project": ""}, path: "gcp:project", says: "pulumi config set gcp:project"},
		{mistake: "region missing", set: values{"gcp:region": ""}, path: "gcp:region", says: "pulumi config set gcp:region"},
		{mistake: "unknown profile", set: values{"openhands:profile": "staging"}, path: "openhands:profile", says: "write one of dev, prod, single"},
		{
			mistake: "text for a number", set: values{"openhands:sandboxes": `{"max":"3"}`}, path: "openhands:sandboxes.max",
			says: "is a string, expected a whole number: in YAML, write it without quotes",
		},
		{mistake: "fraction for a whole number", set: values{"openhands:sandboxes": `{"max":2.5}`}, path: "openhands:sandboxes.max", says: "without a fraction"},
		{mistake: "text for an object", set: values{"openhands:network": "10.0.0.0/8"}, path: "openhands:network", says: "expected an object"},
		{
			mistake: "list for an object", set: values{"openhands:network": "[]"}, path: "openhands:network",
			says: "is a list, expected an object: write its keys below it",
		},
		{
			mistake: "neither true nor false", set: values{"openhands:teardown": "yes"}, path: "openhands:teardown",
			says: "is a string, expected a boolean: write true or false, without quotes",
		},
		{mistake: "number for a label", set: values{"openhands:labels": `{"cost":7}`}, path: "openhands:labels.cost", says: "is a number, expected a string"},
		{
			mistake: "number over its limit", set: values{"openhands:network": `{"flowLogSampling":50}`}, path: "openhands:network.flowLogSampling",
			says: "is 50: write 1 or less",
		},
		{
			mistake: "number below its limit", set: values{"openhands:database": `{"backups":{"retained":0}}`}, path: "openhands:database.backups.retained",
			says: "is 0: write 1 or more",
		},

		{
			mistake: "unquoted version", set: values{"openhands:cluster": `{"minVersion":1.36}`}, path: "openhands:cluster.minVersion",
			says: "is a number, expected a string: in YAML, write it in quotes",
		},
		{
			mistake: "path without --path", set: values{"openhands:sandboxes.max": "12"}, path: "openhands:sandboxes.max",
			says: "a dot in a key leads nowhere: write\n    openhands:sandboxes:\n      max: 12\n    or set it by `pulumi config set --path openhands:sandboxes.max",
		},
		{
			mistake: "path inside of a section", set: values{"openhands:sandboxes": `{"pool.spot":false}`}, path: "openhands:sandboxes.pool.spot",
			says: "write\n    openhands:sandboxes:\n      pool:\n        spot: false",
		},
		{
			mistake: "path of a list", set: values{"openhands:observability.notificationEmails": "ops@example.com"},
			path: "openhands:observability.notificationEmails", says: "notificationEmails:\n        - ops@example.com",
		},
		{
			mistake: "path of a key that is not", set: values{"openhands:sandboxes.maximum": "12"}, path: "openhands:sandboxes.maximum",
			says: "did you mean max?",
		},
		{
			mistake: "path of a variable", set: values{"openhands:app.extraEnv.MODE": "a"}, path: "openhands:app.extraEnv.MODE",
			says: "extraEnv:\n        MODE: <value>",
		},
		{
			mistake: "path of a secret", set: values{"openhands:secretEnv.GITHUB_TOKEN": "ghp-1"}, path: "openhands:secretEnv.GITHUB_TOKEN",
			says: "run `pulumi config set --secret --path openhands:secretEnv.GITHUB_TOKEN`",
		},
		{
			mistake: "string for a list", set: values{"openhands:observability": `{"notificationEmails":"ops@example.com"}`},
			path: "openhands:observability.notificationEmails",
			says: "is a string, expected a list: write\n    openhands:observability:\n      notificationEmails:\n        - ops@example.com",
		},
		{
			mistake: "object for a list", set: values{"openhands:exposure": `{"login":{"members":{"user":"ann@example.com"}}}`},
			path: "openhands:exposure.login.members", says: "is an object, expected a list: begin every item with a dash",
		},
		{
			mistake: "list for an object inside", set: values{"openhands:sandboxes": `{"egress":["github.com"]}`}, path: "openhands:sandboxes.egress",
			says: "write its keys below it, indented, each with its value: allowedDomains, allowedRanges",
		},
		{
			mistake: "number with a unit", set: values{"openhands:app": `{"memoryGiB":"4Gi"}`}, path: "openhands:app.memoryGiB",
			says: "write a number, without a unit",
		},
		{
			mistake: "key in the wrong section", set: values{"openhands:cluster": `{"dnsZone":"example"}`}, path: "openhands:cluster.dnsZone",
			says: "openhands:exposure has it. Write\n    openhands:exposure:\n      dnsZone: example",
		},
		{
			mistake: "key one level too high", set: values{"openhands:sandboxes": `{"machineType":"e2-standard-8"}`},
			path: "openhands:sandboxes.machineType", says: "write\n    openhands:sandboxes:\n      pool:\n        machineType: e2-standard-8",
		},
		{
			mistake: "key that several sections have", set: values{"openhands:machineType": "e2-standard-8"}, path: "openhands:machineType",
			says: "did you mean openhands:cluster.appPool.machineType, or openhands:sandboxes.pool.machineType, or openhands:machine.machineType?",
		},
		{
			mistake: "region in the wrong namespace", set: values{"gcp:region": "", "openhands:region": "us-central1"}, path: "openhands:region",
			says: "gcp:region has it. Write\n    gcp:region: us-central1",
		},
		{
			mistake: "keys of a section that are not indented", set: values{"openhands:database": "null", "openhands:tier": "db-g1-small"},
			path: "openhands:tier", says: "openhands:database has it. Write\n    openhands:database:\n      tier: db-g1-small",
		},
		{
			mistake: "section whose keys are not indented", set: values{"openhands:database": "null", "openhands:tier": "db-g1-small"},
			path: "openhands:database", says: "has nothing below it: write its keys (version, tier, ",
		},
		{
			mistake: "object of a section that is not indented", set: values{"openhands:login": `{"members":["group:a@example.com"]}`},
			path: "openhands:login", says: "openhands:exposure has it. Write\n    openhands:exposure:\n      login: <value>",
		},
		{mistake: "key of the model", set: values{"openhands:llmApiKey": "sk-1"}, path: "openhands:llmApiKey", says: "entered in the settings of the web page"},
		{mistake: "model in a section", set: values{"openhands:app": `{"model":"m"}`}, path: "openhands:app.model", says: "entered in the settings"},
		{mistake: "key that is near to nothing", set: values{"openhands:foo": "1"}, path: "openhands:foo", says: "unknown key: remove it, or write one of gcp:"},
		{mistake: "short name of a key", set: values{"openhands:app": `{"env":{"MODE":"a"}}`}, path: "openhands:app.env", says: "did you mean extraEnv?"},
		{
			mistake: "key without a value", set: values{"openhands:network": "null"}, path: "openhands:network",
			says: "has nothing below it: write its keys (nodesCidr, ",
		},
		{
			mistake: "nested key without a value", set: values{"openhands:cluster": `{"access":{"publicEndpoint":null}}`},
			path: "openhands:cluster.access.publicEndpoint", says: "give it a value, or remove the key",
		},

		// Place and names.
		{mistake: "zone of a regional cluster", profile: "prod", set: values{"gcp:zone": "us-central1-a"}, path: "gcp:zone", says: "has no effect"},
		{mistake: "Google's own labels", set: values{"openhands:labels": `{"goog-x":"a"}`}, path: "openhands:labels.goog-x", says: "begins with goog"},
		{mistake: "project number", set: values{"gcp:project": "123456789012"}, path: "gcp:project", says: "is not a project id"},
		{mistake: "project id too long", set: values{"gcp:project": "a123456789012345678901234567890"}, path: "gcp:project", says: "6 to 30"},
		{mistake: "zone for a region", set: values{"gcp:region": "us-central1-a"}, path: "gcp:region", says: "is not a region"},
		{mistake: "zone outside of the region", set: values{"gcp:zone": "europe-west4-a"}, path: "gcp:zone", says: "is not a zone of region us-central1"},
		{
			mistake: "region that does not exist", set: values{"gcp:region": "us-central9", "gcp:zone": "us-central9-a"}, path: "gcp:region",
			says: `"us-central9" is not a region that is known here: write one of us-central1, us-east1, `,
		},
		{
			mistake: "region of another cloud", set: values{"gcp:region": "eu-west-1"}, path: "gcp:region",
			says: "If `gcloud compute regions list` shows it, it is new: add it to stacks/places/places.go",
		},
		{
			mistake: "zone that the region lacks", set: values{"gcp:zone": "us-central1-d"}, path: "gcp:zone",
			says: "write one of us-central1-a, us-central1-b, us-central1-c, us-central1-f. If `gcloud compute zones list` shows it,",
		},
		{mistake: "zonal cluster without a zone", set: values{"gcp:zone": ""}, path: "gcp:zone", says: "profile dev has a zonal cluster"},
		{mistake: "stack name too long", stack: "a-rather-long-name", path: "stack", says: "use a name of at most 14 characters"},
		{mistake: "stack name with a dot", stack: "dev.eu", path: "stack", says: "lower case letters, digits and dashes"},
		{mistake: "label key out of rule", set: values{"openhands:labels": `{"Team":"a"}`}, path: "openhands:labels.Team", says: "is not a label key"},
		{mistake: "empty label", set: values{"openhands:labels": `{"team":""}`}, path: "openhands:labels.team", says: "is not a label value"},
		{mistake: "the program's own label", set: values{"openhands:labels": `{"stack":"a"}`}, path: "openhands:labels.stack", says: "set by the program"},

		// A single machine.
		{mistake: "machine without a zone", profile: "single", set: values{"gcp:zone": ""}, path: "gcp:zone", says: "the machine and its disk are in one zone"},
		{mistake: "machine beside a cluster", set: values{"openhands:machine": `{"spot":true}`}, path: "openhands:machine", says: "choose profile single"},
		{
			mistake: "cluster beside a machine", profile: "single", set: values{"openhands:cluster": `{"minVersion":"1.36"}`}, path: "openhands:cluster",
			says: "one machine, without a cluster",
		},
		{
			mistake: "way in from the internet to a machine", profile: "single", set: values{"openhands:exposure": `{"host":"a.example.com"}`},
			path: "openhands:exposure", says: "openhands:machine.members",
		},
		{mistake: "database beside a machine", profile: "single", set: values{"openhands:database": `{"tier":"db-g1-small"}`}, path: "openhands:database",
			says: "has no database"},
		{mistake: "variable of a machine", profile: "single", set: values{"openhands:app": `{"extraEnv":{"A":"b"}}`}, path: "openhands:app.extraEnv",
			says: "takes no variables"},
		{mistake: "door of a machine", profile: "single", set: values{"openhands:app": `{"doorImage":"envoy:1"}`}, path: "openhands:app.doorImage",
			says: "The tunnel is the door"},
		{mistake: "server on a machine", profile: "single", set: values{"openhands:app": `{"release":"0.62.0"}`}, path: "openhands:app.release",
			says: "is of line server"},
		{mistake: "machine's range too small", profile: "single", set: values{"openhands:network": `{"nodesCidr":"10.0.0.0/30"}`},
			path: "openhands:network.nodesCidr", says: "/8 to /29"},
		{mistake: "machine of an unknown type", profile: "single", set: values{"openhands:machine": `{"machineType":"t2a-standard-4"}`},
			path: "openhands:machine.machineType", says: "is an Arm machine"},
		{mistake: "machine too small", profile: "single", set: values{"openhands:machine": `{"machineType":"e2-small"}`}, path: "openhands:machine.machineType",
			says: "Write e2-medium or a larger one"},
		{mistake: "page open to everyone", profile: "single", set: values{"openhands:machine": `{"members":["allUsers"]}`}, path: "openhands:machine.members",
			says: "is everyone on the internet"},
		{mistake: "operator twice", profile: "single", set: values{"openhands:machine": `{"operators":["user:a@example.com","user:a@example.com"]}`},
			path: "openhands:machine.operators", says: "names a member twice"},
		{mistake: "snapshot of no name", profile: "single", set: values{"openhands:machine": `{"dataDisk":{"fromSnapshot":"Before"}}`},
			path: "openhands:machine.dataDisk.fromSnapshot", says: "gcloud compute snapshots list"},
		{mistake: "disk too small", profile: "single", set: values{"openhands:machine": `{"dataDisk":{"sizeGiB":5}}`}, path: "openhands:machine.dataDisk.sizeGiB",
			says: "write 10 or more"},
		{mistake: "night without an end", profile: "single", set: values{"openhands:machine": `{"nightStop":{"stop":"20:00","timeZone":"UTC"}}`},
			path: "openhands:machine.nightStop.start", says: "is not a time of day"},
		{mistake: "night of minutes", profile: "single", set: values{"openhands:machine": `{"nightStop":{"stop":"23:55","start":"00:05","timeZone":"UTC"}}`},
			path: "openhands:machine.nightStop.stop", says: "a quarter of an hour"},
		{mistake: "day that is none", profile: "single",
			set:  values{"openhands:machine": `{"nightStop":{"stop":"20:00","start":"07:00","days":["Monday"],"timeZone":"UTC"}}`},
			path: "openhands:machine.nightStop.days", says: "is not a day"},
		{mistake: "day twice", profile: "single",
			set:  values{"openhands:machine": `{"nightStop":{"stop":"20:00","start":"07:00","days":["MO","MO"],"timeZone":"UTC"}}`},
			path: "openhands:machine.nightStop.days", says: "names a day twice"},
		{mistake: "time zone that is none", profile: "single", set: values{"openhands:machine": `{"nightStop":{"stop":"20:00","start":"07:00","timeZone":"CEST+1"}}`},
			path: "openhands:machine.nightStop.timeZone", says: "is not a time zone"},
		{mistake: "time zone of whoever deploys", profile: "single",
			set:  values{"openhands:machine": `{"nightStop":{"stop":"20:00","start":"07:00","timeZone":"Local"}}`},
			path: "openhands:machine.nightStop.timeZone", says: "is not a time zone"},

		// Ranges.
		{
			mistake: "range that is none", set: values{"openhands:network": `{"podsCidr":"10.16.0.0"}`}, path: "openhands:network.podsCidr",
			says: "is not an IPv4 range",
		},
		{
			mistake: "range with bits beyond its length", set: values{"openhands:network": `{"podsCidr":"10.16.0.1/16"}`}, path: "openhands:network.podsCidr",
			says: "write 10.16.0.0/16",
		},
		{mistake: "public range", set: values{"openhands:network": `{"podsCidr":"8.8.0.0/16"}`}, path: "openhands:network.podsCidr", says: "is not private"},
		{
			mistake: "range that is private at its beginning only", set: values{"openhands:network": `{"nodesCidr":"192.168.0.0/15"}`},
			path: "openhands:network.nodesCidr", says: "is not private",
		},
		{
			mistake: "range of Services too large", set: values{"openhands:network": `{"servicesCidr":"10.128.0.0/12"}`},
			path: "openhands:network.servicesCidr", says: "/16 to /27",
		},
		{
			mistake: "overlapping ranges", set: values{"openhands:network": `{"podsCidr":"10.0.0.0/16"}`}, path: "openhands:network.podsCidr",
			says: "overlaps openhands:network.nodesCidr (10.0.0.0/22)",
		},
		{
			mistake: "control plane of the wrong size", set: values{"openhands:network": `{"controlPlaneCidr":"172.16.0.0/27"}`},
			path: "openhands:network.controlPlaneCidr", says: "allowed is a /28",
		},
		{
			mistake: "peering range too small", set: values{"openhands:network": `{"peeringCidr":"10.64.0.0/25"}`}, path: "openhands:network.peeringCidr",
			says: "/8 to /24",
		},
		{
			mistake: "range that Cloud SQL cannot answer in", set: values{"openhands:network": `{"nodesCidr":"172.17.0.0/22"}`},
			path: "openhands:network.nodesCidr", says: "overlaps 172.17.0.0/16",
		},
		{
			mistake: "pods' range too small for the pools", set: values{"openhands:network": `{"podsCidr":"10.16.0.0/22"}`},
			path: "openhands:network.podsCidr", says: "a /24 of pods for 4 nodes, but the pools may need 6",
		},
		{
			mistake: "nodes' range too small for the pools", set: values{"openhands:network": `{"nodesCidr":"10.0.0.0/29"}`},
			path: "openhands:network.nodesCidr", says: "addresses for 4 nodes, but the pools may need 6",
		},

		// The cluster.
		{
			mistake: "no access", set: values{"openhands:cluster": `{"access":{"connectGateway":{"enabled":false}}}`}, path: "openhands:cluster.access",
			says: "nobody could reach the control plane",
		},
		{
			mistake: "empty list of ranges", set: values{"openhands:cluster": `{"access":{"publicEndpoint":{"authorizedRanges":[]}}}`},
			path: "openhands:cluster.access.publicEndpoint.authorizedRanges", says: "is empty",
		},
		{
			mistake: "public endpoint without ranges", set: values{"openhands:cluster": `{"access":{"publicEndpoint":{}}}`},
			path: "openhands:cluster.access.publicEndpoint.authorizedRanges", says: "is empty",
		},
		{
			mistake: "open control plane", set: values{"openhands:cluster": `{"access":{"publicEndpoint":{"authorizedRanges":["0.0.0.0/0"]}}}`},
			path: "openhands:cluster.access.publicEndpoint.authorizedRanges", says: "the whole internet",
		},
		{
			mistake: "open control plane in prod", profile: "prod",
			set:  values{"openhands:cluster": `{"access":{"publicEndpoint":{"authorizedRanges":["0.0.0.0/0"]}}}`},
			path: "openhands:cluster.access.publicEndpoint.authorizedRanges", says: "Find your own address with `curl",
		},
		{
			mistake: "half the internet", set: values{"openhands:cluster": `{"access":{"publicEndpoint":{"authorizedRanges":["0.0.0.0/1","128.0.0.0/1"]}}}`},
			path: "openhands:cluster.access.publicEndpoint.authorizedRanges", says: "a good part of the internet",
		},
		{
			mistake: "everyone as a member", set: values{"openhands:cluster": `{"access":{"connectGateway":{"members":["allUsers"]}}}`},
			path: "openhands:cluster.access.connectGateway.members", says: "is not one whom Kubernetes knows by an address",
		},
		{
			mistake: "pool of identities as a member",
			set: values{
				"openhands:cluster": `{"access":{"connectGateway":{"members":["principalSet://iam.googleapis.com/locations/global/workforcePools/p/*"]}}}`,
			},
			path: "openhands:cluster.access.connectGateway.members", says: "is not one whom Kubernetes knows by an address",
		},
		{
			mistake: "member without its kind", set: values{"openhands:cluster": `{"access":{"connectGateway":{"members":["a@example.com"]}}}`},
			path: "openhands:cluster.access.connectGateway.members", says: "write user:, group: or serviceAccount: and the address",
		},
		{
			mistake: "domain as a member", set: values{"openhands:cluster": `{"access":{"connectGateway":{"members":["domain:example.com"]}}}`},
			path: "openhands:cluster.access.connectGateway.members", says: "Kubernetes knows users and groups, and no domains",
		},
		{
			mistake: "member in upper case", set: values{"openhands:cluster": `{"access":{"connectGateway":{"members":["user:Ann@example.com"]}}}`},
			path: "openhands:cluster.access.connectGateway.members", says: "write user:ann@example.com",
		},
		{
			mistake: "group of which the cluster is told nothing",
			set:     values{"openhands:cluster": `{"access":{"connectGateway":{"members":["group:ops@example.com"]}}}`},
			path:    "openhands:cluster.access.connectGateway.members",
			says: "run `pulumi config set --path openhands:cluster.access.securityGroup gke-security-groups@example.com`. In Google Groups, create " +
				"gke-security-groups@example.com with ops@example.com as a member",
		},
		{
			mistake: "security group of another name", set: values{"openhands:cluster": `{"access":{"securityGroup":"security@example.com"}}`},
			path: "openhands:cluster.access.securityGroup", says: "write gke-security-groups@<your domain>",
		},
		{
			mistake: "security group as an IAM member", set: values{
				"openhands:cluster": `{"access":{"securityGroup":"group:gke-security-groups@example.com"}}`,
			},
			path: "openhands:cluster.access.securityGroup", says: "write gke-security-groups@<your domain>",
		},
		{
			mistake: "members without the gateway",
			set: values{
				"openhands:cluster": `{"access":{"connectGateway":{"enabled":false,"members":["user:a@example.com"]},
					"publicEndpoint":{"authorizedRanges":["203.0.113.7/32"]}}}`,
			},
			path: "openhands:cluster.access.connectGateway.members", says: "has no effect",
		},
		{
			mistake: "member named twice",
			set:     values{"openhands:cluster": `{"access":{"connectGateway":{"members":["user:a@example.com","user:a@example.com"]}}}`},
			path:    "openhands:cluster.access.connectGateway.members", says: "names a member twice",
		},
		{mistake: "version too old", set: values{"openhands:cluster": `{"minVersion":"1.35"}`}, path: "openhands:cluster.minVersion", says: "is below 1.36"},
		{
			mistake: "version that is none", set: values{"openhands:cluster": `{"minVersion":"latest"}`}, path: "openhands:cluster.minVersion",
			says: "is not a version",
		},
		{
			mistake: "day that is none", set: values{"openhands:cluster": `{"maintenance":{"days":["SA","SUN"]}}`},
			path: "openhands:cluster.maintenance.days", says: "is not a day",
		},
		{
			mistake: "too little maintenance", set: values{"openhands:cluster": `{"maintenance":{"days":["SU"],"hours":4}}`},
			path: "openhands:cluster.maintenance", says: "1 days of 4 hours give 16 hours in 32 days",
		},
		{
			mistake: "machine type that is none", set: values{"openhands:cluster": `{"appPool":{"machineType":"m1.large"}}`},
			path: "openhands:cluster.appPool.machineType", says: "is not a machine type",
		},
		{
			mistake: "machine type with an odd size", set: values{"openhands:cluster": `{"appPool":{"machineType":"e2-standard-3"}}`},
			path: "openhands:cluster.appPool.machineType", says: "is not on offer",
		},
		{
			mistake: "Arm machines for the application", set: values{"openhands:cluster": `{"appPool":{"machineType":"t2a-standard-4"}}`},
			path: "openhands:cluster.appPool.machineType",
			says: "t2a-standard-4 is an Arm machine: GKE taints its nodes with kubernetes.io/arch=arm64, which OpenHands does not tolerate. Write one " +
				"of series e2,",
		},
		{
			mistake: "Arm machines that take Hyperdisk", set: values{"openhands:cluster": `{"appPool":{"machineType":"c4a-highmem-8"}}`},
			path: "openhands:cluster.appPool.machineType", says: "is an Arm machine",
		},
		{
			mistake: "machines without persistent disks", set: values{"openhands:cluster": `{"appPool":{"machineType":"n4-standard-4"}}`},
			path: "openhands:cluster.appPool.machineType",
			says: "n4-standard-4 takes Hyperdisk only, and the nodes' disks and the sandboxes' workspaces are persistent disks (pd-balanced, " +
				"standard-rwo). Write",
		},
		{
			mistake: "series that nobody knows", set: values{"openhands:cluster": `{"appPool":{"machineType":"e9-standard-4"}}`},
			path: "openhands:cluster.appPool.machineType", says: "is not a machine type that is known here (c2-standard, ",
		},
		{
			mistake: "series without the size", set: values{"openhands:cluster": `{"appPool":{"machineType":"e2-standard"}}`},
			path: "openhands:cluster.appPool.machineType", says: "is not on offer: e2-standard has [2 4 8 16 32] vCPUs",
		},
		{
			mistake: "shared core", set: values{"openhands:cluster": `{"appPool":{"machineType":"e2-medium"}}`},
			path: "openhands:cluster.appPool.machineType", says: "less than two whole vCPUs, and GKE's own pods need most of them",
		},
		{
			mistake: "shared core for a small application",
			set:     values{"openhands:cluster": `{"appPool":{"machineType":"e2-medium"}}`, "openhands:app": `{"cpuRequest":0.1,"memoryGiB":0.5}`},
			path:    "openhands:cluster.appPool.machineType", says: "Write e2-standard-2, or a larger one",
		},
		{
			mistake: "one vCPU for the application", set: values{"openhands:cluster": `{"appPool":{"machineType":"n1-standard-1"}}`},
			path: "openhands:cluster.appPool.machineType", says: "Write e2-standard-2",
		},
		{
			mistake: "little memory", set: values{"openhands:cluster": `{"appPool":{"machineType":"e2-highcpu-4"}}`},
			path: "openhands:app.memoryGiB", says: "the application asks for 0.5 vCPU and 2 GiB, and an e2-highcpu-4 has 3.37 and 1.7 left",
		},
		{
			mistake: "app pool upside down", set: values{"openhands:cluster": `{"appPool":{"minNodes":3}}`}, path: "openhands:cluster.appPool.maxNodes",
			says: "below minNodes (3)",
		},
		{
			mistake: "app pool smaller than the region", profile: "prod", set: values{"openhands:cluster": `{"appPool":{"maxNodes":2}}`},
			path: "openhands:cluster.appPool.maxNodes", says: "each of its 3 zones",
		},

		// The sandboxes.
		{
			mistake: "shape without the size", set: values{"openhands:sandboxes": `{"pool":{"machineType":"e2-highmem-32"}}`},
			path: "openhands:sandboxes.pool.machineType", says: "e2-highmem has [2 4 8 16] vCPUs",
		},
		{
			mistake: "Arm machines for sandboxes", set: values{"openhands:sandboxes": `{"pool":{"machineType":"n4a-standard-4"}}`},
			path: "openhands:sandboxes.pool.machineType", says: "is an Arm machine",
		},
		{
			mistake: "workspaces on machines without persistent disks", set: values{"openhands:sandboxes": `{"pool":{"machineType":"c4d-standard-8"}}`},
			path: "openhands:sandboxes.pool.machineType", says: "takes Hyperdisk only",
		},
		{
			mistake: "shared core for sandboxes", set: values{"openhands:sandboxes": `{"pool":{"machineType":"e2-medium"}}`},
			path: "openhands:sandboxes.pool.machineType",
			says: "not one sandbox fits on a node (of an e2-medium, 0.44 vCPU and 1.9 GiB are left for sandboxes: 0.44 / 1 vCPU = 0, 1.9 / 2 GiB = 0)",
		},
		{
			mistake: "sandbox that gVisor takes too much of", set: values{"openhands:sandboxes": `{"memoryRequestGiB":0.5}`},
			path: "openhands:sandboxes.memoryRequestGiB", says: "is 0.5: write 1 or more",
		},
		{
			mistake: "sandbox larger than a node", set: values{"openhands:sandboxes": `{"memoryRequestGiB":64}`},
			path: "openhands:sandboxes.pool.machineType", says: "not one sandbox fits",
		},
		{
			mistake: "pool too small for the sandboxes", profile: "prod", set: values{"openhands:sandboxes": `{"pool":{"maxNodes":2}}`},
			path: "openhands:sandboxes.pool.maxNodes", says: "needs 3 nodes, and 6 wherever their workspaces are: write at least 3, lower max to 14",
		},

		{
			mistake: "CPU limit below the request", set: values{"openhands:sandboxes": `{"cpuLimit":0.5}`}, path: "openhands:sandboxes.cpuLimit",
			says: "below cpuRequest (1)",
		},

		// The application.
		{
			mistake: "release that is not supported", set: values{"openhands:app": `{"release":"1.2.0"}`}, path: "openhands:app.release",
			says: "write 0.60.0 or 0.62.0 with kubernetes, or 1.10.0 or 1.11.0 with remote",
		},
		{
			mistake: "runtime that the line lacks", set: values{"openhands:app": `{"runtime":"remote"}`}, path: "openhands:app.release",
			says: "release 0.62.0 with runtime remote is not supported",
		},
		{
			mistake: "runtime that does not exist", set: values{"openhands:app": `{"runtime":"docker"}`}, path: "openhands:app.runtime",
			says: "write one of kubernetes, remote",
		},
		{
			mistake: "latest image", set: values{"openhands:app": `{"image":"ghcr.io/openhands/openhands:latest"}`}, path: "openhands:app.image",
			says: "without the Kubernetes runtime",
		},
		{
			mistake: "image without a tag", set: values{"openhands:app": `{"image":"registry.example.com:5000/openhands"}`}, path: "openhands:app.image",
			says: "has no tag",
		},
		{
			mistake: "image of another line", set: values{"openhands:app": `{"image":"ghcr.io/openhands/openhands:1.11.0"}`}, path: "openhands:app.image",
			says: "is not of the line of release 0.62.0",
		},
		{
			mistake: "digest that is none", set: values{"openhands:app": `{"image":"ghcr.io/openhands/openhands@latest"}`}, path: "openhands:app.image",
			says: "is not an image (invalid reference format): write <registry>/<path>:<tag>",
		},
		{
			mistake: "image in upper case", set: values{"openhands:app": `{"image":"ghcr.io/OpenHands/openhands:0.62.0"}`}, path: "openhands:app.image",
			says: "(repository name must be lowercase)",
		},
		{
			mistake: "image with its scheme", set: values{
				"openhands:app": `{"image":"https://ghcr.io/openhands/openhands:0.62.0"}`,
			}, path: "openhands:app.image",
			says: "is not an image (invalid reference format)",
		},
		{
			mistake: "sandbox image with a blank", set: values{
				"openhands:app": `{"sandboxImage":"ghcr.io/me/runtime: 0.62-own"}`,
			}, path: "openhands:app.sandboxImage",
			says: "is not an image (invalid reference format)",
		},
		{
			mistake: "digest by another algorithm",
			set:     values{"openhands:app": `{"image":"ghcr.io/openhands/openhands@sha512:` + strings.Repeat("0", 128) + `"}`}, path: "openhands:app.image",
			says: "is not a digest: write sha256:",
		},
		{
			mistake: "application larger than its nodes", set: values{"openhands:app": `{"memoryGiB":32}`}, path: "openhands:app.memoryGiB",
			says: "choose a larger openhands:cluster.appPool.machineType",
		},
		{
			mistake: "runtime API out of reach",
			set:     values{"openhands:app": `{"release":"1.11.0","runtime":"remote","remoteRuntimeUrl":"https://10.1.2.3"}`},
			path:    "openhands:app.remoteRuntimeUrl", says: "is out of reach",
		},
		{
			mistake: "other credentials", set: values{"openhands:app": `{"extraEnv":{"GOOGLE_APPLICATION_CREDENTIALS":"/x"}}`},
			path: "openhands:app.extraEnv.GOOGLE_APPLICATION_CREDENTIALS", says: "known to Google",
		},
		{
			mistake: "the server's own configuration", set: values{"openhands:app": `{"extraEnv":{"OH_DB_SESSION_HOST":"x"}}`},
			path: "openhands:app.extraEnv.OH_DB_SESSION_HOST", says: "begin with OH_",
		},
		{mistake: "another port", set: values{"openhands:app": `{"extraEnv":{"port":"80"}}`}, path: "openhands:app.extraEnv.port", says: "the release's port"},
		{
			mistake: "sandbox image of another line", set: values{"openhands:app": `{"sandboxImage":"ghcr.io/openhands/runtime:0.59-nikolaik"}`},
			path: "openhands:app.sandboxImage", says: "is not of the line of release 0.62.0",
		},
		{
			mistake: "door that is another one tomorrow", set: values{"openhands:app": `{"doorImage":"envoyproxy/envoy:latest"}`},
			path: "openhands:app.doorImage", says: "latest is another image tomorrow",
		},
		{
			mistake: "sandbox image for a remote runtime", set: values{"openhands:app": `{"release":"1.11.0","runtime":"remote","sandboxImage":"a:1"}`},
			path: "openhands:app.sandboxImage", says: "starts no sandboxes of its own",
		},
		{
			mistake: "more replicas", set: values{"openhands:app": `{"replicas":3}`}, path: "openhands:app.replicas",
			says: "conversations live in the memory of one process",
		},
		{
			mistake: "autoscaling", set: values{"openhands:app": `{"autoscaling":{"max":3}}`}, path: "openhands:app.autoscaling",
			says: "raise openhands:sandboxes.max",
		},
		{mistake: "another file store", set: values{"openhands:app": `{"fileStore":"gcs"}`}, path: "openhands:app.fileStore", says: "silently becomes memory"},
		{
			mistake: "file store by the environment", set: values{"openhands:app": `{"extraEnv":{"FILE_STORE":"gcs"}}`},
			path: "openhands:app.extraEnv.FILE_STORE", says: "every session is lost",
		},
		{
			mistake: "bucket by the environment", set: values{"openhands:app": `{"extraEnv":{"FILE_STORE_PATH":"/x"}}`},
			path: "openhands:app.extraEnv.FILE_STORE_PATH", says: "the name of the bucket",
		},
		{
			mistake: "the newer interface on", set: values{"openhands:app": `{"extraEnv":{"ENABLE_V1":"1"}}`}, path: "openhands:app.extraEnv.ENABLE_V1",
			says: "an agent in the server's own pod",
		},
		{
			mistake: "a disk for the server", set: values{"openhands:app": `{"stateSizeGb":20}`}, path: "openhands:app.stateSizeGb",
			says: "keeps nothing on a disk",
		},
		{
			mistake: "bucket under the wrong name", set: values{"openhands:app": `{"extraEnv":{"GOOGLE_CLOUD_BUCKET_NAME":"x"}}`},
			path: "openhands:app.extraEnv.GOOGLE_CLOUD_BUCKET_NAME", says: "never read",
		},
		{
			mistake: "connector that crashes", set: values{"openhands:app": `{"extraEnv":{"GCP_DB_INSTANCE":"x"}}`},
			path: "openhands:app.extraEnv.GCP_DB_INSTANCE", says: "the server crashes",
		},
		{
			mistake: "debugging that hangs", set: values{"openhands:app": `{"extraEnv":{"DEBUG_LLM":"1"}}`}, path: "openhands:app.extraEnv.DEBUG_LLM",
			says: "hangs",
		},
		{
			mistake: "configuration class", set: values{"openhands:app": `{"extraEnv":{"OPENHANDS_CONFIG_CLS":"x"}}`},
			path: "openhands:app.extraEnv.OPENHANDS_CONFIG_CLS", says: "raises an error",
		},
		{
			mistake: "setting of the runtime", set: values{"openhands:app": `{"extraEnv":{"KUBERNETES_NAMESPACE":"x"}}`},
			path: "openhands:app.extraEnv.KUBERNETES_NAMESPACE", says: "set by the program",
		},
		{
			mistake: "privileged sandboxes", set: values{"openhands:app": `{"extraEnv":{"KUBERNETES_PRIVILEGED":"true"}}`},
			path: "openhands:app.extraEnv.KUBERNETES_PRIVILEGED", says: "is none",
		},
		{
			mistake: "name that is none", set: values{"openhands:app": `{"extraEnv":{"MY-VAR":"x"}}`}, path: "openhands:app.extraEnv.MY-VAR",
			says: "not the name of an environment variable",
		},
		{
			mistake: "remote runtime without an address", set: values{"openhands:app": `{"release":"1.11.0","runtime":"remote"}`},
			path: "openhands:app.remoteRuntimeUrl", says: "is missing",
		},
		{
			mistake: "remote runtime without a key", set: values{"openhands:app": `{"release":"1.11.0","runtime":"remote"}`}, path: "openhands:sandboxApiKey",
			says: "is missing",
		},
		{
			mistake: "address without a remote runtime", set: values{"openhands:app": `{"remoteRuntimeUrl":"https://x.example.com"}`},
			path: "openhands:app.remoteRuntimeUrl", says: "has no effect",
		},
		{
			mistake: "address in clear text",
			set:     values{"openhands:app": `{"release":"1.11.0","runtime":"remote","remoteRuntimeUrl":"http://x.example.com"}`},
			path:    "openhands:app.remoteRuntimeUrl", says: "is not an https address",
		},
		{
			mistake: "secret in clear", set: values{"openhands:sandboxApiKey": "key"}, path: "openhands:sandboxApiKey",
			says: "pulumi config set --secret openhands:sandboxApiKey",
		},
		{
			mistake: "connection budget over the database's limit", set: values{"openhands:database": `{"maxConnections":50}`},
			path: "openhands:database.maxConnections", says: "up to 70 connections, and 10 are kept for administration: write at least 80",
		},

		// The database and the bucket.
		{
			mistake: "version of another database", set: values{"openhands:database": `{"version":"MYSQL_8_0"}`}, path: "openhands:database.version",
			says: "is not a PostgreSQL version",
		},
		{
			mistake: "version that Cloud SQL does not have", set: values{"openhands:database": `{"version":"POSTGRES_19"}`}, path: "openhands:database.version",
			says: "write POSTGRES_15, or another from 13 to 18",
		},
		{
			mistake: "tier without memory for the server", set: values{"openhands:database": `{"tier":"db-f1-micro"}`}, path: "openhands:database.tier",
			says: "has memory for 40 connections (10 MiB each, in two thirds of 614 MiB), and OpenHands needs 80: write db-g1-small",
		},
		{
			mistake: "more connections than memory", set: values{"openhands:database": `{"maxConnections":400}`}, path: "openhands:database.maxConnections",
			says: "is 400, and db-g1-small has memory for 116 (10 MiB each, in two thirds of 1740 MiB): write 80 to 116, or choose a larger",
		},
		{
			mistake: "more connections than memory of a tier of one's own", profile: "prod", set: values{"openhands:database": `{"maxConnections":1000}`},
			path: "openhands:database.maxConnections", says: "is 1000, and db-custom-2-7680 has memory for 512",
		},
		{
			mistake: "tier that is none", set: values{"openhands:database": `{"tier":"db-n1-standard-1"}`}, path: "openhands:database.tier",
			says: "is not a tier",
		},
		{
			mistake: "tier with odd vCPUs", set: values{"openhands:database": `{"tier":"db-custom-3-7680"}`}, path: "openhands:database.tier",
			says: "has 3 vCPUs",
		},
		{
			mistake: "tier with an odd memory", set: values{"openhands:database": `{"tier":"db-custom-2-7700"}`}, path: "openhands:database.tier",
			says: "a multiple of 256, e.g. 7680",
		},
		{
			mistake: "tier with too much memory", set: values{"openhands:database": `{"tier":"db-custom-2-15360"}`}, path: "openhands:database.tier",
			says: "between 0.9 and 6.5 GiB",
		},
		{
			mistake: "standby without point-in-time recovery", profile: "prod", set: values{"openhands:database": `{"backups":{"pointInTimeDays":0}}`},
			path: "openhands:database.backups.pointInTimeDays", says: "needs the logs",
		},
		{
			mistake: "fewer backups than days", profile: "prod", set: values{"openhands:database": `{"backups":{"retained":3}}`},
			path: "openhands:database.backups.retained", says: "keep at least as many",
		},
		{
			mistake: "disk limit below the disk", set: values{"openhands:database": `{"diskSizeGiB":100}`}, path: "openhands:database.diskLimitGiB",
			says: "below diskSizeGiB (100)",
		},
		{
			mistake: "time that is none", set: values{"openhands:database": `{"backups":{"startTime":"1am"}}`}, path: "openhands:database.backups.startTime",
			says: "is not a time of day",
		},
		{
			mistake: "soft delete for two days", set: values{"openhands:bucket": `{"softDeleteDays":2}`}, path: "openhands:bucket.softDeleteDays",
			says: "0 (off) or 7 to 90",
		},
		{
			mistake: "location that is none", set: values{"openhands:bucket": `{"location":"Frankfurt"}`}, path: "openhands:bucket.location",
			says: "is not a location",
		},
		{
			mistake: "dual-region that does not exist", set: values{"openhands:bucket": `{"location":"EUR6"}`}, path: "openhands:bucket.location",
			says: "write a region like us-central1, or one of US, EU, ASIA, ASIA1, EUR4, ",
		},

		{
			mistake: "address that is none", set: values{"openhands:observability": `{"notificationEmails":["ops"]}`},
			path: "openhands:observability.notificationEmails", says: "is not an e-mail address",
		},
		{
			mistake: "address named twice", set: values{"openhands:observability": `{"notificationEmails":["a@example.com","A@example.com"]}`},
			path: "openhands:observability.notificationEmails", says: "twice",
		},

		// Protection.
		// The way in.
		{
			mistake: "no host", profile: "prod", set: exposed(`{"host":""}`), path: "openhands:exposure.host",
			says: "is missing: mode gateway needs the host name",
		},
		{
			mistake: "address for a host", profile: "prod", set: exposed(`{"host":"https://openhands.example.com/"}`), path: "openhands:exposure.host",
			says: "without https:// and without a path",
		},
		{
			mistake: "no login", profile: "prod", set: exposed(`{"login":{"members":[]}}`), path: "openhands:exposure.login.members",
			says: "whoever reaches it owns it",
		},
		{
			mistake: "no login in dev", set: values{"openhands:exposure": `{"mode":"gateway","host":"openhands.example.com"}`},
			path: "openhands:exposure.login.members", says: "whoever reaches it owns it",
		},
		{
			mistake: "everyone for a member", profile: "prod", set: exposed(`{"login":{"members":["allUsers"]}}`), path: "openhands:exposure.login.members",
			says: "allUsers is everyone on the internet",
		},
		{
			mistake: "everyone with an account", profile: "prod", set: exposed(`{"login":{"members":["allAuthenticatedUsers"]}}`),
			path: "openhands:exposure.login.members", says: "allAuthenticatedUsers is everyone on the internet",
		},
		{
			mistake: "member without a kind", profile: "prod", set: exposed(`{"login":{"members":["jane@example.com"]}}`),
			path: "openhands:exposure.login.members", says: "is not an IAM member",
		},
		{
			mistake: "member twice", profile: "prod", set: exposed(`{"login":{"members":["user:a@example.com","user:A@example.com"]}}`),
			path: "openhands:exposure.login.members", says: "twice",
		},
		{
			mistake: "login turned off", profile: "prod", set: exposed(`{"login":{"enabled":false}}`), path: "openhands:exposure.login.enabled",
			says: "always on",
		},
		{
			mistake: "IAP by its name", profile: "prod", set: exposed(`{"iap":{"enabled":false}}`), path: "openhands:exposure.iap",
			says: "openhands:exposure.login.members",
		},
		{
			mistake: "open to everyone, and a login", profile: "prod", set: exposed(`{"dangerouslyOpenToEveryoneWithoutLogin":true}`),
			path: "openhands:exposure.dangerouslyOpenToEveryoneWithoutLogin", says: "contradicts login",
		},
		{
			mistake: "client without its secret", profile: "prod", set: exposed(`{"login":{"clientId":"123-abc.apps.googleusercontent.com"}}`),
			path: "openhands:iapClientSecret", says: "config set --secret openhands:iapClientSecret",
		},
		{
			mistake: "client that is none", profile: "prod", set: exposed(`{"login":{"clientId":"my-client"}}`), path: "openhands:exposure.login.clientId",
			says: "is not the id of an OAuth client",
		},
		{
			mistake: "secret without its client", profile: "prod", set: values{"openhands:iapClientSecret": "s"}, path: "openhands:exposure.login.clientId",
			says: "Write its id",
		},
		{
			mistake: "secret of the client in clear", profile: "prod", set: values{"openhands:iapClientSecret": "s"}, path: "openhands:iapClientSecret",
			says: "is a secret in clear",
		},
		{
			mistake: "DNS name for a zone", profile: "prod", set: exposed(`{"dnsZone":"example.com."}`), path: "openhands:exposure.dnsZone",
			says: "gcloud dns managed-zones list",
		},
		{
			mistake: "host without a gateway", set: values{"openhands:exposure": `{"host":"openhands.example.com"}`}, path: "openhands:exposure.host",
			says: "has no effect with mode none",
		},
		{mistake: "another mode", set: values{"openhands:exposure": `{"mode":"ingress"}`}, path: "openhands:exposure.mode", says: "write one of none, gateway"},
		{
			mistake: "everyone in the allow-list", profile: "prod", set: exposed(`{"armor":{"allowedRanges":["0.0.0.0/0"]}}`),
			path: "openhands:exposure.armor.allowedRanges", says: "is everyone",
		},
		{
			mistake: "everyone by another name", profile: "prod", set: exposed(`{"login":{"members":["principalSet://goog/public:all"]}}`),
			path: "openhands:exposure.login.members", says: "is not an IAM member",
		},
		{
			mistake: "everyone's domain", profile: "prod", set: exposed(`{"login":{"members":["domain:gmail.com"]}}`),
			path: "openhands:exposure.login.members", says: "everyone with an account there",
		},
		{
			mistake: "limits without a gateway", set: values{"openhands:exposure": `{"armor":{"requestsPerMinute":600}}`}, path: "openhands:exposure.armor",
			says: "has no effect with mode none",
		},
		{
			mistake: "range twice", profile: "prod", set: exposed(`{"armor":{"deniedRanges":["192.0.2.0/24","192.0.2.0/24"]}}`),
			path: "openhands:exposure.armor.deniedRanges", says: "twice",
		},
		{
			mistake: "rule set of another kind", profile: "prod", set: exposed(`{"armor":{"wafRules":["foo-v33-stable"]}}`),
			path: "openhands:exposure.armor.wafRules", says: "is not a preconfigured rule set",
		},
		{
			mistake: "range that begins elsewhere", profile: "prod", set: exposed(`{"armor":{"deniedRanges":["192.0.2.1/24"]}}`),
			path: "openhands:exposure.armor.deniedRanges", says: "write 192.0.2.0/24",
		},
		{
			mistake: "rule set that is none", profile: "prod", set: exposed(`{"armor":{"wafRules":["sql-injection"]}}`),
			path: "openhands:exposure.armor.wafRules", says: "sqli-v33-stable",
		},
		{
			mistake: "nothing to enforce", profile: "prod", set: exposed(`{"armor":{"wafEnforce":true}}`), path: "openhands:exposure.armor.wafEnforce",
			says: "has no effect without wafRules",
		},

		// What sandboxes may reach.
		{
			mistake: "address for a domain",
			set:     values{"openhands:cluster": `{"fqdnNetworkPolicy":true}`, "openhands:sandboxes": `{"egress":{"allowedDomains":["https://github.com"]}}`},
			path:    "openhands:sandboxes.egress.allowedDomains", says: "is not a domain name",
		},
		{
			mistake: "domains that the cluster does not enforce", set: values{"openhands:sandboxes": `{"egress":{"allowedDomains":["github.com"]}}`},
			path: "openhands:sandboxes.egress.allowedDomains", says: "openhands:cluster.fqdnNetworkPolicy",
		},
		{
			mistake: "private range for sandboxes", set: values{"openhands:sandboxes": `{"egress":{"allowedRanges":["10.0.0.0/24"]}}`},
			path: "openhands:sandboxes.egress.allowedRanges", says: "which is not public",
		},
		{
			mistake: "range that holds private ones", set: values{"openhands:sandboxes": `{"egress":{"allowedRanges":["8.0.0.0/5"]}}`},
			path: "openhands:sandboxes.egress.allowedRanges", says: "overlaps 10.0.0.0/8",
		},
		{
			mistake: "benchmarking range for sandboxes", set: values{"openhands:sandboxes": `{"egress":{"allowedRanges":["198.18.7.0/24"]}}`},
			path: "openhands:sandboxes.egress.allowedRanges", says: "overlaps 198.18.0.0/15",
		},
		{
			mistake: "domain twice",
			set: values{
				"openhands:cluster": `{"fqdnNetworkPolicy":true}`, "openhands:sandboxes": `{"egress":{"allowedDomains":["github.com","github.com"]}}`,
			},
			path: "openhands:sandboxes.egress.allowedDomains", says: "twice",
		},
		{
			mistake: "range that a VPC may use", set: values{"openhands:sandboxes": `{"egress":{"allowedRanges":["192.88.99.0/24"]}}`},
			path: "openhands:sandboxes.egress.allowedRanges", says: "overlaps 192.88.99.0/24",
		},
		{
			mistake: "list for the server that the cluster does not enforce", set: values{"openhands:app": `{"egress":{"allowedRanges":["140.82.112.0/20"]}}`},
			path: "openhands:app.egress", says: "the bucket is reached by the name storage.googleapis.com",
		},
		{
			mistake: "private range for the server", set: values{
				"openhands:cluster": `{"fqdnNetworkPolicy":true}`, "openhands:app": `{"egress":{"allowedRanges":["10.0.0.9/32"]}}`,
			},
			path: "openhands:app.egress.allowedRanges", says: "which is not public",
		},
		{
			mistake: "address for a domain of the server",
			set:     values{"openhands:cluster": `{"fqdnNetworkPolicy":true}`, "openhands:app": `{"egress":{"allowedDomains":["https://api.openai.com/v1"]}}`},
			path:    "openhands:app.egress.allowedDomains", says: "is not a domain name",
		},
		{
			mistake: "digest without its algorithm", set: values{"openhands:app": `{"imageDigest":"0123456789abcdef"}`},
			path: "openhands:app.imageDigest", says: "write sha256:",
		},
		{
			mistake: "digest of another image", set: values{
				"openhands:app": `{"sandboxImage":"ghcr.io/me/runtime:0.62-own","sandboxImageDigest":"sha256:` + strings.Repeat("0", 64) + `"}`,
			},
			path: "openhands:app.sandboxImageDigest", says: "write ghcr.io/me/runtime:0.62-own@sha256:",
		},
		{
			mistake: "key of a model in the environment", set: values{"openhands:app": `{"extraEnv":{"LLM_API_KEY":"sk-1"}}`},
			path: "openhands:app.extraEnv.LLM_API_KEY",
			says: "the web server ignores LLM_* variables. Model, base URL and key are entered in the settings",
		},
		{
			mistake: "secret in clear", set: values{"openhands:app": `{"extraEnv":{"GITHUB_TOKEN":"ghp-1"}}`}, path: "openhands:app.extraEnv.GITHUB_TOKEN",
			says: "run `pulumi config set --secret --path openhands:secretEnv.GITHUB_TOKEN`",
		},
		{
			mistake: "password inside of an address", set: values{"openhands:app": `{"extraEnv":{"HTTPS_PROXY":"http://me:hunter2@proxy.example.com"}}`},
			path: "openhands:app.extraEnv.HTTPS_PROXY", says: "looks like a secret",
		},
		{
			mistake: "secret variable in clear", set: values{"openhands:secretEnv": `{"GITHUB_TOKEN":"ghp-1"}`}, path: "openhands:secretEnv",
			says: "run `pulumi config set --secret --path openhands:secretEnv.<name>`",
		},
		{
			mistake: "secret variable of the program", set: values{"openhands:secretEnv": `{"DB_PASS":"x"}`},
			path: "openhands:secretEnv.DB_PASS", says: "is set by the program",
		},
		{
			mistake: "variable twice", set: values{"openhands:app": `{"extraEnv":{"MODE":"a"}}`, "openhands:secretEnv": `{"MODE":"b"}`},
			path: "openhands:app.extraEnv.MODE", says: "is in openhands:secretEnv too",
		},
		{
			mistake: "more warm sandboxes than there may be", set: values{"openhands:sandboxes": `{"warm":4}`}, path: "openhands:sandboxes.warm",
			says: "above max (3)",
		},
		{
			mistake: "fewer volumes than sandboxes", set: values{"openhands:sandboxes": `{"maxVolumes":2}`}, path: "openhands:sandboxes.maxVolumes",
			says: "below max (3)",
		},
		{
			mistake: "names of pods from the page", set: values{"openhands:app": `{"extraEnv":{"ALLOW_SET_CONVERSATION_ID":"1"}}`},
			path: "openhands:app.extraEnv.ALLOW_SET_CONVERSATION_ID", says: "must not be set",
		},
		{
			mistake: "metadata server for sandboxes", set: values{"openhands:sandboxes": `{"egress":{"allowedRanges":["169.254.169.254/32"]}}`},
			path: "openhands:sandboxes.egress.allowedRanges", says: "metadata server",
		},

		{
			mistake: "prod without a protected cluster", profile: "prod", set: values{"openhands:cluster": `{"deletionProtection":false}`},
			path: "openhands:cluster.deletionProtection", says: "does not run unprotected",
		},
		{
			mistake: "prod without a protected database", profile: "prod", set: values{"openhands:database": `{"deletionProtection":false}`},
			path: "openhands:database.deletionProtection", says: "openhands:teardown",
		},
		{
			mistake: "prod without protected images", profile: "prod", set: values{"openhands:registry": `{"deletionProtection":false}`},
			path: "openhands:registry.deletionProtection", says: "does not run unprotected",
		},
		{
			mistake: "prod without a protected bucket", profile: "prod", set: values{"openhands:bucket": `{"deletionProtection":false}`},
			path: "openhands:bucket.deletionProtection", says: "does not run unprotected",
		},
	}
	for _, c := range cases {
		t.Run(c.mistake, func(t *testing.T) {
			profile, stack := c.profile, c.stack
			if profile == "" {
				profile = "dev"
			}
			if stack == "" {
				stack = "dev"
			}
			values := minimal(profile)
			maps.Copy(values, c.set)
			maps.DeleteFunc(values, func(_, value string) bool { return value == "" })
			_, err := stacks.Load(stacks.Source{Stack: stack, Values: values})
			var failure *stacks.Error
			require.ErrorAs(t, err, &failure)
			var messages []string
			for _, p := range failure.Problems {
				if p.Path == c.path {
					messages = append(messages, p.Message)
				}
			}
			require.NotEmpty(t, messages, "the problem is reported elsewhere: %v", failure)
			assert.Contains(t, messages[0], c.says)
		})
	}
}

// canvas is a stack of instances, with other keys and their values.
func canvas(instances string, other ...string) map[string]string {
	values := map[string]string{"openhands:app": `{"line":"canvas"}`, "openhands:instances": "[" + instances + "]"}
	for i := 0; i < len(other); i += 2 {
		values[other[i]] = other[i+1]
	}
	return values
}

// TestGoodInput has values next to those that TestBadInput refuses.
func TestGoodInput(t *testing.T) {
	for _, c := range []struct{ key, value string }{
		{"openhands:cluster", `{"appPool":{"machineType":"c3-standard-4"}}`},
		{"openhands:cluster", `{"appPool":{"machineType":"n1-standard-2"}}`},
		{"openhands:cluster", `{"appPool":{"machineType":"t2d-standard-4"}}`},
		{"openhands:sandboxes", `{"pool":{"machineType":"c2d-highmem-8"}}`},
		{"openhands:sandboxes", `{"pool":{"machineType":"e2-medium"},"cpuRequest":0.4,"memoryRequestGiB":1.5}`},
		{"openhands:sandboxes", `{"memoryRequestGiB":1}`},
		{"openhands:database", `{"version":"POSTGRES_13"}`},
		{"openhands:database", `{"version":"POSTGRES_18"}`},
		{"openhands:database", `{"maxConnections":116}`},
		{"openhands:database", `{"tier":"db-custom-1-3840","maxConnections":256}`},
		{"openhands:bucket", `{"location":"EUR4"}`},
		{"openhands:bucket", `{"location":"nam4"}`},
		{"openhands:bucket", `{"location":"EU"}`},
		{"openhands:bucket", `{"location":"europe-west4"}`},
		{"openhands:app", `{"image":"registry.example.com:5000/team_a/openhands:0.62.0"}`},
		{"openhands:app", `{"image":"registry.example.com:5000/team_a/openhands:0.62.0-own@sha256:` + strings.Repeat("0", 64) + `"}`},
		{"openhands:app", `{"image":"openhands:0.62.0","sandboxImage":"runtime@sha256:` + strings.Repeat("0", 64) + `"}`},
	} {
		t.Run(c.value, func(t *testing.T) {
			values := minimal("dev")
			values[c.key] = c.value
			_, err := stacks.Load(stacks.Source{Stack: "dev", Values: values})
			require.NoError(t, err)
		})
	}
}
