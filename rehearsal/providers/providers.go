// Package providers has the stand-ins for the providers that the program uses: gcp and kubernetes over the simulated cloud, and random. The engine
// attaches to them; a unit test takes them as Mocks.
package providers

import (
	"fmt"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/cloud/facts"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/values"
	"openhands-gcp/stacks/places"
)

// kubernetesVersion is that of the real provider. Those of the others are in their facts.
const kubernetesVersion = "4.30.0"

// NewCloud returns an empty simulated project that knows the types of Google Cloud and of Kubernetes.
func NewCloud(project, region string) *cloud.Cloud {
	return cloud.New(project, region, cloud.Rules, kubernetes.Rules())
}

// All returns the stand-ins over one cloud. Objects of Kubernetes are kept in a backend of their own, which may be the cloud.
func All(c *cloud.Cloud, kubernetesBackend Backend) ([]*Provider, error) {
	gcp, err := withFacts("gcp")
	if err != nil {
		return nil, err
	}
	gcp.backend, gcp.config = c, []string{"project", "region", "zone", "defaultLabels"}
	gcp.configured = func(settings values.Map) []plugin.CheckFailure { return checkPlace(c, settings) }
	random, err := withFacts("random")
	if err != nil {
		return nil, err
	}
	random.backend = &generator{}
	return []*Provider{gcp, random, {
		Name: "kubernetes", version: semver.MustParse(kubernetesVersion), schema: kubernetes.Schema{}, backend: kubernetesBackend, dryRun: c.DryRun,
		// With this one set, the provider does not compare the kubeconfig.
		identity:   []resource.PropertyKey{"clusterIdentifier"},
		config:     []string{"kubeconfig", "clusterIdentifier", "enableConfigMapMutable", "enableSecretMutable", "enableServerSideApply"},
		configured: kubernetes.CheckSettings,
	}}, nil
}

// withFacts returns a stand-in with the fields of the real provider, and without a backend.
func withFacts(name string) (*Provider, error) {
	schema, err := facts.Load(name)
	if err != nil {
		return nil, err
	}
	version, err := semver.Parse(schema.Version)
	if err != nil {
		return nil, fmt.Errorf("version of provider %s: %w", name, err)
	}
	return &Provider{Name: name, version: version, schema: schema}, nil
}

// checkPlace checks that the settings of gcp state where the stack is: what is left out, the provider takes from the environment of the person who runs it.
// A stack that has objects may move to another project or region.
func checkPlace(c *cloud.Cloud, settings values.Map) []plugin.CheckFailure {
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
	// The real provider asks for the regions, where it can.
	if err := places.CheckRegion(settings.Str("region")); err != nil {
		failures = append(failures, plugin.CheckFailure{Property: "region", Reason: err.Error()})
	}
	if settings.Str("zone") == "" {
		failures = append(failures, plugin.CheckFailure{Property: "zone", Reason: "is not set, and would come from the environment"})
	}
	return failures
}
