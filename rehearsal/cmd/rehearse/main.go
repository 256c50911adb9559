// Command rehearse plays the whole life of a stack through: preview, up, an empty second preview, refresh and destroy, with the real Pulumi engine
// and the real program, on a simulated cloud; or, with -from, a change of it.
package main

import (
	"context"
	"os"
	"os/signal"

	"openhands-gcp/rehearsal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(rehearsal.Command(".", func(options rehearsal.Options) error {
		if options.Page {
			if err := options.BuildBootstrap(ctx); err != nil {
				return err
			}
			bootstrap := options.Program
			if err := options.Build(ctx); err != nil {
				return err
			}
			return rehearsal.RehearsePage(ctx, options, map[string]string{"": options.Program, rehearsal.BootstrapProgram: bootstrap})
		}
		if options.Bootstrap {
			if err := options.BuildBootstrap(ctx); err != nil {
				return err
			}
			return rehearsal.RehearseBootstrap(ctx, options)
		}
		if err := options.Build(ctx); err != nil {
			return err
		}
		return rehearsal.Rehearse(ctx, options)
	}))
}
