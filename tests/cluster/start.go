package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"openhands-gcp/rehearsal/build"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// attempts bounds how often Start tries again because a port was taken.
const attempts = 3

// Options are the arguments of Start.
type Options struct {
	Root     string           // of the repository
	CRDs     []map[string]any // further CustomResourceDefinitions, besides those of the Gateway API
	Progress build.Progress   // hears how far it is when the control plane is compiled
}

// Cluster is a running control plane. Pods run as soon as they are scheduled, whatever their images, volumes and probes, and those of jobs succeed
// at once. Close it.
type Cluster struct {
	admin       *rest.Config
	client      kubernetes.Interface
	dir         string     // of everything that the processes write
	processes   []*process // in the order of their start
	stopDisks   func()
	initial     sets.Set[types.UID] // objects that were there when Start returned
	namespaces  sets.Set[string]    // of them
	authority   *authority
	certificate files

	mu    sync.Mutex
	nodes sets.Set[string] // that AddNodes made
}

// Start builds and starts the control plane. It returns when the API server is ready, CustomResourceDefinitions are established, the controllers
// work, and what GKE itself makes in a cluster is there. The context is that of the start only: the cluster runs until it is closed.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	bin, err := Build(ctx, o.Root, o.Progress)
	if err != nil {
		return nil, err
	}
	definitions, err := gatewayAPI(ctx, moduleDir(o.Root))
	if err != nil {
		return nil, err
	}
	definitions = append(definitions, o.CRDs...)
	for attempt := 1; ; attempt++ {
		c, err := start(ctx, bin, definitions)
		if err == nil {
			return c, nil
		}
		if attempt == attempts || !errors.Is(err, errAddressInUse) {
			return nil, fmt.Errorf("start a cluster: %w", err)
		}
	}
}

func start(ctx context.Context, bin string, definitions []map[string]any) (_ *Cluster, err error) {
	c := &Cluster{nodes: sets.New[string]()}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.dir, err = os.MkdirTemp("", "openhands-cluster-"); err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	if c.authority, err = newAuthority(); err != nil {
		return nil, err
	}
	c.certificate = files(c.dir)
	if err := c.certificate.write(c.authority); err != nil {
		return nil, err
	}
	if err := c.startServers(ctx, bin); err != nil {
		return nil, err
	}
	if err := c.startClients(bin); err != nil {
		return nil, err
	}
	c.stopDisks = startDisks(c.client)
	if err := c.installDefinitions(ctx, definitions); err != nil {
		return nil, err
	}
	if err := c.createGKE(ctx); err != nil {
		return nil, err
	}
	if err := c.awaitControllers(ctx); err != nil {
		return nil, err
	}
	return c, c.takeInitial(ctx)
}

// Admin is the configuration of a client that may do everything.
func (c *Cluster) Admin() *rest.Config { return rest.CopyConfig(c.admin) }

// ServiceAccount is the configuration of a client with a token of a service account and nothing else. The token is valid for an hour.
func (c *Cluster) ServiceAccount(ctx context.Context, namespace, name string) (*rest.Config, error) {
	token, err := c.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("token of the service account %s/%s: %w", namespace, name, err)
	}
	config := rest.AnonymousClientConfig(c.admin)
	config.BearerToken = token.Status.Token
	return config, nil
}

// Close ends every process and removes what they wrote. That one had ended by itself is an error.
func (c *Cluster) Close() error {
	if c.stopDisks != nil {
		c.stopDisks()
	}
	var failures []error
	// The last to start are clients of the first.
	for _, process := range slices.Backward(c.processes) {
		failures = append(failures, process.stop())
	}
	c.stopDisks, c.processes = nil, nil
	if c.dir != "" {
		failures = append(failures, os.RemoveAll(c.dir))
	}
	return errors.Join(failures...)
}

func (c *Cluster) run(bin, program string, args ...string) error {
	p, err := startProcess(c.dir, program, binary(bin, program), args...)
	if err != nil {
		return err
	}
	c.processes = append(c.processes, p)
	return nil
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// freePorts are of loopback. Another process may take one before it is used.
func freePorts(n int) (ports []int, err error) {
	for range n {
		listener, listenErr := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if listenErr != nil {
			return nil, fmt.Errorf("free port: %w", listenErr)
		}
		// All stay open until the last is found, so that they differ.
		defer func() { err = errors.Join(err, listener.Close()) }()
		address, parseErr := netip.ParseAddrPort(listener.Addr().String())
		if parseErr != nil {
			return nil, fmt.Errorf("free port: %w", parseErr)
		}
		ports = append(ports, int(address.Port()))
	}
	return ports, nil
}
