// Command compile is `go build` for the commands of the Makefile, with a line that says how far it is. It takes the directory of a module, a package of it, and
// the path of the executable.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"

	"openhands-gcp/rehearsal/build"
	"openhands-gcp/rehearsal/screen"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s := screen.New(os.Stdout)
	if len(os.Args) != 4 {
		s.Failure("compile takes the directory of a module, a package of it, and the path of the executable")
		os.Exit(2)
	}
	output, err := filepath.Abs(os.Args[3])
	if err == nil {
		what := build.Program{Name: filepath.Base(output), Dir: os.Args[1], Package: os.Args[2], Output: output, Flags: []string{"-ldflags=-s -w"}}
		err = s.Compile(func(progress func(string)) error { return build.Go(ctx, what, progress) })
	}
	if err != nil {
		s.Failure(err.Error())
		os.Exit(1)
	}
}
