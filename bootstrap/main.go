// Command bootstrap is the Pulumi program that makes what the stacks of OpenHands need before they exist: a bucket for their state, a key for each, identities
// for the workflows of one repository on GitHub, and a repository for copies of images.
package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/bootstrap"
	"openhands-gcp/permissions"
)

const name = "openhands" // of every component

// The environments of GitHub, beside that of the stack's own name.
const (
	previewSuffix     = "-preview"
	driftSuffix       = "-drift"
	imagesEnvironment = "images"
)

func main() {
	info := &pulumi.RunInfo{}
	pulumi.Run(deploy(info), func(run *pulumi.RunInfo) { *info = *run })
}

// deploy returns the program. info has the whole configuration, which a Pulumi context gives by name only.
func deploy(info *pulumi.RunInfo) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		config, err := load(info.Stack, info.Config, info.ConfigSecretKeys)
		if err != nil {
			return err
		}
		for _, warning := range config.warnings() {
			if err := ctx.Log.Warn(warning, nil); err != nil {
				return err
			}
		}
		return install(ctx, config)
	}
}

// install creates the components, each from what those above it made.
func install(ctx *pulumi.Context, config *Config) error {
	providers, err := newProviders(ctx, config)
	if err != nil {
		return err
	}
	home, err := bootstrap.NewApis(ctx, name+"-home", &bootstrap.ApisArgs{Project: config.Project, Home: true}, providers)
	if err != nil {
		return err
	}
	ready := home.Ready()
	stacks := slices.Sorted(maps.Keys(config.Stacks))
	state, err := bootstrap.NewState(ctx, name+"-state", &bootstrap.StateArgs{
		Project: home.Project, Location: config.Region, Protect: !config.Teardown,
	}, providers, ready)
	if err != nil {
		return err
	}
	keys, err := bootstrap.NewKeys(ctx, name+"-key", &bootstrap.KeysArgs{
		Project: home.Project, Location: config.Region, Ring: "openhands", Stacks: stacks,
	}, providers, ready)
	if err != nil {
		return err
	}
	federation, err := bootstrap.NewFederation(ctx, name+"-federation", &bootstrap.FederationArgs{
		Project: home.Project, RepositoryID: config.GitHub.RepositoryID, OwnerID: config.GitHub.OwnerID,
	}, providers, ready)
	if err != nil {
		return err
	}
	var access []bootstrap.StateAccess
	out := newOutputs(config)
	readers := map[string]pulumi.StringInput{}
	for _, stack := range stacks {
		apis, err := bootstrap.NewApis(ctx, name+"-"+stack, &bootstrap.ApisArgs{Project: config.Stacks[stack].Project}, providers, ready)
		if err != nil {
			return err
		}
		identities, err := newIdentities(ctx, config, stack, apis, federation, keys, providers)
		if err != nil {
			return err
		}
		access = append(access, bootstrap.StateAccess{
			Stack: stack, Writer: identities[stack].Member,
			Readers: []pulumi.StringInput{identities[stack+previewSuffix].Member, identities[stack+driftSuffix].Member},
		})
		readers[stack] = apis.Number
		out.stack(stack, keys.IDs[stack], identities)
	}
	if err := state.SetPolicy(ctx, access); err != nil {
		return err
	}
	writer, err := bootstrap.NewIdentity(ctx, name+"-images", &bootstrap.IdentityArgs{
		Project: home.Project, AccountID: "ci-images", DisplayName: "Copies OpenHands' images",
		Pool: federation.Pool, Subject: bootstrap.Subject(config.GitHub.Repository, imagesEnvironment),
	}, providers, ready)
	if err != nil {
		return err
	}
	images, err := bootstrap.NewImages(ctx, name+"-images", &bootstrap.ImagesArgs{
		Project: home.Project, Location: config.Region, Writer: writer.Member, Readers: readers,
	}, providers, ready)
	if err != nil {
		return err
	}
	out.environment(imagesEnvironment, writer.Email)
	out.repository("WORKLOAD_IDENTITY_PROVIDER", federation.Provider)
	out.repository("PULUMI_BACKEND_URL", pulumi.Sprintf("gs://%s", state.Bucket))
	out.repository("IMAGES_REPOSITORY", images.Repository)
	out.export(ctx)
	return nil
}

// newIdentities makes the identities of a stack, by the environments whose jobs act as them. Their accounts lie in the stack's own project: whoever deploys it
// can change those, and no other stack's.
func newIdentities(
	ctx *pulumi.Context, config *Config, stack string, apis *bootstrap.Apis, federation *bootstrap.Federation, keys *bootstrap.Keys,
	providers pulumi.ResourceOption,
) (map[string]*bootstrap.Identity, error) {
	has := config.Stacks[stack].has()
	deploy, err := deployGrants(config.Stacks[stack].Project, stack, has)
	if err != nil {
		return nil, err
	}
	read, err := permissions.Read(has.Types())
	if err != nil {
		return nil, err
	}
	dryRun, err := permissions.DryRun(has.Types())
	if err != nil {
		return nil, err
	}
	reader, err := newRole(ctx, stack, "reader", "Reads what a preview reads", read, apis, providers)
	if err != nil {
		return nil, err
	}
	preview := map[string]bootstrap.Grant{"reader": {Role: reader.Name}}
	if len(dryRun) > 0 {
		writer, err := newRole(ctx, stack, "dry_run", "Dry runs in the cluster, which are allowed like the real calls", dryRun, apis, providers)
		if err != nil {
			return nil, err
		}
		preview["dry-run"] = bootstrap.Grant{Role: writer.Name}
	}
	identities := map[string]*bootstrap.Identity{}
	for environment, identity := range map[string]struct {
		account, does string
		grants        map[string]bootstrap.Grant
	}{
		stack:                 {"deploy", "Deploys stack " + stack, deploy},
		stack + previewSuffix: {"preview", "Previews stack " + stack, preview},
		stack + driftSuffix:   {"drift", "Compares stack " + stack + " with what there is", map[string]bootstrap.Grant{"reader": {Role: reader.Name}}},
	} {
		identities[environment], err = bootstrap.NewIdentity(ctx, name+"-"+stack+"-"+identity.account, &bootstrap.IdentityArgs{
			Project: apis.Project, AccountID: "ci-" + stack + "-" + identity.account, DisplayName: identity.does,
			Pool: federation.Pool, Subject: bootstrap.Subject(config.GitHub.Repository, environment), Grants: identity.grants, Key: keys.IDs[stack],
		}, providers, apis.Ready())
		if err != nil {
			return nil, err
		}
	}
	return identities, nil
}

// deployGrants are the roles for an up. Who may grant roles may grant those that the program grants, and no others. That holds back who deploys a cluster. A
// machine has roles of its own, so who deploys one may write any permission into what it may grant: it is as good as owner of its project.
func deployGrants(project, stack string, has permissions.Stack) (map[string]bootstrap.Grant, error) {
	roles, err := permissions.Deploy(has.Types())
	if err != nil {
		return nil, err
	}
	grants := map[string]bootstrap.Grant{}
	for _, role := range roles {
		grant := bootstrap.Grant{Role: pulumi.String(role.Name)}
		if role.Name == "roles/resourcemanager.projectIamAdmin" {
			grant.ConditionTitle, grant.Condition = "grants what the program grants", mayGrant(project, stack, has)
		}
		grants[strings.TrimPrefix(role.Name, "roles/")] = grant
	}
	return grants, nil
}

// mayGrant holds where a change of the project's policy is about no role but those that the program grants.
func mayGrant(project, stack string, has permissions.Stack) string {
	var roles []string
	for _, role := range has.GrantsInProject() {
		roles = append(roles, "'"+role+"'")
	}
	if has.Machine {
		for _, id := range permissions.CustomRoles(stack) {
			roles = append(roles, "'projects/"+project+"/roles/"+id+"'")
		}
	}
	return "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([" + strings.Join(roles, ", ") + "])"
}

// newRole makes a role that holds exactly some permissions.
func newRole(
	ctx *pulumi.Context, stack, id, title string, holds []string, apis *bootstrap.Apis, providers pulumi.ResourceOption,
) (*projects.IAMCustomRole, error) {
	role, err := projects.NewIAMCustomRole(ctx, name+"-"+stack+"-"+strings.ReplaceAll(id, "_", "-"), &projects.IAMCustomRoleArgs{
		Project: apis.Project, RoleId: pulumi.String("ci_" + strings.ReplaceAll(stack, "-", "_") + "_" + id), Title: pulumi.String(title),
		Permissions: pulumi.ToStringArray(holds),
	}, pulumi.Parent(apis), providers, apis.Ready())
	if err != nil {
		return nil, fmt.Errorf("role %s of stack %s: %w", id, stack, err)
	}
	return role, nil
}

// newProviders builds the explicit providers that all components inherit. It sets no labels for all resources: a key that an earlier life left would have
// others, and could not be taken over.
func newProviders(ctx *pulumi.Context, config *Config) (pulumi.ResourceOption, error) {
	google, err := gcp.NewProvider(ctx, "gcp", &gcp.ProviderArgs{
		Project: pulumi.String(config.Project), Region: pulumi.String(config.Region),
		Zone: pulumi.String(config.Region + "-b"), // nothing lies in it, but left out it would come from the environment of whoever runs it
	})
	if err != nil {
		return nil, fmt.Errorf("provider gcp: %w", err)
	}
	generator, err := random.NewProvider(ctx, "random", &random.ProviderArgs{})
	if err != nil {
		return nil, fmt.Errorf("provider random: %w", err)
	}
	return pulumi.Providers(google, generator), nil
}
