package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"
)

// storage is Cloud Storage: an emulator, and a proxy before it that records the permission that each call would need.
type storage struct {
	address  string // of the proxy, as in STORAGE_EMULATOR_HOST
	direct   string // address of the emulator, for the tests themselves
	bucket   string
	emulator *exec.Cmd
	proxy    *http.Server
	log      *lines

	mu          sync.Mutex
	permissions map[string]bool // mu protects it
}

// calls are those of the JSON API, with the permission that each needs: https://cloud.google.com/storage/docs/access-control/iam-json
var calls = []struct {
	method     string
	path       *regexp.Regexp
	permission string
}{
	{"POST", regexp.MustCompile(`^/(resumable/)?upload/storage/v1/b/[^/]+/o$`), "storage.objects.create"},
	{"PUT", regexp.MustCompile(`^/(resumable/)?upload/`), "storage.objects.create"},
	{"GET", regexp.MustCompile(`^/storage/v1/b/[^/]+/o$`), "storage.objects.list"},
	{"GET", regexp.MustCompile(`^(/download)?/storage/v1/b/[^/]+/o/.+$`), "storage.objects.get"},
	{"DELETE", regexp.MustCompile(`^/storage/v1/b/[^/]+/o/.+$`), "storage.objects.delete"},
	{"GET", regexp.MustCompile(`^/storage/v1/b/[^/]+$`), "storage.buckets.get"},
}

// newStorage starts an emulator with one bucket.
func newStorage(ctx context.Context, venv, bucket string) (*storage, error) {
	s := &storage{bucket: bucket, log: &lines{}, permissions: map[string]bool{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	emulator, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(emulator)
	if err != nil {
		return nil, err
	}
	s.emulator = exec.CommandContext(ctx, "setpriv", "--pdeathsig=KILL", filepath.Join(venv, "bin", "gcp-storage-emulator"), "start",
		"--host="+host, "--port="+port, "--in-memory", "--default-bucket="+bucket)
	s.emulator.Stdout, s.emulator.Stderr = s.log, s.log
	if err := s.emulator.Start(); err != nil {
		return nil, fmt.Errorf("start the emulator of Cloud Storage: %w", err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: emulator})
	s.address, s.direct = "http://"+listener.Addr().String(), "http://"+emulator
	s.proxy = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.record(r)
		holds, err := s.holds(r)
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadGateway)
		case !holds:
			http.Error(w, `{"error": {"code": 412, "message": "conditionNotMet"}}`, http.StatusPreconditionFailed)
		default:
			proxy.ServeHTTP(w, r)
		}
	})}
	go func() { _ = s.proxy.Serve(listener) }() // until it is closed; a failure shows as a failed call
	for range 100 {
		if _, err := s.objects(); err == nil {
			return s, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, fmt.Errorf("the emulator of Cloud Storage does not answer:\n%s", s.log.tail())
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (s *storage) record(r *http.Request) {
	permission := r.Method + " " + r.URL.Path // which is none
	for _, call := range calls {
		if call.method == r.Method && call.path.MatchString(r.URL.Path) {
			permission = call.permission
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.permissions[permission] = true
}

// uploaded is the name of an object in what is uploaded of it, and named the one in an address.
var (
	uploaded = regexp.MustCompile(`"name": ?"([^"]+)"`)
	named    = regexp.MustCompile(`^/storage/v1/b/[^/]+/o/(.+)$`)
)

// holds says whether the condition of a request does, which the emulator does not ask for: the generation of an object, 0 where there must be none.
func (s *storage) holds(r *http.Request) (bool, error) {
	want := r.URL.Query().Get("ifGenerationMatch")
	if want == "" || r.Method == http.MethodGet {
		return true, nil
	}
	name := named.FindStringSubmatch(r.URL.EscapedPath())
	if name == nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return false, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if name = uploaded.FindStringSubmatch(string(body)); name == nil {
			return false, fmt.Errorf("the tests do not know which object %s is about", r.URL.Path)
		}
	}
	response, err := http.Get(s.direct + "/storage/v1/b/" + s.bucket + "/o/" + name[1])
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return want == "0", nil
	}
	var object struct{ Generation any }
	if err := json.NewDecoder(response.Body).Decode(&object); err != nil {
		return false, err
	}
	return want == fmt.Sprint(object.Generation), nil
}

// needed are the permissions of all calls so far. The tests call the emulator itself.
func (s *storage) needed() (permissions []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.permissions {
		permissions = append(permissions, p)
	}
	slices.Sort(permissions)
	return permissions
}

// objects are the names of what is in the bucket.
func (s *storage) objects() (names []string, err error) {
	var list struct{ Items []struct{ Name string } }
	raw, err := s.get("/storage/v1/b/" + s.bucket + "/o?maxResults=1000")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("objects: %w", err)
	}
	for _, item := range list.Items {
		names = append(names, item.Name)
	}
	return names, nil
}

// empty removes all objects.
func (s *storage) empty() error {
	names, err := s.objects()
	if err != nil {
		return err
	}
	for _, name := range names {
		request, err := http.NewRequest(http.MethodDelete, s.direct+"/storage/v1/b/"+s.bucket+"/o/"+url.PathEscape(name), nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		if err := response.Body.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (s *storage) get(path string) ([]byte, error) {
	response, err := http.Get(s.direct + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}

func (s *storage) close() error {
	if err := s.proxy.Close(); err != nil {
		return err
	}
	if err := s.emulator.Process.Kill(); err != nil {
		return err
	}
	_ = s.emulator.Wait() // killed
	return nil
}
