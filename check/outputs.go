package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Outputs are those of the stack that lead to what it has created.
type Outputs struct {
	URL        string            `json:"url"`
	URLs       map[string]string `json:"urls"` // by instance
	DNSRecords []Record          `json:"dnsRecords"`

	OpenCommand       string `json:"openCommand"`
	AppNamespace      string `json:"appNamespace"`
	InstanceNamespace string `json:"instanceNamespace"`
	Kubeconfig        string `json:"kubeconfig"` // a secret, without a credential

	DatabaseHost string `json:"databaseHost"`
	BucketName   string `json:"bucketName"`

	InstanceName string `json:"instanceName"` // of a machine
	SSHCommand   string `json:"sshCommand"`
}

// Record is one of the DNS.
type Record struct{ Name, Type, Data string }

// ReadOutputs reads what `pulumi stack output --json --show-secrets` writes.
func ReadOutputs(raw []byte) (Outputs, error) {
	var o Outputs
	if err := json.Unmarshal(raw, &o); err != nil {
		return o, fmt.Errorf("the stack's outputs are not what `pulumi stack output --json --show-secrets` writes: %w", err)
	}
	return o, o.validate()
}

func (o Outputs) validate() error {
	switch {
	case o.OpenCommand == "":
		return errors.New("the stack has no output openCommand: it has not been deployed, or an `up` ended before its end. Run `pulumi up`")
	case o.InstanceName == "" && o.Kubeconfig == "":
		return errors.New("the stack has no output kubeconfig: run `pulumi up`")
	case o.InstanceName == "" && strings.HasPrefix(o.Kubeconfig, "[secret]"):
		return errors.New("output kubeconfig is hidden: `pulumi stack output` needs --show-secrets. There is no credential in it")
	}
	return nil
}

// address is where the DNS has to lead browsers to.
func (o Outputs) address() (netip.Addr, error) {
	for _, r := range o.DNSRecords {
		if r.Type == "A" {
			return netip.ParseAddr(r.Data)
		}
	}
	return netip.Addr{}, errors.New("output dnsRecords has no A record: run `pulumi up`")
}

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

func listOf[T any](m map[string]T) string { return strings.Join(sorted(m), ", ") }
