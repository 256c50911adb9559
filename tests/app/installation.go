package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"openhands-gcp/rehearsal/engine"
	table "openhands-gcp/release"
	"openhands-gcp/tests/cluster"
	"openhands-gcp/tests/cluster/stack"
)

// What the program calls things.
const (
	appNamespace     = "openhands"
	sandboxNamespace = "openhands-sandboxes"
	application      = "openhands"      // Deployment of the server
	doorName         = "openhands-door" // Deployment and ConfigMap of the door
	databaseUser     = "openhands_server"
)

// stackFile is the stack that is put on the API server: that of prod, for two conversations at a time.
const stackFile = `config:
  gcp:project: my-openhands-app
  gcp:region: us-central1
  openhands:profile: prod
  openhands:sandboxes:
    max: 2
  openhands:exposure:
    host: openhands.example.com
    login:
      members: [group:users@example.com]
`

// remoteStackFile is the same with the release that takes its sandboxes from elsewhere.
const remoteStackFile = `config:
  gcp:project: my-openhands-app
  gcp:region: us-central1
  openhands:profile: prod
  openhands:app:
    release: 1.11.0
    runtime: remote
    remoteRuntimeUrl: https://runtime.example.com
  openhands:sandboxApiKey:
    secure: v1:placeholder
  openhands:exposure:
    host: openhands.example.com
    login:
      members: [group:users@example.com]
`

// tools are what is built or fetched before the network is closed.
type tools struct {
	root     string // of the repository
	python   python
	emulator string            // directories of environments
	releases map[string]string // of the server
	envoy    string            // the program
	canvases map[string]string // of Agent Canvas
	engine   engine.Options
}

// prepare builds the cluster, the CLI and the program, and installs the applications. What is there already stays.
func prepare(ctx context.Context, root string, output io.Writer) (*tools, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	install, err := newInstaller(ctx, filepath.Join(root, "bin", "app"), output)
	if err != nil {
		return nil, err
	}
	t := &tools{root: root, python: install.python, releases: map[string]string{}, canvases: map[string]string{}}
	if t.emulator, err = install.emulator(ctx); err != nil {
		return nil, err
	}
	if t.envoy, err = install.envoy(ctx); err != nil {
		return nil, err
	}
	for _, r := range table.Of(table.Canvas) {
		if t.canvases[r.Version], err = install.canvas(ctx, r.Version); err != nil {
			return nil, err
		}
	}
	for _, r := range table.Of(table.Server) {
		if t.releases[r.Version], err = install.openhands(ctx, r.Version); err != nil {
			return nil, err
		}
	}
	if _, err := cluster.Build(ctx, root, nil); err != nil {
		return nil, err
	}
	options := engine.Options{Root: root, Output: output}
	if err := options.Build(ctx); err != nil {
		return nil, err
	}
	t.engine = options
	return t, nil
}

// deployment is a stack, on a real API server where it has a cluster, with a model for its agents. Close it.
type deployment struct {
	*tools
	dir     string
	cluster *cluster.Cluster // none where the stack has none
	engine  *engine.Engine
	admin   kubernetes.Interface
	model   *model
	dns     *clusterDNS
}

// installation is a deployment of the server, with the database and the bucket that it uses. Close it.
type installation struct {
	*deployment
	postgres *postgres
	storage  *storage
}

// install deploys the server, and makes the database and the bucket that its environment names.
func install(ctx context.Context, t *tools) (_ *installation, err error) {
	i := &installation{}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.close())
		}
	}()
	if i.deployment, err = deployOnCluster(ctx, t, stackFile); err != nil {
		return nil, err
	}
	env, err := i.environment(ctx)
	if err != nil {
		return nil, err
	}
	if i.postgres, err = newPostgres(ctx, filepath.Join(i.dir, "postgres")); err != nil {
		return nil, err
	}
	if err := i.emptyDatabase(ctx); err != nil {
		return nil, err
	}
	i.storage, err = newStorage(context.WithoutCancel(ctx), t.emulator, env["FILE_STORE_PATH"])
	return i, err
}

// deployOnCluster puts a stack on a new cluster.
func deployOnCluster(ctx context.Context, t *tools, stackFile string) (*deployment, error) {
	c, api, err := stack.Start(ctx, cluster.Options{Root: t.root})
	if err != nil {
		return nil, err
	}
	admin, err := kubernetes.NewForConfig(c.Admin())
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return deploy(ctx, &deployment{tools: t, cluster: c, admin: admin}, api, stackFile)
}

// deployMachine puts a stack up that has no cluster.
func deployMachine(ctx context.Context, t *tools, stackFile string) (*deployment, error) {
	return deploy(ctx, &deployment{tools: t, admin: fake.NewClientset()}, nil, stackFile)
}

func deploy(ctx context.Context, d *deployment, api *stack.APIServer, stackFile string) (_ *deployment, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.dir, err = os.MkdirTemp("", "openhands-app-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(d.dir, 0o755); err != nil { // for the users of the database and the application
		return nil, err
	}
	if err := d.up(ctx, api, stackFile); err != nil {
		return nil, err
	}
	if d.model, err = startModel(); err != nil {
		return nil, err
	}
	d.dns, err = startDNS(d.admin)
	return d, err
}

// up creates the stack.
func (d *deployment) up(ctx context.Context, api *stack.APIServer, stackFile string) (err error) {
	if err := d.writeStackFile(stackFile); err != nil {
		return err
	}
	project, err := os.ReadFile(filepath.Join(d.root, "Pulumi.yaml"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.dir, "Pulumi.yaml"), project, 0o600); err != nil {
		return err
	}
	options := d.tools.engine
	options.Root, options.Stack, options.APIServer, options.Output = d.dir, "app", api, io.Discard
	if d.engine, err = engine.New(ctx, options); err != nil {
		return err
	}
	return d.update(ctx)
}

func (d *deployment) stackFilePath() string { return filepath.Join(d.dir, "Pulumi.app.yaml") }

func (d *deployment) writeStackFile(content string) error {
	return os.WriteFile(d.stackFilePath(), []byte(content), 0o600)
}

func (d *deployment) update(ctx context.Context) error {
	_, err := d.engine.Run(ctx, "up", "--yes", "--skip-preview")
	return err
}

// change gives the stack another stack file, and updates it.
func (d *deployment) change(ctx context.Context, content string) error {
	if err := d.writeStackFile(content); err != nil {
		return err
	}
	if err := d.engine.Reconfigure(ctx, d.stackFilePath()); err != nil {
		return err
	}
	return d.update(ctx)
}

func (i *installation) close() error {
	var failures []error
	if i.storage != nil {
		failures = append(failures, i.storage.close())
	}
	if i.postgres != nil {
		failures = append(failures, i.postgres.stop())
	}
	if i.deployment != nil {
		failures = append(failures, i.deployment.close())
	}
	return errors.Join(failures...)
}

func (d *deployment) close() error {
	var failures []error
	if d.dns != nil {
		failures = append(failures, d.dns.close())
	}
	if d.model != nil {
		failures = append(failures, d.model.close())
	}
	if d.engine != nil {
		failures = append(failures, d.engine.Close())
	}
	if d.cluster != nil {
		failures = append(failures, d.cluster.Close())
	}
	if d.dir != "" {
		failures = append(failures, os.RemoveAll(d.dir))
	}
	return errors.Join(failures...)
}

// environment is that of the server, as the objects of the API server have it.
func (i *installation) environment(ctx context.Context) (map[string]string, error) {
	pod, err := i.template(ctx)
	if err != nil {
		return nil, err
	}
	return i.variables(ctx, appNamespace, pod.Spec.Containers[0])
}

// template is the pod of the Deployment.
func (i *installation) template(ctx context.Context) (*corev1.PodTemplateSpec, error) {
	deployment, err := i.admin.AppsV1().Deployments(appNamespace).Get(ctx, application, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if n := len(deployment.Spec.Template.Spec.Containers); n != 1 {
		return nil, fmt.Errorf("the server's pod has %d containers", n)
	}
	return &deployment.Spec.Template, nil
}

// variables are those of a container in a namespace.
func (d *deployment) variables(ctx context.Context, namespace string, container corev1.Container) (map[string]string, error) {
	env := map[string]string{}
	for _, from := range container.EnvFrom {
		if from.ConfigMapRef != nil {
			m, err := d.admin.CoreV1().ConfigMaps(namespace).Get(ctx, from.ConfigMapRef.Name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			for name, value := range m.Data {
				env[name] = value
			}
		}
		if from.SecretRef != nil {
			s, err := d.admin.CoreV1().Secrets(namespace).Get(ctx, from.SecretRef.Name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			for name, value := range s.Data {
				env[name] = string(value)
			}
		}
	}
	for _, variable := range container.Env {
		env[variable.Name] = variable.Value
	}
	return env, nil
}

// emptyDatabase makes the database and the user that the environment names, without a table.
func (i *installation) emptyDatabase(ctx context.Context) error {
	env, err := i.environment(ctx)
	if err != nil {
		return err
	}
	return i.postgres.empty(ctx, env["DB_NAME"], env["DB_USER"], env["DB_PASS"])
}

// query runs SQL on the server's database.
func (i *installation) query(ctx context.Context, sql string) (string, error) {
	env, err := i.environment(ctx)
	if err != nil {
		return "", err
	}
	return i.postgres.query(ctx, env["DB_NAME"], sql)
}

// image is the release of the server's image.
func release(image string) string { return image[strings.LastIndex(image, ":")+1:] }
