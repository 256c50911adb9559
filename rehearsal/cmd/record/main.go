// Command record makes the changes of report/testdata/changes.yaml with the real Pulumi CLI on the simulated cloud, and writes what `pulumi preview --json`
// says of each, for the tests of package report. With -check it writes nothing, and fails where a report of now says something else than one of what is
// written.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/report"
)

func main() {
	check := flag.Bool("check", false, "compare with what is written")
	only := flag.String("only", "", "the changes whose names have this in them; all where empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *check, *only); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

// recorded is one change of a stack.
type recorded struct {
	Name    string         `yaml:"name"`
	Stack   string         `yaml:"stack"`
	File    string         `yaml:"file"`    // of the stack
	Was     map[string]any `yaml:"was"`     // what the stack's file says otherwise, before
	Now     map[string]any `yaml:"now"`     // and after; a null takes a key away
	Replace string         `yaml:"replace"` // end of the URN of a resource that the CLI is told to replace
	Edit    []struct {
		File string `yaml:"file"`
		From string `yaml:"from"`
		To   string `yaml:"to"`
	} `yaml:"edit"` // of the program
}

const folder = "report/testdata"

func run(ctx context.Context, check bool, only string) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(folder, "changes.yaml"))
	if err != nil {
		return err
	}
	var all []recorded
	if err := yaml.Unmarshal(raw, &all); err != nil {
		return err
	}
	cli, program, err := engine.Build(ctx, root, nil)
	if err != nil {
		return err
	}
	r := &recorder{root: root, cli: cli, program: program, engines: map[string]*engine.Engine{}}
	if r.temp, err = os.MkdirTemp("", "openhands-record-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.temp)
	defer r.close()
	var stale []string
	for _, one := range all {
		if !strings.Contains(one.Name, only) {
			continue
		}
		fmt.Println(one.Name)
		document, err := r.record(ctx, one)
		if err != nil {
			return fmt.Errorf("%s: %w", one.Name, err)
		}
		path := filepath.Join(folder, one.Name+".json.gz")
		if !check {
			if err := write(path, document); err != nil {
				return err
			}
			continue
		}
		same, err := alike(one.Stack, path, document)
		if err != nil {
			return fmt.Errorf("%s: %w", one.Name, err)
		}
		if !same {
			stale = append(stale, one.Name)
		}
	}
	if len(stale) > 0 {
		return fmt.Errorf("the CLI says something else now than what is recorded of %s: run `make recordings`, and read what the tests of package report say then",
			strings.Join(stale, ", "))
	}
	return nil
}

type recorder struct {
	root, cli, program, temp string
	engines                  map[string]*engine.Engine // by stack, or by the change of a stack that was otherwise
}

func (r *recorder) close() {
	for _, e := range r.engines {
		if err := e.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "record:", err)
		}
	}
}

// record makes a stack what it was, and returns what a preview says of what it is to become.
func (r *recorder) record(ctx context.Context, one recorded) ([]byte, error) {
	was, err := r.stackFile(one, "was", one.Was)
	if err != nil {
		return nil, err
	}
	now, err := r.stackFile(one, "now", one.Now)
	if err != nil {
		return nil, err
	}
	options := engine.Options{Root: r.root, Stack: one.Stack, CLI: r.cli, Program: r.program, Output: io.Discard, File: was}
	// A stack that was otherwise begins anew: not everything has a way back.
	key := one.Stack
	if len(one.Was) > 0 {
		key = one.Name
	}
	e := r.engines[key]
	if e == nil {
		if e, err = engine.New(ctx, options); err != nil {
			return nil, err
		}
		r.engines[key] = e
	}
	if err := e.Become(ctx, options); err != nil {
		return nil, err
	}
	if _, err := e.Run(ctx, "up", "--yes", "--skip-preview"); err != nil {
		return nil, err
	}
	options.File = now
	if len(one.Edit) > 0 {
		if options.Program, err = r.edited(ctx, one); err != nil {
			return nil, err
		}
	}
	if err := e.Become(ctx, options); err != nil {
		return nil, err
	}
	arguments := []string{"--ignore-protect"}
	if one.Replace != "" {
		urn, err := urnOf(ctx, e, one.Replace)
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, "--replace", urn)
	}
	document, err := e.PreviewJSON(ctx, arguments...)
	if err != nil {
		return nil, err
	}
	return withoutPlaces(document)
}

// stackFile writes the stack's file as it is before or after the change.
func (r *recorder) stackFile(one recorded, when string, other map[string]any) (string, error) {
	raw, err := os.ReadFile(one.File)
	if err != nil {
		return "", err
	}
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return "", fmt.Errorf("%s: %w", one.File, err)
	}
	overlay(file.Config, other)
	if raw, err = yaml.Marshal(map[string]any{"config": file.Config}); err != nil {
		return "", err
	}
	path := filepath.Join(r.temp, one.Name+"."+when+".yaml")
	return path, os.WriteFile(path, raw, 0o600)
}

func overlay(file, other map[string]any) {
	for key, value := range other {
		object, isObject := value.(map[string]any)
		below, exists := file[key].(map[string]any)
		switch {
		case value == nil:
			delete(file, key)
		case isObject && exists:
			overlay(below, object)
		default:
			file[key] = value
		}
	}
}

// edited compiles the program with other words in its source.
func (r *recorder) edited(ctx context.Context, one recorded) (string, error) {
	replaced := map[string]string{}
	for _, edit := range one.Edit {
		path := filepath.Join(r.root, edit.File)
		if replaced[path] == "" {
			replaced[path] = filepath.Join(r.temp, one.Name+"."+filepath.Base(edit.File))
			raw, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			if err := os.WriteFile(replaced[path], raw, 0o600); err != nil {
				return "", err
			}
		}
		raw, err := os.ReadFile(replaced[path])
		if err != nil {
			return "", err
		}
		if strings.Count(string(raw), edit.From) != 1 {
			return "", fmt.Errorf("%s does not have %q once", edit.File, edit.From)
		}
		if err := os.WriteFile(replaced[path], []byte(strings.Replace(string(raw), edit.From, edit.To, 1)), 0o600); err != nil {
			return "", err
		}
	}
	raw, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	list := filepath.Join(r.temp, one.Name+".overlay.json")
	if err := os.WriteFile(list, raw, 0o600); err != nil {
		return "", err
	}
	program := filepath.Join(r.temp, one.Name)
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay="+list, "-o", program, ".")
	cmd.Dir, cmd.Stderr = r.root, os.Stderr
	return program, cmd.Run()
}

func urnOf(ctx context.Context, e *engine.Engine, end string) (string, error) {
	raw, err := e.Export(ctx)
	if err != nil {
		return "", err
	}
	export, err := state.Parse(raw)
	if err != nil {
		return "", err
	}
	for _, one := range export.Deployment.Resources {
		if strings.HasSuffix(one.URN, end) {
			return one.URN, nil
		}
	}
	return "", fmt.Errorf("no resource of the stack ends in %s", end)
}

// withoutPlaces takes out where the program's source is on this machine, and what time it is: neither is part of a change.
func withoutPlaces(document []byte) ([]byte, error) {
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		return nil, err
	}
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for _, key := range []string{"sourcePosition", "stackTrace", "created", "modified"} {
				delete(value, key)
			}
			for _, item := range value {
				walk(item)
			}
		case []any:
			for _, item := range value {
				walk(item)
			}
		}
	}
	walk(value)
	if object, ok := value.(map[string]any); ok {
		delete(object, "duration")
	}
	return json.Marshal(value)
}

func write(path string, document []byte) error {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(document); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, packed.Bytes(), 0o644)
}

// alike says whether reports of a recording and of what the CLI says now are the same: names that are generated differ each time.
func alike(stack, path string, now []byte) (bool, error) {
	packed, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return false, err
	}
	was, err := io.ReadAll(r)
	if err != nil {
		return false, err
	}
	var texts []string
	for _, document := range [][]byte{was, now} {
		preview, err := report.Read(document, stack)
		if err != nil {
			return false, err
		}
		var text bytes.Buffer
		if err := report.New(stack, "", preview, nil, time.Unix(0, 0)).JSON(&text); err != nil {
			return false, err
		}
		texts = append(texts, text.String())
	}
	if texts[0] != texts[1] {
		fmt.Println(firstDifference(texts[0], texts[1]))
	}
	return texts[0] == texts[1], nil
}

func firstDifference(was, now string) string {
	before, after := strings.Split(was, "\n"), strings.Split(now, "\n")
	for i := range before {
		if i >= len(after) || before[i] != after[i] {
			return fmt.Sprintf("  recorded: %s\n  now:      %s", before[i], strings.Join(slices.Clone(after[min(i, len(after)-1):min(i+1, len(after))]), ""))
		}
	}
	return "  now there is more"
}
