package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gopkg.in/yaml.v3"

	"openhands-gcp/stacks"
)

// unread stands for every secret: the doctor needs none of them.
const unread = "unread"

// ReadStackFile reads the configuration of a stack from its file in the root of the repository, without decrypting anything. The defaults in Pulumi.yaml are
// the same as no value.
func ReadStackFile(root, stack string) (stacks.Source, error) {
	source := stacks.Source{Stack: stack, Values: map[string]string{}}
	path := filepath.Join(root, "Pulumi."+stack+".yaml")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return source, fmt.Errorf("there is no stack file %s: name a stack that has one", path)
	}
	if err != nil {
		return source, fmt.Errorf("stack file: %w", err)
	}
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return source, fmt.Errorf("stack file %s: %w", path, err)
	}
	for key, value := range file.Config {
		value, secret := withoutSecrets(value)
		if secret {
			source.SecretKeys = append(source.SecretKeys, key)
		}
		text, isText := value.(string)
		if !isText {
			encoded, err := json.Marshal(value)
			if err != nil {
				return source, fmt.Errorf("stack file %s: %s: %w", path, key, err)
			}
			text = string(encoded)
		}
		source.Values[key] = text
	}
	return source, nil
}

// withoutSecrets replaces what is encrypted in a value, and says whether something is.
func withoutSecrets(value any) (replaced any, secret bool) {
	switch value := value.(type) {
	case map[string]any:
		if _, secure := value["secure"]; secure && len(value) == 1 {
			return unread, true
		}
		for key, item := range value {
			rest, is := withoutSecrets(item)
			value[key], secret = rest, secret || is
		}
	case []any:
		for i, item := range value {
			rest, is := withoutSecrets(item)
			value[i], secret = rest, secret || is
		}
	}
	return value, secret
}
