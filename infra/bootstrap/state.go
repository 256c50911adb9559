package bootstrap

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/storage"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const stateType = "openhands:bootstrap:State"

// StateArgs are the arguments of NewState.
type StateArgs struct {
	Project  pulumi.StringInput
	Location string
	Protect  bool // refuse to delete the bucket; off, deleting it deletes the states of all stacks with it
}

// State is the bucket with the state of all stacks.
type State struct {
	pulumi.ResourceState

	Bucket pulumi.StringOutput `pulumi:"bucket"`

	bucket *storage.Bucket
	name   string
}

func (args *StateArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"location": args.Location})
	check.Inputs(map[string]pulumi.StringInput{"project": args.Project})
}

const (
	softDeleteDays = 30
	oldVersionDays = 365
	secondsPerDay  = 86400
)

// NewState creates the bucket. Who may use it is set by SetPolicy, once the identities are there.
func NewState(ctx *pulumi.Context, name string, args *StateArgs, opts ...pulumi.ResourceOption) (_ *State, err error) {
	defer component.Explain(&err, stateType, name)
	c := &State{name: name}
	if err := component.Register(ctx, stateType, name, c, args, (*StateArgs).validate, opts...); err != nil {
		return nil, err
	}
	c.bucket, err = storage.NewBucket(ctx, name+"-bucket", &storage.BucketArgs{
		Project:                  args.Project,
		Location:                 pulumi.String(args.Location),
		UniformBucketLevelAccess: pulumi.Bool(true),
		PublicAccessPrevention:   pulumi.String("enforced"),
		ForceDestroy:             pulumi.Bool(!args.Protect),
		Versioning:               &storage.BucketVersioningArgs{Enabled: pulumi.Bool(true)},
		SoftDeletePolicy:         &storage.BucketSoftDeletePolicyArgs{RetentionDurationSeconds: pulumi.Int(softDeleteDays * secondsPerDay)},
		LifecycleRules: storage.BucketLifecycleRuleArray{&storage.BucketLifecycleRuleArgs{
			Action: &storage.BucketLifecycleRuleActionArgs{Type: pulumi.String("Delete")},
			Condition: &storage.BucketLifecycleRuleConditionArgs{
				DaysSinceNoncurrentTime: pulumi.Int(oldVersionDays), WithState: pulumi.String("ARCHIVED"),
				NoAge: pulumi.Bool(true), // without it the provider sends age 0, and every version is deleted at once
			},
		}},
	}, component.Child(c, component.ProtectIf(args.Protect)...)...)
	if err != nil {
		return nil, fmt.Errorf("create the bucket: %w", err)
	}
	c.Bucket = c.bucket.Name
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"bucket": c.Bucket})
}

// StateAccess is who reaches the state of one stack.
type StateAccess struct {
	Stack   string
	Writer  pulumi.StringInput   // reads and writes it
	Readers []pulumi.StringInput // read it: a preview takes no lock and writes nothing
}

// SetPolicy sets the bucket's whole policy, in place of Google's, which lets in everybody who views or edits the project. Owners of the project do everything.
// Each stack's identities reach the objects of their stack, and see the names of the others: who writes a state runs code as whoever deploys it next.
func (c *State) SetPolicy(ctx *pulumi.Context, stacks []StateAccess) error {
	var members []any
	for _, of := range stacks {
		members = append(members, of.Writer)
		for _, reader := range of.Readers {
			members = append(members, reader)
		}
	}
	policy := pulumi.All(append([]any{c.bucket.Project, c.bucket.Name}, members...)...).ApplyT(func(values []any) (string, error) {
		next := 2
		take := func(n int) (taken []string) {
			for range n {
				taken = append(taken, values[next].(string))
				next++
			}
			return taken
		}
		owners := []string{"projectOwner:" + values[0].(string)}
		bindings := []binding{
			{Role: "roles/storage.legacyBucketOwner", Members: owners}, {Role: "roles/storage.legacyObjectOwner", Members: owners},
		}
		var everybody []string
		for _, of := range stacks {
			writer, readers := take(1), take(len(of.Readers))
			condition := ofStack(values[1].(string), of.Stack)
			bindings = append(bindings,
				binding{Role: "roles/storage.objectUser", Members: writer, Condition: condition},
				binding{Role: "roles/storage.objectViewer", Members: readers, Condition: condition})
			everybody = append(everybody, append(writer, readers...)...)
		}
		if len(everybody) > 0 {
			bindings = append(bindings,
				binding{Role: "roles/storage.legacyBucketReader", Members: everybody}, // names of objects
				binding{Role: "roles/storage.objectViewer", Members: everybody, Condition: &condition{
					Title: "version of the state", Expression: fmt.Sprintf("resource.name == %q", objects(values[1].(string))+"meta.yaml"),
				}})
		}
		document, err := json.Marshal(map[string]any{"bindings": bindings})
		return string(document), err
	}).(pulumi.StringOutput)
	// Deleting the policy alone would leave the bucket with nobody in it, so it goes with the bucket.
	if _, err := storage.NewBucketIAMPolicy(ctx, c.name+"-bucket", &storage.BucketIAMPolicyArgs{Bucket: c.bucket.Name, PolicyData: policy},
		component.Child(c, pulumi.DeletedWith(c.bucket))...); err != nil {
		return fmt.Errorf("set who may use the state: %w", err)
	}
	return nil
}

type binding struct {
	Role      string     `json:"role"`
	Members   []string   `json:"members"`
	Condition *condition `json:"condition,omitempty"`
}

type condition struct {
	Title      string `json:"title"`
	Expression string `json:"expression"`
}

func objects(bucket string) string { return "projects/_/buckets/" + bucket + "/objects/.pulumi/" }

// ofStack holds for the objects that Pulumi (3.259) keeps for a stack of the project openhands: state, tags, history, backups and locks.
func ofStack(bucket, stack string) *condition {
	var names []string
	for _, path := range []string{"stacks/openhands/%s.", "history/openhands/%s/", "backups/openhands/%s/", "locks/organization/openhands/%s/"} {
		names = append(names, fmt.Sprintf("resource.name.startsWith(%q)", objects(bucket)+fmt.Sprintf(path, stack)))
	}
	return &condition{Title: "stack " + stack, Expression: strings.Join(names, " || ")}
}
