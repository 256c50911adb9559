package bootstrap

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/iam"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const federationType = "openhands:bootstrap:Federation"

// FederationArgs are the arguments of NewFederation.
type FederationArgs struct {
	Project pulumi.StringInput
	// RepositoryID and OwnerID are the numbers of the repository and of its owner. A name can be somebody else's later, a number cannot.
	RepositoryID, OwnerID string
}

// Federation trusts the tokens that GitHub gives to jobs of one repository. It grants nothing by itself.
type Federation struct {
	pulumi.ResourceState

	Provider pulumi.StringOutput `pulumi:"provider"` // for google-github-actions/auth
	Pool     pulumi.StringOutput `pulumi:"pool"`     // projects/<number>/locations/global/workloadIdentityPools/<id>
}

func (args *FederationArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"repositoryId": args.RepositoryID, "ownerId": args.OwnerID})
	check.Inputs(map[string]pulumi.StringInput{"project": args.Project})
}

// Subject is what Google calls a job of an environment. It is made of two claims, and is not the claim sub: GitHub writes that with the numbers in it for
// repositories that were made, renamed or moved since June 2026, and without them for others. A job without an environment has no claim environment, and is
// refused. https://github.blog/changelog/2026-04-23-immutable-subject-claims-for-github-actions-oidc-tokens
func Subject(repository, environment string) string {
	return "repo:" + repository + ":environment:" + environment
}

const subject = `"repo:" + assertion.repository + ":environment:" + assertion.environment`

// LongestSubject is how long Google takes a subject, in bytes.
const LongestSubject = 127

// NewFederation creates the pool and the provider.
func NewFederation(ctx *pulumi.Context, name string, args *FederationArgs, opts ...pulumi.ResourceOption) (_ *Federation, err error) {
	defer component.Explain(&err, federationType, name)
	c := &Federation{}
	if err := component.Register(ctx, federationType, name, c, args, (*FederationArgs).validate, opts...); err != nil {
		return nil, err
	}
	// The name of a deleted pool stays taken for 30 days.
	suffix, err := random.NewRandomString(ctx, name+"-suffix", &random.RandomStringArgs{
		Length: pulumi.Int(6), Special: pulumi.Bool(false), Upper: pulumi.Bool(false),
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("make up the pool's name: %w", err)
	}
	pool, err := iam.NewWorkloadIdentityPool(ctx, name+"-pool", &iam.WorkloadIdentityPoolArgs{
		Project:                args.Project,
		WorkloadIdentityPoolId: pulumi.Sprintf("openhands-%s", suffix.Result),
		DisplayName:            pulumi.String("OpenHands, from GitHub"),
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the pool: %w", err)
	}
	provider, err := iam.NewWorkloadIdentityPoolProvider(ctx, name+"-github", &iam.WorkloadIdentityPoolProviderArgs{
		Project:                        args.Project,
		WorkloadIdentityPoolId:         pool.WorkloadIdentityPoolId,
		WorkloadIdentityPoolProviderId: pulumi.String("github"),
		DisplayName:                    pulumi.String("GitHub Actions"),
		AttributeMapping:               pulumi.StringMap{"google.subject": pulumi.String(subject)},
		AttributeCondition: pulumi.String(fmt.Sprintf("assertion.repository_id == '%s' && assertion.repository_owner_id == '%s'",
			args.RepositoryID, args.OwnerID)),
		Oidc: &iam.WorkloadIdentityPoolProviderOidcArgs{IssuerUri: pulumi.String("https://token.actions.githubusercontent.com")},
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the provider: %w", err)
	}
	c.Provider, c.Pool = provider.Name, pool.Name
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"provider": c.Provider, "pool": c.Pool})
}
