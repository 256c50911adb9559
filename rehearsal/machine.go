package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/types"
)

// replaceMachine changes the machine and its disk on a stack that is up. The data disk stays, except where a snapshot takes its place.
func (r *run) replaceMachine(ctx context.Context) (string, error) {
	machine, disk, err := r.machine()
	if err != nil {
		return "", err
	}
	protects := slices.Contains(r.Protected, types.Disk)
	for _, change := range []struct {
		what, key, value string
		machine, disk    bool // is another one afterwards
	}{
		{"another image", "openhands:app.imageDigest", "sha256:" + strings.Repeat("a", 64), true, false},
		{"a larger machine", "openhands:machine.machineType", "e2-standard-8", true, false},
		{"one of another series, as large", "openhands:machine.machineType", "n2-standard-8", true, false},
		{"a larger disk", "openhands:machine.dataDisk.sizeGiB", "500", false, false},
		{"a snapshot", "openhands:machine.dataDisk.fromSnapshot", "openhands-data-yesterday", true, true},
	} {
		if err := r.SetConfig(ctx, change.key, change.value); err != nil {
			return "", err
		}
		if change.disk && protects {
			if err := r.refusedRestore(ctx); err != nil {
				return "", fmt.Errorf("%s: %w", change.what, err)
			}
		}
		if _, err := r.Run(ctx, "up", "--yes", "--skip-preview"); err != nil {
			return "", fmt.Errorf("%s: %w", change.what, err)
		}
		nextMachine, nextDisk, err := r.machine()
		if err != nil {
			return "", fmt.Errorf("%s: %w", change.what, err)
		}
		if (machine != nextMachine) != change.machine || (disk != nextDisk) != change.disk {
			return "", fmt.Errorf("%s: machine %s became %s, and disk %s became %s", change.what, machine, nextMachine, disk, nextDisk)
		}
		machine, disk = nextMachine, nextDisk
	}
	if protects {
		if err := r.SetConfig(ctx, "openhands:teardown", "false"); err != nil {
			return "", err
		}
		if _, err := r.Run(ctx, "up", "--yes", "--skip-preview"); err != nil {
			return "", fmt.Errorf("protected again: %w", err)
		}
	}
	if _, err := r.Run(ctx, "refresh", "--yes", "--skip-preview", "--expect-no-changes"); err != nil {
		return "", err
	}
	if _, err := r.Run(ctx, "preview", "--expect-no-changes"); err != nil {
		return "", err
	}
	return "another image, a larger machine and a larger disk, and then a snapshot in the disk's place", r.look(ctx)
}

// machine returns the names of the machine and of its data disk, and what is wrong with them.
func (r *run) machine() (machine, disk string, err error) {
	inventory := r.Cloud.Inventory()
	machines, disks := inventory.All(types.Instance), inventory.All(types.Disk)
	if len(machines) != 1 || len(disks) != 1 {
		return "", "", fmt.Errorf("there are %d machines and %d data disks", len(machines), len(disks))
	}
	if problems := checks.Machine(inventory); len(problems) > 0 {
		return "", "", fmt.Errorf("the machine is not as it must be:\n  %s", strings.Join(problems, "\n  "))
	}
	return machines[0].Outputs.Str("name"), disks[0].Outputs.Str("name"), nil
}

// refusedRestore fails unless the protection refuses another disk, and lifts it.
func (r *run) refusedRestore(ctx context.Context) error {
	result, err := r.Run(ctx, "preview")
	if err == nil || !strings.Contains(result.Output, "marked for protection") {
		return errors.New("the preview allowed another data disk, with the protection on")
	}
	return r.SetConfig(ctx, "openhands:teardown", "true")
}
