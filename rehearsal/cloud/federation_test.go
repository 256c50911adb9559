package cloud

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// withFederation is a project with a key, a pool and an account in another project.
func withFederation(t *testing.T) cloud {
	t.Helper()
	c := newCloud(t)
	c.Others = []string{"other-project"}
	for _, api := range []string{"cloudkms", "iam", "cloudresourcemanager"} {
		c.make(types.Service, values.Map{"service": api + ".googleapis.com", "disableOnDestroy": false})
		c.make(types.Service, values.Map{"project": "other-project", "service": api + ".googleapis.com", "disableOnDestroy": false})
	}
	ring := c.make(types.KeyRing, values.Map{"name": "ring", "location": "us-central1"})
	c.make(types.CryptoKey, values.Map{"name": "dev", "keyRing": ring})
	c.make(types.IdentityPool, values.Map{"workloadIdentityPoolId": "pool"})
	c.make(types.Account, values.Map{"project": "other-project", "accountId": "deploy"})
	return c
}

// TestWhatGoogleRefusesOfIdentities makes one mistake at a time.
func TestWhatGoogleRefusesOfIdentities(t *testing.T) {
	const (
		ring    = "projects/my-project/locations/us-central1/keyRings/ring"
		account = "projects/other-project/serviceAccounts/deploy@other-project.iam.gserviceaccount.com"
		pool    = "principal://iam.googleapis.com/projects/" + ProjectNumber + "/locations/global/workloadIdentityPools/"
		github  = "https://token.actions.githubusercontent.com"
	)
	provider := func(change values.Map) values.Map {
		good := values.Map{
			"workloadIdentityPoolId": "pool", "workloadIdentityPoolProviderId": "github", "attributeCondition": "assertion.repository_id == '1'",
			"attributeMapping": map[string]any{"google.subject": "assertion.sub"}, "oidc": map[string]any{"issuerUri": github},
		}
		for key, value := range change {
			good[key] = value
		}
		return good
	}
	for _, m := range []struct {
		mistake, typ string
		inputs       values.Map
		says         string
	}{
		{"a ring that is there", types.KeyRing, values.Map{"name": "ring", "location": "us-central1"}, "alreadyExists: kms.KeyRing " + ring},
		{"a key that is there", types.CryptoKey, values.Map{"name": "dev", "keyRing": ring}, "alreadyExists: kms.CryptoKey " + ring + "/cryptoKeys/dev"},
		{"no ring", types.CryptoKey, values.Map{"name": "dev", "keyRing": "nowhere"}, `keyRing: "nowhere" does not exist`},
		{"name of a ring", types.KeyRing, values.Map{"name": "a.b", "location": "us-central1"}, `name: "a.b" does not match`},
		{"an hour", types.CryptoKey, values.Map{"name": "x", "keyRing": ring, "rotationPeriod": "3600s"}, `rotationPeriod: "3600s" is not`},
		{"a short pool", types.IdentityPool, values.Map{"workloadIdentityPoolId": "abc"}, "has fewer than 4 characters"},
		{"Google's name", types.IdentityPool, values.Map{"workloadIdentityPoolId": "gcp-pool"}, "begins with gcp-"},
		{"no pool", types.IdentityProvider, provider(values.Map{"workloadIdentityPoolId": "none"}), `workloadIdentityPoolId: "none" does not exist`},
		{"everybody on GitHub", types.IdentityProvider, provider(values.Map{"attributeCondition": ""}), "everybody on GitHub has this issuer"},
		{"no subject", types.IdentityProvider, provider(values.Map{"attributeMapping": map[string]any{}}), "google.subject is needed"},
		{"no https", types.IdentityProvider, provider(values.Map{"oidc": map[string]any{"issuerUri": "http://x"}}), "is not an https address"},
		{
			"another pool", types.AccountMember,
			values.Map{"serviceAccountId": account, "role": "roles/iam.workloadIdentityUser", "member": pool + "none/subject/repo:a/b"}, "does not exist",
		},
		{
			"an account that is not there", types.ProjectMember,
			values.Map{"project": "other-project", "role": "roles/viewer", "member": "serviceAccount:eve@other-project.iam.gserviceaccount.com"}, "does not exist",
		},
		{"another's project", types.ProjectMember, values.Map{"project": "third", "role": "roles/viewer", "member": "user:a@b.c"}, `"third" is not this project`},
		{
			"accounts of nowhere", types.ProjectMember, values.Map{
				"project": "my-project", "role": "roles/viewer", "member": "principalSet://cloudresourcemanager.googleapis.com/projects/1/type/ServiceAccount",
			}, "there is no project 1",
		},
	} {
		t.Run(m.mistake, func(t *testing.T) {
			c := withFederation(t)
			_, _, err := c.Create(m.typ, "urn:mistake", m.inputs)
			require.Error(t, err)
			assert.Contains(t, err.Error(), m.says)
		})
	}
}

// TestWhatADeletionTakes: the provider destroys the versions of a key, Google keeps a ring, and the name of a pool stays taken.
func TestWhatADeletionTakes(t *testing.T) {
	c := withFederation(t)
	pool := "projects/my-project/locations/global/workloadIdentityPools/pool"
	require.NoError(t, c.Delete(types.IdentityPool, "", pool))
	_, _, err := c.Create(types.IdentityPool, "urn:pool", values.Map{"workloadIdentityPoolId": "pool"})
	assert.ErrorContains(t, err, "taken for 30 days")
	for _, typ := range []string{types.CryptoKey, types.KeyRing} {
		require.NoError(t, c.Delete(typ, "", c.inventory.All(typ)[0].ID))
	}
	assert.Contains(t, c.inventory.All(types.CryptoKey)[0].Left, "versions are destroyed")
	assert.Contains(t, c.inventory.All(types.KeyRing)[0].Left, "Google deletes no key ring")
}
