package rehearsal

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"openhands-gcp/rehearsal/engine"
)

// before is what a stack was before a change.
type before struct {
	engine.Options        // with the program, the project file and the stack file of that time
	state          []byte // an exported state; nil where the stack is created anew
	temp           string // directory of an older revision; empty where there is none
}

// close removes what was made for it.
func (b *before) close() error {
	if b.temp == "" {
		return nil
	}
	return os.RemoveAll(b.temp)
}

// revision begins a FROM that names one of git.
const revision = "git:"

// readFrom finds out what the stack was before. now are the options of what it is to become.
func readFrom(ctx context.Context, from string, now engine.Options) (*before, error) {
	b := &before{Options: now}
	if rev, ok := strings.CutPrefix(from, revision); ok {
		return b, b.checkOut(ctx, rev)
	}
	path, err := filepath.Abs(from)
	if err != nil {
		return nil, fmt.Errorf("FROM=%s: %w", from, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("FROM=%s: %w: write git:<revision>, such as git:HEAD, a stack file, or a file that `pulumi stack export` wrote", from, err)
	}
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		b.state = raw
		return b, nil
	}
	b.File = path
	return b, nil
}

// checkOut takes the program and the stack file of a revision.
func (b *before) checkOut(ctx context.Context, rev string) (err error) {
	stackFile := filepath.Base(engine.StackFile(b.Root, b.Stack))
	root := b.Root
	if b.temp, err = os.MkdirTemp("", "openhands-before-"); err != nil {
		return fmt.Errorf("FROM=git:%s: %w", rev, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	archive, err := git(ctx, root, "archive", "--format=tar", rev)
	if err != nil {
		return fmt.Errorf("FROM=git:%s: %w", rev, err)
	}
	if err := unpack(archive, b.temp); err != nil {
		return fmt.Errorf("FROM=git:%s: %w", rev, err)
	}
	b.Root = b.temp
	if _, err := os.Stat(engine.StackFile(b.temp, b.Stack)); err != nil {
		return fmt.Errorf("FROM=git:%s: there is no %s: name a revision that has it, or the file of another stack, such as FROM=Pulumi.dev.yaml", rev, stackFile)
	}
	same, err := sameProgram(ctx, root, rev)
	if err != nil || same {
		return err
	}
	b.Program, err = engine.BuildProgram(ctx, b.temp, "openhands", ".", b.Progress)
	return err
}

// sameProgram says whether a revision has the same program as the work tree, so that it need not be compiled.
func sameProgram(ctx context.Context, root, rev string) (bool, error) {
	others := []string{"--", ".", ":!*.md", ":!Pulumi.*.yaml", ":!*_test.go", ":!rehearsal", ":!changes", ":!tests", ":!tools", ":!docs"}
	for _, arguments := range [][]string{{"diff", "--name-only", rev}, {"ls-files", "--others", "--exclude-standard"}} {
		names, err := git(ctx, root, append(arguments, others...)...)
		if err != nil || len(names) > 0 {
			return false, err
		}
	}
	return true, nil
}

func git(ctx context.Context, root string, arguments ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", arguments...)
	cmd.Dir = root
	output, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) && len(failed.Stderr) > 0 {
		return nil, errors.New("git " + arguments[0] + ": " + strings.TrimSpace(string(failed.Stderr)))
	}
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", arguments[0], err)
	}
	return output, nil
}

// unpack writes the files of an archive into a directory.
func unpack(archive []byte, dir string) error {
	files := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg || !filepath.IsLocal(header.Name) {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(header.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		content, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
}
