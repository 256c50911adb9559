package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	readyTimeout = time.Minute
	pollInterval = 50 * time.Millisecond

	// administrators is the group that the authorizer lets do everything.
	administrators = "system:masters"
)

// schedulerConfiguration has it try pods again after a second at most: nobody wants to wait for what a test has just mended.
const schedulerConfiguration = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: %q, qps: 500, burst: 1000}
leaderElection: {leaderElect: false}
podInitialBackoffSeconds: 1
podMaxBackoffSeconds: 1
`

// startServers starts etcd and the API server, and returns when that is ready.
func (c *Cluster) startServers(ctx context.Context, bin string) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	storage, server := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	if err := c.run(bin, etcd,
		"--data-dir="+c.path("etcd"),
		"--listen-client-urls=https://"+storage,
		"--advertise-client-urls=https://"+storage,
		"--listen-peer-urls=http://127.0.0.1:0",
		"--client-cert-auth",
		"--trusted-ca-file="+c.certificate.path(caFile),
		"--cert-file="+c.certificate.cert(etcd),
		"--key-file="+c.certificate.key(etcd),
		"--unsafe-no-fsync",
		"--log-level=warn",
	); err != nil {
		return err
	}
	if err := c.await(ctx, etcd, "storage", func(ctx context.Context) error {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", storage)
		if err != nil {
			return err
		}
		return connection.Close()
	}); err != nil {
		return err
	}
	if err := c.run(bin, apiServer,
		"--etcd-servers=https://"+storage,
		"--etcd-cafile="+c.certificate.path(caFile),
		"--etcd-certfile="+c.certificate.cert(apiServer),
		"--etcd-keyfile="+c.certificate.key(apiServer),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", ports[1]),
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",                   // a loopback address is no valid endpoint
		"--disable-admission-plugins=TaintNodesByCondition", // its taint is taken off by the controller of the nodes' health, which does not run here
		"--tls-cert-file="+c.certificate.cert(apiServer),
		"--tls-private-key-file="+c.certificate.key(apiServer),
		"--client-ca-file="+c.certificate.path(caFile),
		"--anonymous-auth=false",
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+c.certificate.key(serviceAccountFile),
		"--service-account-signing-key-file="+c.certificate.key(serviceAccountFile),
		"--service-cluster-ip-range=34.118.224.0/20", // that of GKE
		"--allow-privileged",
		"--profiling=false",
	); err != nil {
		return err
	}
	if c.admin, err = c.config("https://"+server, "admin", administrators); err != nil {
		return err
	}
	if c.client, err = kubernetes.NewForConfig(c.admin); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return c.await(ctx, apiServer, "the API server", func(ctx context.Context) error {
		return c.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// startClients starts the controllers, the scheduler and kwok.
func (c *Cluster) startClients(bin string) error {
	for program, user := range map[string]struct{ name, group string }{
		controllerManager: {"system:kube-controller-manager", ""},
		scheduler:         {"system:kube-scheduler", ""},
		kwok:              {"kwok", administrators}, // it speaks for every node
	} {
		config, err := c.config(c.admin.Host, user.name, user.group)
		if err != nil {
			return err
		}
		if err := clientcmd.WriteToFile(kubeconfig(config), c.kubeconfig(program)); err != nil {
			return fmt.Errorf("kubeconfig of %s: %w", program, err)
		}
	}
	if err := c.run(bin, controllerManager,
		"--kubeconfig="+c.kubeconfig(controllerManager),
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--secure-port=0",
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--service-account-private-key-file="+c.certificate.key(serviceAccountFile),
		"--root-ca-file="+c.certificate.path(caFile),
		"--concurrent-namespace-syncs=20",
		// It would take kwok's nodes for dead, and their pods for not ready: nobody tells it otherwise of a pod.
		"--controllers=*,-node-lifecycle-controller",
		"--pvclaimbinder-sync-period=1s",
	); err != nil {
		return err
	}
	configuration := c.path("scheduler.yaml")
	if err := os.WriteFile(configuration, fmt.Appendf(nil, schedulerConfiguration, c.kubeconfig(scheduler)), 0o600); err != nil {
		return fmt.Errorf("configuration of the scheduler: %w", err)
	}
	if err := c.run(bin, scheduler, "--config="+configuration, "--secure-port=0"); err != nil {
		return err
	}
	return c.run(bin, kwok,
		"--kubeconfig="+c.kubeconfig(kwok),
		"--manage-nodes-with-annotation-selector="+fakeNode+"="+fakeNodeValue,
	)
}

func (c *Cluster) kubeconfig(program string) string { return c.path(program + ".kubeconfig") }

// config is that of a client with a certificate of its own and no limit of its own on its rate.
func (c *Cluster) config(host, user, group string) (*rest.Config, error) {
	var groups []string
	if group != "" {
		groups = []string{group}
	}
	pair, err := c.authority.issue(user, groups)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            host,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.authority.pem, CertData: pair.cert, KeyData: pair.key},
		QPS:             -1,
	}, nil
}

func kubeconfig(config *rest.Config) clientcmdapi.Config {
	const name = "cluster"
	return clientcmdapi.Config{
		CurrentContext: name,
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}},
	}
}

// await tries until there is no error. It gives up when a process ended, or after some time, and then quotes the program that the wait is for.
func (c *Cluster) await(ctx context.Context, program, what string, try func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, readyTimeout, true, func(ctx context.Context) (bool, error) {
		for _, p := range c.processes {
			if err := p.failure(); err != nil {
				return false, err
			}
		}
		last = try(ctx)
		return last == nil, nil
	})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("wait for %s: %w", what, err)
	if !wait.Interrupted(err) {
		return err
	}
	for _, p := range c.processes {
		if p.name == program {
			return fmt.Errorf("%w: %w, the last words of %s:\n%s", err, last, program, p.tail())
		}
	}
	return err
}
