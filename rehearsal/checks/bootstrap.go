package checks

import (
	"fmt"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// Bootstrap returns what is wrong with what bootstrap has made, beside what State says of any stack.
func Bootstrap(inventory *cloud.Inventory, export *state.Export) []string {
	var problems []string
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, r := range export.Deployment.Resources {
		if strings.HasPrefix(r.Type, "gcp:serviceaccount/key:") {
			report("%s: is a key that somebody can carry away", state.ShortName(r.URN))
		}
		retained := r.Type == types.KeyRing || r.Type == types.CryptoKey
		if retained && !r.RetainOnDelete {
			report("%s: a destroy would take it, and with it the secrets of a state", state.ShortName(r.URN))
		}
	}
	subjects := map[string]string{} // who acts as whom
	for _, account := range inventory.All(types.Account) {
		email := account.Outputs.Str("email")
		var who []string
		for _, grant := range inventory.All(types.AccountMember) {
			if grant.Inputs.Str("serviceAccountId") == account.ID {
				who = append(who, grant.Inputs.Str("member"))
			}
		}
		if len(who) != 1 || !strings.HasPrefix(who[0], "principal://") || !strings.Contains(who[0], "/subject/repo:") || !strings.Contains(who[0], ":environment:") {
			report("%s: %q may act as it, and not the jobs of one environment", email, who)
			continue
		}
		if other, taken := subjects[who[0]]; taken {
			report("%s: the same jobs act as %s", email, other)
		}
		subjects[who[0]] = email
	}
	for _, grant := range inventory.All(types.ProjectMember) {
		if grant.Inputs.Str("role") != "roles/resourcemanager.projectIamAdmin" {
			continue
		}
		if condition := grant.Inputs.Str("condition.expression"); !strings.Contains(condition, "modifiedGrantsByRole', []).hasOnly(['") {
			report("%s: may grant every role, by %q", grant.Inputs.Str("member"), condition)
		}
	}
	for _, bucket := range inventory.All(types.Bucket) {
		if bucket.Left != "" {
			continue // an earlier life's, which nobody reaches
		}
		for role, members := range inventory.BucketBindings(bucket.ID) {
			for _, member := range members {
				if !strings.HasPrefix(member, "projectOwner:") && !strings.HasPrefix(member, "serviceAccount:ci-") {
					report("bucket %s: %s has %s", bucket.ID, member, role)
				}
			}
		}
	}
	problems = append(problems, pasted(inventory, export)...)
	slices.Sort(problems)
	return problems
}

// pasted are the outputs that people paste, and what does not exist of it.
func pasted(inventory *cloud.Inventory, export *state.Export) []string {
	var problems []string
	need := func(what, typ, ref string) {
		if inventory.Find(typ, ref) == nil {
			problems = append(problems, fmt.Sprintf("output %s: %q does not exist", what, ref))
		}
	}
	repository, _ := export.Output("repositoryVariables").(map[string]any)
	variables := values.Map(repository)
	need("WORKLOAD_IDENTITY_PROVIDER", types.IdentityProvider, variables.Str("WORKLOAD_IDENTITY_PROVIDER"))
	need("PULUMI_BACKEND_URL", types.Bucket, strings.TrimPrefix(variables.Str("PULUMI_BACKEND_URL"), "gs://"))
	images := variables.Str("IMAGES_REPOSITORY")
	need("IMAGES_REPOSITORY", types.Repository, images[strings.LastIndex(images, "/")+1:])
	environments, _ := export.Output("environmentVariables").(map[string]any)
	for name, of := range environments {
		account, _ := of.(map[string]any)
		need("environmentVariables."+name, types.Account, values.Map(account).Str("SERVICE_ACCOUNT"))
	}
	if len(environments) != len(inventory.All(types.Account)) {
		problems = append(problems, fmt.Sprintf("output environmentVariables: has %d of %d accounts", len(environments), len(inventory.All(types.Account))))
	}
	secrets, _ := export.Output("secretsProviders").(map[string]any)
	for stack, url := range secrets {
		need("secretsProviders."+stack, types.CryptoKey, strings.TrimPrefix(fmt.Sprint(url), "gcpkms://"))
	}
	return problems
}
