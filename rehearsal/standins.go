// Package providers has the stand-ins for the providers that the program uses: gcp and kubernetes over the simulated cloud, and random. The engine
// attaches to them; a unit test takes them as Mocks.
package rehearsal

import (
	"fmt"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

// Versions of the real providers, as go.mod has them; those of gcp and random are also in the names of the files of facts.
const (
	gcpVersion        = "7.38.0"
	kubernetesVersion = "4.30.0"
	randomVersion     = "4.21.1"
)

// NewProject returns an empty simulated project that knows the types of Google Cloud and of Kubernetes.
func NewProject(project, region string) *Cloud {
	return NewCloud(project, region, Rules, KubernetesRules())
}

// All returns the stand-ins over one cloud. Objects of Kubernetes are kept in a backend of their own, which may be the cloud.
func All(c *Cloud, kubernetesBackend Backend) ([]*Provider, error) {
	gcpFacts, err := Load("gcp", gcpVersion)
	if err != nil {
		return nil, err
	}
	randomFacts, err := Load("random", randomVersion)
	if err != nil {
		return nil, err
	}
	return []*Provider{
		{
			Name: "gcp", version: semver.MustParse(gcpVersion), schema: gcpFacts, backend: c,
			config:     []string{"project", "region", "zone", "defaultLabels"},
			configured: func(settings values) []plugin.CheckFailure { return checkPlace(c, settings) },
		},
		{
			Name: "kubernetes", version: semver.MustParse(kubernetesVersion), schema: KubernetesSchema{}, backend: kubernetesBackend,
			config:     []string{"kubeconfig", "clusterIdentifier", "enableConfigMapMutable", "enableSecretMutable", "enableServerSideApply"},
			configured: CheckSettings,
		},
		{Name: "random", version: semver.MustParse(randomVersion), schema: randomFacts, backend: &generator{}},
	}, nil
}

// checkPlace wants the settings of gcp to state where the stack is: left out, the provider takes it from the environment of whoever runs the program.
// A stack that has objects may move to another project or region.
func checkPlace(c *Cloud, settings values) []plugin.CheckFailure {
	var failures []plugin.CheckFailure
	inventory := c.Inventory()
	created := len(inventory.Everything()) > 0
	for path, want := range map[string]string{"project": inventory.Project, "region": inventory.Region} {
		if got := settings.Str(path); got != want && (got == "" || !created) {
			failures = append(failures, plugin.CheckFailure{
				Property: resource.PropertyKey(path), Reason: fmt.Sprintf("is %q, and the stack's is %q", got, want),
			})
		}
	}
	if settings.Str("zone") == "" {
		failures = append(failures, plugin.CheckFailure{Property: "zone", Reason: "is not set, and would come from the environment"})
	}
	return failures
}
