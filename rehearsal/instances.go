package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"gopkg.in/yaml.v3"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/rehearsal/types"
)

// newcomer is the name of the instance that comes and goes.
const newcomer = "newcomer"

// instancesKey is the key of the list.
const instancesKey = "openhands:instances"

// changeInstances adds an instance, takes it off the list, and puts it there again, with a larger volume. Nothing of the others may change, and its volume,
// with somebody's work, must be there all the time.
func (r *run) changeInstances(ctx context.Context) (string, error) {
	before, err := r.ReadStackFile()
	if err != nil {
		return "", err
	}
	size := 0.0
	for _, change := range []struct {
		what   string
		volume int // of the newcomer, in GiB; none where 0
	}{{"one more", 20}, {"one less", 0}, {"it comes back", 30}, {"one less", 0}} {
		file, err := withInstance(before, change.volume)
		if err != nil {
			return "", err
		}
		if err := r.WriteStackFile(file); err != nil {
			return "", err
		}
		result, err := r.Run(ctx, "up", "--yes", "--skip-preview")
		if err != nil {
			return "", fmt.Errorf("%s: %w", change.what, err)
		}
		if err := touchesOnly(result, newcomer); err != nil {
			return "", fmt.Errorf("%s: %w", change.what, err)
		}
		if problems := checks.Application(r.Cloud.Inventory(), r.NodesOfOnesOwn); len(problems) > 0 {
			return "", fmt.Errorf("%s: the instances are not as they must be:\n  %s", change.what, strings.Join(problems, "\n  "))
		}
		now, err := r.volumeOf(newcomer)
		switch {
		case err != nil:
			return "", fmt.Errorf("%s: %w", change.what, err)
		case now < size:
			return "", fmt.Errorf("%s: its volume has %g GiB, and had %g", change.what, now, size)
		}
		size = now
	}
	if _, err := r.Run(ctx, "preview", "--expect-no-changes"); err != nil {
		return "", err
	}
	return fmt.Sprintf("one more, one less, and it comes back to its volume, which has grown to %g GiB; nothing of the others changes", size), r.look(ctx)
}

// withInstance returns a stack file with the newcomer, or without where its volume has no size.
func withInstance(raw []byte, volume int) ([]byte, error) {
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("stack file: %w", err)
	}
	list, _ := file.Config[instancesKey].([]any)
	if len(list) == 0 {
		return nil, errors.New("the stack file has no instances")
	}
	if volume > 0 {
		// First of all, so that those who came before it are seen to keep their place.
		instance := map[string]any{"name": newcomer, "volumeGiB": volume, "members": []any{"user:newcomer@example.com"}}
		file.Config[instancesKey] = slices.Concat([]any{instance}, list)
	}
	return yaml.Marshal(map[string]any{"config": file.Config})
}

// touchesOnly fails where a command has changed more than what is an instance's own, what the door knows, and how many nodes there may be.
func touchesOnly(result engine.Result, instance string) error {
	shared := []string{"::openhands-door", "::openhands-keys", types.NodePool + "::openhands-sandbox"}
	for _, step := range result.Planned {
		if slices.Contains([]apitype.OpType{apitype.OpSame, apitype.OpRefresh, apitype.OpRead}, step.Op) || strings.Contains(step.URN, "pulumi:pulumi:Stack") {
			continue
		}
		of := strings.Contains(step.URN[strings.LastIndex(step.URN, "::"):], instance)
		if !of && !slices.ContainsFunc(shared, func(end string) bool { return strings.HasSuffix(step.URN, end) && step.Op == apitype.OpUpdate }) {
			return fmt.Errorf("it touches what is not the instance's: %s %s", step.Op, step.URN)
		}
	}
	return nil
}

// volumeOf is the size of an instance's volume, in GiB.
func (r *run) volumeOf(instance string) (size float64, err error) {
	for _, o := range r.Cloud.Inventory().All(types.VolumeClaimPatch) {
		if o.Inputs.Str("metadata.name") == instance {
			_, err := fmt.Sscanf(o.Inputs.Str("spec.resources.requests.storage"), "%gGi", &size)
			return size, err
		}
	}
	return 0, fmt.Errorf("the volume of %s is gone, with somebody's work", instance)
}
