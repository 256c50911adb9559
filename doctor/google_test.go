package doctor

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOnlyReadsGetOut: whatever a station comes to ask, nothing that writes leaves the machine.
func TestOnlyReadsGetOut(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer server.Close()
	to := roundTripper(func(r *http.Request) (*http.Response, error) {
		led := r.Clone(r.Context())
		led.URL.Scheme, led.URL.Host = "http", server.Listener.Addr().String()
		return http.DefaultTransport.RoundTrip(led)
	})
	const manager = "https://cloudresourcemanager.googleapis.com/v3/projects/p"
	for _, call := range []struct {
		method, address string
		reads           bool
	}{
		{http.MethodGet, manager, true},
		{http.MethodHead, "https://ghcr.io/v2/", true},
		{http.MethodPost, manager + ":testIamPermissions", true},
		{http.MethodPost, manager + ":setIamPolicy", false},
		{http.MethodPost, manager + ":undelete?x=:testIamPermissions", false},
		{http.MethodPost, "https://example.com/v3/projects/p:testIamPermissions", false},
		{http.MethodPut, manager, false},
		{http.MethodPatch, manager, false},
		{http.MethodDelete, manager, false},
	} {
		before := asked
		req, err := http.NewRequestWithContext(t.Context(), call.method, call.address, http.NoBody)
		require.NoError(t, err)
		resp, err := reading(&http.Client{Transport: to}, "p").Do(req)
		if call.reads {
			require.NoError(t, err)
			assert.Equal(t, "p", resp.Request.Header.Get("X-Goog-User-Project"), "for whom it is asked")
			require.NoError(t, resp.Body.Close())
			continue
		}
		assert.ErrorContains(t, err, "only reads", "%s %s", call.method, call.address)
		assert.Equal(t, before, asked, "%s %s", call.method, call.address)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
