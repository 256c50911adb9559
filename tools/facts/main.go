// Command facts writes the facts files of the simulated Google Cloud: what a provider knows about the fields of the types that the program uses. It
// compiles the provider's own source with a reader inside (package probe) and asks it, because no interface of the finished provider tells defaults and
// conflicts between fields: neither its schema nor its mapping, which `pulumi` can ask a provider for, has them.
//
// `make facts` runs it. It needs git, Go, some 3 GB of memory and of disk, and a few minutes for a provider as large as Google Cloud's.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

// Where the facts files and the product's go.mod are, seen from this directory. Nothing else here names those places.
const (
	factsDir = "../../rehearsal/cloud/facts"
	goMod    = "../../go.mod"
)

type options struct {
	provider string
	version  string
	repo     string
	source   string
	facts    string
	goMod    string
	types    []string
	add      []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "facts:", err)
		os.Exit(1)
	}
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	var types, add string
	flags := flag.NewFlagSet("facts", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.provider, "provider", "", "name of the provider, such as gcp")
	flags.StringVar(&o.version, "version", "", "version of the provider; left out, the one of its SDK in go.mod")
	flags.StringVar(&types, "types", "", "types to read, with commas between; left out, those of the present facts file")
	flags.StringVar(&add, "add", "", "types to read besides, with commas between")
	flags.StringVar(&o.repo, "repo", "", "git repository of the provider; left out, https://github.com/pulumi/pulumi-<provider>")
	flags.StringVar(&o.source, "source", "", "directory of the provider's source, made if it is not there; left out, one that is removed at the end")
	flags.StringVar(&o.facts, "facts", factsDir, "directory of the facts files")
	flags.StringVar(&o.goMod, "gomod", goMod, "go.mod of the program")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.provider == "" {
		return o, errors.New("no provider named: write -provider=gcp, for example")
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag. Types are named as in -types=gcp:redis/instance:Instance", flags.Arg(0))
	}
	o.types, o.add = split(types), split(add)
	if o.repo == "" {
		o.repo = "https://github.com/pulumi/pulumi-" + o.provider
	}
	o.version = strings.TrimPrefix(o.version, "v")
	return o, nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	if o.version == "" {
		if o.version, err = versionOf(o.goMod, o.provider); err != nil {
			return err
		}
	}
	present, err := presentFile(o.facts, o.provider)
	if err != nil {
		return err
	}
	types, err := wantedTypes(o, present)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "facts-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if o.source == "" {
		o.source = filepath.Join(work, "source")
	}
	fmt.Fprintf(out, "%s %s: %d types, from %s\n", o.provider, o.version, len(types), o.repo)
	if err := checkout(ctx, o.repo, o.version, o.source); err != nil {
		return err
	}
	facts, notes, err := ask(ctx, work, o.source, o.version, types)
	if err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(out, "note:", note)
	}
	return replace(out, present, filepath.Join(o.facts, o.provider+"-"+o.version+".json"), facts)
}

// replace writes the facts file and removes the one of the version before, if it is another file.
func replace(out io.Writer, present, path string, facts []byte) error {
	var before []byte
	if present != "" {
		var err error
		if before, err = os.ReadFile(present); err != nil {
			return err
		}
	}
	if err := os.WriteFile(path, facts, 0o644); err != nil {
		return err
	}
	if present != "" && present != path {
		if err := os.Remove(present); err != nil {
			return fmt.Errorf("%s is written, but the facts before it are still there: %w", path, err)
		}
	}
	if bytes.Equal(before, facts) {
		fmt.Fprintf(out, "%s: as before\n", path)
		return nil
	}
	added, gone := countNew(before, facts), countNew(facts, before)
	if added+gone == 0 {
		fmt.Fprintf(out, "%s: the same lines in another order\n", path)
		return nil
	}
	fmt.Fprintf(out, "%s: %d lines are new or different, %d are gone or were different. Read them with git diff\n", path, added, gone)
	return nil
}

// countNew counts the lines of after that before does not have.
func countNew(before, after []byte) int {
	have, count := map[string]int{}, 0
	for line := range bytes.Lines(before) {
		have[withoutComma(line)]++
	}
	for line := range bytes.Lines(after) {
		if have[withoutComma(line)]--; have[withoutComma(line)] < 0 {
			count++
		}
	}
	return count
}

// withoutComma drops what tells a line from the last of its list.
func withoutComma(line []byte) string { return strings.TrimRight(string(line), ",\n") }
