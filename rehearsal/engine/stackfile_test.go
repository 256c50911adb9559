package engine

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStackFileIsRehearsedWithoutItsSecrets(t *testing.T) {
	path := t.TempDir() + "/Pulumi.x.yaml"
	require.NoError(t, os.WriteFile(path, []byte(`secretsprovider: gcpkms://key
encryptedkey: abc
encryptionsalt: v1:def
config:
  gcp:project: my-project
  openhands:token:
    secure: v1:ciphertext
  openhands:object:
    plain: 1
    empty:
    nested:
      secret:
        secure: v1:other
`), 0o600))
	file, err := readStackFile(path)
	require.NoError(t, err)
	assert.Equal(t, []string{"openhands:object.nested.secret", "openhands:token"}, file.secrets)
	assert.Equal(t, "my-project", file.value("gcp:project"))
	require.NoError(t, file.write(path))
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	copied := string(raw)
	for _, gone := range []string{"secure", "ciphertext", "kms", "encryption", "encryptedkey"} {
		assert.NotContains(t, copied, gone)
	}
	assert.Contains(t, copied, "plain: 1")
	assert.Contains(t, copied, "empty: null", "what the real run refuses, the rehearsal must see")
}

// TestAStackFileThatPulumiMisreads is refused, with what to write.
func TestAStackFileThatPulumiMisreads(t *testing.T) {
	for content, says := range map[string]string{
		"gcp:project: my-project\n":                  "gcp:project is beside config, where Pulumi does not read it: write `config:` in a line before it",
		"config:\ngcp:project: my-project\n":         "gcp:project is beside config",
		"config:\n  openhands:network:\n\tx: 1\n":    "line 3 begins with a tab, and YAML takes blanks only",
		"config:\n  - gcp:project: my-project\n":     "config has no keys",
		"config:\n  gcp:project: a\n  gcp:zone: {\n": "stack file",
	} {
		path := t.TempDir() + "/Pulumi.x.yaml"
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := readStackFile(path)
		require.ErrorContains(t, err, says)
	}
}
