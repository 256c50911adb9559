package check

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // for the script
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that runs beside the check.
type process struct {
	cmd    *exec.Cmd
	stderr *tail
	done   chan struct{}
	err    error // once done is closed
}

// start starts a program in a process group of its own: an interrupt from the keyboard ends the check, and the check ends the program when it has tidied up.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, stderr: &tail{}, done: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = p.stderr
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop ends it, and all that it has started.
func (p *process) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}

// failure is why it has ended.
func (p *process) failure() error {
	return fmt.Errorf("%s: %s", p.cmd.Args[0], p.stderr.last(p.err))
}

// tail keeps the end of what is written.
type tail struct {
	mu   sync.Mutex
	text []byte // mu protects it
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-4096):]
	return len(b), nil
}

// last is the last line, or an error where nothing was written.
func (t *tail) last(err error) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	if text := lines[len(lines)-1]; text != "" {
		return text
	}
	return fmt.Sprint(err)
}

// tunnel is a way to a port of a pod or a machine: address is its near end.
type tunnel struct {
	*process
	address string
}

// freePort is a port that nothing listens to on this machine: the one of the openCommand may be in use, by somebody who has the page open.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

// openTunnel opens one by a command, which says at which port it is to listen, and returns when something listens there.
func openTunnel(ctx context.Context, program string, arguments func(port int) []string) (*tunnel, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p, err := start(exec.Command(program, arguments(port)...))
	if err != nil {
		return nil, err
	}
	t := &tunnel{p, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if connection, err := net.DialTimeout("tcp", t.address, time.Second); err == nil {
			return t, connection.Close()
		}
		select {
		case <-p.done:
			return nil, p.failure()
		case <-ctx.Done():
			p.stop()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	p.stop()
	return nil, fmt.Errorf("%s does not listen within a minute: %s", program, p.stderr.last(nil))
}

// script runs in the application's container. It has the stub model, and takes back whatever the check has made, when it is told to or left alone.
//
//go:embed inside.py
var script string

// bootstrap is the command in the container. The script comes by its standard input: it is longer than some shells on the way take.
var bootstrap = []string{"python", "-c", "import sys, json; exec(json.loads(sys.stdin.readline()))"}

// agent is the script that runs in the application's container.
type agent struct {
	*process
	input  io.WriteCloser
	output *bufio.Reader
	model  string // address of the stub, in the container
}

// startAgent starts the script by a command that leads to bootstrap in the container. settings are what the script has to know.
func startAgent(cmd *exec.Cmd, settings map[string]any) (*agent, error) {
	a := &agent{}
	var err error
	if a.input, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, writer := io.Pipe()
	cmd.Stdout = writer
	a.output = bufio.NewReader(output)
	if a.process, err = start(cmd); err != nil {
		return nil, err
	}
	go func() {
		<-a.done
		_ = writer.CloseWithError(io.EOF)
	}()
	if err := a.send(script); err != nil {
		return nil, errors.Join(err, a.close())
	}
	var ready struct{ Model string }
	if err := a.ask(settings, &ready, time.Minute); err != nil {
		a.stop()
		return nil, err
	}
	a.model = ready.Model
	return a, nil
}

// send writes a line of JSON.
func (a *agent) send(content any) error {
	raw, err := json.Marshal(content)
	if err != nil {
		return err
	}
	_, err = a.input.Write(append(raw, '\n'))
	return err
}

// ask sends a question and reads its answer.
func (a *agent) ask(question, answer any, patience time.Duration) error {
	if err := a.send(question); err != nil {
		select {
		case <-a.done:
			return a.failure()
		case <-time.After(time.Second):
			return err
		}
	}
	late := time.AfterFunc(patience, a.stop)
	defer late.Stop()
	for {
		line, err := a.output.ReadBytes('\n')
		if err != nil {
			<-a.done
			return a.failure()
		}
		if !bytes.HasPrefix(line, []byte("{")) {
			continue // what the image itself says
		}
		var failed struct{ Error string }
		if err := json.Unmarshal(line, &failed); err != nil {
			continue
		}
		if failed.Error != "" {
			return errors.New(failed.Error)
		}
		return json.Unmarshal(line, answer)
	}
}

// close ends the script's input, upon which it takes back what is left, and waits for its end.
func (a *agent) close() error {
	if err := a.input.Close(); err != nil {
		return err
	}
	select {
	case <-a.done:
		return nil
	case <-time.After(90 * time.Second):
		a.stop()
		return errors.New("the script in the container has not ended")
	}
}
