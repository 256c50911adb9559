package bootstrap

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/artifactregistry"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const imagesType = "openhands:bootstrap:Images"

// ImagesArgs are the arguments of NewImages.
type ImagesArgs struct {
	Project  pulumi.StringInput
	Location string
	Writer   pulumi.StringInput            // the IAM member that puts copies in
	Readers  map[string]pulumi.StringInput // the numbers of projects whose service accounts may pull, by stack
}

// Images is the repository for copies of OpenHands' images. A tag of it stays with its digest.
type Images struct {
	pulumi.ResourceState

	Repository pulumi.StringOutput `pulumi:"repository"` // host, project and repository, as in front of an image
}

func (args *ImagesArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"location": args.Location})
	check.Inputs(map[string]pulumi.StringInput{"project": args.Project, "writer": args.Writer})
}

// NewImages creates the repository, and says who writes and who reads it.
func NewImages(ctx *pulumi.Context, name string, args *ImagesArgs, opts ...pulumi.ResourceOption) (_ *Images, err error) {
	defer component.Explain(&err, imagesType, name)
	c := &Images{}
	if err := component.Register(ctx, imagesType, name, c, args, (*ImagesArgs).validate, opts...); err != nil {
		return nil, err
	}
	repository, err := artifactregistry.NewRepository(ctx, name+"-repository", &artifactregistry.RepositoryArgs{
		Project: args.Project, Location: pulumi.String(args.Location), RepositoryId: pulumi.String("openhands-images"), Format: pulumi.String("DOCKER"),
		Description:  pulumi.String("Copies of OpenHands' images, by digest"),
		DockerConfig: &artifactregistry.RepositoryDockerConfigArgs{ImmutableTags: pulumi.Bool(true)},
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the repository: %w", err)
	}
	// A stack's nodes get their accounts with the stack, later than this: so all accounts of its project may pull.
	members := map[string]pulumi.StringInput{"writer": args.Writer}
	for stack, number := range args.Readers {
		members["reader-"+stack] = pulumi.Sprintf("principalSet://cloudresourcemanager.googleapis.com/projects/%s/type/ServiceAccount", number)
	}
	for _, key := range slices.Sorted(maps.Keys(members)) {
		role := "roles/artifactregistry.reader"
		if key == "writer" {
			role = "roles/artifactregistry.writer"
		}
		if _, err := artifactregistry.NewRepositoryIamMember(ctx, name+"-"+key, &artifactregistry.RepositoryIamMemberArgs{
			Project: repository.Project, Location: repository.Location, Repository: repository.Name, Role: pulumi.String(role), Member: members[key],
		}, component.Child(c)...); err != nil {
			return nil, fmt.Errorf("grant %s: %w", role, err)
		}
	}
	c.Repository = pulumi.Sprintf("%s-docker.pkg.dev/%s/%s", repository.Location, repository.Project, repository.Name)
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"repository": c.Repository})
}
