package check

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const host, address = "openhands.example.com", "203.0.113.7"

var exposed = Outputs{
	URL: "https://" + host, OpenCommand: "kubectl --namespace=openhands port-forward deployment/openhands-door 3000:3000", Kubeconfig: "{}",
	AppNamespace: "openhands", DNSRecords: []Record{{host + ".", "A", address}},
}

// internet is how a browser comes in, in a test.
type internet struct {
	resolves   []string
	unknown    bool      // the name
	named      string    // by the certificate
	expires    time.Time // the certificate
	answer     http.HandlerFunc
	unanswered bool
}

// google answers as Identity-Aware Proxy does to who has not logged in.
func google(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "https://accounts.google.com/o/oauth2/v2/auth", http.StatusFound)
}

func answers(status int, text string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text) // the test sees that it is missing
	}
}

// certificate is one that an authority of the test has issued.
func certificate(t *testing.T, name string, expires time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"Authority of the test"}}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: expires, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, pool
}

// network serves it.
func (i internet) network(t *testing.T) Network {
	t.Helper()
	own, authorities := certificate(t, i.named, i.expires)
	server := httptest.NewUnstartedServer(i.answer)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	return Network{
		Authorities: authorities,
		Resolve: func(_ context.Context, name string) ([]netip.Addr, error) {
			if i.unknown {
				return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
			}
			var found []netip.Addr
			for _, r := range i.resolves {
				found = append(found, netip.MustParseAddr(r))
			}
			return found, nil
		},
		Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
			assert.Equal(t, address+":443", to, "the stack's own address, whatever the DNS says")
			if i.unanswered {
				return nil, &net.OpError{Op: "dial", Net: network, Err: context.DeadlineExceeded}
			}
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}
}

// recorded keeps what a walk tells.
type recorded struct{ began, ended int }

func (r *recorded) Begin(string)    { r.began++ }
func (r *recorded) Progress(string) {}
func (r *recorded) End(Result)      { r.ended++ }

// newWalk is a walk whose stations a test visits one by one.
func newWalk(t *testing.T, options Options) *walk {
	t.Helper()
	w := &walk{Options: options, audience: &recorded{}}
	require.NoError(t, w.prepare())
	return w
}

// found is the verdict of each station that was visited, with what was found, and where to look.
func (w *walk) found() map[string][]string {
	found := map[string][]string{}
	for _, r := range w.results {
		found[r.Station] = []string{string(r.Verdict), r.Found, r.Look}
	}
	return found
}

func TestTheWayInFromTheInternet(t *testing.T) {
	year := time.Now().AddDate(1, 0, 0)
	until := year.UTC().Format(time.DateOnly)
	good := internet{resolves: []string{address}, named: host, expires: year, answer: google}
	for name, c := range map[string]struct {
		change  func(*internet)
		station string
		verdict Verdict
		found   string
		look    string
	}{
		"it leads to the address": {nil, "name", OK, host + " A " + address, ""},
		"no record":               {func(i *internet) { i.unknown = true }, "name", Failed, "is not found in the DNS", "create the record A " + host + " " + address},
		"a record of another": {
			func(i *internet) { i.resolves = []string{"198.51.100.1"} }, "name", Failed,
			"leads to 198.51.100.1, and the stack's address is " + address, "create the record",
		},
		"two records": {
			func(i *internet) { i.resolves = []string{address, "198.51.100.1"} }, "name", Failed,
			"leads to " + address + ", 198.51.100.1", "create the record",
		},

		"a certificate": {nil, "certificate", OK, "valid for " + host + " until " + until + ", by Authority of the test", ""},
		"a certificate of another": {
			func(i *internet) { i.named = "other.example.com" }, "certificate", Failed, "there is no valid certificate for " + host, "CNAME",
		},
		"a certificate that ends": {func(i *internet) { i.expires = time.Now().Add(48 * time.Hour) }, "certificate", Failed, "should have renewed it", "CNAME"},
		"no load balancer":        {func(i *internet) { i.unanswered = true }, "certificate", Failed, "the load balancer does not answer", "describe gateway"},

		"Google's login": {nil, "login", OK, "Google asks who it is, and the application does not answer", ""},
		"Google's answer to a program": {
			func(i *internet) {
				i.answer = answers(401, "Invalid IAP credentials", "X-Goog-IAP-Generated-Response", "true")
			}, "login", OK, "Google asks who it is", "",
		},
		"the application": {
			func(i *internet) { i.answer = answers(200, "<html>", "Server", "uvicorn") }, "login", Failed,
			host + "/ answers 200 WITHOUT A LOGIN: whoever finds it owns the installation", "take it off the internet at once",
		},
		"the application behind a page of Google's": {
			func(i *internet) {
				i.answer = func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/" {
						google(w, r)
						return
					}
					answers(200, "[]")(w, r)
				}
			}, "login", Failed, host + "/api/conversations answers 200 WITHOUT A LOGIN", "take it off the internet at once",
		},
		"the door": {
			func(i *internet) { i.answer = answers(401, "Jwt is missing", "Server", "envoy") }, "login", Failed,
			"Identity-Aware Proxy is not in force: the door has answered (Jwt is missing)", "describe gcpbackendpolicy",
		},
		"a login of somebody else": {
			func(i *internet) { i.answer = answers(302, "", "Location", "https://accounts.google.com.example.net/") }, "login", Failed,
			"and not to Google's login", "describe gcpbackendpolicy",
		},
		"no door":      {func(i *internet) { i.answer = answers(502, "") }, "login", Failed, "answers 502: the load balancer has no healthy door", "get pods"},
		"another host": {func(i *internet) { i.answer = answers(404, "no such host") }, "login", Failed, "does not know the name", ""},
		"Cloud Armor":  {func(i *internet) { i.answer = answers(403, "") }, "login", Failed, "Cloud Armor does not let this machine in", ""},
		"throttled":    {func(i *internet) { i.answer = answers(429, "") }, "login", Failed, "answers 429", "requestsPerMinute"},
	} {
		t.Run(name, func(t *testing.T) {
			i := good
			if c.change != nil {
				c.change(&i)
			}
			w := newWalk(t, Options{Outputs: exposed, Network: i.network(t)})
			w.wayIn(t.Context(), host)
			got := w.found()[c.station]
			assert.Equal(t, string(c.verdict), got[0], got)
			assert.Contains(t, got[1], c.found)
			assert.Contains(t, got[2], c.look)
			assert.Len(t, w.results, 3, "the others are visited all the same")
			assert.Equal(t, &recorded{3, 3}, w.audience)
		})
	}
}

func TestOutputs(t *testing.T) {
	for name, c := range map[string]struct{ raw, want string }{
		"a stack that stands":    {`{"openCommand": "kubectl x", "kubeconfig": "{}", "urls": {"ann": "https://ann.example.com"}}`, ""},
		"a machine":              {`{"openCommand": "gcloud x", "instanceName": "openhands"}`, ""},
		"nothing":                {`{}`, "no output openCommand: it has not been deployed"},
		"secrets that are kept":  {`{"openCommand": "kubectl x", "kubeconfig": "[secret]"}`, "needs --show-secrets"},
		"something else":         {`error: no stack`, "not what `pulumi stack output --json --show-secrets` writes"},
		"a cluster without kube": {`{"openCommand": "kubectl x"}`, "no output kubeconfig"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadOutputs([]byte(c.raw))
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, c.want)
		})
	}
	_, err := Run(t.Context(), Options{Instance: "bob", Outputs: Outputs{
		OpenCommand: "kubectl x", Kubeconfig: "{}", URLs: map[string]string{"ann": "https://ann.example.com"},
	}}, &recorded{})
	assert.EqualError(t, err, `the stack has no instance "bob": its instances are ann`)
}
