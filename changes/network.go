package changes

import (
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

// addresses is for ranges that are let in. Where there is no such list at all, as of a control plane, everybody is.
func addresses(was, is any) move {
	switch {
	case isUnknown(is):
		return unclear
	case (was == nil) != (is == nil):
		return between(is == nil, was == nil)
	}
	return between(!covers(prefixes(was), prefixes(is)), !covers(prefixes(is), prefixes(was)))
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
	return allowed(read(was), read(is))
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

// isolated compares what a network policy lets through. Without one, everything is: a policy that goes takes the isolation with it.
func isolated(was, is any) move {
	if was == nil || is == nil {
		return fence(was, is)
	}
	if !reflect.DeepEqual(lookup(was, "spec.podSelector"), lookup(is, "spec.podSelector")) {
		return weaker // it holds for other pods
	}
	gained, lost := false, false
	for direction, end := range map[string]string{"ingress": "from", "egress": "to"} {
		m := reaches(lets(was, direction, end), lets(is, direction, end))
		gained, lost = gained || m == weaker, lost || m == tighter
	}
	return between(gained, lost)
}

func lets(policy any, direction, end string) []reach {
	isolates := slices.ContainsFunc(items(lookup(policy, "spec.policyTypes")), func(kind string) bool { return strings.EqualFold(kind, strconv.Quote(direction)) })
	if !isolates {
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
		if denies {
			return reaches(read(is), read(was))
		}
		return reaches(read(was), read(is))
	}
}

// armored compares rules of Cloud Armor.
func armored(was, is any) move {
	if was == nil || is == nil {
		return fence(was, is)
	}
	before, now := readArmor(was), readArmor(is)
	moves := []move{
		reaches(now.denied, before.denied), reaches(before.allowed, now.allowed), allowed(now.expressions, before.expressions),
		between(now.limit > before.limit, now.limit < before.limit), between(before.others != now.others && before.others != "allow", now.others != before.others),
		on(lookup(was, "adaptiveProtectionConfig.layer7DdosDefenseConfig.enable"), lookup(is, "adaptiveProtectionConfig.layer7DdosDefenseConfig.enable")),
	}
	return between(slices.Contains(moves, weaker), slices.Contains(moves, tighter))
}

type armorRules struct {
	denied, allowed []reach
	expressions     []string // that are denied, and not only logged
	others          string   // what happens to everyone else
	limit           float64  // the largest
}

func readArmor(policy any) armorRules {
	var out armorRules
	for _, rule := range list(lookup(policy, "rules")) {
		action, _ := lookup(rule, "action").(string)
		enforced := !truth(lookup(rule, "preview"))
		priority, _ := number(lookup(rule, "priority"))
		at := reach{from: prefixes(lookup(rule, "match.config.srcIpRanges")), port: everywhere}
		expression := lookup(rule, "match.expr.expression")
		switch {
		case priority == 2147483647:
			out.others = action
		case hasPrefix(action, "deny") && enforced && expression != nil:
			out.expressions = append(out.expressions, text(expression))
		case hasPrefix(action, "deny") && enforced:
			out.denied = append(out.denied, at)
		case !hasPrefix(action, "deny"):
			out.allowed = append(out.allowed, at)
			limit, _ := number(lookup(rule, "rateLimitOptions.rateLimitThreshold.count"))
			out.limit = max(out.limit, limit)
		}
	}
	return out
}
