package rehearsal

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/timeline"
)

// up creates the stack, and fails where a check finds something.
func (r *run) up(ctx context.Context) (string, error) {
	started := time.Now()
	if _, err := r.Run(ctx, "up", "--yes", "--skip-preview"); err != nil {
		return "", err
	}
	took := time.Since(started)
	raw, err := r.Export(ctx)
	if err != nil {
		return "", err
	}
	if r.export != "" {
		if err := os.WriteFile(r.export, raw, 0o600); err != nil {
			return "", fmt.Errorf("export: %w", err)
		}
	}
	export, err := state.Parse(raw)
	if err != nil {
		return "", err
	}
	r.graph = state.NewGraph(export)
	r.quotas = export.Output("quotas")
	problems, err := checks.State(raw)
	if err != nil {
		return "", err
	}
	inventory := r.Cloud.Inventory()
	problems = append(problems, checks.Order(r.Cloud, r.graph)...)
	if r.Machine {
		problems = append(problems, checks.Machine(inventory)...)
	} else {
		problems = append(problems, checks.Conversation(inventory, r.NodesOfOnesOwn)...)
		problems = append(problems, checks.Operators(inventory)...)
		hops, inTheWay := checks.Exposure(inventory, r.OpenToEveryone)
		r.hops, problems = hops, append(problems, inTheWay...)
	}
	if problems = append(problems, checks.Outputs(inventory, export)...); len(problems) > 0 {
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
	const outcome = "created; no secret in clear, nothing public, nothing in a wrong order, the right outputs, and a conversation can start, in %.1f s"
	return fmt.Sprintf(outcome, took.Seconds()), nil
}
