package main

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/providers"
	"openhands-gcp/rehearsal/types"
)

func TestABrowserReachesTheApplicationThroughTheLoginOnly(t *testing.T) {
	everyCluster(t, func(t *testing.T, stack string, mocks *providers.Mocks) {
		hops, problems := checks.Exposure(mocks.Cloud.Inventory(), stack == "remote")
		assert.Empty(t, problems)
		assert.Equal(t, stack != "dev", len(hops) > 0)
		if stack == "remote" {
			_, problems = checks.Exposure(mocks.Cloud.Inventory(), false)
			assert.Equal(t, []string{
				`the door lets in others than those whom Google vouches for: it asks for "", and must ask for "/projects/123456789012/global/backendServices/"`,
				"there is no login: whoever finds https://open.example.com owns the installation",
			}, problems)
		}
	})
}

// TestWithoutAGatewayNothingIsOpen makes one mistake at a time in the dev stack, which has none.
func TestWithoutAGatewayNothingIsOpen(t *testing.T) {
	rule := map[string]any{"from": []any{map[string]any{"ipBlock": map[string]any{"cidr": "35.191.0.0/16"}}}}
	for _, c := range []struct {
		mistake, resource, name string
		spoil                   func(resource.PropertyMap)
		says                    string
	}{
		{"the server believes a header", "ConfigMap", "openhands-environment", setInput("data.FORWARDED_ALLOW_IPS", "*"), "believes the header"},
		{
			"the server may be reached", "NetworkPolicy", "openhands-server", setInput("spec.ingress[1]", rule),
			"may be reached from 35.191.0.0/16, past the door",
		},
		{"the door may be reached", "NetworkPolicy", "openhands-door", setInput("spec.ingress", []any{rule}), "the door may be reached from [35.191.0.0/16]"},
		{"the door listens", "ConfigMap", "openhands-door", doorFile("envoy.json", `"127.0.0.1"`, `"0.0.0.0"`), "the door listens to a load balancer"},
		{"the firewall is open", "Firewall", "openhands-allow-iap-ssh", func(in resource.PropertyMap) {
			setInput("sourceRanges", []any{"35.191.0.0/16", "130.211.0.0/22"})(in)
			setInput("allows[0].ports[0]", "3000")(in)
		}, "the firewall lets load balancers in"},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			mocks, err := spoiled(t, c.resource, c.name, c.spoil)
			require.NoError(t, err)
			_, problems := checks.Exposure(mocks.Cloud.Inventory(), false)
			assert.Contains(t, strings.Join(problems, "\n"), c.says)
		})
	}
}

// doorFile changes a text in one of the door's files.
func doorFile(name, old, new string) func(resource.PropertyMap) {
	return func(inputs resource.PropertyMap) {
		data := inputs["data"].ObjectValue()
		data[resource.PropertyKey(name)] = resource.NewProperty(strings.ReplaceAll(data[resource.PropertyKey(name)].StringValue(), old, new))
	}
}

// TestTheGatewayGoesBeforeWhatItUses: it comes after all that its load balancer is made of. The policy with the login comes after it, because GKE attaches it
// to a load balancer that is there; until then the door lets nobody in.
func TestTheGatewayGoesBeforeWhatItUses(t *testing.T) {
	mocks, err := deployed(t, "prod", nested(t, stackFile(t, "prod"), map[string]any{"openhands:exposure.dnsZone": "example"}), nil)
	require.NoError(t, err)
	graph, gateway := graphOf(t, mocks), find(t, mocks, "Gateway", "openhands")
	for _, before := range []providers.Registered{
		find(t, mocks, "GlobalAddress", "openhands-address"), find(t, mocks, "CertificateMap", "openhands-certificates"),
		find(t, mocks, "CertificateMapEntry", "openhands-certificate"),
		find(t, mocks, "SecurityPolicy", "openhands-armor"), find(t, mocks, "SSLPolicy", "openhands-tls"),
		find(t, mocks, "HealthCheckPolicy", "openhands-health"), find(t, mocks, "GCPGatewayPolicy", "openhands-tls"), find(t, mocks, "HTTPRoute", "openhands"),
		find(t, mocks, "WebIamMember", "openhands-login-group:openhands-users@example.com"),
	} {
		assert.Truef(t, graph.WaitsFor(gateway.URN, before.URN), "the Gateway does not wait for %s", before.URN)
	}
	assert.True(t, graph.WaitsFor(find(t, mocks, "GCPBackendPolicy", "openhands-backend").URN, gateway.URN), "the policy does not wait for the Gateway")
	for _, record := range []string{"openhands-address", "openhands-domain"} {
		assert.Equal(t, "example", find(t, mocks, "RecordSet", record).Inputs["managedZone"])
	}
}

// TestWhatTheLoadBalancerUsesGoesAfterIt: Google refuses to delete what a load balancer uses, and GKE takes the load balancer down with the Gateway only.
func TestWhatTheLoadBalancerUsesGoesAfterIt(t *testing.T) {
	mocks, err := deployed(t, "prod", stackFile(t, "prod"), nil)
	require.NoError(t, err)
	gateway := find(t, mocks, "Gateway", "openhands")
	used := []providers.Registered{
		find(t, mocks, "GlobalAddress", "openhands-address"), find(t, mocks, "SecurityPolicy", "openhands-armor"), find(t, mocks, "SSLPolicy", "openhands-tls"),
	}
	entry, certificate := find(t, mocks, "CertificateMapEntry", "openhands-certificate"), find(t, mocks, "Certificate", "openhands-certificate")
	certificates, authorization := find(t, mocks, "CertificateMap", "openhands-certificates"), find(t, mocks, "DnsAuthorization", "openhands-domain")
	for _, r := range append(used, certificates, certificate, authorization) {
		require.Errorf(t, mocks.Cloud.Delete(r.Type, r.URN, r.ID), "%s went", r.Type)
	}
	for _, r := range append(append([]providers.Registered{gateway}, used...), entry, certificate, authorization, certificates) {
		require.NoError(t, mocks.Cloud.Delete(r.Type, r.URN, r.ID))
	}
}

// TestARefusedLoginLetsNobodyIn: GKE may refuse the policy with the login. Then the update fails and says so, and the door is what it was.
func TestARefusedLoginLetsNobodyIn(t *testing.T) {
	mocks, err := deployed(t, "prod", stackFile(t, "prod"), func(mocks *providers.Mocks, _ *pulumi.RunInfo) {
		mocks.Cloud.Refuse(types.BackendPolicy, "Attached=False, reason Invalid: iap.clientID is missing")
	})
	require.ErrorContains(t, err, "iap.clientID is missing")
	hops, problems := checks.Exposure(mocks.Cloud.Inventory(), false)
	assert.Equal(t, []string{"Service openhands-door has no GCPBackendPolicy: no login, no Cloud Armor, and WebSockets are cut after 30 s"}, problems)
	assert.Contains(t, hops, checks.Hop{
		What: "door", Which: "openhands/openhands-door, port 8080: only with what Google signs for /projects/123456789012/global/backendServices/...",
	})
}

// TestArmorRules has the rules in the order in which Cloud Armor asks them.
func TestArmorRules(t *testing.T) {
	mocks, err := deployed(t, "prod", nested(t, stackFile(t, "prod"), map[string]any{
		"openhands:exposure.armor.deniedRanges": []any{"198.51.100.0/24"}, "openhands:exposure.armor.wafRules": []any{"sqli-v33-stable"},
		"openhands:exposure.armor.allowedRanges": []any{
			"192.0.2.0/32", "192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "192.0.2.4/32", "192.0.2.5/32",
			"192.0.2.6/32", "192.0.2.7/32", "192.0.2.8/32", "192.0.2.9/32", "192.0.2.10/32",
		},
	}), nil)
	require.NoError(t, err)
	type rule struct {
		priority        float64
		action, preview any
		matches         any
	}
	var rules []rule
	for _, item := range find(t, mocks, "SecurityPolicy", "openhands-armor").Inputs["rules"].([]any) {
		r := item.(map[string]any)
		match := r["match"].(map[string]any)
		matches := match["expr"]
		if config, byAddress := match["config"].(map[string]any); byAddress {
			matches = config["srcIpRanges"]
		}
		rules = append(rules, rule{r["priority"].(float64), r["action"], r["preview"], matches})
	}
	assert.Equal(t, []rule{
		{1000, "deny(403)", false, []any{"198.51.100.0/24"}},
		{2000, "deny(403)", true, map[string]any{"expression": "evaluatePreconfiguredWaf('sqli-v33-stable', {'sensitivity': 1})"}}, // a rule set logs only
		{
			10000, "throttle", false,
			[]any{"192.0.2.0/32", "192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "192.0.2.4/32", "192.0.2.5/32",
				"192.0.2.6/32", "192.0.2.7/32", "192.0.2.8/32", "192.0.2.9/32"},
		},
		{10001, "throttle", false, []any{"192.0.2.10/32"}}, // a rule takes ten ranges
		{2147483647, "deny(403)", false, []any{"*"}},
	}, rules)
}

// TestWhatWouldBreakTheWayIn makes one mistake at a time in the objects of the exposure.
func TestWhatWouldBreakTheWayIn(t *testing.T) {
	config := nested(t, stackFile(t, "prod"), map[string]any{"openhands:exposure.dnsZone": "example"})
	for _, c := range []struct {
		mistake, resource, name string
		spoil                   func(resource.PropertyMap)
		says                    string
	}{
		{"no login", "GCPBackendPolicy", "openhands-backend", removeInput("spec.default.iap"), "there is no login"},
		{"login turned off", "GCPBackendPolicy", "openhands-backend", setInput("spec.default.iap.enabled", false), "there is no login"},
		{"policy of another Service", "GCPBackendPolicy", "openhands-backend", setInput("spec.targetRef.name", "other"), "does not exist"},
		{"policy of another kind", "GCPBackendPolicy", "openhands-backend", setInput("spec.targetRef.kind", "Gateway"), "is not a Service"},
		{
			"policy that nothing waits for", "GCPBackendPolicy", "openhands-backend", removeInput("metadata.annotations[\"pulumi.com/waitFor\"]"),
			"nothing is waited for",
		},
		{
			"wait that looks in one place only", "GCPBackendPolicy", "openhands-backend",
			setInput("metadata.annotations[\"pulumi.com/waitFor\"]", `jsonpath={.status.conditions[?@.type=="Attached"].status}=True`), "in status.ancestors",
		},
		{
			"wait for anything that is said", "GCPBackendPolicy", "openhands-backend",
			setInput("metadata.annotations[\"pulumi.com/waitFor\"]", `jsonpath={.status..conditions[*].status}=True`), "the wait must end: false",
		},
		{"timeout that cuts WebSockets", "GCPBackendPolicy", "openhands-backend", setInput("spec.default.timeoutSec", 30.0), "WebSockets are cut"},
		{"field misspelt", "GCPBackendPolicy", "openhands-backend", setInput("spec.default.securitypolicy", "x"), "unknown field"},
		{"missing Cloud Armor policy", "GCPBackendPolicy", "openhands-backend", setInput("spec.default.securityPolicy", "other"), "does not exist"},
		{"no Cloud Armor policy", "GCPBackendPolicy", "openhands-backend", removeInput("spec.default.securityPolicy"), "no Cloud Armor policy"},
		{"no request logs", "GCPBackendPolicy", "openhands-backend", removeInput("spec.default.logging"), "no request logs"},
		{
			"access to all applications", "WebIamMember", "openhands-login-group:openhands-users@example.com", removeInput("condition"),
			"every application of the project",
		},
		{
			"another role", "WebIamMember", "openhands-login-group:openhands-users@example.com", setInput("role", "roles/iap.tunnelResourceAccessor"),
			"nobody may log in",
		},
		{
			"everyone may log in", "WebIamMember", "openhands-login-group:openhands-users@example.com", setInput("member", "allAuthenticatedUsers"),
			"is not an IAM member",
		},
		{"unlimited clients", "SecurityPolicy", "openhands-armor", setInput("rules[0].rateLimitOptions.enforceOnKey", "ALL"), "does not limit"},
		{"no default rule", "SecurityPolicy", "openhands-armor", setInput("rules[1].priority", 20000.0), "none has priority 2147483647"},
		{"old TLS", "SSLPolicy", "openhands-tls", setInput("minTlsVersion", "TLS_1_0"), "older than 1.2"},
		{"TLS policy of another Gateway", "GCPGatewayPolicy", "openhands-tls", setInput("spec.targetRef.name", "other"), "older than 1.2"},
		{
			"health check of the web page", "HealthCheckPolicy", "openhands-health", setInput("spec.default.config.httpHealthCheck.requestPath", "/ready"),
			"the server answers /alive",
		},
		{"route to the listener without TLS", "HTTPRoute", "openhands", setInput("spec.parentRefs[0].sectionName", "http"), "without TLS"},
		{"route to all listeners", "HTTPRoute", "openhands", removeInput("spec.parentRefs[0].sectionName"), "names no listener"},
		{"route of another host", "HTTPRoute", "openhands", setInput("spec.hostnames[0]", "other.example.com"), "does not serve openhands.example.com"},
		{"timeouts that GKE ignores", "HTTPRoute", "openhands", setInput("spec.rules[0].timeouts", map[string]any{"request": "1h"}), "GKE ignores timeouts"},
		{"redirect that GKE ignores", "HTTPRoute", "openhands-redirect", setInput("spec.rules[0].filters[0].requestRedirect.statusCode", 308.0), "not by 308"},
		{"redirect to http", "HTTPRoute", "openhands-redirect", setInput("spec.rules[0].filters[0].requestRedirect.scheme", "http"), "nothing redirects"},
		{
			"certificate of another host", "Certificate", "openhands-certificate", setInput("managed.domains[0]", "other.example.com"),
			"none is for other.example.com",
		},
		{
			"entry of another host", "CertificateMapEntry", "openhands-certificate", setInput("hostname", "other.example.com"),
			"no certificate for openhands.example.com",
		},
		{"no certificate", "Gateway", "openhands", removeInput("metadata.annotations[\"networking.gke.io/certmap\"]"), "certmap or a tls block"},
		{"missing certificates", "Gateway", "openhands", setInput("metadata.annotations[\"networking.gke.io/certmap\"]", "other"), "does not exist"},
		{"Gateway that nothing waits for", "Gateway", "openhands", removeInput("metadata.annotations[\"pulumi.com/waitFor\"]"), "nothing waits"},
		{"internal load balancer", "Gateway", "openhands", setInput("spec.gatewayClassName", "gke-l7-rilb"), "is not that of a global external"},
		{"address by its number", "Gateway", "openhands", setInput("spec.addresses[0].type", "IPAddress"), "NamedAddress"},
		{"internal address", "GlobalAddress", "openhands-address", setInput("addressType", "INTERNAL"), "is an internal address"},
		{"no reserved address", "Gateway", "openhands", removeInput("spec.addresses"), "no reserved address"},
		{"record of another host", "RecordSet", "openhands-address", setInput("name", "other.example.com."), "does not lead openhands.example.com"},
		{"record without its dot", "RecordSet", "openhands-address", setInput("name", "openhands.example.com"), "does not end with a dot"},
		{
			"door that answers strangers", "NetworkPolicy", "openhands-door", setInput("spec.ingress[0].from[0].ipBlock.cidr", "0.0.0.0/0"),
			"let [0.0.0.0/0 130.211.0.0/22] in",
		},
		{"door in gVisor", "Deployment", "openhands-door", setInput("spec.template.spec.runtimeClassName", "gvisor"), "where port-forward, and so openCommand"},
		{
			"load balancer that leads past the door", "Service", "openhands-door", setInput(`spec.selector["app.kubernetes.io/component"]`, "server"),
			"does not lead to the door",
		},
		{
			"way past the door", "NetworkPolicy", "openhands-server",
			setInput("spec.ingress[0].from[0]", map[string]any{"ipBlock": map[string]any{"cidr": "35.191.0.0/16"}}),
			"may be reached from 35.191.0.0/16, past the door",
		},
		{
			"server that closes idle connections", "Deployment", "openhands",
			setInput("spec.template.spec.containers[0].command", []any{"python", "-m", "openhands.server"}), "closes idle connections after 5 s",
		},
		{
			"door behind a closed firewall", "Firewall", "openhands-allow-load-balancer", setInput("allows[0].ports[0]", "3000"),
			"lets the load balancer not through",
		},
		{"another origin", "ConfigMap", "openhands-environment", setInput("data.PERMITTED_CORS_ORIGINS", "http://localhost:3000"), "PERMITTED_CORS_ORIGINS is"},
		{"cluster without the Gateway API", "Cluster", "openhands-cluster", setInput("gatewayApiConfig.channel", "CHANNEL_DISABLED"), "has no Gateway API"},
		{
			"API of the login left out", "Service", "openhands-iap.googleapis.com", setInput("service", "other.googleapis.com"),
			"iap.googleapis.com is not enabled",
		},
		{
			"API of the certificate left out", "Service", "openhands-certificatemanager.googleapis.com", setInput("service", "other.googleapis.com"),
			"certificatemanager.googleapis.com is not enabled",
		},
		{
			"API of the records left out", "Service", "openhands-dns.googleapis.com", setInput("service", "other.googleapis.com"),
			"dns.googleapis.com is not enabled",
		},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			mocks, err := spoiledIn(t, "prod", config, c.resource, c.name, c.spoil)
			_, problems := checks.Exposure(mocks.Cloud.Inventory(), false)
			said := strings.Join(problems, "\n")
			if err != nil {
				said = err.Error()
			}
			assert.Contains(t, said, c.says)
		})
	}
}

// TestWhatWouldBreakTheDoor makes one mistake at a time in the files of the door.
func TestWhatWouldBreakTheDoor(t *testing.T) {
	for _, c := range []struct{ mistake, file, old, new, says string }{
		{"one that asks for nothing", "envoy.json", "envoy.filters.http.jwt_authn", "envoy.filters.http.none", "lets in others"},
		{"one that believes another", "envoy.json", "https://cloud.google.com/iap", "https://example.org", "lets in others"},
		{"one with another's keys", "envoy.json", "https://www.gstatic.com/", "https://example.org/", "lets in others"},
		{"one that asks on some paths", "envoy.json", `"prefix": "/"`, `"prefix": "/api"`, "lets in others"},
		{"one of another project", "envoy.json", "/projects/123456789012/", "/projects/1/", "lets in others"},
		{"one for whatever application", "envoy.json", "envoy.filters.http.rbac", "envoy.filters.http.none", "lets in others"},
		{"one of another host", "public.json", "openhands.example.com", "*", "must lead [openhands.example.com]"},
		{"one that cuts WebSockets", "public.json", `"idle_timeout": "0s"`, `"x": 1`, "cuts WebSockets"},
		{"one that cuts long answers", "public.json", `"timeout": "0s"`, `"x": 1`, "cuts WebSockets"},
		{"one that closes idle connections", "envoy.json", `"620s"`, `"60s"`, "the door closes idle connections after"},
		{"one that keeps them too long", "clusters.json", `"600s"`, `"3600s"`, "the server closes idle connections after 620 s"},
		{"one that believes a header", "public.json", "OVERWRITE_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "somebody can make up"},
		{"one without a log", "envoy.json", `"access_log"`, `"x"`, "who did what"},
		{"one that passes the health check on", "envoy.json", `"pass_through_mode": false`, `"pass_through_mode": true`, "health check by itself"},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			mocks, err := spoiledIn(t, "prod", stackFile(t, "prod"), "ConfigMap", "openhands-door", doorFile(c.file, c.old, c.new))
			require.NoError(t, err)
			_, problems := checks.Exposure(mocks.Cloud.Inventory(), false)
			assert.Contains(t, strings.Join(problems, "\n"), c.says)
		})
	}
}
