package boot

import (
	"fmt"
	"strings"
)

// units are the units of systemd. Each waits for those without which it must not run, and does not start where one of them fails.
func (c Config) units() map[string]string {
	disk, data, firewall, container := c.unit("-disk"), c.unit("-data"), c.unit("-firewall"), c.unit("")
	mount := "mnt-disks-" + c.Name + ".mount" // a mount's unit is named as its path, with dashes
	script := func(name string, arguments ...any) string {
		return fmt.Sprintf("%s%s.sh", c.directory(), name) + fmt.Sprintf(strings.Repeat(" %v", len(arguments)), arguments...)
	}
	quoted := func(words []string) string { return "'" + strings.Join(words, " ") + "'" }
	return map[string]string{
		disk: oneshot("File system of the data disk", "", script("disk", device)),
		// By default a mount comes before the basic system, which the scripts come after.
		mount: fmt.Sprintf(`[Unit]
Description=Data disk
DefaultDependencies=no
Conflicts=umount.target
Before=umount.target
Requires=%s
After=%[1]s

[Mount]
What=%s
Where=%s
Type=ext4
Options=nodev,nosuid
`, disk, device, c.mountPoint()),
		data: oneshot("Directories and keys on the data disk", mount,
			script("data", c.mountPoint(), c.UserID, quoted(c.Keys), quoted(c.Kept))),
		firewall:  oneshot("What the containers may not reach", "", script("firewall", c.rulesFile(), c.chain())),
		container: c.containerUnit(data, firewall, c.Name+"-alive.timer"),
		c.unit("-alive"): fmt.Sprintf(`[Unit]
Description=Restart the container when it does not answer

[Service]
Type=oneshot
ExecStart=/bin/bash %s
`, script("alive", fmt.Sprintf("http://127.0.0.1:%d%s", c.Port, c.AlivePath), container)),
		c.Name + "-alive.timer": fmt.Sprintf(`[Unit]
Description=Look whether the container answers
PartOf=%s

[Timer]
OnActiveSec=1min
OnUnitInactiveSec=1min
`, container),
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

// containerUnit runs the container. /var, where Docker keeps its own volumes, is on the boot disk: what the container writes beside what is kept is there,
// in volumes without a name that go with the container. Docker keeps what it says in a file, from which the machine's agent sends it to Cloud Logging: the
// unit's own output would be the same again.
func (c Config) containerUnit(data, firewall, timer string) string {
	run := []string{
		"/usr/bin/docker run --rm --name=" + c.Name,
		fmt.Sprintf("--publish=%d:%[1]d", c.Port),
		fmt.Sprintf("--user=%d:%[1]d", c.UserID),
		"--read-only --cap-drop=ALL --security-opt=no-new-privileges",
		// Without swap, and with an end to forking: what the container starts ends itself, and not the machine.
		fmt.Sprintf("--memory=%dm --memory-swap=%[1]dm --pids-limit=8192", c.MemoryMiB),
		"--mount=type=volume,destination=/tmp",
		"--mount=type=volume,destination=" + c.Home,
	}
	for _, kept := range c.Kept {
		run = append(run, fmt.Sprintf("--mount=type=bind,source=%s/%s,destination=%s/%[2]s", c.mountPoint(), kept, c.Home))
	}
	run = append(run, "--env-file="+c.environment(), "--env-file="+c.keys(), "--log-opt=max-size=50m --log-opt=max-file=2",
		"--attach=stdout", // its errors are in docker logs; those of Docker itself are in the journal
		c.Image)
	return fmt.Sprintf(`[Unit]
Description=%[1]s
Requires=docker.service %[2]s %[3]s
After=docker.service %[2]s %[3]s network-online.target
Wants=network-online.target %[4]s
StartLimitIntervalSec=0

[Service]
Environment=HOME=/run/%[1]s DOCKER_CONFIG=%[5]s
RuntimeDirectory=%[1]s
ExecStartPre=-/usr/bin/docker rm --force --volumes %[1]s
ExecStartPre=/bin/bash -c '/usr/bin/docker image inspect %[6]s >/dev/null || /usr/bin/docker pull --quiet %[6]s'
ExecStart=%[7]s
ExecStop=/usr/bin/docker stop --time %[8]d %[1]s
StandardOutput=null
StandardError=journal
TimeoutStartSec=20min
TimeoutStopSec=%[9]d
Restart=always
RestartSec=10
`, c.Name, data, firewall, timer, c.docker(), c.Image, strings.Join(run, " \\\n  "), c.StopSeconds, c.StopSeconds+15)
}
