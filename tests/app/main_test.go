package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var repository = filepath.Join("..", "..")

// prepared is what was built and fetched.
var prepared = sync.OnceValues(func() (*tools, error) { return prepare(context.Background(), repository, os.Stderr) })

// installed is the stack of the tests of the server, put up by the first that needs it.
var installed = sync.OnceValues(func() (*installation, error) {
	t, err := prepared()
	if err != nil {
		return nil, err
	}
	standing, err = install(context.Background(), t, os.Stderr)
	return standing, err
})

// standing is what has to be closed in the end: none where no test needed it.
var standing *installation

// TestMain builds and fetches what the tests need, and then runs them where no network is.
func TestMain(m *testing.M) {
	if err := run(m); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(m *testing.M) error {
	if os.Getenv(inside) == "" {
		if _, err := prepared(); err != nil {
			return err
		}
		code, err := enterNetwork()
		if err == nil && code != 0 {
			os.Exit(code)
		}
		return err
	}
	code := m.Run()
	if standing != nil {
		if err := standing.close(); err != nil {
			return err
		}
	}
	if code != 0 {
		os.Exit(code)
	}
	return nil
}

// theInstallation returns the installation.
func theInstallation(t *testing.T) *installation {
	t.Helper()
	i, err := installed()
	require.NoError(t, err)
	return i
}

// must makes a request that must succeed, and returns its answer.
func (s *server) must(t *testing.T, status int, method, path string, body any) string {
	t.Helper()
	got, answer, err := s.call(method, path, body)
	require.NoError(t, err)
	require.Equal(t, status, got, "%s %s: %s", method, path, answer)
	return answer
}
