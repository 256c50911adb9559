package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Fact is one thing to know about a stack, in words, such as its database.
type Fact struct{ What, Is string }

// Describe asks the program what the stack is, by its configuration. The error is the program's own, where the configuration is wrong.
func (e *Engine) Describe(ctx context.Context) ([]Fact, error) {
	raw, err := e.Quiet(ctx, "config", "--json", "--show-secrets")
	if err != nil {
		return nil, err
	}
	if begin := strings.Index(raw, "{"); begin > 0 { // after warnings, as of a key without a value
		raw = raw[begin:]
	}
	var config map[string]struct {
		Value  string
		Secret bool
	}
	if err := json.Unmarshal([]byte(raw), &config); err != nil {
		return nil, fmt.Errorf("configuration of the stack: %w", err)
	}
	source := struct {
		Stack      string
		Values     map[string]string
		SecretKeys []string
	}{Stack: e.Stack, Values: map[string]string{}}
	for key, entry := range config {
		source.Values[key] = entry.Value
		if entry.Secret {
			source.SecretKeys = append(source.SecretKeys, key)
		}
	}
	input, err := json.Marshal(source)
	if err != nil {
		return nil, fmt.Errorf("configuration of the stack: %w", err)
	}
	var output, problems bytes.Buffer
	cmd := exec.CommandContext(ctx, e.language.program, "describe")
	cmd.Dir, cmd.Env = e.dir, cleanEnvironment()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &output, &problems
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(problems.String()); text != "" {
			return nil, errors.New(text)
		}
		return nil, fmt.Errorf("describe the stack: %w", err)
	}
	var facts []Fact
	if err := json.Unmarshal(output.Bytes(), &facts); err != nil {
		return nil, fmt.Errorf("describe the stack: %w", err)
	}
	return facts, nil
}
