package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// checkout brings the source of a provider to a directory: its Go module, the Terraform provider that it wraps, and its patches to that. A directory that
// exists is used as it is, if it holds the version.
func checkout(ctx context.Context, repo, version, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return checkVersion(ctx, version, dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := clone(ctx, repo, version, dir); err != nil {
		// Half a checkout would be taken for a whole one the next time.
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

func clone(ctx context.Context, repo, version, dir string) error {
	if err := git(ctx, "", "clone", "--quiet", "--depth=1", "--branch=v"+version, "--filter=blob:none", "--no-checkout", repo, dir); err != nil {
		return fmt.Errorf("version %s of %s: %w", version, repo, err)
	}
	// The SDKs of five languages and the generated schema are most of the repository, and nobody asks them here.
	if err := git(ctx, dir, "sparse-checkout", "set", "--no-cone", "/provider/", "/patches/", "/.gitmodules", "!/provider/cmd/*/schema.json"); err != nil {
		return err
	}
	if err := git(ctx, dir, "checkout", "--quiet"); err != nil {
		return err
	}
	if err := git(ctx, dir, "submodule", "--quiet", "update", "--init", "--depth=1"); err != nil {
		return fmt.Errorf("the Terraform provider that %s wraps: %w", repo, err)
	}
	patches, err := filepath.Glob(filepath.Join(dir, "patches", "*.patch"))
	if err != nil {
		return err
	}
	slices.Sort(patches)
	for _, patch := range patches {
		if patch, err = filepath.Abs(patch); err != nil {
			return err
		}
		if err := git(ctx, filepath.Join(dir, "upstream"), "apply", "--allow-empty", "--whitespace=nowarn", patch); err != nil {
			return fmt.Errorf("%s does not fit the Terraform provider in %s: %w", filepath.Base(patch), filepath.Join(dir, "upstream"), err)
		}
	}
	return nil
}

// checkVersion refuses a checkout of another version: its facts would stand under a wrong name.
func checkVersion(ctx context.Context, version, dir string) error {
	tags, err := output(ctx, dir, "git", "tag", "--points-at", "HEAD")
	if err != nil {
		return fmt.Errorf("which version is in %s: %w", dir, err)
	}
	if !slices.Contains(strings.Fields(string(tags)), "v"+version) {
		return fmt.Errorf("%s is not a checkout of v%s (tags of its commit: %s). Name another directory, or check that tag out",
			dir, version, strings.Join(strings.Fields(string(tags)), ", "))
	}
	return nil
}

func git(ctx context.Context, dir string, args ...string) error {
	if _, err := output(ctx, dir, "git", args...); err != nil {
		return fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// output runs a program and returns what it prints. Its error tells what the program complained of.
func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}
