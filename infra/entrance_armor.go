package infra

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

// Armor is the Cloud Armor policy in front of the application. It is asked before the login is.
type Armor struct {
	RequestsPerMinute  int      // of one client address; more get 429
	AllowedRanges      []string // address ranges that may connect; all where empty
	DeniedRanges       []string
	AdaptiveProtection bool
	WAFRules           []string // preconfigured rule sets, e.g. sqli-v33-stable
	EnforceWAF         bool     // refuse what they find; only log it otherwise
}

// Priorities of the rules. The lowest number that matches decides, and the last one matches everything.
const (
	denyPriority     = 1000
	wafPriority      = 2000
	throttlePriority = 10000
	defaultPriority  = 2147483647
)

// rangesPerRule is Cloud Armor's limit for a rule on source addresses.
const rangesPerRule = 10

// everyAddress is how Cloud Armor writes it.
var everyAddress = []string{"*"}

func (c *Entrance) newArmor(ctx *pulumi.Context, name string, args *EntranceArgs) (*compute.SecurityPolicy, error) {
	return compute.NewSecurityPolicy(ctx, name+"-armor", &compute.SecurityPolicyArgs{
		Description: pulumi.String("In front of " + args.Host),
		Type:        pulumi.String("CLOUD_ARMOR"),
		Rules:       args.Armor.rules(),
		AdaptiveProtectionConfig: &compute.SecurityPolicyAdaptiveProtectionConfigArgs{
			Layer7DdosDefenseConfig: &compute.SecurityPolicyAdaptiveProtectionConfigLayer7DdosDefenseConfigArgs{
				Enable: pulumi.Bool(args.Armor.AdaptiveProtection),
			},
		},
	}, component.Child(c)...)
}

// rules come in the order in which Cloud Armor asks them: denied addresses, preconfigured rule sets, the limit for allowed addresses, and the default.
func (a Armor) rules() compute.SecurityPolicyRuleTypeArray {
	var rules compute.SecurityPolicyRuleTypeArray
	for i, ranges := range slices.Collect(slices.Chunk(a.DeniedRanges, rangesPerRule)) {
		rules = append(rules, &compute.SecurityPolicyRuleTypeArgs{
			Description: pulumi.String("Denied addresses"), Priority: pulumi.Int(denyPriority + i), Action: pulumi.String("deny(403)"),
			Match: fromAddresses(ranges), Preview: pulumi.Bool(false),
		})
	}
	for i, rule := range a.WAFRules {
		rules = append(rules, &compute.SecurityPolicyRuleTypeArgs{
			Description: pulumi.String("Preconfigured rule set " + rule), Priority: pulumi.Int(wafPriority + i), Action: pulumi.String("deny(403)"),
			Match: &compute.SecurityPolicyRuleMatchArgs{Expr: &compute.SecurityPolicyRuleMatchExprArgs{
				Expression: pulumi.String(fmt.Sprintf("evaluatePreconfiguredWaf('%s', {'sensitivity': 1})", rule)),
			}},
			Preview: pulumi.Bool(!a.EnforceWAF), // in preview, a rule logs what it would have done
		})
	}
	clients, others := a.AllowedRanges, "deny(403)"
	if len(clients) == 0 {
		clients, others = everyAddress, "allow"
	}
	for i, ranges := range slices.Collect(slices.Chunk(clients, rangesPerRule)) {
		rules = append(rules, &compute.SecurityPolicyRuleTypeArgs{
			Description: pulumi.String("Limit of each address"), Priority: pulumi.Int(throttlePriority + i), Action: pulumi.String("throttle"),
			Match: fromAddresses(ranges), Preview: pulumi.Bool(false),
			RateLimitOptions: &compute.SecurityPolicyRuleRateLimitOptionsArgs{
				ConformAction: pulumi.String("allow"), ExceedAction: pulumi.String("deny(429)"), EnforceOnKey: pulumi.String("IP"),
				RateLimitThreshold: &compute.SecurityPolicyRuleRateLimitOptionsRateLimitThresholdArgs{
					Count: pulumi.Int(a.RequestsPerMinute), IntervalSec: pulumi.Int(60),
				},
			},
		})
	}
	return append(rules, &compute.SecurityPolicyRuleTypeArgs{
		Description: pulumi.String("Everyone else"), Priority: pulumi.Int(defaultPriority), Action: pulumi.String(others),
		Match: fromAddresses(everyAddress), Preview: pulumi.Bool(false),
	})
}

func fromAddresses(ranges []string) *compute.SecurityPolicyRuleMatchArgs {
	return &compute.SecurityPolicyRuleMatchArgs{
		VersionedExpr: pulumi.String("SRC_IPS_V1"),
		Config:        &compute.SecurityPolicyRuleMatchConfigArgs{SrcIpRanges: pulumi.ToStringArray(ranges)},
	}
}
