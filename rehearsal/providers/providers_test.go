package providers

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUnknownTypesAndFunctionsAreErrors(t *testing.T) {
	c := NewCloud("my-project", "us-central1")
	all, err := All(c, c)
	require.NoError(t, err)
	gcp := all[0]
	_, err = gcp.Check(t.Context(), plugin.CheckRequest{Type: "gcp:compute/instance:Instance"})
	assert.ErrorContains(t, err, "does not know type gcp:compute/instance:Instance")
	_, err = gcp.Invoke(t.Context(), plugin.InvokeRequest{Tok: "gcp:compute/getZones:getZones"})
	assert.ErrorContains(t, err, "does not know function")
}
