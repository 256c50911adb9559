package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	stopGrace = 5 * time.Second
	tailLines = 20
)

// errAddressInUse is why a server ended whose port was taken between its choice and its use.
var errAddressInUse = errors.New("address already in use")

// process is one program of the cluster. It logs to a file.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended, once done is closed

	reported bool // that it ended by itself
}

func startProcess(dir, name, path string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), cmd: exec.Command(path, args...), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	p.cmd.Dir = dir
	// Nothing else of the environment: etcd and kwok read options from it, and from the home directory.
	p.cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = endWithParent()
	started := make(chan error)
	go func() {
		// The parent that a process ends with is the thread that started it, so this thread must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := errors.Join(<-started, log.Close()); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// failure is an error if the process ended by itself.
func (p *process) failure() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	p.reported = true
	tail := p.tail()
	if bytes.Contains(tail, []byte(errAddressInUse.Error())) {
		return fmt.Errorf("%s: %w", p.name, errAddressInUse)
	}
	return fmt.Errorf("%s ended (%v), its last words:\n%s", p.name, p.err, tail)
}

// tail is what the log ends with.
func (p *process) tail() []byte {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-tailLines):], []byte("\n"))
}

// stop ends the process. That it had ended already is an error, unless that has been reported.
func (p *process) stop() error {
	if p.reported {
		return nil
	}
	if err := p.failure(); err != nil {
		return err
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopGrace):
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	return nil
}
