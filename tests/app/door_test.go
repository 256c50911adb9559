package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/infra/app/door"
)

// echoAddress is where an application is that answers what it was asked.
const echoAddress = "10.99.0.2"

// startEcho starts it.
func startEcho(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(echoAddress, "3001"))
	require.NoError(t, err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "websocket" {
			echoSocket(t, w, r)
			return
		}
		if r.URL.Path == "/slow" {
			time.Sleep(4 * time.Second)
		}
		headers := map[string]string{"host": r.Host}
		for name, values := range r.Header {
			headers[strings.ToLower(name)] = strings.Join(values, " and ")
		}
		w.Header().Set("Server", "application")
		assert.NoError(t, json.NewEncoder(w).Encode(headers))
	})}
	go server.Serve(listener) //nolint:errcheck // it ends with Close
	t.Cleanup(func() { require.NoError(t, server.Close()) })
}

// toEcho leads a cluster there.
func toEcho(content file) {
	cluster := content["resources"].([]any)[0].(file)
	assignment := cluster["load_assignment"].(file)["endpoints"].([]any)[0].(file)["lb_endpoints"].([]any)[0].(file)["endpoint"].(file)
	assignment["address"] = file{"socket_address": file{"address": echoAddress, "port_value": 3001}}
	cluster["type"] = "STATIC"
}

// listenerOf returns the settings of HTTP of one of the door's listeners.
func listenerOf(bootstrap file, name string) file {
	for _, l := range bootstrap["static_resources"].(file)["listeners"].([]any) {
		if listener := l.(file); listener["name"] == name {
			return listener["filter_chains"].([]any)[0].(file)["filters"].([]any)[0].(file)["typed_config"].(file)
		}
	}
	return nil
}

// filterOf returns the settings of one of a listener's filters.
func filterOf(bootstrap file, listener, name string) file {
	for _, f := range listenerOf(bootstrap, listener)["http_filters"].([]any) {
		if filter := f.(file); filter["name"] == "envoy.filters.http."+name {
			return filter["typed_config"].(file)
		}
	}
	return nil
}

// withoutFilter takes a filter from the listeners.
func withoutFilter(name string) func(file) {
	return func(bootstrap file) {
		for _, listener := range []string{"public", "local"} {
			manager := listenerOf(bootstrap, listener)
			var left []any
			for _, f := range manager["http_filters"].([]any) {
				if f.(file)["name"] != "envoy.filters.http."+name {
					left = append(left, f)
				}
			}
			manager["http_filters"] = left
		}
	}
}

const (
	audienceOf  = "/projects/123456789012/global/backendServices/"
	somebody    = "alice@example.com"
	socketNonce = "c2VjcmV0IHNlY3JldCBzZQ=="
)

// claims are what Identity-Aware Proxy says of somebody, with changes. A nil value takes a claim away.
func claims(changes map[string]any) map[string]any {
	now := time.Now()
	all := map[string]any{
		"iss": "https://cloud.google.com/iap", "aud": audienceOf + "4711", "email": somebody, "sub": "accounts.google.com:1",
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix(),
	}
	maps.Copy(all, changes)
	for name, value := range changes {
		if value == nil {
			delete(all, name)
		}
	}
	return all
}

// ask is a request to the door, and what the door must make of it.
type ask struct {
	who    string
	local  bool // by port-forward
	path   string
	host   string
	token  string
	header map[string]string
	status int
}

// asks is the table of requests and answers.
func asks(t *testing.T, google, stranger *key) []ask {
	t.Helper()
	signed := func(k *key, changes map[string]any) string {
		token, err := k.sign(claims(changes))
		require.NoError(t, err)
		return token
	}
	good := signed(google, nil)
	payload := strings.Split(good, ".")[1]
	page := map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
	const publicOrigin, localHost = "https://" + publicHost, "localhost:3000"
	return []ask{
		{who: "somebody who has logged in", token: good, status: 200},
		{who: "their own page", token: good, header: map[string]string{"Origin": publicOrigin, "Sec-Fetch-Site": "same-origin"}, status: 200},
		{who: "somebody who comes back from the login", token: good, header: page, status: 200},
		{who: "their page, on a port", host: publicHost + ":443", token: good, header: map[string]string{"Origin": publicOrigin + ":443"}, status: 200},

		{who: "somebody who has not", status: 401},
		{who: "somebody with words", token: "let me in", status: 401},
		{who: "a key of a stranger", token: signed(stranger, nil), status: 401},
		{who: "no signature", token: encoded([]byte(`{"alg":"none"}`)) + "." + payload + ".", status: 401},
		{who: "another issuer", token: signed(google, map[string]any{"iss": "https://accounts.google.com"}), status: 401},
		{who: "yesterday's", token: signed(google, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), status: 401},
		{who: "one for ever", token: signed(google, map[string]any{"exp": nil}), status: 401},
		{who: "tomorrow's", token: signed(google, map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), status: 401},
		{who: "another project's", token: signed(google, map[string]any{"aud": "/projects/999999999999/global/backendServices/4711"}), status: 403},
		{who: "this project's, within another's", token: signed(google, map[string]any{"aud": "x" + audienceOf + "4711"}), status: 403},
		{who: "an application that is none", token: signed(google, map[string]any{"aud": "/projects/123456789012/apps/my-app"}), status: 403},
		{who: "several at once", token: signed(google, map[string]any{"aud": []string{audienceOf + "4711"}}), status: 403},
		{who: "nobody's", token: signed(google, map[string]any{"aud": nil}), status: 403},
		{who: "as another header", header: map[string]string{"Authorization": "Bearer " + good}, status: 401},
		{who: "in the address", path: "/?access_token=" + good, status: 401},

		{who: "another host", host: "other.example.com", token: good, status: 404},
		{who: "a host that ends alike", host: "x." + publicHost, token: good, status: 404},
		{who: "an address", host: "192.0.2.1", token: good, status: 404},
		{who: "the name of the port-forward, from outside", host: localHost, token: good, status: 404},

		{who: "the health check", host: "192.168.1.2:8080", path: "/alive", status: 200},
		{who: "a path that begins so", path: "/alive/../x", status: 401},
		{who: "the same in code", path: "/alive%2f..%2fx", status: 401},
		{who: "a path that leads there", path: "/./alive", status: 401},
		{who: "a question to the health check", path: "/alive?x", status: 401},

		{who: "a page of a stranger", token: good, header: map[string]string{"Origin": "https://example.org"}, status: 403},
		{
			who: "a page of a neighbour", token: good, header: map[string]string{"Origin": "https://other.example.com", "Sec-Fetch-Site": "same-site"},
			status: 403,
		},
		{
			who: "a picture in a page of a stranger", token: good,
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, status: 403,
		},

		{who: "a developer", local: true, host: localHost, status: 200},
		{who: "a developer's page", local: true, host: "127.0.0.1:8000", header: map[string]string{"Origin": "http://127.0.0.1:8000"}, status: 200},
		{who: "a name that points to the developer", local: true, host: "rebound.example.org:3000", status: 403},
		{
			who: "its own page", local: true, host: "rebound.example.org:3000", header: map[string]string{"Origin": "http://rebound.example.org:3000"},
			status: 403,
		},
		{who: "the public name at the developer's", local: true, host: publicHost, status: 403},
		{who: "a stranger's page at the developer's", local: true, host: localHost, header: map[string]string{"Origin": "https://example.org"}, status: 403},
		{who: "a page of another port", local: true, host: localHost, header: map[string]string{"Origin": "http://localhost:8000"}, status: 403},
		{who: "a page without an origin", local: true, host: localHost, header: map[string]string{"Origin": "null"}, status: 403},
		{who: "a frame of a stranger's", local: true, host: localHost, header: map[string]string{
			"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe",
		}, status: 403},
	}
}

// asked sends a request, and returns the answer.
func (a ask) send(t *testing.T, clients map[bool]*http.Client) *http.Response {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://door", nil)
	require.NoError(t, err)
	path := a.path
	if path == "" {
		path = "/api/settings?key=of-a-session"
	}
	request.URL.Opaque, request.URL.RawQuery, _ = strings.Cut(path, "?") // as it is
	if request.Host = a.host; a.host == "" {
		request.Host = publicHost
	}
	// A browser's address, and the load balancer's own; before them what somebody has made up.
	request.Header.Set("X-Forwarded-For", "198.51.100.66, 203.0.113.9, 34.120.0.1")
	request.Header.Set("X-Forwarded-Proto", "https")
	if a.token != "" {
		request.Header.Set(assertion, a.token)
	}
	for name, value := range a.header {
		request.Header.Set(name, value)
	}
	response, err := clients[a.local].Do(request)
	require.NoError(t, err)
	return response
}

// wrong are the requests of which the door makes something else than the table says.
func wrong(t *testing.T, d *startedDoor, table []ask) []string {
	t.Helper()
	clients := map[bool]*http.Client{false: way(d.loadBalancer).client(), true: way(d.portForward).client()}
	var who []string
	for _, a := range table {
		response := a.send(t, clients)
		require.NoError(t, response.Body.Close())
		if response.StatusCode != a.status {
			who = append(who, fmt.Sprintf("%s: %d", a.who, response.StatusCode))
		}
	}
	return who
}

// TestTheDoorLetsInWhomGoogleVouchesFor sends the table of requests to the door as it is deployed, and to doors that each lack one check.
func TestTheDoorLetsInWhomGoogleVouchesFor(t *testing.T) {
	world := newDoorWorld(t)
	table := asks(t, world.google, world.stranger)
	t.Run("as deployed", func(t *testing.T) {
		d := world.start(t, world.pod)
		assert.Empty(t, wrong(t, d, table))
		_, err := net.DialTimeout("tcp4", net.JoinHostPort(d.link.inside, "3000"), time.Second)
		assert.ErrorContains(t, err, "refused", "only who forwards a port reaches what port-forward reaches")
	})
	for _, c := range []struct {
		check string
		file  string
		edit  func(file)
		turns []string
	}{
		{"the header", "envoy.json", withoutFilter("jwt_authn"), []string{"somebody who has logged in: 403"}},
		{"the header, and whom it is for", "envoy.json", func(f file) { withoutFilter("jwt_authn")(f); withoutFilter("rbac")(f) }, []string{
			"somebody who has not: 200", "a key of a stranger: 200", "another project's: 200",
		}},
		{"whom it is for", "envoy.json", withoutFilter("rbac"), []string{"another project's: 200", "nobody's: 200"}},
		{"who signed", "envoy.json", func(f file) {
			delete(filterOf(f, "public", "jwt_authn")["providers"].(file)["iap"].(file), "issuer")
		}, []string{"another issuer: 200"}},
		{"until when", "envoy.json", func(f file) {
			delete(filterOf(f, "public", "jwt_authn")["providers"].(file)["iap"].(file), "require_expiration")
		}, []string{"one for ever: 200"}},
		{"which paths", "envoy.json", func(f file) {
			filterOf(f, "public", "jwt_authn")["rules"].([]any)[0].(file)["match"] = file{"prefix": "/api"}
		}, []string{"a path that begins so: 403"}},
		{"the page", "envoy.json", withoutFilter("lua"), []string{
			"a page of a stranger: 200", "a page of a neighbour: 200", "a picture in a page of a stranger: 200", "a stranger's page at the developer's: 200",
		}},
		{"the health check", "envoy.json", withoutFilter("health_check"), []string{"the health check: 401"}},
		{"the host", "public.json", withAnyHost, []string{"another host: 200", "an address: 200"}},
		{"the developer's host", "local.json", withAnyHost, []string{"a name that points to the developer: 200", "its own page: 200"}},
	} {
		t.Run("without "+c.check, func(t *testing.T) {
			pod, err := world.pod.change(c.file, c.edit)
			require.NoError(t, err)
			turned := wrong(t, world.start(t, pod), table)
			for _, row := range c.turns {
				assert.Contains(t, turned, row)
			}
		})
	}
}

// withAnyHost leads all hosts to the application.
func withAnyHost(content file) {
	routes := content["resources"].([]any)[0].(file)
	host := routes["virtual_hosts"].([]any)[0].(file)
	host["domains"] = []any{"*"}
	routes["virtual_hosts"] = []any{host}
}

// doorWorld is what the tests of the door have around it: Google's keys, and an application that answers what it was asked.
type doorWorld struct {
	envoy, dir       string
	keys             *keyServer
	google, stranger *key    // of the same name
	deployed         doorPod // as the API server has it: it leads to the server
	pod              doorPod // the same, but that it leads to the application that answers
}

func newDoorWorld(t *testing.T) *doorWorld {
	t.Helper()
	w := newDoorWorldOf(t, theInstallation(t).deployment)
	var err error
	w.pod, err = w.deployed.change("clusters.json", toEcho)
	require.NoError(t, err)
	startEcho(t)
	return w
}

// newDoorWorldOf is the door of a deployment, and Google's keys.
func newDoorWorldOf(t *testing.T, of *deployment) *doorWorld {
	t.Helper()
	w := &doorWorld{envoy: of.envoy, dir: of.dir}
	var err error
	w.deployed, err = of.door(t.Context())
	require.NoError(t, err)
	w.keys, err = startKeyServer()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.keys.close()) })
	w.google, err = newKey("current")
	require.NoError(t, err)
	w.stranger, err = newKey("current")
	require.NoError(t, err)
	w.keys.publish(w.google)
	return w
}

// token is what somebody has who has logged in.
func (w *doorWorld) token(t *testing.T) string {
	t.Helper()
	token, err := w.google.sign(claims(nil))
	require.NoError(t, err)
	return token
}

func (w *doorWorld) start(t *testing.T, pod doorPod) *startedDoor {
	t.Helper()
	d, err := startDoor(context.Background(), w.envoy, w.dir, pod, w.keys.authority)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.kill()) })
	require.NoError(t, d.await())
	return d
}

// TestWhatTheDoorHandsOn: the application sees the person's address and the host, and nothing of what the door was shown.
func TestWhatTheDoorHandsOn(t *testing.T) {
	world := newDoorWorld(t)
	d := world.start(t, world.pod)
	clients := map[bool]*http.Client{false: way(d.loadBalancer).client(), true: way(d.portForward).client()}
	seen := func(a ask) (headers map[string]string) {
		response := a.send(t, clients)
		defer response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode)
		assert.Equal(t, "application", response.Header.Get("Server"), "who answers")
		require.NoError(t, json.NewDecoder(response.Body).Decode(&headers))
		return headers
	}
	token := world.token(t)
	public := seen(ask{token: token, header: map[string]string{"X-Envoy-Upstream-Rq-Timeout-Ms": "1"}})
	assert.Equal(t, "203.0.113.9", public["x-forwarded-for"], "not what somebody has made up")
	assert.Equal(t, "https", public["x-forwarded-proto"])
	assert.Equal(t, publicHost, public["host"])
	assert.NotContains(t, public, strings.ToLower(assertion))
	assert.NotContains(t, fmt.Sprint(public), token)
	assert.NotContains(t, public, "x-envoy-upstream-rq-timeout-ms", "what would steer the door")
	local := seen(ask{local: true, host: "localhost:3000"})
	assert.Equal(t, "127.0.0.1", local["x-forwarded-for"])
	assert.Equal(t, "localhost:3000", local["host"])

	refused := ask{path: "/secret/place?key=of-a-session"}.send(t, clients)
	require.NoError(t, refused.Body.Close())
	assert.Equal(t, "envoy", refused.Header.Get("Server"), "who answers")
	health := ask{path: "/alive"}.send(t, clients)
	require.NoError(t, health.Body.Close())
	var lines []entry
	var err error
	require.Eventually(t, func() bool {
		lines, err = d.entries()
		return err == nil && len(lines) >= 3
	}, 5*time.Second, 50*time.Millisecond, "the log: %v\n%s", err, d.log)
	require.Len(t, lines, 3, "a line for each request but the health check")
	first := lines[0]
	assert.Positive(t, first.Sent)
	first.Sent, first.Duration = 0, 0
	assert.Equal(t, entry{
		Severity: "INFO", Name: "door", Message: "GET /api/settings 200", Way: "load balancer", Person: somebody, Address: "203.0.113.9",
		Method: "GET", Host: publicHost, Path: "/api/settings", Status: 200, Reason: "via_upstream",
	}, first)
	assert.Equal(t, "port-forward", lines[1].Way)
	assert.Empty(t, lines[1].Person)
	assert.Equal(t, 401, lines[2].Status)
	assert.Equal(t, "/secret/place", lines[2].Path)
	assert.Contains(t, lines[2].Reason, "Jwt_is_missing")
	for _, secret := range []string{token, "of-a-session", "key="} {
		assert.NotContains(t, d.log.String(), secret)
	}
}

// TestAHostMoreEndsNoConnection: Envoy reads its hosts again when the ConfigMap changes.
func TestAHostMoreEndsNoConnection(t *testing.T) {
	world := newDoorWorld(t)
	d := world.start(t, world.pod)
	clients := map[bool]*http.Client{false: way(d.loadBalancer).client()}
	token := world.token(t)
	second := ask{host: "second.example.com", token: token}
	status := func() int {
		response := second.send(t, clients)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	require.Equal(t, http.StatusNotFound, status())
	kept := openSocket(t, d.loadBalancer, "https://"+publicHost+"/", token)
	more, err := world.pod.change("clusters.json", func(content file) {
		var other file
		raw, err := json.Marshal(content["resources"].([]any)[0])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(raw, &other))
		other["name"] = "second"
		other["load_assignment"].(file)["cluster_name"] = "second"
		content["resources"] = append(content["resources"].([]any), other)
	})
	require.NoError(t, err)
	more, err = more.change("public.json", func(content file) {
		routes := content["resources"].([]any)[0].(file)
		var host file
		raw, err := json.Marshal(routes["virtual_hosts"].([]any)[0])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(raw, &host))
		host["name"], host["domains"] = "second", []any{"second.example.com"}
		host["routes"].([]any)[0].(file)["route"].(file)["cluster"] = "second"
		routes["virtual_hosts"] = append(routes["virtual_hosts"].([]any), host)
	})
	require.NoError(t, err)
	require.NoError(t, d.write(more.files))
	require.Eventually(t, func() bool { return status() == http.StatusOK }, 10*time.Second, 50*time.Millisecond)
	kept.says(t, "still here")
	require.NoError(t, d.write(world.pod.files))
	require.Eventually(t, func() bool { return status() == http.StatusNotFound }, 10*time.Second, 50*time.Millisecond)
	kept.says(t, "still here")
}

// TestKeysOfGoogle: the door fetches them at its start, follows when they change, and lets nobody in without.
func TestKeysOfGoogle(t *testing.T) {
	world := newDoorWorld(t)
	// Keys are fetched again five seconds before their time is over.
	quick, err := world.pod.change("envoy.json", func(f file) {
		filterOf(f, "public", "jwt_authn")["providers"].(file)["iap"].(file)["remote_jwks"].(file)["cache_duration"] = "6s"
	})
	require.NoError(t, err)
	status := func(d *startedDoor, k *key) int {
		token, err := k.sign(claims(nil))
		require.NoError(t, err)
		response := ask{token: token}.send(t, map[bool]*http.Client{false: way(d.loadBalancer).client()})
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	t.Run("that cannot be had", func(t *testing.T) {
		world.keys.publish()
		d := world.start(t, quick)
		assert.Equal(t, 401, status(d, world.google))
		world.keys.publish(world.google)
		require.Eventually(t, func() bool { return status(d, world.google) == 200 }, 10*time.Second, 100*time.Millisecond, "it goes on asking")
	})
	t.Run("that change", func(t *testing.T) {
		world.keys.publish(world.google)
		d := world.start(t, quick)
		next, err := newKey("next")
		require.NoError(t, err)
		require.Equal(t, 200, status(d, world.google))
		require.Equal(t, 401, status(d, next))
		world.keys.publish(world.google, next)
		require.Eventually(t, func() bool { return status(d, next) == 200 }, 10*time.Second, 100*time.Millisecond)
		require.Equal(t, 200, status(d, world.google))
		world.keys.publish(next)
		require.Eventually(t, func() bool { return status(d, world.google) == 401 }, 10*time.Second, 100*time.Millisecond)
		world.keys.publish()
		time.Sleep(3 * time.Second)
		assert.Equal(t, 200, status(d, next), "it keeps those that it has while it gets no others")
	})
	t.Run("of an impostor", func(t *testing.T) {
		world.keys.publish(world.google)
		_, authority, err := certify(keysHost)
		require.NoError(t, err)
		d, err := startDoor(context.Background(), world.envoy, world.dir, quick, authority) // which has not signed for where the keys come from
		require.NoError(t, err)
		defer func() { require.NoError(t, d.kill()) }()
		require.NoError(t, d.await())
		assert.Equal(t, 401, status(d, world.google))
	})
}

// TestEveryKindOfDoor has the doors of other stacks: one that is open to everyone, as somebody wants it, and one without a way in from the internet.
func TestEveryKindOfDoor(t *testing.T) {
	world := newDoorWorld(t)
	assert.Contains(t, world.deployed.image, "envoyproxy/envoy:distroless-v"+door.Version)
	config := func(host string, public *door.Public) func(string) (map[string]string, error) {
		return door.Config{LocalPort: 3000, HealthPath: "/alive", Public: public, Applications: []door.Application{{
			Name: "openhands", Address: echoAddress, Port: 3001, HealthPath: "/alive", IdleSeconds: 60, Needed: true,
			Host: host, LocalHosts: []string{"localhost", "127.0.0.1"},
		}}}.Files
	}
	token := world.token(t)
	for _, c := range []struct {
		kind  string
		files func(directory string) (map[string]string, error)
		table []ask
	}{
		{"with a login", func(string) (map[string]string, error) { return world.pod.files, nil }, []ask{
			{who: "somebody", token: token, status: 200}, {who: "nobody", status: 401}, {who: "a developer", local: true, host: "localhost:3000", status: 200},
		}},
		{"open to everyone", config(publicHost, &door.Public{}), []ask{
			{who: "nobody", status: 200}, {who: "another host", host: "other.example.com", status: 404},
			{who: "a page of a stranger", header: map[string]string{"Origin": "https://example.org"}, status: 403},
			{who: "a developer", local: true, host: "localhost:3000", status: 200},
		}},
		{"without a way in", config("", nil), []ask{
			{who: "a developer", local: true, host: "localhost:3000", status: 200}, {who: "a stranger's name", local: true, host: "x.example.org", status: 403},
		}},
	} {
		t.Run(c.kind, func(t *testing.T) {
			pod := world.pod
			var err error
			pod.files, err = c.files(world.pod.mount)
			require.NoError(t, err)
			d := world.start(t, pod)
			assert.Empty(t, wrong(t, d, c.table))
			_, err = d.loadBalancer(t.Context())
			assert.Equal(t, c.kind == "without a way in", err != nil, "the load balancer finds nobody there: %v", err)

			// None of their fields is unknown to Envoy, or on its way out.
			dir := t.TempDir()
			for name, content := range pod.files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(content, `"`+pod.mount, `"`+dir)), 0o600))
			}
			output, err := command(t.Context(), nil, world.envoy, "--mode", "validate", "--config-path", filepath.Join(dir, door.BootstrapFile))
			require.NoError(t, err)
			assert.NotContains(t, strings.ToLower(output), "deprecated")
		})
	}
}
