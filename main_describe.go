package main

import (
	"encoding/json"
	"fmt"
	"io"

	"openhands-gcp/stacks"
)

// describe reads the configuration of a stack as JSON, and writes in a few lines, as JSON too, what the stack is. The rehearsal calls it before it begins, so
// that people see that a setting has taken effect, and a mistake ends the rehearsal before anything is created.
func describe(in io.Reader, out io.Writer) error {
	var source stacks.Source
	if err := json.NewDecoder(in).Decode(&source); err != nil {
		return fmt.Errorf("configuration to describe: %w", err)
	}
	config, err := stacks.Load(source)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(config.Summary())
}
