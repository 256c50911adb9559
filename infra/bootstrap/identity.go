package bootstrap

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/kms"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const identityType = "openhands:bootstrap:Identity"

// IdentityArgs are the arguments of NewIdentity.
type IdentityArgs struct {
	Project     pulumi.StringInput // in which the account is, and the grants
	AccountID   string
	DisplayName string

	Pool    pulumi.StringInput // of the federation
	Subject string             // the one subject that may act as the account

	Grants map[string]Grant   // roles in the project, by a name for each
	Key    pulumi.StringInput // of Cloud KMS, whose secrets the account may decrypt; none where nil
}

// Grant is a role in a project.
type Grant struct {
	Role           pulumi.StringInput
	Condition      string // under which it holds; always where empty
	ConditionTitle string
}

// Identity is a service account without a key: jobs of one environment act as it, and nobody else does.
type Identity struct {
	pulumi.ResourceState

	Email  pulumi.StringOutput `pulumi:"email"`
	Member pulumi.StringOutput `pulumi:"member"`
}

func (args *IdentityArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"accountId": args.AccountID, "displayName": args.DisplayName, "subject": args.Subject})
	check.Inputs(map[string]pulumi.StringInput{"project": args.Project, "pool": args.Pool})
	check.Require(len(args.Subject) <= LongestSubject, "subject %q has %d bytes: Google takes %d", args.Subject, len(args.Subject), LongestSubject)
}

// NewIdentity creates the account, lets the subject act as it, and grants it its roles.
func NewIdentity(ctx *pulumi.Context, name string, args *IdentityArgs, opts ...pulumi.ResourceOption) (_ *Identity, err error) {
	defer component.Explain(&err, identityType, name)
	c := &Identity{}
	if err := component.Register(ctx, identityType, name, c, args, (*IdentityArgs).validate, opts...); err != nil {
		return nil, err
	}
	account, err := serviceaccount.NewAccount(ctx, name+"-account", &serviceaccount.AccountArgs{
		Project: args.Project, AccountId: pulumi.String(args.AccountID), DisplayName: pulumi.String(args.DisplayName),
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the service account: %w", err)
	}
	if _, err := serviceaccount.NewIAMMember(ctx, name+"-github", &serviceaccount.IAMMemberArgs{
		ServiceAccountId: account.Name,
		Role:             pulumi.String("roles/iam.workloadIdentityUser"),
		Member:           pulumi.Sprintf("principal://iam.googleapis.com/%s/subject/%s", args.Pool, args.Subject),
	}, component.Child(c)...); err != nil {
		return nil, fmt.Errorf("let jobs act as it: %w", err)
	}
	for _, key := range slices.Sorted(maps.Keys(args.Grants)) {
		grant := args.Grants[key]
		member := &projects.IAMMemberArgs{Project: account.Project, Role: grant.Role, Member: account.Member}
		if grant.Condition != "" {
			member.Condition = &projects.IAMMemberConditionArgs{Title: pulumi.String(grant.ConditionTitle), Expression: pulumi.String(grant.Condition)}
		}
		if _, err := projects.NewIAMMember(ctx, name+"-"+key, member, component.Child(c)...); err != nil {
			return nil, fmt.Errorf("grant %s: %w", key, err)
		}
	}
	if args.Key != nil {
		// Decrypting is enough for an up: the key that encrypts the state's secrets is made once, by whoever makes the stack, and lies encrypted in its file.
		if _, err := kms.NewCryptoKeyIAMMember(ctx, name+"-key", &kms.CryptoKeyIAMMemberArgs{
			CryptoKeyId: args.Key, Role: pulumi.String("roles/cloudkms.cryptoKeyDecrypter"), Member: account.Member,
		}, component.Child(c)...); err != nil {
			return nil, fmt.Errorf("let it decrypt: %w", err)
		}
	}
	c.Email, c.Member = account.Email, account.Member
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"email": c.Email, "member": c.Member})
}
