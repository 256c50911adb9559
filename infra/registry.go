package infra

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/artifactregistry"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const registryType = "openhands:gcp:Registry"

const secondsPerDay = 24 * 60 * 60

// RegistryArgs are the arguments of NewRegistry.
type RegistryArgs struct {
	Location string // region, e.g. us-central1

	// RepositoryPrefix begins the ids of the repositories, which are part of every image's name: <prefix>-images, <prefix>-ghcr, <prefix>-docker-hub.
	RepositoryPrefix string

	KeepNewest              int  // versions of every image that clean-up never deletes, at least 1
	DeleteUntaggedAfterDays int  // days until a version that no tag names is deleted, at least 1
	ImmutableTags           bool // a tag, once pushed, names the same image for ever
	Protect                 bool // refuse to delete the repository of own images

	// Reader is the IAM member that pulls images: the nodes' service account.
	Reader pulumi.StringInput
}

// Registry holds the installation's own images, and mirrors those of ghcr.io and of Docker Hub so that nodes pull them from Artifact Registry.
type Registry struct {
	pulumi.ResourceState
	component.Readiness // the reader may pull

	// The prefixes go in front of an image's name, without a slash at the end: <ImagePrefix>/my-image:1.0, and
	// <GHCRPrefix>/openhands/openhands:0.62.0 for ghcr.io/openhands/openhands:0.62.0.
	ImagePrefix     pulumi.StringOutput `pulumi:"imagePrefix"`
	GHCRPrefix      pulumi.StringOutput `pulumi:"ghcrPrefix"`
	DockerHubPrefix pulumi.StringOutput `pulumi:"dockerHubPrefix"`
}

func (args *RegistryArgs) validate(check *component.Check) {
	check.Require(args.Location != "", "location is required")
	check.Require(args.RepositoryPrefix != "", "repositoryPrefix is required")
	check.Require(args.KeepNewest >= 1, "keepNewest is %d: at least 1", args.KeepNewest)
	check.Require(args.DeleteUntaggedAfterDays >= 1, "deleteUntaggedAfterDays is %d: at least 1", args.DeleteUntaggedAfterDays)
	check.Require(args.Reader != nil, "reader is required")
}

// NewRegistry creates the repositories and lets the reader pull from these alone.
func NewRegistry(ctx *pulumi.Context, name string, args *RegistryArgs, opts ...pulumi.ResourceOption) (_ *Registry, err error) {
	defer component.Explain(&err, registryType, name)
	c := &Registry{}
	if err := component.Register(ctx, registryType, name, c, args, (*RegistryArgs).validate, opts...); err != nil {
		return nil, err
	}
	own := &artifactregistry.RepositoryArgs{
		RepositoryId: pulumi.String(args.RepositoryPrefix + "-images"),
		Description:  pulumi.String("Images built for this installation"),
		// A keep policy wins over a delete policy.
		CleanupPolicies: artifactregistry.RepositoryCleanupPolicyArray{
			&artifactregistry.RepositoryCleanupPolicyArgs{
				Id:                 pulumi.String("keep-newest"),
				Action:             pulumi.String("KEEP"),
				MostRecentVersions: &artifactregistry.RepositoryCleanupPolicyMostRecentVersionsArgs{KeepCount: pulumi.Int(args.KeepNewest)},
			},
			&artifactregistry.RepositoryCleanupPolicyArgs{
				Id:     pulumi.String("delete-untagged"),
				Action: pulumi.String("DELETE"),
				Condition: &artifactregistry.RepositoryCleanupPolicyConditionArgs{
					TagState:  pulumi.String("UNTAGGED"),
					OlderThan: pulumi.Sprintf("%ds", args.DeleteUntaggedAfterDays*secondsPerDay),
				},
			},
		},
	}
	// A block that is off is one that the API does not answer with: it would be a difference at every preview.
	if args.ImmutableTags {
		own.DockerConfig = &artifactregistry.RepositoryDockerConfigArgs{ImmutableTags: pulumi.Bool(true)}
	}
	c.ImagePrefix, err = c.newRepository(ctx, name+"-images", args, own, component.ProtectIf(args.Protect)...)
	if err != nil {
		return nil, fmt.Errorf("own images: %w", err)
	}
	c.GHCRPrefix, err = c.newMirror(ctx, name, "ghcr", "ghcr.io", args, &artifactregistry.RepositoryRemoteRepositoryConfigDockerRepositoryArgs{
		CustomRepository: &artifactregistry.RepositoryRemoteRepositoryConfigDockerRepositoryCustomRepositoryArgs{Uri: pulumi.String("https://ghcr.io")},
	})
	if err != nil {
		return nil, err
	}
	c.DockerHubPrefix, err = c.newMirror(ctx, name, "docker-hub", "Docker Hub", args, &artifactregistry.RepositoryRemoteRepositoryConfigDockerRepositoryArgs{
		PublicRepository: pulumi.String("DOCKER_HUB"),
	})
	if err != nil {
		return nil, err
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"imagePrefix": c.ImagePrefix, "ghcrPrefix": c.GHCRPrefix, "dockerHubPrefix": c.DockerHubPrefix,
	})
}

// newMirror creates a repository that fetches images from another place when they are asked for, and returns the prefix of its images. role ends its name.
func (c *Registry) newMirror(ctx *pulumi.Context, name, role, of string, args *RegistryArgs,
	source *artifactregistry.RepositoryRemoteRepositoryConfigDockerRepositoryArgs,
) (pulumi.StringOutput, error) {
	prefix, err := c.newRepository(ctx, name+"-"+role, args, &artifactregistry.RepositoryArgs{
		RepositoryId:           pulumi.String(args.RepositoryPrefix + "-" + role),
		Description:            pulumi.String("Pull-through mirror of " + of),
		Mode:                   pulumi.String("REMOTE_REPOSITORY"),
		RemoteRepositoryConfig: &artifactregistry.RepositoryRemoteRepositoryConfigArgs{Description: pulumi.String(of), DockerRepository: source},
	})
	if err != nil {
		return pulumi.StringOutput{}, fmt.Errorf("mirror of %s: %w", of, err)
	}
	return prefix, nil
}

// newRepository creates one Docker repository with its reader, and returns the prefix of its images.
func (c *Registry) newRepository(ctx *pulumi.Context, name string, args *RegistryArgs, repositoryArgs *artifactregistry.RepositoryArgs,
	opts ...pulumi.ResourceOption,
) (pulumi.StringOutput, error) {
	repositoryArgs.Format = pulumi.String("DOCKER")
	repositoryArgs.Location = pulumi.String(args.Location)
	// The id is part of every image's name and stays: the old repository has to go before its replacement comes.
	opts = append(component.Child(c, pulumi.DeleteBeforeReplace(true)), opts...)
	repository, err := artifactregistry.NewRepository(ctx, name, repositoryArgs, opts...)
	if err != nil {
		return pulumi.StringOutput{}, err
	}
	grant, err := artifactregistry.NewRepositoryIamMember(ctx, name+"-reader", &artifactregistry.RepositoryIamMemberArgs{
		Repository: repository.Name,
		Location:   repository.Location,
		Role:       pulumi.String("roles/artifactregistry.reader"),
		Member:     args.Reader,
	}, component.Child(c)...)
	if err != nil {
		return pulumi.StringOutput{}, fmt.Errorf("grant the reader: %w", err)
	}
	c.Awaits(grant)
	return pulumi.Sprintf("%s-docker.pkg.dev/%s/%s", repository.Location, repository.Project, repository.RepositoryId), nil
}
