// Command images says which images a release consists of, and what an image that is built from its source is called. The workflow `images` copies and
// builds by it.
//
//	images copies 0.62.0                          the images of the release: where each is, and what its copy is called
//	images tag 0.62.0 refs/tags/0.62.0 <commit>   the tag of an image of the application that is built from this commit
package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"openhands-gcp/infra/app/door"
	"openhands-gcp/release"
)

const usage = "write `images copies <release>`, or `images tag <release> <ref> <commit>`"

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "copies":
		released, err := release.Released(args[1])
		if err != nil {
			return err
		}
		for _, c := range copies(released) {
			if _, err := fmt.Fprintln(out, c.from, c.name, c.key); err != nil {
				return err
			}
		}
		return nil
	case len(args) == 4 && args[0] == "tag":
		released, err := release.Released(args[1])
		if err != nil {
			return err
		}
		built, err := tag(released, args[2], args[3])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, built)
		return err
	}
	return fmt.Errorf("%s", usage)
}

// copied is an image and its copy.
type copied struct {
	from string // with its registry and its tag
	name string // of the copy, with its tag, below a repository
	key  string // of the configuration, which takes the copy
}

func copies(r release.Release) []copied {
	var out []copied
	add := func(registry string, image release.Image, key string) {
		if image.Name != "" {
			out = append(out, copied{from: registry + "/" + image.String(), name: image.Name + ":" + image.Tag, key: "openhands:app." + key})
		}
	}
	add("ghcr.io", r.Image, "image")
	add("ghcr.io", r.SandboxImage, "sandboxImage")
	add("docker.io", door.Image, "doorImage")
	return out
}

var (
	commit    = regexp.MustCompile(`^[0-9a-f]{40}$`)
	notInTags = regexp.MustCompile(`[^a-z0-9]+`)
)

// tag is the name of an image that is built from a commit: it begins with the release, as the program asks of images of the release's line, and ends with
// the commit, so that no two builds share one and none has to be moved: `0.62.0-1a2b3c4` of a tag, `0.62.0-fix-login-1a2b3c4` of a branch.
func tag(r release.Release, ref, sha string) (string, error) {
	if r.Line != release.Server {
		return "", fmt.Errorf("release %s is of line %s, whose image is made of published packages: copy it", r.Version, r.Line)
	}
	if !commit.MatchString(sha) {
		return "", fmt.Errorf("%q is not a commit: write all of its 40 hexadecimal digits", sha)
	}
	parts := []string{r.Version}
	if name, isTag := strings.CutPrefix(ref, "refs/tags/"); isTag {
		if strings.TrimPrefix(name, "v") != r.Version {
			return "", fmt.Errorf("tag %s is not of release %s: build release %[1]s, or another tag", name, r.Version)
		}
	} else if name, isBranch := strings.CutPrefix(ref, "refs/heads/"); isBranch {
		branch := strings.Trim(notInTags.ReplaceAllString(strings.ToLower(name), "-"), "-")
		parts = append(parts, strings.Trim(branch[:min(len(branch), 60)], "-")) // a tag has 128 characters at most
	} else {
		return "", fmt.Errorf("%q is neither a tag nor a branch: write refs/tags/<tag> or refs/heads/<branch>", ref)
	}
	return strings.Join(append(parts, sha[:7]), "-"), nil
}
