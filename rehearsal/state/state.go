// Package state reads the state of a stack: its resources, what waits for what, and what is encrypted.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"openhands-gcp/rehearsal/types"
)

// Export is the part of `pulumi stack export` that the checks read.
type Export struct {
	Deployment struct {
		Resources []Resource `json:"resources"`
	} `json:"deployment"`
}

// Resource is one resource of a stack's state.
type Resource struct {
	URN          string         `json:"urn"`
	Type         string         `json:"type"`
	ID           string         `json:"id"`
	Custom       bool           `json:"custom"`
	Protect      bool           `json:"protect"`
	Parent       string         `json:"parent"`
	Provider     string         `json:"provider"` // <URN>::<id>
	Inputs       map[string]any `json:"inputs"`
	Outputs      map[string]any `json:"outputs"`
	Dependencies []string       `json:"dependencies"`

	RetainOnDelete bool `json:"retainOnDelete"`
}

// Name is the last part of the resource's URN.
func (r Resource) Name() string { return r.URN[strings.LastIndex(r.URN, "::")+2:] }

// Types of the engine itself. ProviderPrefix begins the types of providers.
const (
	StackType      = "pulumi:pulumi:Stack"
	ProviderPrefix = "pulumi:providers:"
)

// IsProvider reports whether the resource is a provider.
func (r Resource) IsProvider() bool { return strings.HasPrefix(r.Type, ProviderPrefix) }

// ShortName returns the type and the name of a URN, such as compute.Network openhands-vpc.
func ShortName(urn string) string {
	parts := strings.Split(urn, "::")
	if len(parts) < 4 {
		return urn
	}
	chain := strings.Split(parts[2], "$")
	return types.Short(chain[len(chain)-1]) + " " + parts[3]
}

// Parse reads the output of `pulumi stack export`.
func Parse(raw []byte) (*Export, error) {
	var export Export
	if err := json.Unmarshal(raw, &export); err != nil {
		return nil, fmt.Errorf("export of the stack: %w", err)
	}
	return &export, nil
}

// Output returns an output of the stack; nil where it has none of that name.
func (e *Export) Output(name string) any {
	for _, r := range e.Deployment.Resources {
		if r.Type == StackType {
			return r.Outputs[name]
		}
	}
	return nil
}

// Marker begins every secret that a rehearsal makes up. Nothing that is not encrypted may contain it.
const Marker = "rehearsal-secret-"

// Encrypted returns a value as a state has it when it is encrypted.
func Encrypted(ciphertext string) map[string]any {
	return map[string]any{resource.SigKey: resource.SecretSig, "ciphertext": ciphertext}
}

// IsEncrypted reports whether a value of a state is encrypted.
func IsEncrypted(v any) bool {
	m, ok := v.(map[string]any)
	return ok && m[resource.SigKey] != nil
}

// Unread stands in a state for a secret that only the real stack can read.
const Unread = Marker + "unread"

// Unreadable returns an exported state in which Unread stands for every secret, for a stack whose secrets are encrypted by a passphrase. salt goes with it.
func Unreadable(raw []byte, salt string) ([]byte, error) {
	var document map[string]any
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, fmt.Errorf("exported state: %w", err)
	}
	deployment, ok := document["deployment"].(map[string]any)
	if !ok {
		return nil, errors.New("exported state: it has no deployment: is it what `pulumi stack export` wrote?")
	}
	deployment["secrets_providers"] = map[string]any{"type": "passphrase", "state": map[string]any{"salt": salt}}
	return json.Marshal(withoutSecrets(document, map[string]any{resource.SigKey: resource.SecretSig, "plaintext": strconv.Quote(Unread)}))
}

// withoutSecrets replaces what is encrypted in a value of a state.
func withoutSecrets(value, replacement any) any {
	switch value := value.(type) {
	case map[string]any:
		if IsEncrypted(value) {
			return replacement
		}
		for key, item := range value {
			value[key] = withoutSecrets(item, replacement)
		}
	case []any:
		for i, item := range value {
			value[i] = withoutSecrets(item, replacement)
		}
	}
	return value
}

// Plain returns properties of a state with Unread in place of secrets, without the marks of secrets.
func Plain(properties map[string]any) map[string]any {
	plain, _ := withoutSecrets(properties, Unread).(map[string]any)
	return plain
}
