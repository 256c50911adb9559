package boot

import (
	"fmt"
	"strings"
)

// units are the units of systemd. Each waits for those without which it must not run, and does not start where one of them fails.
func (c Config) units() map[string]string {
	alive := fmt.Sprintf("http://127.0.0.1:%d%s", c.Port, c.AlivePath)
	return map[string]string{
		"openhands-disk.service": oneshot("File system of the data disk of OpenHands", "", directory+"disk.sh "+device),
		// The name of the unit is the path, with dashes.
		"mnt-disks-openhands.mount": fmt.Sprintf(`[Unit]
Description=Data disk of OpenHands
Requires=openhands-disk.service
After=openhands-disk.service

[Mount]
What=%s
Where=%s
Type=ext4
Options=nodev,nosuid
`, device, mountPoint),
		"openhands-data.service": oneshot("Directories and keys of OpenHands", "mnt-disks-openhands.mount",
			fmt.Sprintf("%sdata.sh %s %s %d '%s' '%s'", directory, device, mountPoint, c.UserID, strings.Join(c.Keys, " "), strings.Join(c.Kept, " "))),
		"openhands-firewall.service": oneshot("What the containers may not reach", "", directory+"firewall.sh "+RulesFile),
		Unit:                         c.containerUnit(),
		"openhands-alive.service": fmt.Sprintf(`[Unit]
Description=Restart OpenHands when it does not answer

[Service]
Type=oneshot
ExecStart=/bin/bash %salive.sh %s
`, directory, alive),
		// It starts anew with the container, which gets five minutes to come up.
		"openhands-alive.timer": fmt.Sprintf(`[Unit]
Description=Look whether OpenHands answers
PartOf=%s

[Timer]
OnActiveSec=5min
OnUnitInactiveSec=1min
`, Unit),
	}
}

// oneshot is a unit that runs a script once in a boot. needs is a unit without which it must not; empty for none.
func oneshot(description, needs, script string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=%s\n", description)
	if needs != "" {
		fmt.Fprintf(&b, "Requires=%s\nAfter=%[1]s\n", needs)
	}
	fmt.Fprintf(&b, "\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/bash %s\n", script)
	return b.String()
}

// containerUnit runs the container. /var, where Docker keeps its own volumes, is on the boot disk: what the container writes beside its state and workspace
// is there, in volumes without a name that go with the container. Docker keeps what it says in a file, from which the machine's agent sends it to Cloud
// Logging: the unit's own output would be the same again.
func (c Config) containerUnit() string {
	const name = "openhands"
	run := []string{
		"/usr/bin/docker run --rm --name=" + name,
		fmt.Sprintf("--publish=%d:%[1]d", c.Port),
		fmt.Sprintf("--user=%d:%[1]d", c.UserID),
		"--read-only --cap-drop=ALL --security-opt=no-new-privileges",
		// Without swap, and with an end to forking: what the agent starts ends itself, and not the machine.
		fmt.Sprintf("--memory=%dm --memory-swap=%[1]dm --pids-limit=8192", c.MemoryMiB),
		"--mount=type=volume,destination=/tmp",
		"--mount=type=volume,destination=" + c.Home,
	}
	for _, kept := range c.Kept {
		run = append(run, fmt.Sprintf("--mount=type=bind,source=%s/%s,destination=%s/%[2]s", mountPoint, kept, c.Home))
	}
	run = append(run, "--env-file="+environment, "--env-file="+KeysFile, "--log-opt=max-size=50m --log-opt=max-file=2", c.Image)
	return fmt.Sprintf(`[Unit]
Description=OpenHands
Requires=docker.service openhands-data.service openhands-firewall.service
After=docker.service openhands-data.service openhands-firewall.service network-online.target
Wants=network-online.target openhands-alive.timer
StartLimitIntervalSec=0

[Service]
Environment=HOME=/run/openhands DOCKER_CONFIG=%[1]s
RuntimeDirectory=openhands
ExecStartPre=-/usr/bin/docker rm --force --volumes %[2]s
ExecStartPre=/bin/bash -c '/usr/bin/docker image inspect %[3]s >/dev/null || /usr/bin/docker pull --quiet %[3]s'
ExecStart=%[4]s
ExecStop=/usr/bin/docker stop --time %[5]d %[2]s
StandardOutput=null
TimeoutStartSec=20min
TimeoutStopSec=%[6]d
Restart=always
RestartSec=10
`, dockerFiles, name, c.Image, strings.Join(run, " \\\n  "), c.StopSeconds, c.StopSeconds+15)
}
