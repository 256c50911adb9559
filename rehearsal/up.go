package rehearsal

import (
	"context"
	"fmt"
	"os"
	"strings"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/timeline"
)

// up creates the stack, and fails where a check finds something.
func (r *run) up(ctx context.Context) (string, error) {
	if _, err := r.Run(ctx, "up", "--yes", "--skip-preview"); err != nil {
		return "", err
	}
	raw, err := r.Export(ctx)
	if err != nil {
		return "", err
	}
	if r.export != "" {
		if err := os.WriteFile(r.export, raw, 0o600); err != nil {
			return "", fmt.Errorf("export: %w", err)
		}
	}
	problems, export, err := r.examine(raw)
	if err != nil {
		return "", err
	}
	r.quotas = export.Output("quotas")
	if problems = append(problems, checks.Order(r.Cloud, r.graph)...); len(problems) > 0 {
		return "", fmt.Errorf("the stack is not as it must be:\n  %s", strings.Join(problems, "\n  "))
	}
	if changed, err := r.ChangedByRepetition(ctx); err != nil {
		return "", err
	} else if len(changed) > 0 {
		return "", fmt.Errorf("a second apply is not without effect:\n  %s", strings.Join(changed, "\n  "))
	}
	if r.timeline, err = timeline.New(r.graph); err != nil {
		return "", err
	}
	if r.timeline.Records >= r.timeline.Cluster && !r.Machine {
		return "", fmt.Errorf("what the DNS records need exists after %s only: it waits for the cluster", r.timeline.Records)
	}
	r.total = len(r.graph.Countable())
	return fmt.Sprintf("%d resources; no secret in clear, nothing public, nothing in a wrong order, the right outputs, and a conversation can start", r.total), nil
}

// examine says what is wrong with the stack as it is now. raw is its exported state.
func (r *run) examine(raw []byte) (problems []string, export *state.Export, err error) {
	if export, err = state.Parse(raw); err != nil {
		return nil, nil, err
	}
	r.graph = state.NewGraph(export)
	if problems, err = checks.State(raw); err != nil {
		return nil, nil, err
	}
	inventory := r.Cloud.Inventory()
	problems = append(problems, checks.Machine(inventory)...)
	if r.Machine {
		return append(problems, checks.Outputs(inventory, export)...), export, nil
	}
	problems = append(problems, checks.Application(inventory, r.NodesOfOnesOwn)...)
	problems = append(problems, checks.Operators(inventory)...)
	hops, inTheWay := checks.Exposure(inventory, r.OpenToEveryone)
	r.hops, problems = hops, append(problems, inTheWay...)
	return append(problems, checks.Outputs(inventory, export)...), export, nil
}
