package component

import (
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/release"
)

// ReleaseLabel and DiskReleaseLabel say on an object of Kubernetes, and on a disk, whose labels take no dots, which release writes to what it keeps.
const (
	ReleaseLabel     = "app.kubernetes.io/version"
	DiskReleaseLabel = "openhands-release"
)

// DiskRelease is the value of DiskReleaseLabel.
func DiskRelease(r release.Release) string { return strings.ReplaceAll(r.Version, ".", "-") }

// GuardRelease returns the option of a resource with one of these labels that refuses, already in the preview, a release that cannot start on what the one of
// the state has left. The engine compares: the program itself does not see what there was.
func GuardRelease(ctx *pulumi.Context, name string, r release.Release) (pulumi.ResourceOption, error) {
	hook, err := ctx.RegisterResourceHook(name+"-release", func(args *pulumi.ResourceHookArgs) error {
		labels := args.OldInputs["labels"]
		if metadata := args.OldInputs["metadata"]; metadata.IsObject() {
			labels = metadata.ObjectValue()["labels"]
		}
		if !labels.IsObject() {
			return nil
		}
		for _, label := range []string{ReleaseLabel, DiskReleaseLabel} {
			for key, value := range labels.ObjectValue() {
				if string(key) == label && value.IsString() {
					return r.CheckFrom(strings.ReplaceAll(value.StringValue(), "-", "."))
				}
			}
		}
		return nil
	}, &pulumi.ResourceHookOptions{OnDryRun: true})
	if err != nil {
		return nil, err
	}
	return pulumi.ResourceHooks(&pulumi.ResourceHookBinding{BeforeUpdate: []*pulumi.ResourceHook{hook}}), nil
}
