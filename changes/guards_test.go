package changes

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGuards compares inputs of before and after. What is wider one way is narrower the other way, or nothing is said of it.
func TestGuards(t *testing.T) {
	armorOf := func(rules string) string { return `{"rules":[` + rules + `]}` }
	const (
		every    = `{"priority":2147483647,"action":"allow","match":{"config":{"srcIpRanges":["*"]}}}`
		noOthers = `{"priority":2147483647,"action":"deny(403)","match":{"config":{"srcIpRanges":["*"]}}}`
	)
	throttle := func(ranges, count string) string {
		return `{"priority":10000,"action":"throttle","match":{"config":{"srcIpRanges":["` + ranges + `"]}},` +
			`"rateLimitOptions":{"rateLimitThreshold":{"count":` + count + `}}},`
	}
	deny := func(ranges string) string {
		return `{"priority":1000,"action":"deny(403)","match":{"config":{"srcIpRanges":["` + ranges + `"]}}},`
	}
	allow := func(priority int, ranges string) string {
		return fmt.Sprintf(`{"priority":%d,"action":"allow","match":{"config":{"srcIpRanges":["%s"]}}},`, priority, ranges)
	}
	waf := func(preview string) string {
		return `{"priority":2000,"action":"deny(403)","preview":` + preview + `,"match":{"expr":{"expression":"evaluatePreconfiguredWaf('sqli')"}}},`
	}
	policy := func(egress string) string {
		return `{"spec":{"podSelector":{},"policyTypes":["Egress"],"egress":` + egress + `}}`
	}
	pod := func(spec string) string { return `{"spec":{"template":{"spec":` + spec + `}}}` }
	for what, test := range map[string]struct {
		typ, tight, wide string // inputs as JSON; empty where there is no resource
		says             string // when tight becomes wide
	}{
		"a member":               {login, "", `{"member":"user:a"}`, "somebody more may log in"},
		"all users":              {login, "", `{"member":"allUsers"}`, "everybody on the internet"},
		"everybody with a login": {login, "", `{"member":"allAuthenticatedUsers"}`, "everybody with a Google account"},
		"a domain":               {login, "", `{"member":"domain:example.com"}`, "everybody of a whole domain"},
		"a role":                 {projectMember, "", `{"member":"user:a","role":"roles/owner"}`, "gets a role in the project"},
		"an account":             {"gcp:serviceaccount/iAMMember:IAMMember", "", `{"member":"user:a"}`, "may act as an account"},
		"a key":                  {"gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember", "", `{"member":"user:a"}`, "may use the key"},
		"other jobs":             {"gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider", "", `{"attributeCondition":"true"}`, "which jobs on GitHub"},
		"a custom role":          {"gcp:projects/iAMCustomRole:IAMCustomRole", `{"permissions":["a"]}`, `{"permissions":["a","b"]}`, "allows more"},
		"a reader of the files": {"gcp:storage/bucketIAMPolicy:BucketIAMPolicy",
			`{"policyData":"{\"bindings\":[{\"role\":\"r\",\"members\":[\"user:a\"]}]}"}`,
			`{"policyData":"{\"bindings\":[{\"role\":\"r\",\"members\":[\"user:a\",\"allUsers\"]}]}"}`, "may reach the files",
		},
		"a rule of a role": {"kubernetes:rbac.authorization.k8s.io/v1:Role", `{"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}`,
			`{"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get","create"]}]}`, "a role in the cluster allows more",
		},
		"a subject": {"kubernetes:rbac.authorization.k8s.io/v1:RoleBinding", `{"subjects":[]}`, `{"subjects":[{"name":"a"}]}`,
			"gets a role in the cluster",
		},
		"no login": {backend, `{"spec":{"default":{"iap":{"enabled":true}}}}`, `{"spec":{"default":{"iap":{"enabled":false}}}}`,
			"nobody has to log in",
		},
		"no login at all":          {backend, `{"spec":{"default":{"iap":{"enabled":true}}}}`, `{"spec":{"default":{}}}`, "nobody has to log in"},
		"no policy of the backend": {backend, `{"spec":{"default":{"iap":{"enabled":true}}}}`, "", "nothing asks for Google's login"},
		"no Armor":                 {backend, `{"spec":{"default":{"securityPolicy":"a"}}}`, `{"spec":{"default":{}}}`, "Cloud Armor is not asked"},
		"a range of Armor": {armor, armorOf(throttle("10.0.0.0/24", "60") + noOthers), armorOf(throttle("10.0.0.0/8", "60") + noOthers),
			"lets through more",
		},
		"everybody past Armor":   {armor, armorOf(throttle("10.0.0.0/24", "60") + noOthers), armorOf(throttle("*", "60") + every), "lets through more"},
		"a limit of Armor":       {armor, armorOf(throttle("*", "60") + every), armorOf(throttle("*", "600") + every), "lets through more"},
		"a denied range":         {armor, armorOf(deny("198.51.100.0/24") + every), armorOf(every), "lets through more"},
		"a smaller denied range": {armor, armorOf(deny("198.51.100.0/24") + every), armorOf(deny("198.51.100.0/25") + every), "lets through more"},
		"a rule that only logs":  {armor, armorOf(waf("false") + every), armorOf(waf("true") + every), "lets through more"},
		"of denied ranges in two rules, the first": {armor, armorOf(deny("198.51.100.0/24") + strings.Replace(deny("203.0.113.0/24"), "1000", "1001", 1) + every),
			armorOf(deny("203.0.113.0/24") + every), "lets through more",
		},
		"no limit of Armor": {armor, armorOf(throttle("*", "60") + every), armorOf(allow(10000, "*") + every), "lets through more"},
		"its limit goes": {armor, armorOf(throttle("10.0.0.0/24", "60") + allow(20000, "*") + every),
			armorOf(allow(20000, "*") + every), "lets through more"},
		"everybody by an expression": {armor, armorOf(throttle("10.0.0.0/24", "60") + noOthers),
			armorOf(`{"priority":1,"action":"allow","match":{"expr":{"expression":"true"}}},` + throttle("10.0.0.0/24", "60") + noOthers), "lets through more",
		},
		"past a denied range": {armor, armorOf(deny("198.51.100.0/24") + every), armorOf(allow(1, "198.51.100.9") + deny("198.51.100.0/24") + every),
			"lets through more",
		},
		"another order": {armor, armorOf(deny("198.51.100.0/24") + allow(2000, "198.51.100.0/25") + every),
			armorOf(allow(900, "198.51.100.0/25") + deny("198.51.100.0/24") + every), "lets through more",
		},
		"past the preconfigured rules": {armor, armorOf(waf("false") + throttle("*", "60") + every),
			armorOf(strings.Replace(throttle("*", "60"), "10000", "1500", 1) + waf("false") + every), "lets through more",
		},
		"a limit of all together": {armor, armorOf(strings.Replace(throttle("*", "60"), `{"rate`, `{"enforceOnKey":"ALL","rate`, 1) + every),
			armorOf(every), "lets through more",
		},
		"an old TLS":        {"gcp:compute/sSLPolicy:SSLPolicy", `{"minTlsVersion":"TLS_1_2"}`, `{"minTlsVersion":"TLS_1_0"}`, "older versions of TLS"},
		"a Service outside": {"kubernetes:core/v1:Service", `{"spec":{"type":"ClusterIP"}}`, `{"spec":{"type":"LoadBalancer"}}`, "reached from outside"},
		"a range of the firewall": {firewall, `{"sourceRanges":["10.0.0.0/24"],"allows":[{"protocol":"tcp","ports":["22"]}]}`,
			`{"sourceRanges":["10.0.0.0/8"],"allows":[{"protocol":"tcp","ports":["22"]}]}`, "lets more through",
		},
		"a port of the firewall": {firewall, `{"sourceRanges":["10.0.0.0/24"],"allows":[{"protocol":"tcp","ports":["22"]}]}`,
			`{"sourceRanges":["10.0.0.0/24"],"allows":[{"protocol":"tcp"}]}`, "lets more through",
		},
		"a rule of the firewall": {firewall, "", `{"sourceRanges":["10.0.0.0/24"],"allows":[{"protocol":"tcp","ports":["22"]}]}`, "lets more through"},
		"all protocols": {firewall, `{"sourceRanges":["10.0.0.0/24"],"allows":[{"protocol":"tcp"}]}`,
			`{"sourceRanges":["10.0.0.0/24"],"allows":[{"protocol":"all"}]}`, "lets more through",
		},
		"a rule that denies": {firewall, `{"sourceRanges":["0.0.0.0/0"],"denies":[{"protocol":"all"}]}`, "", "denies less"},
		"it is switched off": {firewall, `{"sourceRanges":["0.0.0.0/0"],"denies":[{"protocol":"all"}]}`,
			`{"sourceRanges":["0.0.0.0/0"],"disabled":true,"denies":[{"protocol":"all"}]}`, "denies less",
		},
		"the control plane": {cluster, `{"masterAuthorizedNetworksConfig":{"cidrBlocks":[{"cidrBlock":"10.0.0.0/24"}]}}`,
			`{"masterAuthorizedNetworksConfig":{"cidrBlocks":[{"cidrBlock":"10.0.0.0/8"}]}}`, "from more addresses",
		},
		"the whole control plane": {cluster, `{"masterAuthorizedNetworksConfig":{"cidrBlocks":[]}}`, `{}`, "from more addresses"},
		"public nodes":            {cluster, `{"privateClusterConfig":{"enablePrivateNodes":true}}`, `{"privateClusterConfig":{}}`, "nodes get public addresses"},
		"a deletable cluster":     {cluster, `{"deletionProtection":true}`, `{"deletionProtection":false}`, "does not refuse any more to delete"},
		"a pool without gVisor":   {nodePool, `{"nodeConfig":{"sandboxConfig":{"sandboxType":"gvisor"}}}`, `{"nodeConfig":{}}`, "not kept in gVisor"},
		"an address": {networkPolicy, policy(`[{"to":[{"ipBlock":{"cidr":"10.0.0.0/24"}}]}]`),
			policy(`[{"to":[{"ipBlock":{"cidr":"10.0.0.0/8"}}]}]`), "pods reach more",
		},
		"an exception": {networkPolicy, policy(`[{"to":[{"ipBlock":{"cidr":"0.0.0.0/0","except":["10.0.0.0/8"]}}]}]`),
			policy(`[{"to":[{"ipBlock":{"cidr":"0.0.0.0/0"}}]}]`), "pods reach more",
		},
		"less than all others": {networkPolicy, policy(`[{"to":[{"ipBlock":{"cidr":"160.0.0.0/8"}}]}]`),
			policy(`[{"to":[{"ipBlock":{"cidr":"0.0.0.0/0","except":["10.0.0.0/8"]}}]}]`), "pods reach more",
		},
		"a port":       {networkPolicy, policy(`[{"ports":[{"port":443}]}]`), policy(`[{"ports":[{"port":443},{"port":22}]}]`), "pods reach more"},
		"everybody":    {networkPolicy, policy(`[{"to":[{"podSelector":{}}]}]`), policy(`[{}]`), "pods reach more"},
		"no isolation": {networkPolicy, `{"spec":{"policyTypes":["Ingress","Egress"]}}`, `{"spec":{"policyTypes":["Ingress"]}}`, "pods reach more"},
		"a policy that has rules for one direction": {networkPolicy, `{"spec":{"ingress":[{"from":[{"podSelector":{}}]}]}}`, `{"spec":{"ingress":[{}]}}`,
			"pods reach more",
		},
		"no policy":                    {networkPolicy, policy(`[]`), "", "pods reach more"},
		"a policy more":                {networkPolicy, "", policy(`[{}]`), "pods reach more"},
		"a policy more without a type": {networkPolicy, "", `{"spec":{"podSelector":{},"ingress":[{}]}}`, "pods reach more"},
		"a name": {"kubernetes:networking.gke.io/v1alpha1:FQDNNetworkPolicy", `{"spec":{"egress":[{"matches":[{"name":"a"}]}]}}`,
			`{"spec":{"egress":[{"matches":[{"name":"a"},{"name":"b"}]}]}}`, "pods reach names",
		},
		"a validation": {admission, `{"spec":{"validations":[{"expression":"a"},{"expression":"b"}]}}`,
			`{"spec":{"validations":[{"expression":"a"}]}}`, "is gone or rewritten",
		},
		"no admission":  {admission, `{"spec":{}}`, "", "a rule of what is let in among the sandboxes is gone"},
		"it fails open": {admission, `{"spec":{"failurePolicy":"Fail"}}`, `{"spec":{"failurePolicy":"Ignore"}}`, "cannot judge"},
		"it does not deny": {admission + "Binding", `{"spec":{"validationActions":["Deny"]}}`, `{"spec":{"validationActions":["Audit"]}}`,
			"does not refuse any more",
		},
		"no gVisor": {mutation, `{"spec":{}}`, "", "not put into gVisor"},
		"pod security": {namespace, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"baseline"}}}`,
			`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`, "more of their node",
		},
		"no pod security": {namespace, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"baseline"}}}`, `{"metadata":{}}`,
			"more of their node",
		},
		"a quota": {"kubernetes:core/v1:ResourceQuota", `{"spec":{"hard":{"pods":"9","requests.memory":"900Mi"}}}`,
			`{"spec":{"hard":{"pods":"9","requests.memory":"1Gi"}}}`, "may have more at a time",
		},
		"no quota of pods": {"kubernetes:core/v1:ResourceQuota", `{"spec":{"hard":{"pods":"9"}}}`, `{"spec":{"hard":{}}}`, "may have more at a time"},
		"no runtime class": {statefulSet, pod(`{"runtimeClassName":"gvisor"}`), pod(`{}`), "an instance may do more"},
		"a privileged container": {deployment, pod(`{"containers":[{"name":"a"}]}`),
			pod(`{"containers":[{"name":"a","securityContext":{"privileged":true}}]}`), "pods may do more",
		},
		"the node's network": {deployment, pod(`{}`), pod(`{"hostNetwork":true}`), "pods may do more"},
		"a token":            {"kubernetes:core/v1:ServiceAccount", `{"automountServiceAccountToken":false}`, `{"automountServiceAccountToken":true}`, "get a token"},
		"a token by default": {"kubernetes:core/v1:ServiceAccountPatch", `{"automountServiceAccountToken":false}`, `{}`, "get a token"},
		"no patch":           {"kubernetes:core/v1:ServiceAccountPatch", `{"automountServiceAccountToken":false}`, "", "get a token"},
		"a public machine":   {machine, `{"networkInterfaces":[{}]}`, `{"networkInterfaces":[{"accessConfigs":[{}]}]}`, "public address"},
		"a public database": {database, `{"settings":{"ipConfiguration":{"ipv4Enabled":false}}}`,
			`{"settings":{"ipConfiguration":{"ipv4Enabled":true}}}`, "public address",
		},
		"no TLS": {database, `{"settings":{"ipConfiguration":{"sslMode":"ENCRYPTED_ONLY"}}}`, `{"settings":{"ipConfiguration":{}}}`,
			"without TLS",
		},
		"fewer backups": {database, `{"settings":{"backupConfiguration":{"backupRetentionSettings":{"retainedBackups":14}}}}`,
			`{"settings":{"backupConfiguration":{"backupRetentionSettings":{"retainedBackups":3}}}}`, "fewer backups",
		},
		"a new Service outside":  {"kubernetes:core/v1:Service", "", `{"spec":{"type":"LoadBalancer"}}`, "reached from outside"},
		"a new pod that is root": {deployment, "", pod(`{"containers":[{"name":"a","securityContext":{"privileged":true}}]}`), "pods may do more"},
		"a new job on its node": {"kubernetes:batch/v1:CronJob", "", `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"hostNetwork":true}}}}}}`,
			"pods may do more",
		},
		"a new instance without gVisor": {statefulSet, "", pod(`{"automountServiceAccountToken":false}`), "an instance may do more"},
		"a second machine": {machine, "", `{"networkInterfaces":[{"accessConfigs":[{}]}],"shieldedInstanceConfig":{"enableSecureBoot":true},` +
			`"metadata":{"enable-oslogin":"TRUE","block-project-ssh-keys":"TRUE"}}`, "public address",
		},
		"a new bucket":            {bucket, "", `{"uniformBucketLevelAccess":true}`, "made public"},
		"its readers":             {"gcp:storage/bucketIAMPolicy:BucketIAMPolicy", "", `{"policyData":"{\"bindings\":[{\"members\":[\"allUsers\"]}]}"}`, "may reach"},
		"a new namespace":         {namespace, "", `{"metadata":{"name":"a"}}`, "more of their node"},
		"a new public database":   {database, "", `{"settings":{"ipConfiguration":{"ipv4Enabled":true,"sslMode":"ENCRYPTED_ONLY"}}}`, "public address"},
		"public files":            {bucket, `{"publicAccessPrevention":"enforced"}`, `{"publicAccessPrevention":"inherited"}`, "made public"},
		"files are not kept":      {bucket, `{"versioning":{"enabled":true}}`, `{}`, "is gone"},
		"a bucket with its files": {bucket, `{"forceDestroy":false}`, `{"forceDestroy":true}`, "deletes its files"},
		"tags that move":          {repository, `{"dockerConfig":{"immutableTags":true}}`, `{"dockerConfig":{"immutableTags":false}}`, "may be moved"},
	} {
		t.Run(what, func(t *testing.T) {
			found := openings(t, test.typ, test.tight, test.wide)
			require.Len(t, found, 1)
			assert.Contains(t, found[0], test.says)
			if test.typ != networkPolicy || test.tight != "" { // a policy that goes may have been all that isolated its pods
				assert.Empty(t, openings(t, test.typ, test.wide, test.tight), "the other way round")
			}
			if test.wide != "" {
				assert.Empty(t, openings(t, test.typ, test.wide, test.wide), "no change")
			}
		})
	}
}

// TestSafeValuesAreOfGuards: one that no guard asks for says nothing.
func TestSafeValuesAreOfGuards(t *testing.T) {
	for key := range safe {
		assert.True(t, slices.ContainsFunc(guards, func(g guard) bool { return g.typ == key[0] && g.path == key[1] }), "%v", key)
	}
}

// openings are the effects of grade Open that a change of inputs has.
func openings(t *testing.T, typ, was, is string) (out []string) {
	t.Helper()
	for _, effect := range effectsOf(t, typ, was, is) {
		if effect.Grade == Open {
			out = append(out, effect.Text)
		}
	}
	return out
}

func effectsOf(t *testing.T, typ, was, is string) []Effect {
	t.Helper()
	c := Change{URN: "urn:pulumi:prod::openhands::" + typ + "::openhands-x", Type: typ, Op: Update}
	for _, side := range []struct {
		raw  string
		into *map[string]any
	}{{was, &c.Old}, {is, &c.New}} {
		if side.raw != "" {
			require.NoError(t, json.Unmarshal([]byte(side.raw), side.into))
		}
	}
	switch {
	case was == "":
		c.Op = Create
	case is == "":
		c.Op = Delete
	}
	return Effects([]Change{c})
}

// TestProgramsAndRulesAreRead: they are files, and what is written in them may be anything.
func TestProgramsAndRulesAreRead(t *testing.T) {
	file := func(name, content string) map[string]any {
		return map[string]any{"data": map[string]any{name: content}}
	}
	routes := func(hosts ...string) map[string]any {
		return file("public.json", `{"resources":[{"name":"public.json","virtual_hosts":[`+strings.Join(hosts, ",")+`]}]}`)
	}
	const ann, bob, other = `{"name":"ann","key":"/keys/ann"}`, `{"name":"bob","key":"/keys/bob"}`, `{"name":"bob","key":"/keys/ann"}`
	for what, test := range map[string]struct {
		name    string
		op      Op
		was, is map[string]any
		read    bool
	}{
		"another guard":         {"openhands-launcher", Update, file("guard.py", "a"), file("guard.py", "b"), true},
		"no guard":              {"openhands-launcher", Update, file("guard.py", "a"), file("launch.py", "a"), true},
		"the same one":          {"openhands-launcher", Replace, file("guard.py", "a"), file("guard.py", "a"), false},
		"another one, replaced": {"openhands-launcher", Replace, file("guard.py", "a"), file("guard.py", "b"), true},
		"a new one":             {"openhands-launcher", Create, nil, file("guard.py", "a"), true},
		"another door":          {"openhands-door", Update, file("envoy.json", "{}"), file("envoy.json", `{"a":1}`), true},
		"a host more":           {"openhands-door", Update, routes(ann), routes(ann, bob), true},
		"a host less":           {"openhands-door", Update, routes(ann, bob), routes(ann), false},
		"another's key":         {"openhands-door", Update, routes(ann, bob), routes(ann, other), true},
		"another cluster": {"openhands-door", Update, file("clusters.json", `{"resources":[{"name":"ann","at":"a"}]}`),
			file("clusters.json", `{"resources":[{"name":"ann","at":"b"}]}`), true},
		"known later":           {"openhands-door", Update, routes(ann), file("public.json", unknown), false},
		"what is beside a list": {"openhands-launcher", Update, file("release.json", `{"resources":[],"a":1}`), file("release.json", `{"resources":[],"a":2}`), true},
		"settings":              {"openhands-environment", Update, file("A", "a"), file("A", "b"), false},
	} {
		t.Run(what, func(t *testing.T) {
			c := change(configMap, test.name, test.op, "data")
			c.Old, c.New = test.was, test.is
			assert.Equal(t, test.read, slices.ContainsFunc(Effects([]Change{c}), func(e Effect) bool {
				return e.Grade == Open && strings.HasPrefix(e.Text, "what keeps people's keys, or the door, is rewritten")
			}))
		})
	}
}

// TestANewClusterIsAsSafe: what is made anew in another cluster may be made less safe, or left out.
func TestANewClusterIsAsSafe(t *testing.T) {
	const label = "pod-security.kubernetes.io/enforce"
	labelled := func(level string) map[string]any {
		return map[string]any{"metadata": map[string]any{"labels": map[string]any{label: level}}}
	}
	anew := func(typ string, op Op, was, is map[string]any) Change {
		c := change(typ, "openhands-x", op)
		c.Old, c.New = was, is
		return c
	}
	for what, test := range map[string]struct {
		cluster Op
		inside  Change
		says    string // an effect of grade Open; none where empty
	}{
		"the same":        {Replace, anew(namespace, Replace, labelled("baseline"), labelled("baseline")), ""},
		"weaker":          {Replace, anew(namespace, Replace, labelled("baseline"), labelled("privileged")), "more of their node"},
		"left out":        {Replace, anew(admission, Delete, map[string]any{}, nil), "let in among the sandboxes is gone"},
		"an unknown type": {Replace, anew("kubernetes:apps/v1:DaemonSet", Replace, map[string]any{}, map[string]any{}), "does not know"},
		"all goes":        {Delete, anew(admission, Delete, map[string]any{}, nil), ""},
	} {
		t.Run(what, func(t *testing.T) {
			var open []string
			for _, effect := range Effects([]Change{change(cluster, "openhands-cluster", test.cluster), test.inside}) {
				if effect.Grade == Open && slices.ContainsFunc(effect.Changes, func(c Change) bool { return c.URN == test.inside.URN }) {
					open = append(open, effect.Text)
				}
			}
			if test.says == "" {
				assert.Empty(t, open)
				return
			}
			require.Len(t, open, 1)
			assert.Contains(t, open[0], test.says)
		})
	}
}

// TestANewPolicyOpens, but where its namespace is new too: without one, all reach all.
func TestANewPolicyOpens(t *testing.T) {
	in := func(namespace string) map[string]any {
		return map[string]any{"metadata": map[string]any{"namespace": namespace}, "spec": map[string]any{"ingress": []any{map[string]any{}}}}
	}
	created := func(typ string, inputs map[string]any) Change {
		c := change(typ, "openhands-x", Create)
		c.New = inputs
		return c
	}
	a := map[string]any{"metadata": map[string]any{"name": "a"}}
	for what, test := range map[string]struct {
		namespace string
		others    []Change
		opens     bool
	}{
		"where others are":                         {"a", nil, true},
		"in another new namespace":                 {"b", []Change{created(namespace, a)}, true},
		"in a new namespace":                       {"a", []Change{created(namespace, a)}, false},
		"in one that is made anew":                 {"a", []Change{change(namespace, "a", Replace)}, true},
		"in a cluster of which nothing is known":   {unknown, []Change{created(cluster, nil)}, false},
		"in one of which nothing is known":         {unknown, nil, true},
		"in a second cluster, beside another one":  {unknown, []Change{created(cluster, nil), change(deployment, "openhands", Update)}, true},
		"in a second cluster, by the name of both": {"a", []Change{created(cluster, nil)}, true},
	} {
		t.Run(what, func(t *testing.T) {
			effects := Effects(append(test.others, created(networkPolicy, in(test.namespace))))
			assert.Equal(t, test.opens, slices.ContainsFunc(effects, func(e Effect) bool { return strings.HasPrefix(e.Text, "pods reach more") }))
			assert.Equal(t, !test.opens, slices.ContainsFunc(effects, func(e Effect) bool { return strings.HasPrefix(e.Text, "pods reach less") }))
		})
	}
}

// TestWhatIsKnownLaterIsSaid: a value that the engine does not know yet may open something.
func TestWhatIsKnownLaterIsSaid(t *testing.T) {
	for what, test := range map[string]struct {
		typ, was, is string
	}{
		"a switch":           {cluster, `{"deletionProtection":true}`, `{"deletionProtection":"?"}`},
		"one that is off":    {bucket, `{"forceDestroy":false}`, `{"forceDestroy":"?"}`},
		"one that is unsaid": {"kubernetes:core/v1:ServiceAccount", `{"automountServiceAccountToken":false}`, `{"automountServiceAccountToken":"?"}`},
		"a range of the firewall": {firewall, `{"sourceRanges":["10.0.0.0/24"],"allows":[{"protocol":"tcp"}]}`,
			`{"sourceRanges":["10.0.0.0/24","?"],"allows":[{"protocol":"tcp"}]}`,
		},
		"an address of a policy": {networkPolicy, `{"spec":{"policyTypes":["Egress"],"egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.0/24"}}]}]}}`,
			`{"spec":{"policyTypes":["Egress"],"egress":[{"to":[{"ipBlock":{"cidr":"?"}}]}]}}`,
		},
		"what a role allows": {"gcp:projects/iAMCustomRole:IAMCustomRole", `{"permissions":["a"]}`, `{"permissions":"?"}`},
		"a range of the control plane": {cluster, `{"masterAuthorizedNetworksConfig":{"cidrBlocks":[{"cidrBlock":"10.0.0.0/24"}]}}`,
			`{"masterAuthorizedNetworksConfig":{"cidrBlocks":[{"cidrBlock":"?"}]}}`,
		},
		"a range of Armor": {armor, `{"rules":[{"priority":1,"action":"allow","match":{"config":{"srcIpRanges":["10.0.0.0/24"]}}},` +
			`{"priority":2147483647,"action":"deny(403)","match":{"config":{"srcIpRanges":["*"]}}}]}`,
			`{"rules":[{"priority":1,"action":"allow","match":{"config":{"srcIpRanges":["?"]}}},` +
				`{"priority":2147483647,"action":"deny(403)","match":{"config":{"srcIpRanges":["*"]}}}]}`,
		},
		"a name": {"kubernetes:networking.gke.io/v1alpha1:FQDNNetworkPolicy", `{"spec":{"egress":[{"matches":[{"name":"a"}]}]}}`,
			`{"spec":{"egress":"?"}}`,
		},
	} {
		t.Run(what, func(t *testing.T) {
			is := strings.ReplaceAll(test.is, "?", unknown)
			assert.Empty(t, openings(t, test.typ, test.was, is))
			assert.True(t, slices.ContainsFunc(effectsOf(t, test.typ, test.was, is), func(e Effect) bool {
				return strings.Contains(e.Text, "perhaps, as a value is known only when the change is made")
			}))
		})
	}
}

func TestValuesAreShownInAFewWords(t *testing.T) {
	for _, test := range []struct {
		value any
		shown string
	}{
		{nil, "none"},
		{"", `""`},
		{"db-g1-small", "db-g1-small"},
		{3.0, "3"},
		{[]any{"a", 1.0}, `["a",1]`},
		{[]any{map[string]any{"name": "a", "value": "b"}}, ""},
		{map[string]any{"name": "a"}, ""},
		{map[string]any{sealed: "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abc"}, "a secret"},
		{"[secret]", "a secret"},
		{"04da6b54-80e4-46f7-96ec-b56ff0331ba9", "known later"},
		{"a\n  b", "a b"},
		{"0123456789012345678901234567890123456789012345678901234567890123456789", "01234567890123456789012345678901234567890123456789012345678…"},
	} {
		assert.Equal(t, test.shown, show(test.value))
	}
}

// TestLongValuesAreShownWhereTheyDiffer: the end of an image's name is what a change of it is about.
func TestLongValuesAreShownWhereTheyDiffer(t *testing.T) {
	const image = "us-central1-docker.pkg.dev/my-openhands-team/openhands-team-ghcr/openhands/agent-canvas"
	c := Change{Type: statefulSet}
	assert.Equal(t, ": …t-canvas:1.20.0 → …t-canvas:1.21.0", c.Values(Property{Path: "image", From: image + ":1.20.0", To: image + ":1.21.0"}))
}
