// Command floor is a Pulumi program of trivial resources that wait for nothing: what the engine itself takes for as many of them is the least that
// any program takes. The environment variable FLOOR_RESOURCES says how many.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		count, err := strconv.Atoi(os.Getenv("FLOOR_RESOURCES"))
		if err != nil {
			return fmt.Errorf("FLOOR_RESOURCES: %w", err)
		}
		provider, err := random.NewProvider(ctx, "random", &random.ProviderArgs{})
		if err != nil {
			return err
		}
		for i := range count {
			args := &random.RandomPasswordArgs{Length: pulumi.Int(32)}
			if _, err := random.NewRandomPassword(ctx, fmt.Sprintf("trivial-%d", i), args, pulumi.Provider(provider)); err != nil {
				return err
			}
		}
		return nil
	})
}
