package check

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestThePage(t *testing.T) {
	for name, c := range map[string]struct {
		answer      http.HandlerFunc
		found, fail string
	}{
		"of the application": {answers(200, "<!doctype html><HTML>", "Content-Type", "text/html; charset=utf-8"), "opens through the door, by port-forward", ""},
		"below another path": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				http.Redirect(w, r, "http://"+r.Host+"/canvas/", http.StatusPermanentRedirect)
				return
			}
			answers(200, "<html>", "Content-Type", "text/html")(w, r)
		}, "opens through the door", ""},
		"in a circle":     {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, "", "the page leads in a circle"},
		"of a stranger":   {answers(302, "", "Location", "https://accounts.google.com/x"), "", "the page leads to accounts.google.com"},
		"the door":        {answers(503, "no healthy upstream\n", "Server", "envoy"), "", "the door answers 503, and not the application: no healthy upstream"},
		"an error":        {answers(500, "", "Server", "uvicorn"), "", "the page answers 500"},
		"something else":  {answers(200, `{}`, "Content-Type", "application/json"), "", `what answers is no page: its type is "application/json"`},
		"an empty answer": {answers(200, "ok", "Content-Type", "text/html"), "", "what answers is no page"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Regexp(t, `^localhost:\d+$`, r.Host, "a name by which the door knows it")
				c.answer(w, r)
			}))
			defer server.Close()
			found, err := pageAt(t.Context(), "openhands", server.URL, "localhost")
			if c.fail != "" {
				assert.ErrorContains(t, err, c.fail)
				return
			}
			require.NoError(t, err)
			assert.Contains(t, found, c.found)
		})
	}
}

// TestWhatKeepsTheCheckOut has kubectl fail as it does.
func TestWhatKeepsTheCheckOut(t *testing.T) {
	local := exposed
	local.URL, local.DNSRecords = "http://localhost:3000", nil
	for name, c := range map[string]struct{ script, station, found, look string }{
		"no kubectl": {"", "page", "no such file", ""},
		"no way to the cluster": {
			`echo "error: no Auth Provider found" >&2; exit 1`, "page", "kubectl port-forward: ", "credentialsCommand",
		},
		"no right to port-forward": {
			`echo 'Error from server (Forbidden): pods "a" is forbidden: User "bob" cannot create resource "pods/portforward"' >&2; exit 1`,
			"page", "is forbidden", "an operator's do not suffice",
		},
	} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "kubectl")
			if c.script != "" {
				require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"+c.script+"\n"), 0o755))
			}
			results, err := Run(t.Context(), Options{Outputs: local, Kubectl: program}, &recorded{})
			require.NoError(t, err)
			assert.False(t, Passed(results))
			require.Equal(t, []any{c.station, Failed}, []any{results[0].Station, results[0].Verdict})
			assert.Contains(t, results[0].Found, c.found)
			assert.Contains(t, results[0].Look, c.look)
			for _, r := range results[1:] {
				assert.Equal(t, Skipped, r.Verdict, r.Station)
			}
			assert.Len(t, results, 9, "the others are named")
		})
	}
}

// TestThePageThroughTheLogin has a stand-in for gcloud sign a token, and one for Google's login take it.
func TestThePageThroughTheLogin(t *testing.T) {
	const account = "checker@my-project.iam.gserviceaccount.com"
	dir := t.TempDir()
	gcloud, claims := filepath.Join(dir, "gcloud"), filepath.Join(dir, "claims")
	script := "#!/bin/sh\n[ \"$*\" = 'iam service-accounts sign-jwt --iam-account=" + account + " /dev/stdin -' ] || exit 1\ncat > " + claims + "\necho signed\n"
	require.NoError(t, os.WriteFile(gcloud, []byte(script), 0o755))
	taken := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer signed" || r.Host != host {
			google(w, r)
			return
		}
		answers(200, "<html>", "Content-Type", "text/html")(w, r)
	}
	in := internet{named: host, expires: time.Now().AddDate(1, 0, 0), answer: taken}
	w := newWalk(t, Options{Outputs: exposed, Network: in.network(t), LoginAs: account, Gcloud: gcloud})
	found, err := w.pageThroughLogin(t.Context(), exposed.URL)
	require.NoError(t, err)
	assert.Equal(t, "opens through Google's login", found)
	raw, err := os.ReadFile(claims)
	require.NoError(t, err)
	assert.Regexp(t, `^{"aud":"https://`+host+`/\*","exp":\d+,"iat":\d+,"iss":"`+account+`","sub":"`+account+`"}$`, string(raw))

	in.answer = google
	w = newWalk(t, Options{Outputs: exposed, Network: in.network(t), LoginAs: account, Gcloud: gcloud})
	_, err = w.pageThroughLogin(t.Context(), exposed.URL)
	assert.EqualError(t, err, "the page leads to accounts.google.com")
	w.LoginAs = "bob@my-project.iam.gserviceaccount.com"
	_, err = w.pageThroughLogin(t.Context(), exposed.URL)
	assert.ErrorContains(t, err, "gcloud signs no token of bob@")
}
