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

	"openhands-gcp/rehearsal/engine"
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
	emulator string // directories of environments
	releases map[string]string
	envoy    string // the program
	canvas   string // directory of Agent Canvas
	engine   engine.Options
}

// testedReleases are all that the program offers.
var testedReleases = []string{"0.62.0", "1.11.0"}

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
	t := &tools{root: root, python: install.python, releases: map[string]string{}}
	if t.emulator, err = install.emulator(ctx); err != nil {
		return nil, err
	}
	if t.envoy, err = install.envoy(ctx); err != nil {
		return nil, err
	}
	if t.canvas, err = install.canvas(ctx, canvasRelease); err != nil {
		return nil, err
	}
	for _, release := range testedReleases {
		if t.releases[release], err = install.openhands(ctx, release); err != nil {
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

// installation is a stack on a real API server, with the database, the bucket and the model that its server uses. Close it.
type installation struct {
	*tools
	dir      string
	cluster  *cluster.Cluster
	engine   *engine.Engine
	admin    kubernetes.Interface
	postgres *postgres
	storage  *storage
	model    *model
	dns      *clusterDNS
}

// install puts the stack on a new cluster, and makes the database and the bucket that its environment names.
func install(ctx context.Context, t *tools, output io.Writer) (_ *installation, err error) {
	i := &installation{tools: t}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.close())
		}
	}()
	if i.dir, err = os.MkdirTemp("", "openhands-app-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(i.dir, 0o755); err != nil { // for the users of the database and the server
		return nil, err
	}
	if err := prepareNetwork(ctx); err != nil {
		return nil, err
	}
	var api *stack.APIServer
	if i.cluster, api, err = stack.Start(ctx, cluster.Options{Root: t.root}); err != nil {
		return nil, err
	}
	if i.admin, err = kubernetes.NewForConfig(i.cluster.Admin()); err != nil {
		return nil, err
	}
	if err := i.up(ctx, api); err != nil {
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
	if i.storage, err = newStorage(context.WithoutCancel(ctx), t.emulator, env["FILE_STORE_PATH"]); err != nil {
		return nil, err
	}
	if i.model, err = startModel(); err != nil {
		return nil, err
	}
	i.dns, err = startDNS(i.admin)
	return i, err
}

// up creates the stack.
func (i *installation) up(ctx context.Context, api *stack.APIServer) (err error) {
	if err := i.writeStackFile(stackFile); err != nil {
		return err
	}
	project, err := os.ReadFile(filepath.Join(i.root, "Pulumi.yaml"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(i.dir, "Pulumi.yaml"), project, 0o600); err != nil {
		return err
	}
	options := i.tools.engine
	options.Root, options.Stack, options.APIServer, options.Output = i.dir, "app", api, io.Discard
	if i.engine, err = engine.New(ctx, options); err != nil {
		return err
	}
	return i.update(ctx)
}

func (i *installation) stackFilePath() string { return filepath.Join(i.dir, "Pulumi.app.yaml") }

func (i *installation) writeStackFile(content string) error {
	return os.WriteFile(i.stackFilePath(), []byte(content), 0o600)
}

func (i *installation) update(ctx context.Context) error {
	_, err := i.engine.Run(ctx, "up", "--yes", "--skip-preview")
	return err
}

// change gives the stack another stack file, and updates it.
func (i *installation) change(ctx context.Context, content string) error {
	if err := i.writeStackFile(content); err != nil {
		return err
	}
	if err := i.engine.Reconfigure(ctx, i.stackFilePath()); err != nil {
		return err
	}
	return i.update(ctx)
}

func (i *installation) close() error {
	var failures []error
	if i.dns != nil {
		failures = append(failures, i.dns.close())
	}
	if i.model != nil {
		failures = append(failures, i.model.close())
	}
	if i.storage != nil {
		failures = append(failures, i.storage.close())
	}
	if i.postgres != nil {
		failures = append(failures, i.postgres.stop())
	}
	if i.engine != nil {
		failures = append(failures, i.engine.Close())
	}
	if i.cluster != nil {
		failures = append(failures, i.cluster.Close())
	}
	if i.dir != "" {
		failures = append(failures, os.RemoveAll(i.dir))
	}
	return errors.Join(failures...)
}

// environment is that of the server, as the objects of the API server have it.
func (i *installation) environment(ctx context.Context) (map[string]string, error) {
	pod, err := i.template(ctx)
	if err != nil {
		return nil, err
	}
	return i.variables(ctx, pod.Spec.Containers[0])
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

// variables are those of a container.
func (i *installation) variables(ctx context.Context, container corev1.Container) (map[string]string, error) {
	env := map[string]string{}
	for _, from := range container.EnvFrom {
		if from.ConfigMapRef != nil {
			m, err := i.admin.CoreV1().ConfigMaps(appNamespace).Get(ctx, from.ConfigMapRef.Name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			for name, value := range m.Data {
				env[name] = value
			}
		}
		if from.SecretRef != nil {
			s, err := i.admin.CoreV1().Secrets(appNamespace).Get(ctx, from.SecretRef.Name, metav1.GetOptions{})
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
