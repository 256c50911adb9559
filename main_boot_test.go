//go:build machine

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// Tests of what a machine does when it boots: with the programs that do it there, as root, on a loop device and in network namespaces of their own. They
// need cloud-init, systemd, e2fsprogs, iptables, iproute2, python3 and the Docker CLI: `make test-machine` runs them.

// userData is what the machine of a golden stack boots with.
func userData(t *testing.T, stack string) string {
	t.Helper()
	mocks, err := deployed(t, stack, stackFile(t, stack), nil)
	require.NoError(t, err)
	return find(t, mocks, "Instance", "openhands-machine").Inputs["metadata"].(map[string]any)["user-data"].(string)
}

// booted writes the files of a machine below a directory, in place of its root, and returns the directory.
func booted(t *testing.T, stack string) string {
	t.Helper()
	var document struct {
		Files []struct{ Path, Content string } `yaml:"write_files"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(userData(t, stack)), &document))
	root := t.TempDir()
	for _, f := range document.Files {
		path := filepath.Join(root, f.Path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(f.Content), 0o644))
	}
	return root
}

// shell runs a script in namespaces of its own, with the machine's files in $root, and returns what it prints. What it mounts and connects ends with it.
func shell(t *testing.T, root, script string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-euo", "pipefail", "-c", script)
	cmd.Env = append(os.Environ(), "root="+root, "work="+t.TempDir(), "LC_ALL=C")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	return output.String(), err
}

func TestBootCloudInitTakesTheDocument(t *testing.T) {
	for _, stack := range []string{"single", "machine"} {
		path := filepath.Join(t.TempDir(), "user-data")
		require.NoError(t, os.WriteFile(path, []byte(userData(t, stack)), 0o600))
		output, err := exec.CommandContext(t.Context(), "cloud-init", "schema", "--config-file", path).CombinedOutput()
		require.NoError(t, err, "%s", output)
		assert.Contains(t, string(output), "Valid", "%s", output)
	}
}

// TestBootSystemdTakesTheUnits has systemd read them, with every name and path that it knows. Docker is not on this machine: another program stands for it.
func TestBootSystemdTakesTheUnits(t *testing.T) {
	root := booted(t, "single")
	units, err := filepath.Glob(root + "/etc/systemd/system/*")
	require.NoError(t, err)
	require.Len(t, units, 7)
	for _, path := range units {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(raw, []byte("/usr/bin/docker"), []byte("/usr/bin/true")), 0o644))
	}
	docker := filepath.Join(root, "etc/systemd/system/docker.service")
	require.NoError(t, os.WriteFile(docker, []byte("[Service]\nExecStart=/usr/bin/true\n"), 0o644))
	arguments := append([]string{"verify", "--man=no", "--recursive-errors=yes"}, units...)
	output, err := exec.CommandContext(t.Context(), "systemd-analyze", arguments...).CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Empty(t, string(output))
}

// TestBootDockerTakesTheCommand: without a daemon, Docker's client reads every flag and mount, and then says that there is none.
func TestBootDockerTakesTheCommand(t *testing.T) {
	root := booted(t, "machine")
	raw, err := os.ReadFile(root + "/etc/systemd/system/openhands.service")
	require.NoError(t, err)
	unit := strings.ReplaceAll(string(raw), "\\\n", "")
	for _, word := range []string{"ExecStart=", "ExecStop=", "ExecStartPre=-"} {
		_, command, found := strings.Cut(unit, "\n"+word)
		require.True(t, found)
		command, _, _ = strings.Cut(command, "\n")
		command = strings.ReplaceAll(command, "/usr/bin/docker", "docker")
		command = strings.ReplaceAll(strings.ReplaceAll(command, "/etc/", root+"/etc/"), "/mnt/disks/openhands/keys", root+"/etc/openhands/environment")
		output, err := shell(t, root, "export DOCKER_HOST=unix:///nowhere; "+command)
		require.Error(t, err)
		assert.Contains(t, strings.ToLower(output), "connect to the docker daemon", command)
	}
}

// onDisk is the beginning of a script: the scripts of the machine, on a loop device of 64 MiB.
const onDisk = `
truncate --size=64M $work/image
device=$(losetup --find --show $work/image)
trap 'umount $work/mnt 2>/dev/null || true; losetup --detach $device' EXIT
mkdir $work/mnt
disk() { bash $root/etc/openhands/disk.sh $device; }
data() { bash $root/etc/openhands/data.sh $work/mnt 10001 'OH_SECRET_KEY LOCAL_BACKEND_API_KEY' '.openhands workspace'; }
boot() { disk && mount -o nodev,nosuid $device $work/mnt && data; }
size() { df --output=size --block-size=1M $work/mnt | tail -1; }
`

func TestBootTheDataDisk(t *testing.T) {
	root := booted(t, "single")
	for name, c := range map[string]struct {
		script string
		says   string // the error, if it is to fail
	}{
		"an empty disk gets a file system, directories and keys": {script: `
			boot
			[ "$(stat --format=%a:%u $work/mnt/keys)" = 600:0 ]
			[ "$(stat --format=%a:%u:%g $work/mnt/.openhands $work/mnt/workspace | uniq)" = 700:10001:10001 ]
			[ "$(grep --count --extended-regexp '^(OH_SECRET_KEY|LOCAL_BACKEND_API_KEY)=[0-9a-f]{64}$' $work/mnt/keys)" = 2 ]
			[ "$(cut --delimiter== --fields=2 $work/mnt/keys | uniq | wc --lines)" = 2 ]`},
		"the next machine finds what the last one left": {script: `
			boot; echo work >$work/mnt/workspace/file; cp $work/mnt/keys $work/before; umount $work/mnt
			boot; [ $(cat $work/mnt/workspace/file) = work ]; cmp $work/before $work/mnt/keys`},
		"a disk that has grown": {script: `
			boot; before=$(size); umount $work/mnt
			truncate --size=128M $work/image; losetup --set-capacity $device
			boot; [ $(size) -gt $((before + 50)) ]`},
		"a disk with something else": {says: "nothing was formatted", script: `
			echo precious | dd of=$device conv=notrunc status=none; boot`},
		"a file system whose beginning is damaged": {says: "nothing was formatted", script: `
			boot; umount $work/mnt
			dd if=/dev/zero of=$device bs=1k seek=1 count=1 conv=notrunc status=none; boot`},
		"keys that are gone": {says: "overwrite every secret", script: `
			boot; touch $work/mnt/.openhands/conversation; rm $work/mnt/keys; umount $work/mnt; boot`},
		"keys that a power loss has emptied": {says: "overwrite every secret", script: `
			boot; touch $work/mnt/workspace/file; : >$work/mnt/keys; umount $work/mnt; boot`},
		"a disk that is not there": {says: "No such file or directory", script: `
			bash $root/etc/openhands/disk.sh $work/nothing`},
	} {
		t.Run(name, func(t *testing.T) {
			output, err := shell(t, root, onDisk+c.script)
			if c.says == "" {
				require.NoError(t, err, output)
				return
			}
			require.Error(t, err, output)
			assert.Contains(t, output, c.says)
		})
	}
}

// network is a machine, in the namespace of the script, with a container in another. All addresses that the container calls are the machine's own.
const network = `
ip link set lo up
mount -t tmpfs none /run
for address in 169.254.169.254 10.0.0.2 192.168.1.1 100.64.0.1 140.82.112.3; do ip address add $address/32 dev lo; done
ip link add docker0 type veth peer name eth0
ip address add 172.17.0.1/16 dev docker0; ip link set docker0 up
ip netns add container; ip link set eth0 netns container
ip -n container address add 172.17.0.2/16 dev eth0; ip -n container link set eth0 up; ip -n container route add default via 172.17.0.1
python3 -c '
import selectors, socket
waiting = selectors.DefaultSelector()
for address in "169.254.169.254 172.17.0.1 10.0.0.2 192.168.1.1 100.64.0.1 140.82.112.3".split():
    for port in 22, 53, 80, 443:
        for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
            s = socket.socket(socket.AF_INET, kind)
            s.bind((address, port))
            if kind == socket.SOCK_STREAM: s.listen()
            waiting.register(s, selectors.EVENT_READ)
open("'$work'/ready", "w")
while True:
    for key, _ in waiting.select():
        if key.fileobj.type == socket.SOCK_STREAM: key.fileobj.accept()
        else: key.fileobj.sendto(b"x", key.fileobj.recvfrom(9)[1])
' &
while [ ! -e $work/ready ]; do sleep 0.1; done
calls() { ip netns exec container python3 -c '
import socket, sys
for packet in sys.stdin.read().split():
    protocol, address, port = packet.split(":")
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(0.5)
    try:
        s.connect((address, int(port)))
        if protocol == "udp": s.send(b"x"); s.recv(9)
        print(packet)
    except OSError:
        pass
'; }
`

// TestBootWhatAContainerReaches sends packets through the rules of the machine. Before them, everything answers.
func TestBootWhatAContainerReaches(t *testing.T) {
	root := booted(t, "single")
	packets := []string{
		"tcp:169.254.169.254:53", "udp:169.254.169.254:53", "tcp:140.82.112.3:443", "udp:140.82.112.3:53",
		"tcp:169.254.169.254:80", "udp:169.254.169.254:80", "tcp:169.254.169.254:443", "tcp:172.17.0.1:22", "tcp:10.0.0.2:22", "tcp:10.0.0.2:443",
		"tcp:192.168.1.1:443", "tcp:100.64.0.1:443",
	}
	reached := func(script string) []string {
		output, err := shell(t, root, network+script+fmt.Sprintf("\necho %s | calls", strings.Join(packets, " ")))
		require.NoError(t, err, output)
		return strings.Fields(output)
	}
	const firewall = "bash $root/etc/openhands/firewall.sh $root/etc/openhands/firewall.rules OPENHANDS\n"
	assert.Equal(t, packets, reached(""))
	assert.Equal(t, packets[:4], reached(firewall))
	assert.Equal(t, packets[:4], reached(firewall+firewall), "twice")

	_, err := shell(t, root, network+"echo nonsense >>$root/etc/openhands/firewall.rules\n"+firewall)
	assert.Error(t, err, "rules that are not in force are no rules")
}

// TestBootTheMachineCallsTheContainer: what the container may not open, it may answer.
func TestBootTheMachineCallsTheContainer(t *testing.T) {
	output, err := shell(t, booted(t, "single"), network+`
bash $root/etc/openhands/firewall.sh $root/etc/openhands/firewall.rules OPENHANDS
ip netns exec container python3 -c 'import socket; s = socket.create_server(("172.17.0.2", 8000)); open("'$work'/serves", "w"); s.accept()[0].send(b"page")' &
while [ ! -e $work/serves ]; do sleep 0.1; done
python3 -c 'import socket; print(socket.create_connection(("172.17.0.2", 8000), 5).recv(9).decode())'`)
	require.NoError(t, err, output)
	assert.Equal(t, "page\n", output)
}

// TestBootAContainerThatDoesNotAnswerIsRestarted plays the watchdog with stand-ins for what it calls.
func TestBootAContainerThatDoesNotAnswerIsRestarted(t *testing.T) {
	for name, c := range map[string]struct {
		answers string // what curl returns, the first time and later
		seconds int    // since the container has started; it has not where negative
		calls   []string
	}{
		"it answers":            {"0 0 0", 900, []string{"curl"}},
		"it answers again":      {"7 22 0", 900, []string{"curl", "sleep", "curl", "sleep", "curl"}},
		"it answers no request": {"28 28 28", 900, []string{"curl", "sleep", "curl", "sleep", "curl", "sleep", "systemctl try-restart openhands.service"}},
		"it has just started":   {"7 7 7", 100, nil},
		"somebody stopped it":   {"7 7 7", -1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			output, err := shell(t, booted(t, "single"), `
				mkdir $work/bin; echo `+c.answers+` | tr ' ' '\n' >$work/answers
				printf '#!/bin/bash\necho curl >>$work/calls; a=$(head -1 $work/answers); sed -i 1d $work/answers; exit $a\n' >$work/bin/curl
				printf '#!/bin/bash\necho sleep >>$work/calls\n' >$work/bin/sleep
				touch $work/calls; seconds=`+strconv.Itoa(c.seconds)+`
				since=$((($(cut -d. -f1 /proc/uptime) - seconds) * 1000000))
				printf '#!/bin/bash\ncase $1 in is-active) [ '$seconds' -ge 0 ];; show) echo '$since';; *) echo systemctl $* >>$work/calls;; esac\n' >$work/bin/systemctl
				chmod +x $work/bin/*; export work PATH=$work/bin:$PATH
				bash $root/etc/openhands/alive.sh http://127.0.0.1:8000/alive openhands.service 2>/dev/null; cat $work/calls`)
			require.NoError(t, err, output)
			assert.Equal(t, strings.Join(c.calls, "\n"), strings.TrimSpace(output))
		})
	}
}
