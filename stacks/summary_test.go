package stacks_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/stacks"
)

// TestSummary: whoever changes one of these settings sees it in the lines that a rehearsal begins with.
func TestSummary(t *testing.T) {
	for _, test := range []struct {
		profile, key, value string
		fact, says          string
	}{
		{"dev", "gcp:zone", "us-central1-f", "cluster", "in zone us-central1-f"},
		{"prod", "openhands:cluster", `{"appPool": {"machineType": "e2-standard-8", "maxNodes": 5}}`, "cluster", "1 to 5 x e2-standard-8"},
		{"dev", "openhands:sandboxes", `{"pool": {"machineType": "e2-standard-16"}}`, "cluster", "e2-standard-16 (spot)"},
		{"dev", "openhands:sandboxes", `{"max": 7}`, "sandboxes", "7 at a time"},
		{"dev", "openhands:sandboxes", `{"egress": {"allowedRanges": ["140.82.112.0/20"]}}`, "egress", "sandboxes only 140.82.112.0/20"},
		{"dev", "openhands:database", `{"tier": "db-custom-4-15360"}`, "database", "db-custom-4-15360"},
		{"dev", "openhands:database", `{"deletionProtection": true}`, "database", "; protected"},
		{"prod", "openhands:teardown", "true", "place", "nothing is protected"},
		{
			"prod", "openhands:exposure", `{"host": "a.example.com", "login": {"members": ["user:ann@example.com"]}}`,
			"way in", "https://a.example.com, login for user:ann@",
		},
		{"prod", "openhands:exposure", `{"host": "a.example.com", "dangerouslyOpenToEveryoneWithoutLogin": true}`, "way in", "for EVERYONE"},
		{
			"dev", "openhands:cluster", `{"access": {"connectGateway": {"members": ["user:ann@example.com"]}}}`,
			"way in", "port-forward, for the project's owners and user:ann@",
		},
		{
			"single", "openhands:machine", `{"members": ["user:ann@example.com"], "operators": ["user:bob@example.com"]}`,
			"way in", "ann@example.com; SSH for the project's owners and user:bob@",
		},
		{"single", "openhands:machine", `{"members": ["user:ann@example.com"], "dataDisk": {"sizeGiB": 77}}`, "data disk", "77 GiB"},
		{"dev", "openhands:observability", `{"notificationEmails": ["ops@example.com"]}`, "alerts", "to ops@example.com"},
	} {
		t.Run(test.key+" "+test.value, func(t *testing.T) {
			values := minimal(test.profile)
			if test.profile == "single" {
				values["gcp:zone"] = "us-central1-a"
				delete(values, "openhands:exposure")
			}
			values[test.key] = test.value
			config, err := stacks.Load(stacks.Source{Stack: test.profile, Values: values})
			require.NoError(t, err)
			says := ""
			for _, fact := range config.Summary() {
				if fact.What == test.fact {
					says = fact.Is
				}
			}
			assert.Contains(t, says, test.says)
		})
	}
}
