package stack_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/tests/cluster"
	"openhands-gcp/tests/cluster/stack"
)

// What the program calls things.
const (
	appNamespace     = "openhands"
	serverAccount    = "openhands-prod-server"
	sandboxNamespace = "openhands-sandboxes"
)

var root = filepath.Join("..", "..", "..")

// closing is what TestMain closes, the last first.
var closing []io.Closer

// built are the CLI and the program, compiled once.
var built = sync.OnceValues(func() (engine.Options, error) {
	absolute, err := filepath.Abs(root)
	if err != nil {
		return engine.Options{}, err
	}
	options := engine.Options{Root: absolute, Output: os.Stderr}
	err = options.Build(context.Background())
	return options, err
})

// installation is the prod stack on a real API server.
type installation struct {
	cluster *cluster.Cluster
	server  *stack.APIServer
	admin   kubernetes.Interface
	account string // service account of the server
}

// The operators of the installation.
const (
	operator      = "ann@example.com"
	operatorGroup = "platform@example.com"
)

// installed is the prod stack on a cluster, once for all tests here that leave it as it was.
var installed = sync.OnceValues(func() (*installation, error) {
	const access = "openhands:cluster.access."
	return newInstallation(context.Background(), map[string]string{
		access + "connectGateway.members[0]": "user:" + operator,
		access + "connectGateway.members[1]": "group:" + operatorGroup,
		access + "securityGroup":             "gke-security-groups@example.com",
	})
})

// newInstallation puts the prod stack, with other values for some keys, on a cluster of its own.
func newInstallation(ctx context.Context, config map[string]string) (*installation, error) {
	c, server, err := stack.Start(ctx, cluster.Options{Root: root})
	if err != nil {
		return nil, err
	}
	closing = append(closing, c)
	options, err := built()
	if err != nil {
		return nil, err
	}
	options.Stack, options.APIServer, options.Output = "prod", server, io.Discard
	engine, err := engine.New(ctx, options)
	if err != nil {
		return nil, err
	}
	closing = append(closing, closer(engine.Close))
	for _, key := range slices.Sorted(maps.Keys(config)) { // the items of a list in their order
		if err := engine.SetConfig(ctx, key, config[key]); err != nil {
			return nil, err
		}
	}
	if _, err := engine.Run(ctx, "up", "--yes", "--skip-preview"); err != nil {
		return nil, err
	}
	admin, err := kubernetes.NewForConfig(c.Admin())
	if err != nil {
		return nil, err
	}
	i := &installation{cluster: c, server: server, admin: admin, account: serverAccount}
	return i, i.awaitAdmission(ctx)
}

type closer func() error

func (c closer) Close() error { return c() }

func TestMain(m *testing.M) {
	code := m.Run()
	var failures []error
	for i := len(closing) - 1; i >= 0; i-- {
		failures = append(failures, closing[i].Close())
	}
	if err := errors.Join(failures...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// install returns the installation.
func install(t *testing.T) *installation {
	t.Helper()
	i, err := installed()
	require.NoError(t, err)
	return i
}

// as returns a client with a token of a service account and nothing else.
func (i *installation) as(t *testing.T, namespace, account string) (kubernetes.Interface, *rest.Config) {
	t.Helper()
	config, err := i.cluster.ServiceAccount(t.Context(), namespace, account)
	require.NoError(t, err)
	config.QPS, config.Burst, config.WarningHandler = 200, 200, rest.NoWarnings{} // of old fields, which the tests try too
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client, config
}
