package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"golang.org/x/mod/modfile"
)

// readerFiles are compiled inside the provider.
//
//go:embed probe/*.go
var readerFiles embed.FS

// readerDir is where the reader stands in the provider's module. The files are never written there: the compiler is told that they exist.
const readerDir = "cmd/facts-reader"

// readerMain writes the facts to the file that its first argument names, and the notes to standard output.
var readerMain = template.Must(template.New("main").Parse(`package main

import (
	"context"
	"fmt"
	"os"

	provider "{{.Module}}"
	"{{.Module}}/{{.Dir}}/probe"
)

func main() {
	types, notes, err := probe.Read(context.Background(), provider.Provider(), os.Args[2:])
	if err == nil {
		var facts []byte
		if facts, err = probe.Format(types); err == nil {
			err = os.WriteFile(os.Args[1], facts, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, note := range notes {
		fmt.Println("note: " + note)
	}
}
`))

// ask compiles the provider in dir with the reader inside, and lets it tell the facts of the types.
func ask(ctx context.Context, work, dir, version string, types []string) (facts []byte, notes []string, err error) {
	module := filepath.Join(dir, "provider")
	raw, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return nil, nil, fmt.Errorf("%s is not the source of a provider: %w", dir, err)
	}
	name := modfile.ModulePath(raw)
	overlay, err := writeReader(work, module, name)
	if err != nil {
		return nil, nil, err
	}
	program, result := filepath.Join(work, "reader"), filepath.Join(work, "facts.json")
	if _, err := output(ctx, module, "go", "build", "-overlay="+overlay, "-p=2",
		"-ldflags=-X "+name+"/pkg/version.Version="+version, "-o", program, "./"+readerDir); err != nil {
		return nil, nil, fmt.Errorf("the provider does not compile with the reader inside: %w", err)
	}
	printed, err := output(ctx, work, program, append([]string{result}, types...)...)
	if err != nil {
		return nil, nil, fmt.Errorf("the provider did not tell its facts: %w", err)
	}
	for line := range strings.Lines(string(printed)) {
		if note, ok := strings.CutPrefix(strings.TrimSpace(line), "note: "); ok {
			notes = append(notes, note)
		}
	}
	facts, err = os.ReadFile(result)
	return facts, notes, err
}

// writeReader writes the reader's files to the working directory, and the file that makes the compiler see them inside the module.
func writeReader(work, module, name string) (string, error) {
	module, err := filepath.Abs(module)
	if err != nil {
		return "", err
	}
	var main bytes.Buffer
	if err := readerMain.Execute(&main, map[string]string{"Module": name, "Dir": readerDir}); err != nil {
		return "", err
	}
	files := map[string][]byte{"main.go": main.Bytes()}
	err = fs.WalkDir(readerFiles, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(file, "_test.go") {
			return err
		}
		files[file], err = readerFiles.ReadFile(file)
		return err
	})
	if err != nil {
		return "", err
	}
	seen := map[string]string{}
	for file, content := range files {
		at := filepath.Join(work, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(at, content, 0o644); err != nil {
			return "", err
		}
		seen[filepath.Join(module, filepath.FromSlash(path.Join(readerDir, file)))] = at
	}
	raw, err := json.Marshal(map[string]any{"Replace": seen})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(work, "overlay.json")
	return overlay, os.WriteFile(overlay, raw, 0o644)
}
