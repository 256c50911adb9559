package cloud

import (
	"errors"
	"fmt"
	"slices"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// servesNoGateway refuses to delete what the load balancer of a Gateway uses. GKE takes the load balancer down with the Gateway, and not before, even
// where the objects that told it to use this are gone.
func servesNoGateway(what string) func(*Request) (string, error) {
	return func(r *Request) (string, error) {
		if gateways := r.All(types.Gateway); len(gateways) > 0 {
			return "", fmt.Errorf(
				"resourceInUseByAnotherResource: %s %s is used by the load balancer of Gateway %s", what, r.Outputs.Str("name"), gateways[0].ID,
			)
		}
		return "", nil
	}
}

func checkTLSPolicy(r *Request) error {
	if v := r.Inputs.Str("minTlsVersion"); !slices.Contains([]string{"TLS_1_0", "TLS_1_1", "TLS_1_2"}, v) {
		return fmt.Errorf("minTlsVersion: %q is not known", v)
	}
	if p := r.Inputs.Str("profile"); !slices.Contains([]string{"COMPATIBLE", "MODERN", "RESTRICTED", "CUSTOM"}, p) {
		return fmt.Errorf("profile: %q is not known", p)
	}
	return r.namedRFC1035()
}

// lastPriority is the largest priority, which the rule for everything has.
const lastPriority = 2147483647

var armorActions = []string{"allow", "deny(403)", "deny(404)", "deny(429)", "deny(502)", "throttle", "rate_based_ban", "redirect"}

func checkArmor(r *Request) error {
	if err := r.namedRFC1035(); err != nil {
		return err
	}
	seen := map[float64]bool{}
	for _, rule := range r.Inputs.Maps("rules") {
		priority := rule.Num("priority")
		if seen[priority] {
			return fmt.Errorf("rules: two have priority %g", priority)
		}
		seen[priority] = true
		if err := checkArmorRule(rule); err != nil {
			return fmt.Errorf("rules: %w", err)
		}
	}
	if !seen[lastPriority] {
		return fmt.Errorf("rules: none has priority %d, for everything that no other matches", lastPriority)
	}
	return nil
}

func checkArmorRule(rule values.Map) error {
	action := rule.Str("action")
	limited := action == "throttle" || action == "rate_based_ban"
	byAddress := rule.At("match.config") != nil
	switch {
	case !slices.Contains(armorActions, action):
		return fmt.Errorf("action %q is not known", action)
	case limited != (rule.At("rateLimitOptions") != nil):
		return fmt.Errorf("rateLimitOptions go with throttle and rate_based_ban, and the action is %s", action)
	case limited && rule.Str("rateLimitOptions.conformAction") != "allow":
		return errors.New("rateLimitOptions.conformAction must be allow")
	case byAddress != (rule.Str("match.versionedExpr") == "SRC_IPS_V1"):
		return errors.New("match.config goes with versionedExpr SRC_IPS_V1")
	case byAddress == (rule.At("match.expr") != nil):
		return errors.New("match needs one of config and expr")
	}
	return nil
}
