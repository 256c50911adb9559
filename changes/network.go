package changes

import (
	"cmp"
	"maps"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// prefixes reads ranges of addresses: a list of them, of objects that have one, or an object with such a list.
func prefixes(value any) []netip.Prefix {
	var out []netip.Prefix
	switch value := value.(type) {
	case string:
		if value == everywhere {
			return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		}
		if address, err := netip.ParseAddr(value); err == nil {
			return []netip.Prefix{netip.PrefixFrom(address, address.BitLen())}
		}
		if prefix, err := netip.ParsePrefix(value); err == nil {
			out = append(out, prefix.Masked())
		}
	case []any:
		for _, item := range value {
			out = append(out, prefixes(item)...)
		}
	case map[string]any:
		for _, key := range []string{"cidrBlock", "cidrBlocks", "value", "cidr"} {
			out = append(out, prefixes(value[key])...)
		}
	}
	return out
}

// covers says whether every address of b is in one of a's ranges.
func covers(a, b []netip.Prefix) bool {
	for _, inner := range b {
		if !slices.ContainsFunc(a, func(outer netip.Prefix) bool { return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr()) }) {
			return false
		}
	}
	return true
}

// knownLater says whether something of a value is known only when the change is made.
func knownLater(value any) bool {
	switch value := value.(type) {
	case []any:
		return slices.ContainsFunc(value, knownLater)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(value)), knownLater)
	}
	return isUnknown(value)
}

// perhaps is a move of values of which some may be known later: what is not wider by those that are known may be so by the others.
func perhaps(m move, values ...any) move {
	if m != weaker && slices.ContainsFunc(values, knownLater) {
		return unclear
	}
	return m
}

// addresses is for ranges that are let in. Where there is no such list at all, as of a control plane, everybody is.
func addresses(was, is any) move {
	switch {
	case isUnknown(is):
		return unclear
	case (was == nil) != (is == nil):
		return between(is == nil, was == nil)
	}
	return perhaps(between(!covers(prefixes(was), prefixes(is)), !covers(prefixes(is), prefixes(was))), is)
}

// names are those that pods may reach.
func names(was, is any) move {
	read := func(policy any) []string {
		var out []string
		for _, rule := range list(lookup(policy, "spec.egress")) {
			for _, match := range combinations(rule, "matches", "ports") {
				out = append(out, text(lookup(policy, "spec.podSelector"))+match)
			}
		}
		return out
	}
	return perhaps(allowed(read(was), read(is)), lookup(is, "spec.egress"), lookup(is, "spec.podSelector"))
}

// reach is what a rule of a firewall or of a network policy is about: addresses, or others by their labels, at a port.
type reach struct {
	from   []netip.Prefix // of addresses
	except []netip.Prefix
	others string // those who are named otherwise; empty where addresses are meant, and * where all are
	port   string // and protocol; * where all are
	of     string // the protocol, which is a port of its own where all of its ports are meant
}

// within says whether all that r reaches is reached by a wider one.
func (r reach) within(wider reach) bool {
	switch {
	case wider.port != everywhere && wider.port != r.port && wider.port != r.of:
		return false
	case wider.others == everywhere:
		return true
	case wider.others != r.others:
		return false
	}
	for _, except := range wider.except {
		if slices.ContainsFunc(r.from, except.Overlaps) && !covers(r.except, []netip.Prefix{except}) {
			return false
		}
	}
	return covers(wider.from, r.from)
}

func reaches(was, is []reach) move {
	all := func(of, in []reach) bool {
		for _, r := range of {
			if !slices.ContainsFunc(in, r.within) {
				return false
			}
		}
		return true
	}
	return between(!all(is, was), !all(was, is))
}

// isolated compares what a network policy lets through. One that goes takes its isolation with it. What a new one lets through is added to what others of the
// same pods do: only one that lets nothing through is sure to be tighter.
func isolated(was, is any) move {
	switch {
	case is == nil:
		return weaker
	case was == nil:
		opens := slices.ContainsFunc([]string{"ingress", "egress"}, func(direction string) bool {
			return isolates(is, direction) && len(list(lookup(is, "spec."+direction))) > 0
		})
		return perhaps(between(opens, true), lookup(is, "spec"))
	}
	if !reflect.DeepEqual(lookup(was, "spec.podSelector"), lookup(is, "spec.podSelector")) {
		return weaker // it holds for other pods
	}
	gained, lost := false, false
	for direction, end := range map[string]string{"ingress": "from", "egress": "to"} {
		m := reaches(lets(was, direction, end), lets(is, direction, end))
		gained, lost = gained || m == weaker, lost || m == tighter
	}
	return perhaps(between(gained, lost), lookup(is, "spec"))
}

// isolates says whether pods reach, or are reached by, nothing but what a policy lets through. One that does not say it decides who reaches its pods, and what
// they reach where it has rules for that.
func isolates(policy any, direction string) bool {
	if len(list(lookup(policy, "spec.policyTypes"))) == 0 {
		return direction == "ingress" || len(list(lookup(policy, "spec."+direction))) > 0
	}
	return slices.ContainsFunc(items(lookup(policy, "spec.policyTypes")), func(kind string) bool { return strings.EqualFold(kind, strconv.Quote(direction)) })
}

func lets(policy any, direction, end string) []reach {
	if !isolates(policy, direction) {
		return []reach{{others: everywhere, port: everywhere}}
	}
	var out []reach
	for _, rule := range list(lookup(policy, "spec."+direction)) {
		ports := items(lookup(rule, "ports"))
		if len(ports) == 0 {
			ports = []string{everywhere}
		}
		peers := list(lookup(rule, end))
		for _, port := range ports {
			for _, peer := range peers {
				r := reach{port: port}
				if block := lookup(peer, "ipBlock"); block != nil {
					r.from, r.except = prefixes(block), prefixes(lookup(block, "except"))
				} else {
					r.others = text(peer)
				}
				out = append(out, r)
			}
			if len(peers) == 0 {
				out = append(out, reach{others: everywhere, port: port})
			}
		}
	}
	return out
}

// firewalled compares rules of a firewall that deny, or that allow.
func firewalled(denies bool) func(was, is any) move {
	read := func(rule any) []reach {
		if rule == nil || truth(lookup(rule, "disabled")) {
			return nil
		}
		key := "allows"
		if denies {
			key = "denies"
		}
		var out []reach
		for _, what := range list(lookup(rule, key)) {
			protocol := text(lookup(what, "protocol"))
			ports := items(lookup(what, "ports"))
			if len(ports) == 0 {
				ports = []string{""}
			}
			for _, port := range ports {
				at := protocol + port
				if protocol == `"all"` {
					at = everywhere
				}
				others := ""
				if lookup(rule, "sourceRanges") == nil && lookup(rule, "destinationRanges") == nil {
					others = text([]any{lookup(rule, "sourceTags"), lookup(rule, "sourceServiceAccounts")})
				}
				from := append(prefixes(lookup(rule, "sourceRanges")), prefixes(lookup(rule, "destinationRanges"))...)
				out = append(out, reach{from: from, others: others, port: at, of: protocol})
			}
		}
		return out
	}
	return func(was, is any) move {
		if was != nil && is != nil {
			for _, key := range []string{"direction", "targetTags", "targetServiceAccounts", "priority"} {
				if !reflect.DeepEqual(lookup(was, key), lookup(is, key)) {
					return weaker // it holds for others, or after other rules
				}
			}
		}
		m := reaches(read(was), read(is))
		if denies {
			m = reaches(read(is), read(was))
		}
		return perhaps(m, lookup(is, "sourceRanges"), lookup(is, "destinationRanges"), lookup(is, "allows"), lookup(is, "denies"))
	}
}

// armored compares rules of Cloud Armor: each of those that keep something out must be kept by one of now.
func armored(was, is any) move {
	if was == nil || is == nil {
		return fence(was, is)
	}
	before, now := limits(was), limits(is)
	const adaptive = "adaptiveProtectionConfig.layer7DdosDefenseConfig.enable"
	moves := []move{between(!keptBy(before, now), !keptBy(now, before)), on(lookup(was, adaptive), lookup(is, adaptive))}
	return perhaps(between(slices.Contains(moves, weaker), slices.Contains(moves, tighter)), lookup(is, "rules"))
}

// limit is a rule of Cloud Armor that keeps something out: all of it, or what is too much of it.
type limit struct {
	reach
	rate  float64 // that is let through; none where something is denied, and any where it is allowed
	how   string  // it is counted, or what is done with it
	first []limit // what is asked before, and lets more through
}

// limits reads the rules in the order in which they are asked, one for each range. One that only logs is none.
func limits(policy any) []limit {
	rules := slices.DeleteFunc(slices.Clone(list(lookup(policy, "rules"))), func(rule any) bool { return truth(lookup(rule, "preview")) })
	slices.SortStableFunc(rules, func(a, b any) int {
		first, _ := number(lookup(a, "priority"))
		second, _ := number(lookup(b, "priority"))
		return cmp.Compare(first, second)
	})
	var before, out []limit
	for _, rule := range rules {
		one := limit{rate: math.Inf(1)}
		switch action, _ := lookup(rule, "action").(string); {
		case hasPrefix(action, "deny"):
			one.rate = 0
		case action == "redirect":
			one.rate, one.how = math.SmallestNonzeroFloat64, text(lookup(rule, "redirectOptions"))
		case action != "allow": // as often as it says
			options := lookup(rule, "rateLimitOptions")
			one.how = text([]any{action, lookup(options, "enforceOnKey"), lookup(options, "enforceOnKeyConfigs"), lookup(options, "exceedAction")})
			count, counted := number(lookup(options, "rateLimitThreshold.count"))
			if counted && count > 0 {
				seconds, _ := number(lookup(options, "rateLimitThreshold.intervalSec"))
				one.rate = count / max(seconds, 1)
			}
		}
		for _, at := range armorReach(rule) {
			next := one
			next.reach = at
			for _, earlier := range before {
				if earlier.rate > next.rate && (earlier.others != "" || next.others != "" || slices.ContainsFunc(earlier.from, next.from[0].Overlaps)) {
					next.first = append(next.first, earlier)
				}
			}
			before = append(before, next)
			if !math.IsInf(next.rate, 1) {
				out = append(out, next)
			}
		}
	}
	return out
}

// armorReach is what a rule is about: each of its ranges, or what its expression says, which may be anything.
func armorReach(rule any) []reach {
	if expression := lookup(rule, "match.expr.expression"); expression != nil {
		return []reach{{others: text(expression), port: everywhere}}
	}
	ranges := lookup(rule, "match.config.srcIpRanges")
	if slices.Contains(items(ranges), text(everywhere)) {
		return []reach{{others: everywhere, port: everywhere}}
	}
	var out []reach
	for _, prefix := range prefixes(ranges) {
		out = append(out, reach{from: []netip.Prefix{prefix}, port: everywhere})
	}
	return out
}

// keptBy says whether all that limits keep out is kept out by others too.
func keptBy(of, by []limit) bool {
	return !slices.ContainsFunc(of, func(old limit) bool {
		return !slices.ContainsFunc(by, func(l limit) bool {
			// What is asked before it must not let through more than it did, or than this limit does.
			past := slices.ContainsFunc(l.first, func(earlier limit) bool {
				return earlier.rate > old.rate && !slices.ContainsFunc(old.first, func(was limit) bool {
					return earlier.within(was.reach) && earlier.rate <= was.rate && (earlier.how == was.how || earlier.rate == 0)
				})
			})
			return old.within(l.reach) && l.rate <= old.rate && (l.how == old.how || l.rate == 0) && !past
		})
	})
}
