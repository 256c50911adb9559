package changes

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// move is which way a guard moves.
type move int

const (
	still   move = iota
	weaker       // more is allowed, or less kept safe
	tighter      // the other way round
	unclear      // a value is known only when the change is made
)

// unknown stands in the engine's answers for a value that is known only when the change is made.
const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

func isUnknown(value any) bool {
	text, ok := value.(string)
	return ok && text == unknown
}

func hasPrefix(text, prefix string) bool { return strings.HasPrefix(text, prefix) }

// part is one step of a path, such as spec.containers[0].env or labels["a.b/c"].
var part = regexp.MustCompile(`\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|[^.\[\]]+`)

// lookup returns what is at a path of inputs; nil where there is nothing, or what is not known above it.
func lookup(inputs any, path string) any {
	for _, match := range part.FindAllStringSubmatch(path, -1) {
		if isUnknown(inputs) {
			return inputs
		}
		key, quoted, index := match[0], match[1], match[2]
		if index != "" {
			list, _ := inputs.([]any)
			if i, err := strconv.Atoi(index); err == nil && i < len(list) {
				inputs = list[i]
			} else {
				inputs = nil
			}
			continue
		}
		if strings.HasPrefix(key, "[") {
			key = strings.ReplaceAll(quoted, `\"`, `"`)
		}
		object, _ := inputs.(map[string]any)
		inputs = object[key]
	}
	return inputs
}

// between is the move of what may only be made larger or smaller: gained and lost say which.
func between(gained, lost bool) move {
	switch {
	case gained:
		return weaker
	case lost:
		return tighter
	}
	return still
}

// grant is for a resource that gives somebody something.
func grant(was, is any) move {
	switch {
	case was == nil:
		return weaker
	case is == nil:
		return tighter
	}
	for _, key := range []string{
		"member", "role", "condition", "serviceAccountId", "repository", "project", "cryptoKeyId", "oidc", "attributeCondition", "attributeMapping",
	} {
		if !reflect.DeepEqual(lookup(was, key), lookup(is, key)) && !isUnknown(lookup(is, key)) {
			return weaker // somebody else, something else, or somewhere else
		}
	}
	return still
}

// fence is for a resource that keeps something out: it is missed when it is gone.
func fence(was, is any) move { return between(is == nil, was == nil) }

// present is for a value that has to be there.
func present(was, is any) move { return between(was != nil && is == nil, was == nil && is != nil) }

func truth(value any) bool { return strings.EqualFold(fmt.Sprint(value), "true") }

// on is for a switch that has to be on, and off for one that has to be off or not there.
func on(was, is any) move {
	if isUnknown(is) {
		return unclear
	}
	return between(truth(was) && !truth(is), !truth(was) && truth(is))
}

func off(was, is any) move {
	if isUnknown(is) {
		return unclear
	}
	return on(!truth(was), !truth(is))
}

// declined is for a switch that is on where nothing is said, and has to be off.
func declined(was, is any) move {
	if isUnknown(is) {
		return unclear
	}
	return on(was == false || was == "false", is == false || is == "false")
}

func differs(was, is any) move { return between(!reflect.DeepEqual(was, is), false) }

// least is for levels, the weakest first. What is not among them is below them all.
func least(levels ...string) func(was, is any) move {
	at := func(value any) int {
		text, _ := value.(string)
		return slices.Index(levels, text)
	}
	return func(was, is any) move {
		if isUnknown(is) {
			return unclear
		}
		return between(at(is) < at(was), at(is) > at(was))
	}
}

// items are those of a list, each as text, so that they can be compared.
func items(value any) []string {
	list, _ := value.([]any)
	out := make([]string, 0, len(list))
	for _, item := range list {
		out = append(out, text(item))
	}
	return out
}

func text(value any) string {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(raw)
}

// lacks says whether something of b is not in a.
func lacks(a, b []string) bool {
	return slices.ContainsFunc(b, func(item string) bool { return !slices.Contains(a, item) })
}

// more is for a list whose entries allow something, and fewer for one whose entries forbid something, or record it.
func more(was, is any) move { return perhaps(allowed(items(was), items(is)), is) }

func fewer(was, is any) move { return allowed(items(is), items(was)) }

func allowed(was, is []string) move { return between(lacks(was, is), lacks(is, was)) }

// denies is for what is done with what a rule finds.
func denies(was, is any) move {
	before, now := slices.Contains(items(was), `"Deny"`), slices.Contains(items(is), `"Deny"`)
	return between(before && !now, !before && now)
}

// number reads an amount, such as 3, "20" or "64Gi".
func number(value any) (float64, bool) {
	raw := fmt.Sprint(value)
	digits := strings.TrimRightFunc(raw, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	n, err := strconv.ParseFloat(digits, 64)
	factor, known := map[string]float64{
		"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
	}[raw[len(digits):]]
	return n * factor, err == nil && known
}

// smaller is for an amount that keeps something, such as how many backups there are.
func smaller(was, is any) move {
	if isUnknown(is) {
		return unclear
	}
	before, _ := number(was)
	now, _ := number(is)
	return between(now < before, now > before)
}

// larger is for amounts that limit something. One that is gone limits nothing.
func larger(was, is any) move {
	before, _ := was.(map[string]any)
	now, _ := is.(map[string]any)
	gained, lost := false, false
	for name, old := range before {
		limit, ok := number(now[name])
		from, _ := number(old)
		gained = gained || !ok || limit > from
		lost = lost || ok && limit < from
	}
	for name := range now {
		lost = lost || before[name] == nil
	}
	return between(gained, lost)
}

// everywhere is how Cloud Armor writes all addresses.
const everywhere = "*"

// bindings are those of an IAM policy, written as JSON.
func bindings(was, is any) move {
	read := func(value any) ([]string, bool) {
		var policy struct {
			Bindings []struct {
				Role      string
				Members   []string
				Condition any
			}
		}
		raw, _ := value.(string)
		if json.Unmarshal([]byte(raw), &policy) != nil {
			return nil, false
		}
		var out []string
		for _, b := range policy.Bindings {
			for _, member := range b.Members {
				out = append(out, text([]any{b.Role, member, b.Condition}))
			}
		}
		return out, true
	}
	before, _ := read(was)
	now, ok := read(is)
	if !ok {
		return unclear
	}
	return allowed(before, now)
}

// combinations are all that lists of a rule allow together. A list that is not there counts as one entry.
func combinations(rule any, keys ...string) []string {
	out := []string{""}
	for _, key := range keys {
		list := items(lookup(rule, key))
		if len(list) == 0 {
			list = []string{""}
		}
		var next []string
		for _, begin := range out {
			for _, item := range list {
				next = append(next, begin+" "+item)
			}
		}
		out = next
	}
	return out
}

func list(value any) []any {
	out, _ := value.([]any)
	return out
}

// rules are those of a role in the cluster.
func rules(was, is any) move {
	read := func(role any) []string {
		var out []string
		for _, rule := range list(lookup(role, "rules")) {
			out = append(out, combinations(rule, "apiGroups", "resources", "resourceNames", "verbs", "nonResourceURLs")...)
		}
		return out
	}
	return allowed(read(was), read(is))
}

// subjects are those who have a role in the cluster.
func subjects(was, is any) move {
	if was != nil && is != nil && !reflect.DeepEqual(lookup(was, "roleRef"), lookup(is, "roleRef")) {
		return weaker
	}
	return more(lookup(was, "subjects"), lookup(is, "subjects"))
}

// privileges compares what a pod may do to its node, or to the cluster.
func privileges(was, is any) move { return allowed(powers(was), powers(is)) }

func powers(pod any) []string {
	var out []string
	add := func(what string, has bool) {
		if has {
			out = append(out, what)
		}
	}
	add("no gVisor", lookup(pod, "runtimeClassName") == nil)
	add("a token", lookup(pod, "automountServiceAccountToken") == nil || truth(lookup(pod, "automountServiceAccountToken")))
	add("account "+fmt.Sprint(lookup(pod, "serviceAccountName")), lookup(pod, "serviceAccountName") != nil && !isUnknown(lookup(pod, "serviceAccountName")))
	for _, key := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		add(key, truth(lookup(pod, key)))
	}
	for _, volume := range list(lookup(pod, "volumes")) {
		add("host path "+text(volume), lookup(volume, "hostPath") != nil)
	}
	for _, containers := range []string{"containers", "initContainers"} {
		for _, c := range list(lookup(pod, containers)) {
			name := fmt.Sprint(lookup(c, "name"), " ")
			add(name+"privileged", truth(lookup(c, "securityContext.privileged")))
			add(name+"escalation", fmt.Sprint(lookup(c, "securityContext.allowPrivilegeEscalation")) != "false")
			add(name+"root", !truth(lookup(c, "securityContext.runAsNonRoot")) && !truth(lookup(pod, "securityContext.runAsNonRoot")))
			add(name+"all capabilities", !slices.Contains(items(lookup(c, "securityContext.capabilities.drop")), `"ALL"`))
			add(name+"writes its image", !truth(lookup(c, "securityContext.readOnlyRootFilesystem")))
			for _, capability := range items(lookup(c, "securityContext.capabilities.add")) {
				add(name+capability, true)
			}
		}
	}
	return out
}

// rewritten is for files. Of a list of the door's, what is not on it any more is let in no more; all else that is another than before has to be read.
func rewritten(was, is any) move {
	gained, lost := false, false
	before, _ := was.(map[string]any)
	now, _ := is.(map[string]any)
	for name, content := range now {
		if !isUnknown(content) {
			m := allowed(entries(before[name]), entries(content))
			gained, lost = gained || m == weaker, lost || m == tighter
		}
	}
	for name := range before {
		gained = gained || now[name] == nil && !isUnknown(is)
	}
	return perhaps(between(gained, lost), is)
}

// entries are those of a file of the door's that lists virtual hosts, or clusters, and all else that is in it; of another file, all that is in it, as one.
func entries(content any) []string {
	raw, _ := content.(string)
	var file map[string]any
	if json.Unmarshal([]byte(raw), &file) != nil || file["resources"] == nil {
		return []string{text(content)}
	}
	var out []string
	for _, one := range list(file["resources"]) {
		if object, ok := one.(map[string]any); ok {
			for _, host := range list(object["virtual_hosts"]) {
				out = append(out, text(host))
			}
			delete(object, "virtual_hosts")
		}
		out = append(out, text(one))
	}
	delete(file, "resources")
	return append(out, text(file))
}

// outside compares which interfaces of a machine have a public address.
func outside(was, is any) move {
	count := func(value any) (n int) {
		for _, one := range list(value) {
			n += len(list(lookup(one, "accessConfigs")))
		}
		return n
	}
	return between(count(is) > count(was), count(is) < count(was))
}
