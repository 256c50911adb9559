package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// inside says to a process that it runs in the network of the tests.
const inside = "OPENHANDS_APP_TEST_NETWORK"

// enterNetwork runs this program again in a network namespace from which nothing leaves, and ends with it. In there every address that the program may
// give to a database or a Service is the machine itself, so that the server gets the very addresses of a deployment. The processes are in a namespace
// too: whatever becomes of the tests, all that they started ends with them.
func enterNetwork() (code int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("the tests of the application need root: they give the server a file system, a network and a user of its own")
	}
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command("unshare", append([]string{"--net", "--pid", "--mount-proc", "--fork", "--kill-child", "--", program}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// localRanges are where Services of GKE, the databases of the simulated cloud and Google's load balancers have their addresses.
var localRanges = []string{"34.118.224.0/20", "10.0.0.0/8", "35.191.0.0/16"}

// loadBalancer is an address from which one calls a server.
const loadBalancer = "35.191.0.1"

// prepareNetwork makes the addresses local.
func prepareNetwork(ctx context.Context) error {
	if _, err := command(ctx, nil, "ip", "link", "set", "lo", "up"); err != nil {
		return err
	}
	for _, r := range localRanges {
		if _, err := command(ctx, nil, "ip", "route", "add", "local", r, "dev", "lo"); err != nil {
			return err
		}
	}
	return nil
}

// clusterDNS is a name server that knows the Services of a cluster, where Google's keys are, and nothing else.
type clusterDNS struct {
	client     kubernetes.Interface
	connection net.PacketConn

	mu    sync.Mutex
	asked map[string]bool // names that it does not know, without the dot; mu protects it
}

// dnsAddress is where the name server listens: for a box with a network of its own too.
const dnsAddress = ":53"

// resolvConf is what a kubelet writes into a pod of the namespace. server is the address of the name server.
func resolvConf(namespace, server string) string {
	return fmt.Sprintf("nameserver %s\nsearch %s.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n", server, namespace)
}

func startDNS(client kubernetes.Interface) (*clusterDNS, error) {
	connection, err := net.ListenPacket("udp", dnsAddress)
	if err != nil {
		return nil, fmt.Errorf("name server: %w", err)
	}
	d := &clusterDNS{client: client, connection: connection, asked: map[string]bool{}}
	go d.serve()
	return d, nil
}

func (d *clusterDNS) close() error { return d.connection.Close() }

func (d *clusterDNS) serve() {
	buffer := make([]byte, 1500)
	for {
		n, from, err := d.connection.ReadFrom(buffer)
		if err != nil {
			return // closed
		}
		answer, err := d.answer(buffer[:n])
		if err != nil {
			continue // the client asks again, or gives up
		}
		if _, err := d.connection.WriteTo(answer, from); err != nil {
			return
		}
	}
}

func (d *clusterDNS) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil, fmt.Errorf("question: %w", err)
	}
	question := m.Questions[0]
	m.Header.Response, m.Header.Authoritative, m.Additionals = true, true, nil
	address, err := d.lookup(question.Name.String())
	switch {
	case apierrors.IsNotFound(err):
		d.mu.Lock()
		d.asked[strings.TrimSuffix(question.Name.String(), ".")] = true
		d.mu.Unlock()
		m.Header.RCode = dnsmessage.RCodeNameError
	case err != nil:
		m.Header.RCode = dnsmessage.RCodeServerFailure
	case question.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class},
			Body:   &dnsmessage.AResource{A: address.As4()},
		}}
	}
	return m.Pack()
}

// strangers are the names outside of the cluster that were asked for since the last call.
func (d *clusterDNS) strangers() (names []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.asked {
		if !strings.HasSuffix(name, ".cluster.local") {
			names = append(names, name)
		}
	}
	d.asked = map[string]bool{}
	slices.Sort(names)
	return names
}

// lookup returns the address of a Service.
func (d *clusterDNS) lookup(name string) (netip.Addr, error) {
	if name == keysHost+"." {
		return netip.MustParseAddr(keysAddress), nil
	}
	labels := strings.Split(strings.TrimSuffix(name, ".svc.cluster.local."), ".")
	if len(labels) != 2 {
		return netip.Addr{}, apierrors.NewNotFound(corev1.Resource("services"), name)
	}
	service, err := d.client.CoreV1().Services(labels[1]).Get(context.Background(), labels[0], metav1.GetOptions{})
	if err != nil {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(service.Spec.ClusterIP)
}
