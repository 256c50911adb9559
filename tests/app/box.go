package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// box is what a container runtime makes of a container: a root file system in which only what is mounted as writable can be written, a process table of
// its own with the command as its first process, a user without privileges. The network is the one of the tests, or one of its own that leads there.
type box struct {
	mounts   []mount // in their order
	readOnly bool    // the root file system
	user     int     // and group; 0 keeps all privileges
	dir      string  // working directory
	env      map[string]string
	command  []string
	network  *link // none where it shares that of the tests

	stdin  io.Reader // none where nil
	stdout io.Writer // with all else in the log where nil
}

// link is a network of its own with one way out, to that of the tests.
type link struct {
	name           string // of the near end
	inside, nearby string // addresses of both ends, without the length of their range
}

// newLink returns the n-th link.
func newLink(n int) *link {
	return &link{name: fmt.Sprintf("door%d", n), inside: fmt.Sprintf("192.168.%d.2", n), nearby: fmt.Sprintf("192.168.%d.1", n)}
}

// join gives a process that has begun with a network of its own the way out.
func (l *link) join(ctx context.Context, pid int) error {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return err
	}
	for theirs := own; theirs == own; time.Sleep(5 * time.Millisecond) {
		if theirs, err = os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil {
			return fmt.Errorf("network of the box: %w", err)
		}
	}
	for _, args := range [][]string{
		{"link", "add", l.name, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(pid)},
		{"addr", "add", l.nearby + "/30", "dev", l.name},
		{"link", "set", l.name, "up"},
	} {
		if _, err := command(ctx, nil, "ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// mount puts a file or a directory of the machine at a path of the box.
type mount struct {
	source, target string
	readOnly       bool
}

// base is the part of every box's file system that an image would bring: the machine's programs, an installed application, its interpreter.
func base(venv string, interpreter python) []mount {
	return []mount{
		{"/usr", "/usr", true},
		{"/etc", "/etc", true},
		{"/dev", "/dev", false},
		{interpreter.prefix, interpreter.prefix, true},
		{venv, "/app/.venv", true},
	}
}

// script puts the root file system together in a mount namespace of its own and starts the command in it.
func (b *box) script(root string) string {
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	line("set -eu")
	if b.network != nil {
		line("ip link set lo up")
		line("until ip addr add %s/30 dev eth0 2>/dev/null; do sleep 0.02; done", b.network.inside)
		line("ip link set eth0 up")
		line("ip route add default via %s", b.network.nearby)
	}
	line("mount --make-rprivate /")
	line("mount -t tmpfs -o mode=755 root %s", root)
	line("mkdir %[1]s/proc && mount -t proc proc %[1]s/proc", root)
	line("for d in bin sbin lib lib64; do ln -s usr/$d %s/$d; done", root)
	for _, m := range b.mounts {
		target := quote(path.Join(root, m.target))
		line("mkdir -p \"$(dirname %s)\"", target)
		line("[ -e %[2]s ] || if [ -d %[1]s ]; then mkdir %[2]s; else touch %[2]s; fi", quote(m.source), target)
		line("mount --rbind %s %s", quote(m.source), target)
		if m.readOnly {
			line("mount -o remount,bind,ro %s", target)
		}
	}
	line("mkdir -p %s", quote(path.Join(root, b.dir)))
	if b.readOnly {
		line("mount -o remount,ro %s", root)
	}
	privileges := ""
	if b.user != 0 {
		privileges = fmt.Sprintf("setpriv --reuid=%[1]d --regid=%[1]d --groups=%[1]d --no-new-privs --bounding-set=-all --inh-caps=-all ", b.user)
	}
	line(`exec /usr/sbin/chroot %s %senv -i -C %s "$@"`, root, privileges, quote(b.dir))
	return s.String()
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// running is a box that was started. Kill it.
type running struct {
	cmd  *exec.Cmd
	root string
	log  *lines
	done chan struct{}
	err  error // how it ended, once done is closed
}

// start starts the box, and ends it with the context.
func (b *box) start(ctx context.Context) (*running, error) {
	root, err := os.MkdirTemp("", "openhands-box-")
	if err != nil {
		return nil, err
	}
	args := []string{"--mount", "--pid", "--fork", "--kill-child"}
	if b.network != nil {
		args = append(args, "--net")
	}
	args = append(args, "sh", "-c", b.script(root), "box")
	for _, name := range slices.Sorted(maps.Keys(b.env)) {
		args = append(args, name+"="+b.env[name])
	}
	r := &running{cmd: exec.CommandContext(ctx, "unshare", append(args, b.command...)...), root: root, log: &lines{}, done: make(chan struct{})}
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = b.stdin, r.log, r.log
	if b.stdout != nil {
		r.cmd.Stdout = b.stdout
	}
	r.cmd.Cancel = func() error { return r.signal(syscall.SIGKILL) }
	r.cmd.WaitDelay = 10 * time.Second
	if err := r.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.Remove(root))
	}
	go func() {
		r.err = errors.Join(r.cmd.Wait(), os.Remove(root))
		close(r.done)
	}()
	if b.network != nil {
		if err := b.network.join(ctx, r.cmd.Process.Pid); err != nil {
			return nil, errors.Join(err, r.kill())
		}
	}
	return r, nil
}

// signal sends one to the first process of the box, as a container runtime does.
func (r *running) signal(s syscall.Signal) error {
	first, err := r.first()
	if err != nil {
		return err
	}
	return syscall.Kill(first, s)
}

// first is the id of the first process of the box.
func (r *running) first() (int, error) {
	pid := strconv.Itoa(r.cmd.Process.Pid)
	children, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
	if err != nil {
		return 0, err
	}
	first, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		return 0, fmt.Errorf("first process of the box: %w", err)
	}
	return first, nil
}

// peakMiB is the most memory that the first process of the box has had.
func (r *running) peakMiB() (int, error) {
	first, err := r.first()
	if err != nil {
		return 0, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", first))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0, fmt.Errorf("no VmHWM of process %d", first)
	}
	kib, err := strconv.Atoi(fields[0])
	return kib / 1024, err
}

// stop does what a kubelet does: it sends the stop signal, and ends what still runs after the grace period. It returns how long that took, and whether
// the process ended by itself.
func (r *running) stop(grace time.Duration) (took time.Duration, byItself bool, err error) {
	started := time.Now()
	if err := r.signal(syscall.SIGTERM); err != nil {
		return 0, false, err
	}
	select {
	case <-r.done:
		return time.Since(started), true, nil
	case <-time.After(grace):
		return time.Since(started), false, r.kill()
	}
}

// kill ends the box at once.
func (r *running) kill() error {
	if r.ended() {
		return nil
	}
	err := r.signal(syscall.SIGKILL) // with the first process, all others of the box end
	<-r.done
	return err
}

func (r *running) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// lines collects what a process writes.
type lines struct {
	mu   sync.Mutex
	text strings.Builder // mu protects it
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// tail is the end of it.
func (l *lines) tail() string {
	all := strings.Split(strings.TrimSpace(l.String()), "\n")
	return strings.Join(all[max(0, len(all)-30):], "\n")
}

// command runs a program of the machine and returns what it prints.
func command(ctx context.Context, input io.Reader, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = input
	output, err := cmd.CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output), nil
}
