package app

import (
	"encoding/json"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/infra/app/door"
)

// instancesDoor is what a door knows of instances of Agent Canvas. Their keys lie beside the other files.
func instancesDoor(t *testing.T, mount string, public bool, names ...string) map[string]string {
	t.Helper()
	config := door.Config{LocalPort: 3000, HealthPath: "/alive", KeyHeader: "X-Session-API-Key"}
	if public {
		config.Public = &door.Public{Audience: audienceOf}
	}
	for _, name := range names {
		application := door.Application{
			Name: name, Address: echoAddress, Port: 3001, HealthPath: "/alive", IdleSeconds: 4, KeyFile: mount + "/key-" + name,
		}
		if public {
			application.Host = name + "." + publicHost
		} else {
			application.LocalHosts = []string{name + ".localhost"}
		}
		config.Applications = append(config.Applications, application)
	}
	files, err := config.Files(mount)
	require.NoError(t, err)
	return files
}

// TestTheDoorOfInstances sends requests to a door before two instances: each host leads to its own, with its own key, and an instance more ends no connection.
func TestTheDoorOfInstances(t *testing.T) {
	world := newDoorWorld(t)
	token := world.token(t)
	files := instancesDoor(t, world.pod.mount, true, "alice", "platform")
	files["key-alice"], files["key-platform"] = "alice's\n", "platform's"
	pod := world.pod
	pod.files = files
	d := world.start(t, pod)
	clients := map[bool]*http.Client{false: way(d.loadBalancer).client(), true: way(d.portForward).client()}
	key := func(host string, header map[string]string) (int, string) {
		response := ask{token: token, host: host, header: header}.send(t, clients)
		defer response.Body.Close()
		var seen map[string]string
		if response.StatusCode == http.StatusOK {
			require.NoError(t, json.NewDecoder(response.Body).Decode(&seen))
		}
		return response.StatusCode, seen["x-session-api-key"]
	}
	for _, c := range []struct {
		what, host string
		header     map[string]string
		status     int
		key        string
	}{
		{"alice", "alice." + publicHost, nil, 200, "alice's"},
		{"the team", "platform." + publicHost, nil, 200, "platform's"},
		{"with a key of one's own", "alice." + publicHost, map[string]string{"X-Session-API-Key": "platform's"}, 200, "alice's"},
		{"nobody's host", "bob." + publicHost, nil, 404, ""},
		{"the host above them", publicHost, nil, 404, ""},
		{"a page of a neighbour", "alice." + publicHost, map[string]string{"Origin": "https://platform." + publicHost}, 403, ""},
	} {
		status, got := key(c.host, c.header)
		assert.Equal(t, c.status, status, c.what)
		assert.Equal(t, c.key, got, c.what)
	}
	assert.Empty(t, wrong(t, d, []ask{
		{who: "nobody", host: "alice." + publicHost, status: 401},
		{who: "an operator", local: true, host: "alice.localhost:3000", status: 403}, // where there is a login, nobody passes by it
		{who: "an operator at the door itself", local: true, host: "localhost:3000", status: 403},
		{who: "the load balancer, whatever becomes of an instance", path: "/alive", host: "10.0.0.1", status: 200},
	}))

	t.Run("what the browser shows to Google's login", func(t *testing.T) {
		response := ask{token: token, host: "alice." + publicHost, header: map[string]string{
			"Cookie": "theme=dark; __Host-GCP_IAP_AUTH_TOKEN_1A2B=secret; GCP_IAAP_XSRF_NONCE_x=1; session=2",
		}}.send(t, clients)
		defer response.Body.Close()
		var seen map[string]string
		require.NoError(t, json.NewDecoder(response.Body).Decode(&seen))
		assert.Equal(t, "theme=dark; session=2", seen["cookie"])
		response = ask{token: token, host: "alice." + publicHost, header: map[string]string{"Cookie": "__Host-GCP_IAP_AUTH_TOKEN_1A2B=secret"}}.send(t, clients)
		defer response.Body.Close()
		seen = nil
		require.NoError(t, json.NewDecoder(response.Body).Decode(&seen))
		assert.NotContains(t, seen, "cookie")
	})
	t.Run("one more", func(t *testing.T) {
		socket := openSocket(t, d.loadBalancer, "https://alice."+publicHost+"/sockets", token)
		socket.says(t, "before")
		more := instancesDoor(t, world.pod.mount, true, "alice", "bob", "platform")
		maps.Copy(more, map[string]string{"key-alice": "alice's", "key-platform": "platform's"})
		require.NoError(t, d.write(more))
		require.Eventually(t, func() bool { status, _ := key("bob."+publicHost, nil); return status == 503 }, 10*time.Second, 50*time.Millisecond,
			"its key is not there yet")
		more["key-bob"] = "bob's"
		require.NoError(t, d.write(more))
		require.Eventually(t, func() bool { _, got := key("bob."+publicHost, nil); return got == "bob's" }, 10*time.Second, 50*time.Millisecond)
		socket.says(t, "after")
	})
	t.Run("by port-forward", func(t *testing.T) {
		pod.files = instancesDoor(t, world.pod.mount, false, "alice", "platform")
		pod.files["key-alice"], pod.files["key-platform"] = "alice's", "platform's"
		d := world.start(t, pod)
		assert.Empty(t, wrong(t, d, []ask{
			{who: "alice's", local: true, host: "alice.localhost:3000", status: 200},
			{who: "the team's", local: true, host: "platform.localhost:3000", status: 200},
			{who: "no instance", local: true, host: "localhost:3000", status: 403},
			{who: "a stranger's name", local: true, host: "alice.example.org", status: 403},
			{who: "its own page", local: true, host: "alice.localhost:3000", header: map[string]string{"Origin": "http://alice.localhost:3000"}, status: 200},
			{who: "a neighbour's page", local: true, host: "alice.localhost:3000", header: map[string]string{"Origin": "http://platform.localhost:3000"}, status: 403},
		}))
	})
}
