package kubernetes

import (
	"fmt"
	"strings"

	"github.com/theory/jsonpath"

	"openhands-gcp/rehearsal/values"
)

// waitFor is the annotation with what the provider for Kubernetes waits for.
const waitFor = "pulumi.com/waitFor"

// WaitEnds reports whether a wait of the provider ends with an object as it is: the wait names a condition that must be true, or a path in JSON whose first
// value must be another's.
// https://github.com/pulumi/pulumi-kubernetes/blob/v4.30.0/provider/pkg/metadata/overrides.go
func WaitEnds(wait string, object map[string]any) (bool, error) {
	if condition, named := strings.CutPrefix(wait, "condition="); named {
		for _, c := range values.Map(object).Maps("status.conditions") {
			if c.Str("type") == condition {
				return c.Str("status") == "True", nil
			}
		}
		return false, nil
	}
	path, value, ok := strings.Cut(strings.TrimPrefix(wait, "jsonpath={"), "}=")
	if !ok {
		return false, fmt.Errorf("%s: %q: nothing is waited for", waitFor, wait)
	}
	query, err := jsonpath.Parse("$" + path)
	if err != nil {
		return false, fmt.Errorf("%s: %q: %w", waitFor, wait, err)
	}
	found := query.Select(object)
	return len(found) > 0 && fmt.Sprint(found[0]) == value, nil
}
