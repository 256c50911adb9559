package engine

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"

	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/values"
)

// Load makes the stack, and the cloud, what an exported state says. No secret of it is read.
func (e *Engine) Load(ctx context.Context, exported []byte) error {
	if e.forwarding != nil {
		return fmt.Errorf("an exported state cannot be loaded into a real API server: leave out CLUSTER=real")
	}
	salt, err := newSalt(ctx)
	if err != nil {
		return err
	}
	unreadable, err := state.Unreadable(exported, salt)
	if err != nil {
		return err
	}
	export, err := state.Parse(unreadable)
	if err != nil {
		return err
	}
	for _, r := range export.Deployment.Resources {
		if prefix := "urn:pulumi:" + e.Stack + "::openhands::"; !strings.HasPrefix(r.URN, prefix) {
			return fmt.Errorf("exported state: %s is not of stack %s: name the stack that was exported", r.URN, e.Stack)
		}
	}
	path := filepath.Join(e.temp, "export.json")
	if err := os.WriteFile(path, unreadable, 0o600); err != nil {
		return fmt.Errorf("exported state: %w", err)
	}
	if _, err := e.Quiet(ctx, "stack", "import", "--file", path); err != nil {
		return err
	}
	for _, r := range export.Deployment.Resources {
		inputs, outputs := state.Plain(r.Inputs), state.Plain(r.Outputs)
		switch {
		case r.Type == state.ProviderPrefix+"gcp":
			e.Cloud.Place(values.Map(inputs).Str("project"), values.Map(inputs).Str("region"))
		case r.Custom && !r.IsProvider():
			for _, p := range e.standIns {
				if strings.HasPrefix(r.Type, p.Name+":") {
					p.Load(r.Type, r.URN, r.ID, inputs, outputs)
				}
			}
		}
	}
	return nil
}

// newSalt returns what a state says of the passphrase that encrypts its secrets: a salt, and a word by which to know the right passphrase.
func newSalt(ctx context.Context) (string, error) {
	salt := []byte("rehearse") // eight bytes; what it protects is no secret
	word, err := config.NewSymmetricCrypterFromPassphrase(passphrase, salt).EncryptValue(ctx, "pulumi")
	if err != nil {
		return "", fmt.Errorf("exported state: %w", err)
	}
	return fmt.Sprintf("v1:%s:%s", base64.StdEncoding.EncodeToString(salt), word), nil
}
