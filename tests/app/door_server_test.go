package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// person is a browser behind the load balancer: who has logged in, from an address.
type person struct {
	client *http.Client
	token  string
}

// do makes a request, as the load balancer passes it on.
func (p person) do(method, path, forwardedFor, kind string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequest(method, "http://"+publicHost+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set(assertion, p.token)
	request.Header.Set("X-Forwarded-For", forwardedFor)
	request.Header.Set("X-Forwarded-Proto", "https")
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	return p.client.Do(request)
}

// status makes a request and returns its status.
func (p person) status(t *testing.T, path, forwardedFor string) int {
	t.Helper()
	response, err := p.do(http.MethodGet, path, forwardedFor, "", nil)
	if !assert.NoError(t, err) {
		return 0
	}
	_, err = io.Copy(io.Discard, response.Body)
	assert.NoError(t, err)
	assert.NoError(t, response.Body.Close())
	return response.StatusCode
}

// seenFrom is X-Forwarded-For as the load balancer sends it: the address of a browser, and its own.
func seenFrom(address string) string { return address + ", 34.120.0.1" }

// fromManyPeople are the answers to more requests at once than one address may make.
func (p person) fromManyPeople(t *testing.T, forwardedFor func(n int) string) []int {
	t.Helper()
	statuses := make([]int, 60)
	var calls sync.WaitGroup
	for n := range statuses {
		calls.Go(func() { statuses[n] = p.status(t, "/api/options/agents", forwardedFor(n)) })
	}
	calls.Wait()
	return statuses
}

// TestTheDoorBeforeTheServer has the real server behind the door. Each part needs those before it.
func TestTheDoorBeforeTheServer(t *testing.T) {
	world := newDoorWorld(t)
	i := theInstallation(t)
	require.NoError(t, i.emptyDatabase(t.Context()))
	t.Cleanup(func() { i.sweep(t) })
	s := i.starts(t, nil)
	t.Cleanup(func() { require.NoError(t, s.kill()) })
	// It asks for the server's health every second, in place of five.
	pod, err := world.deployed.change("clusters.json", func(content file) {
		check := content["resources"].([]any)[0].(file)["health_checks"].([]any)[0].(file)
		check["interval"], check["no_traffic_interval"] = "1s", "1s"
	})
	require.NoError(t, err)
	d := world.start(t, pod)
	somebody := person{way(d.loadBalancer).client(), world.token(t)}
	const socketPath = "/socket.io/?EIO=4&transport=websocket"
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"the page, from both ways", func(t *testing.T) {
			for by, get := range map[string]func() (*http.Response, error){
				"load balancer": func() (*http.Response, error) {
					return somebody.do(http.MethodGet, "/", seenFrom("203.0.113.1"), "", nil)
				},
				"port-forward": func() (*http.Response, error) { return way(d.portForward).client().Get("http://localhost:3000/") },
			} {
				response, err := get()
				require.NoError(t, err, by)
				raw, err := io.ReadAll(response.Body)
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				assert.Equal(t, http.StatusOK, response.StatusCode, by)
				assert.Contains(t, string(raw), "stub of the web page", by)
				assert.Equal(t, "uvicorn", response.Header.Get("Server"), by)
			}
		}},
		{"the health check", func(t *testing.T) {
			assert.Equal(t, 200, person{somebody.client, ""}.status(t, "/alive", ""))
		}},
		{"throttles people by themselves, whatever they write into the header", func(t *testing.T) {
			assert.NotContains(t, somebody.fromManyPeople(t, func(n int) string { return seenFrom(fmt.Sprintf("203.0.113.%d", n+2)) }), 429)
			forged := func(n int) string { return fmt.Sprintf("198.51.100.%d, ", n+1) + seenFrom("203.0.113.250") }
			assert.Contains(t, somebody.fromManyPeople(t, forged), 429, "one person")
		}},
		{"its socket, with traffic", func(t *testing.T) {
			socket := openSocket(t, d.loadBalancer, "https://"+publicHost+socketPath, somebody.token)
			assert.Contains(t, socket.receive(t), `"sid"`)
			socket.send(t, "5")
			assert.Equal(t, "6", socket.receive(t), "an answer of the server's")
			local := openSocket(t, d.portForward, "http://localhost:3000"+socketPath, "")
			assert.Contains(t, local.receive(t), `"sid"`)
		}},
		{"a large upload", func(t *testing.T) {
			const size = 128 << 20
			var head bytes.Buffer
			form := multipart.NewWriter(&head)
			_, err := form.CreateFormFile("files", "large.bin")
			require.NoError(t, err)
			body := io.MultiReader(&head, io.LimitReader(zeros{}, size), strings.NewReader("\r\n--"+form.Boundary()+"--\r\n"))
			response, err := somebody.do(http.MethodPost, "/api/conversations/none/upload-files", seenFrom("203.0.113.70"), form.FormDataContentType(), body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, "uvicorn", response.Header.Get("Server"), "the server has read it all, and knows no such conversation")
			require.Eventually(t, func() bool {
				lines, err := d.entries()
				return err == nil && slices.ContainsFunc(lines, func(e entry) bool { return e.Method == http.MethodPost && e.Received > size })
			}, 5*time.Second, 50*time.Millisecond, "the door's line says how much")
		}},
		{"a hundred connections at once", func(t *testing.T) {
			var opened sync.WaitGroup
			for range 100 {
				opened.Go(func() {
					socket := openSocket(t, d.loadBalancer, "https://"+publicHost+socketPath, somebody.token)
					assert.Contains(t, socket.receive(t), `"sid"`)
				})
			}
			opened.Wait()
			memory, err := d.memory()
			require.NoError(t, err)
			t.Logf("the door has had %.0f MiB at the most, of %.0f", memory, d.pod.memory)
			assert.Less(t, memory, d.pod.memory/1.5)
		}},
		{"a server that is down, and comes back", func(t *testing.T) {
			require.NoError(t, s.kill())
			assert.Equal(t, 503, somebody.status(t, "/", seenFrom("203.0.113.80")))
			anybody := person{somebody.client, ""}
			require.Eventually(
				t, func() bool { return anybody.status(t, "/alive", "") == 503 }, 20*time.Second, 200*time.Millisecond, "the load balancer hears of it",
			)
			var err error
			s, err = i.startServer(context.Background(), nil)
			require.NoError(t, err)
			require.NoError(t, s.await())
			require.Eventually(t, func() bool { return anybody.status(t, "/alive", "") == 200 }, 20*time.Second, 200*time.Millisecond)
			assert.Equal(t, 200, somebody.status(t, "/", seenFrom("203.0.113.81")))
		}},
	} {
		if !t.Run(part.name, part.run) {
			break
		}
	}
}

// zeros is a file without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestNothingIsCutShort: Envoy's own limits would end a conversation, of 15 seconds for an answer and of five minutes without a word. Each is played as two
// seconds.
func TestNothingIsCutShort(t *testing.T) {
	world := newDoorWorld(t)
	// works opens a socket that idles, and waits for an answer, for four seconds each.
	works := func(t *testing.T, pod doorPod) (socket, answer bool) {
		d := world.start(t, pod)
		idle := openSocket(t, d.loadBalancer, "https://"+publicHost+"/", world.token(t))
		idle.says(t, "before")
		slow := person{way(d.loadBalancer).client(), world.token(t)}.status(t, "/slow", "")
		idle.send(t, "after")
		require.NoError(t, idle.SetReadDeadline(time.Now().Add(5*time.Second)))
		_, err := idle.reader.ReadByte()
		return err == nil, slow == http.StatusOK
	}
	for limit, cut := range map[string]struct{ socket, answer bool }{"": {}, "timeout": {answer: true}, "idle_timeout": {socket: true, answer: true}} {
		t.Run("with a limit "+limit, func(t *testing.T) {
			t.Parallel()
			pod, err := world.pod.change("public.json", func(f file) {
				host := f["resources"].([]any)[0].(file)["virtual_hosts"].([]any)[0].(file)
				if limit != "" {
					host["routes"].([]any)[0].(file)["route"].(file)[limit] = "2s"
				}
			})
			require.NoError(t, err)
			socket, answer := works(t, pod)
			assert.Equal(t, cut.socket, !socket, "the socket is cut")
			assert.Equal(t, cut.answer, !answer, "the answer is cut")
		})
	}
}

// TestTheDoorIsQuick measures what the door adds to a request.
func TestTheDoorIsQuick(t *testing.T) {
	world := newDoorWorld(t)
	d := world.start(t, world.pod)
	token := world.token(t)
	median := func(client *http.Client, url string) time.Duration {
		const requests = 500
		took := make([]time.Duration, requests)
		for n := range took {
			request, err := http.NewRequest(http.MethodGet, url, nil)
			require.NoError(t, err)
			request.Header.Set(assertion, token)
			begun := time.Now()
			response, err := client.Do(request)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			took[n] = time.Since(begun)
			require.Equal(t, 200, response.StatusCode)
		}
		slices.Sort(took)
		return took[requests/2]
	}
	directly := median(&http.Client{}, "http://"+echoAddress+":3001/")
	through := median(way(d.loadBalancer).client(), "http://"+publicHost+"/")
	memory, err := d.memory()
	require.NoError(t, err)
	t.Logf("median of a request: %s directly, %s through the door; %.0f MiB of memory", directly, through, memory)
	assert.Less(t, through-directly, 10*time.Millisecond, "two are the aim; the machine may be busy")
}

// TestTheDoorsMemorySuffices opens as many connections as the door takes.
func TestTheDoorsMemorySuffices(t *testing.T) {
	world := newDoorWorld(t)
	d := world.start(t, world.pod)
	token := world.token(t)
	const most = 1000
	for n := range most {
		socket := openSocket(t, d.loadBalancer, "https://"+publicHost+"/", token)
		if n%100 == 0 {
			socket.says(t, "hello")
		}
	}
	memory, err := d.memory()
	require.NoError(t, err)
	t.Logf("with %d connections the door has had %.0f MiB, of %.0f", most, memory, d.pod.memory)
	assert.Less(t, memory, 0.8*d.pod.memory)
	require.NoError(t, d.await(), "the kubelet still finds it well")
	response, err := way(d.loadBalancer).client().Get("http://" + publicHost + "/")
	if err == nil {
		require.NoError(t, response.Body.Close())
	}
	assert.Error(t, err, "one more")
}
