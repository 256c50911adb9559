package bootstrap

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/kms"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const keysType = "openhands:bootstrap:Keys"

// KeysArgs are the arguments of NewKeys.
type KeysArgs struct {
	Project  pulumi.StringInput // known once the API of Cloud KMS is on
	Location string
	Ring     string   // name of the key ring
	Stacks   []string // each gets a key of this name
}

// Keys are the keys by which Pulumi encrypts the stacks' secrets, one for each stack. Google deletes neither keys nor rings, and a lost key is a lost state:
// so a destroy leaves them as they are, and the next life finds them and takes them over.
type Keys struct {
	pulumi.ResourceState

	IDs map[string]pulumi.StringOutput // by stack: projects/<project>/locations/<location>/keyRings/<ring>/cryptoKeys/<stack>
}

func (args *KeysArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"location": args.Location, "ring": args.Ring})
	check.Inputs(map[string]pulumi.StringInput{"project": args.Project})
}

const rotation = "7776000s" // 90 days; older versions stay, and decrypt what they encrypted

// NewKeys creates the ring and the keys, or adopts those that an earlier life left.
func NewKeys(ctx *pulumi.Context, name string, args *KeysArgs, opts ...pulumi.ResourceOption) (_ *Keys, err error) {
	defer component.Explain(&err, keysType, name)
	c := &Keys{IDs: map[string]pulumi.StringOutput{}}
	if err := component.Register(ctx, keysType, name, c, args, (*KeysArgs).validate, opts...); err != nil {
		return nil, err
	}
	project := args.Project.ToStringOutput()
	rings := kms.GetKeyRingsOutput(ctx, kms.GetKeyRingsOutputArgs{Location: pulumi.String(args.Location), Project: project}, pulumi.Parent(c))
	left := rings.KeyRings().ApplyT(func(rings []kms.GetKeyRingsKeyRing) pulumi.ID {
		for _, ring := range rings {
			if lastPart(ring.Name) == args.Ring {
				return pulumi.ID(ring.Id)
			}
		}
		return ""
	}).(pulumi.IDOutput)
	// The ring is retained: Google cannot delete one, and the provider would only drop it from the state.
	ring, err := kms.NewKeyRing(ctx, name+"-ring", &kms.KeyRingArgs{
		Project: project, Location: pulumi.String(args.Location), Name: pulumi.String(args.Ring),
	}, component.Child(c, pulumi.Import(left), pulumi.RetainOnDelete(true))...)
	if err != nil {
		return nil, fmt.Errorf("create the key ring: %w", err)
	}
	there := kms.GetCryptoKeysOutput(ctx, kms.GetCryptoKeysOutputArgs{KeyRing: ring.ID()}, pulumi.Parent(c)).Keys()
	outputs := pulumi.StringMap{}
	for _, stack := range args.Stacks {
		left := there.ApplyT(func(keys []kms.GetCryptoKeysKey) pulumi.ID {
			for _, key := range keys {
				if key.Name != nil && lastPart(*key.Name) == stack {
					return pulumi.ID(key.Id)
				}
			}
			return ""
		}).(pulumi.IDOutput)
		// Retained: when the provider deletes a key, it destroys all of its versions, and with them every secret in the stack's state.
		key, err := kms.NewCryptoKey(ctx, name+"-"+stack, &kms.CryptoKeyArgs{
			KeyRing: ring.ID(), Name: pulumi.String(stack), RotationPeriod: pulumi.String(rotation),
		}, component.Child(c, pulumi.Import(left), pulumi.RetainOnDelete(true))...)
		if err != nil {
			return nil, fmt.Errorf("create the key of stack %s: %w", stack, err)
		}
		c.IDs[stack] = key.ID().ToStringOutput()
		outputs[stack] = c.IDs[stack]
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"ids": outputs})
}

func lastPart(name string) string { return name[strings.LastIndex(name, "/")+1:] }
