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

// standing is what stands on the machine. There is one at a time: all have the same addresses.
var standing struct {
	of   string // its stack file
	what interface{ close() error }
	err  error
}

// stand returns what stands of a stack file, which is put up where something else stands.
func stand[T interface{ close() error }](t *testing.T, of string, up func(context.Context, *tools) (T, error)) T {
	t.Helper()
	if standing.of != of {
		require.NoError(t, fall())
		tools, err := prepared()
		require.NoError(t, err)
		standing.of = of
		standing.what, standing.err = up(context.Background(), tools)
	}
	require.NoError(t, standing.err)
	return standing.what.(T)
}

// fall closes what stands.
func fall() error {
	if standing.of == "" || standing.err != nil {
		return nil
	}
	standing.of = ""
	return standing.what.close()
}

// TestMain builds and fetches what the tests need, and then runs them where no network is.
func TestMain(m *testing.M) {
	if socket := os.Getenv(asKubectl); socket != "" {
		if err := standInForKubectl(socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
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
	if err := prepareNetwork(context.Background()); err != nil {
		return err
	}
	code := m.Run()
	if err := fall(); err != nil {
		return err
	}
	if code != 0 {
		os.Exit(code)
	}
	return nil
}

// theInstallation returns the installation of the server.
func theInstallation(t *testing.T) *installation {
	t.Helper()
	return stand(t, stackFile, install)
}

// must makes a request that must succeed, and returns its answer.
func (s *server) must(t *testing.T, status int, method, path string, body any) string {
	t.Helper()
	got, answer, err := s.call(method, path, body)
	require.NoError(t, err)
	require.Equal(t, status, got, "%s %s: %s", method, path, answer)
	return answer
}
