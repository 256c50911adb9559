package state

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnExportedStateIsReadWithoutItsSecrets(t *testing.T) {
	const exported = `{"version": 3, "deployment": {
		"secrets_providers": {"type": "cloud", "state": {"url": "gcpkms://projects/p"}},
		"resources": [{"urn": "u", "inputs": {
			"clear": "a", "list": [{"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "CAFE"}]}}]}}`
	raw, err := Unreadable([]byte(exported), "v1:salt")
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "gcpkms")
	assert.NotContains(t, string(raw), "CAFE")
	assert.Contains(t, string(raw), `"salt":"v1:salt"`)
	export, err := Parse(raw)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"clear": "a", "list": []any{Unread}}, Plain(export.Deployment.Resources[0].Inputs))

	_, err = Unreadable([]byte(`{"resources": []}`), "v1:salt")
	assert.ErrorContains(t, err, "pulumi stack export")
}
