package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// Where Google publishes the keys that Identity-Aware Proxy signs with, and the address of that in the network of the tests.
const (
	keysHost    = "www.gstatic.com"
	keysPath    = "/iap/verify/public_key-jwk"
	keysAddress = "10.99.0.1"
)

// key is one that Identity-Aware Proxy may sign with.
type key struct {
	id      string
	private *ecdsa.PrivateKey
}

func newKey(id string) (*key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &key{id, private}, err
}

func encoded(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// sign returns what is signed of claims, as a JSON Web Token by ES256.
func (k *key) sign(claims map[string]any) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": "ES256", "typ": "JWT", "kid": k.id})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := encoded(header) + "." + encoded(payload)
	hash := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, hash[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + encoded(signature), nil
}

// keyServer stands in for the place where Google publishes its keys. Close it.
type keyServer struct {
	authority []byte // certificate of its authority, in PEM
	server    *http.Server

	mu   sync.Mutex // protects keys
	keys []*key     // none where the keys cannot be had
}

// startKeyServer serves no keys yet.
func startKeyServer() (*keyServer, error) {
	certificate, authority, err := certify("*.gstatic.com")
	if err != nil {
		return nil, err
	}
	s := &keyServer{authority: authority}
	s.server = &http.Server{Handler: http.HandlerFunc(s.answer), ReadHeaderTimeout: time.Minute}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	listener, err := tls.Listen("tcp", net.JoinHostPort(keysAddress, "443"), config)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	go s.server.Serve(listener) //nolint:errcheck // it ends with close
	return s, nil
}

func (s *keyServer) close() error { return s.server.Close() }

// publish changes the keys.
func (s *keyServer) publish(keys ...*key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
}

func (s *keyServer) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Host != keysHost || r.URL.Path != keysPath || len(s.keys) == 0 {
		http.Error(w, "no keys", http.StatusServiceUnavailable)
		return
	}
	set := []map[string]string{}
	for _, k := range s.keys {
		point, err := k.private.PublicKey.Bytes() // 4, and both coordinates
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		set = append(set, map[string]string{
			"alg": "ES256", "crv": "P-256", "kty": "EC", "use": "sig", "kid": k.id, "x": encoded(point[1:33]), "y": encoded(point[33:]),
		})
	}
	if err := json.NewEncoder(w).Encode(map[string]any{"keys": set}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// certify returns a certificate for a name, and the one of the authority that vouches for it.
func certify(name string) (certificate tls.Certificate, authority []byte, err error) {
	validity := func(serial int64, of string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: of},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0), BasicConstraintsValid: true,
		}
	}
	root, leaf := validity(1, "authority of the tests"), validity(2, name)
	root.IsCA, root.KeyUsage = true, x509.KeyUsageCertSign
	leaf.DNSNames, leaf.ExtKeyUsage = []string{name}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	rootKey, err := newKey("root")
	if err != nil {
		return certificate, nil, err
	}
	leafKey, err := newKey("leaf")
	if err != nil {
		return certificate, nil, err
	}
	rootRaw, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.private.Public(), rootKey.private)
	if err != nil {
		return certificate, nil, err
	}
	leafRaw, err := x509.CreateCertificate(rand.Reader, leaf, root, leafKey.private.Public(), rootKey.private)
	if err != nil {
		return certificate, nil, err
	}
	certificate = tls.Certificate{Certificate: [][]byte{leafRaw}, PrivateKey: leafKey.private}
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootRaw}), nil
}
