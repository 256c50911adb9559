package rehearsal

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// destroy destroys the stack, and fails where something stays that the README does not name.
func (r *run) destroy(ctx context.Context) (string, error) {
	if _, err := r.Run(ctx, "destroy", "--yes", "--skip-preview"); err != nil {
		return "", err
	}
	r.destroyed = true
	var lost []string
	for _, o := range r.Cloud.List() {
		if o.Left == "" || !slices.Contains(documentedLeftovers, o.Type) {
			lost = append(lost, o.Type+" "+o.ID)
		}
	}
	if len(lost) > 0 {
		return "", fmt.Errorf("destroy left what the README does not list: %s", strings.Join(lost, ", "))
	}
	left, checked, err := r.Leftovers(ctx)
	switch {
	case err != nil:
		return "", err
	case len(left) > 0:
		return "", fmt.Errorf("destroy left in the real API server: %s", strings.Join(left, ", "))
	case checked:
		return "destroyed; the real API server has no object of it left", nil
	}
	return "destroyed, but for what the README lists", nil
}

// documentedLeftovers are what destroy leaves in the project, as the README says: enabled APIs, the reserved name of the database's instance, and the
// bucket's objects for as long as soft delete keeps them.
var documentedLeftovers = []string{"projects.Service", "sql.DatabaseInstance name", "storage.Bucket"}
