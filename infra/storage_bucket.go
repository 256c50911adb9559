package infra

import (
	"encoding/json"
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/storage"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const storageBucketType = "openhands:gcp:StorageBucket"

// StorageBucketArgs are the arguments of NewStorageBucket.
type StorageBucketArgs struct {
	Location       string // region or multi-region, e.g. us-central1
	SoftDeleteDays int    // days in which a deleted object can be restored: 0 (off) or 7 to 90
	OldVersionDays int    // days until an overwritten or deleted version is removed, at least 1
	Protect        bool   // refuse to delete the bucket; off, deleting it deletes its objects too

	// Writer is the IAM member that reads and writes the objects, e.g. serviceAccount:app@my-project.iam.gserviceaccount.com.
	Writer pulumi.StringInput
}

// StorageBucket is a Cloud Storage bucket for one writer and the project's owners.
type StorageBucket struct {
	pulumi.ResourceState

	component.Readiness // the writer may write

	Name pulumi.StringOutput `pulumi:"name"`
}

func (args *StorageBucketArgs) validate(check *component.Check) {
	check.Require(args.Location != "", "location is required")
	check.Require(
		args.SoftDeleteDays == 0 || (args.SoftDeleteDays >= 7 && args.SoftDeleteDays <= 90), "softDeleteDays is %d: 0 or 7 to 90", args.SoftDeleteDays,
	)
	check.Require(args.OldVersionDays >= 1, "oldVersionDays is %d: at least 1", args.OldVersionDays)
	check.Require(args.Writer != nil, "writer is required")
}

// NewStorageBucket creates the bucket with uniform access, no public access and versioning, and lets the writer use its objects, nothing else.
func NewStorageBucket(ctx *pulumi.Context, name string, args *StorageBucketArgs, opts ...pulumi.ResourceOption) (_ *StorageBucket, err error) {
	defer component.Explain(&err, storageBucketType, name)
	c := &StorageBucket{}
	if err := component.Register(ctx, storageBucketType, name, c, args, (*StorageBucketArgs).validate, opts...); err != nil {
		return nil, err
	}
	bucket, err := storage.NewBucket(ctx, name+"-files", &storage.BucketArgs{
		Location:                 pulumi.String(args.Location),
		UniformBucketLevelAccess: pulumi.Bool(true),
		PublicAccessPrevention:   pulumi.String("enforced"),
		ForceDestroy:             pulumi.Bool(!args.Protect),
		Versioning:               &storage.BucketVersioningArgs{Enabled: pulumi.Bool(true)},
		SoftDeletePolicy:         &storage.BucketSoftDeletePolicyArgs{RetentionDurationSeconds: pulumi.Int(args.SoftDeleteDays * secondsPerDay)},
		LifecycleRules: storage.BucketLifecycleRuleArray{
			&storage.BucketLifecycleRuleArgs{
				Action: &storage.BucketLifecycleRuleActionArgs{Type: pulumi.String("Delete")},
				Condition: &storage.BucketLifecycleRuleConditionArgs{
					DaysSinceNoncurrentTime: pulumi.Int(args.OldVersionDays),
					WithState:               pulumi.String("ARCHIVED"),
					// Without it the provider sends age 0, and every version is deleted at once.
					NoAge: pulumi.Bool(true),
				},
			},
			&storage.BucketLifecycleRuleArgs{
				Action:    &storage.BucketLifecycleRuleActionArgs{Type: pulumi.String("AbortIncompleteMultipartUpload")},
				Condition: &storage.BucketLifecycleRuleConditionArgs{Age: pulumi.Int(7)},
			},
		},
	}, component.Child(c, component.ProtectIf(args.Protect)...)...)
	if err != nil {
		return nil, fmt.Errorf("create the bucket: %w", err)
	}
	policy, err := storage.NewBucketIAMPolicy(ctx, name+"-files", &storage.BucketIAMPolicyArgs{
		Bucket: bucket.Name,
		PolicyData: pulumi.All(bucket.Project, args.Writer).ApplyT(func(values []any) (string, error) {
			return policyData(values[0].(string), values[1].(string))
		}).(pulumi.StringOutput),
		// Its deletion would leave a policy without anybody, with which an owner could not delete the objects.
	}, component.Child(c, pulumi.DeletedWith(bucket))...)
	if err != nil {
		return nil, fmt.Errorf("set who may use the bucket: %w", err)
	}

	c.Awaits(policy)
	c.Name = bucket.Name
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"name": c.Name})
}

// policyData is the bucket's whole policy, in place of Google's. A new bucket lets everybody who views or edits the project read its objects, with uniform
// access too, by roles that begin with legacy; and OpenHands keeps people's LLM keys and git tokens in them, in clear.
// https://cloud.google.com/storage/docs/access-control/iam-roles#basic-roles-modifiable
func policyData(project, writer string) (string, error) {
	type binding struct {
		Role    string   `json:"role"`
		Members []string `json:"members"`
	}
	owners := []string{"projectOwner:" + project}
	// objectUser: create, read, overwrite and delete objects. Not admin: OpenHands never reads or changes the bucket itself.
	document, err := json.Marshal(map[string]any{"bindings": []binding{
		{"roles/storage.legacyBucketOwner", owners}, {"roles/storage.legacyObjectOwner", owners}, {"roles/storage.objectUser", []string{writer}},
	}})
	if err != nil {
		return "", fmt.Errorf("policy of the bucket: %w", err)
	}
	return string(document), nil
}
