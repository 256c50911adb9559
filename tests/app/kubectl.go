package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// asKubectl is set where this program stands in for kubectl: it names the socket at which the tests do what kubectl is asked for.
const asKubectl = "OPENHANDS_APP_TEST_KUBECTL"

// kubectl does what the check asks kubectl for: objects are the API server's, and there is no kubelet that would lead into the pods. Close it.
type kubectl struct {
	program string // path of the stand-in
	api     rest.Interface
	forward way // to the door; none where nobody comes in that way
	// inside is the container that a command runs in, of a workload in a namespace.
	inside   func(ctx context.Context, namespace, workload string) (*box, error)
	listener net.Listener
}

func startKubectl(dir string, api rest.Interface, forward way, inside func(context.Context, string, string) (*box, error)) (*kubectl, error) {
	dir, err := os.MkdirTemp(dir, "kubectl-")
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	k := &kubectl{program: filepath.Join(dir, "kubectl"), api: api, forward: forward, inside: inside}
	socket := filepath.Join(dir, "socket")
	script := fmt.Sprintf("#!/bin/sh\n%s=%s exec %s \"$@\"\n", asKubectl, socket, self)
	if err := os.WriteFile(k.program, []byte(script), 0o755); err != nil {
		return nil, err
	}
	if k.listener, err = net.Listen("unix", socket); err != nil {
		return nil, err
	}
	go k.serve()
	return k, nil
}

func (k *kubectl) close() error { return k.listener.Close() }

func (k *kubectl) serve() {
	for {
		connection, err := k.listener.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			defer connection.Close()
			input := bufio.NewReader(connection)
			var arguments []string
			line, err := input.ReadBytes('\n')
			if err == nil {
				err = json.Unmarshal(line, &arguments)
			}
			if err == nil {
				err = k.do(arguments, input, connection)
			}
			if err != nil {
				fmt.Fprintf(connection, "\x00%v", err) // the stand-in takes what follows for an error
			}
		}()
	}
}

// do what kubectl would. The arguments are those that the check gives, in their order.
func (k *kubectl) do(arguments []string, input io.Reader, output io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if arguments[0] == "compute" {
		return k.gcloud(ctx, arguments[1:], input, output)
	}
	if len(arguments) < 2 || !strings.HasPrefix(arguments[0], "--kubeconfig=") {
		return fmt.Errorf("no --kubeconfig in %q", arguments)
	}
	flags, words := map[string]string{}, []string{}
	rest := arguments[1:]
	for n, a := range rest {
		if a == "--" {
			words, rest = append(words, "--"), rest[n+1:]
			break
		}
		if name, value, is := strings.Cut(strings.TrimPrefix(a, "--"), "="); strings.HasPrefix(a, "--") && (is || name == "stdin") {
			flags[name] = value
			continue
		}
		words = append(words, a)
	}
	switch {
	case words[0] == "get" && flags["output"] == "json":
		path := []string{"api", "v1", "namespaces", flags["namespace"], words[1]}
		if words[1] == "configmap" {
			path = append(append(path[:4:4], "configmaps"), words[2])
		}
		request := k.api.Get().AbsPath(path...)
		if flags["selector"] != "" {
			request = request.Param("labelSelector", flags["selector"])
		}
		raw, err := request.DoRaw(ctx)
		if err == nil {
			_, err = output.Write(raw)
		}
		return err
	case words[0] == "port-forward" && words[1] == "deployment/"+doorName && k.forward != nil:
		near, _, _ := strings.Cut(words[2], ":")
		return k.lead(near, input)
	case words[0] == "exec" && words[len(words)-1] == "--":
		return k.run(ctx, flags["namespace"], words[1], rest, input, output)
	}
	return fmt.Errorf("the tests do not know %q", arguments)
}

// onMachine begins a command that gcloud runs in the container of a machine.
const onMachine = "--command=sudo docker exec --interactive openhands "

// gcloud does what it would for a machine.
func (k *kubectl) gcloud(ctx context.Context, arguments []string, input io.Reader, output io.Writer) error {
	switch last := arguments[len(arguments)-1]; arguments[0] {
	case "start-iap-tunnel":
		for _, a := range arguments {
			if near, is := strings.CutPrefix(a, "--local-host-port=localhost:"); is {
				return k.lead(near, input)
			}
		}
	case "ssh":
		if command, is := strings.CutPrefix(last, onMachine); is {
			return k.run(ctx, "", "machine", []string{"sh", "-c", command}, input, output)
		}
	}
	return fmt.Errorf("the tests do not know gcloud compute %q", arguments)
}

// run runs a command in the container of a workload.
func (k *kubectl) run(ctx context.Context, namespace, workload string, command []string, input io.Reader, output io.Writer) error {
	b, err := k.inside(ctx, namespace, workload)
	if err != nil {
		return err
	}
	b.command, b.stdin, b.stdout = command, input, output
	r, err := b.start(ctx)
	if err != nil {
		return err
	}
	<-r.done
	if r.err != nil {
		return errors.New(r.log.tail())
	}
	return nil
}

// lead takes connections at a port of this machine to the door, until the input ends.
func (k *kubectl) lead(port string, until io.Reader) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, until) // it ends when kubectl is ended
		_ = listener.Close()
	}()
	for {
		near, err := listener.Accept()
		if err != nil {
			return nil
		}
		go func() {
			defer near.Close()
			far, err := k.forward(context.Background())
			if err != nil {
				return // who calls sees that nobody answers
			}
			defer far.Close()
			go func() {
				_, _ = io.Copy(far, near)
				_ = far.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(near, far)
		}()
	}
}

// standInForKubectl is what this program does as kubectl.
func standInForKubectl(socket string) error {
	connection, err := net.DialTimeout("unix", socket, 5*time.Second)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := json.NewEncoder(connection).Encode(os.Args[1:]); err != nil {
		return err
	}
	if os.Args[2] == "exec" || os.Args[2] == "ssh" { // the others have no input
		go func() {
			_, _ = io.Copy(connection, os.Stdin)
			_ = connection.(*net.UnixConn).CloseWrite()
		}()
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := connection.Read(buffer)
		if said, why, failed := strings.Cut(string(buffer[:n]), "\x00"); failed {
			fmt.Print(said)
			return errors.New(why)
		}
		if _, err := os.Stdout.Write(buffer[:n]); err != nil {
			return err
		}
		if err != nil {
			return nil // the end
		}
	}
}
