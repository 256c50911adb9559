package checks

import (
	"fmt"
	"strings"

	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
)

// timeoutSeconds is the shortest timeout that is accepted: the load balancer cuts a WebSocket after it, idle or not.
const timeoutSeconds = 3600

// checkBackend looks at what stands between the load balancer and the Service.
func (e *exposure) checkBackend(service string, openToEveryone bool) {
	target := kubernetes.TargetRef{Kind: "Service", Name: service}
	var policy *kubernetes.GCPBackendPolicy
	for _, o := range e.All(types.BackendPolicy) {
		if p := kubernetes.DecodeAs[*kubernetes.GCPBackendPolicy](o); p.Spec.TargetRef == target && p.Namespace == e.gateway.Namespace {
			policy = p
		}
	}
	if policy == nil {
		e.report("Service %s has no GCPBackendPolicy: no login, no Cloud Armor, and WebSockets are cut after 30 s", service)
		return
	}
	backend := policy.Spec.Default
	e.checkArmor(backend.SecurityPolicy)
	e.checkLogin(backend.IAP != nil && backend.IAP.Enabled, openToEveryone)
	if backend.TimeoutSec == nil || *backend.TimeoutSec < timeoutSeconds {
		e.report("WebSockets are cut after less than %d s", timeoutSeconds)
	} else {
		e.hop("WebSockets", "live for %d h", *backend.TimeoutSec/3600)
	}
	if backend.ConnectionDraining == nil || backend.Logging == nil || !backend.Logging.Enabled {
		e.report("Service %s has no draining, or no request logs", service)
	}
	healthy := ""
	for _, o := range e.All(types.HealthCheckPolicy) {
		if p := kubernetes.DecodeAs[*kubernetes.HealthCheckPolicy](o); p.Spec.TargetRef == target && p.Spec.Default.Config.HTTPHealthCheck != nil {
			healthy = p.Spec.Default.Config.HTTPHealthCheck.RequestPath
		}
	}
	if healthy != "/alive" {
		e.report("the health check asks for %q: the server answers /alive", healthy)
	}
}

// checkArmor looks for a limit on the requests of one client.
func (e *exposure) checkArmor(name string) {
	armor := e.Find(types.SecurityPolicy, name)
	if armor == nil {
		e.report("there is no Cloud Armor policy in front of the server")
		return
	}
	var limits []string
	for _, rule := range armor.Inputs.Maps("rules") {
		if rule.Str("action") == "throttle" && rule.Str("rateLimitOptions.enforceOnKey") == "IP" {
			limits = append(limits, fmt.Sprintf("%g requests in %g s from an address",
				rule.Num("rateLimitOptions.rateLimitThreshold.count"), rule.Num("rateLimitOptions.rateLimitThreshold.intervalSec")))
		}
	}
	if len(limits) == 0 {
		e.report("Cloud Armor does not limit the requests of a client")
		return
	}
	e.hop("Cloud Armor", "%s", limits[0])
}

// checkLogin looks for the members who may log in, and for the condition that keeps them to this host.
func (e *exposure) checkLogin(on, openToEveryone bool) {
	if !on {
		if !openToEveryone {
			e.report("there is no login: whoever finds https://%s owns the installation", e.host)
		}
		e.hop("login", "NONE: open to everyone, as configured")
		return
	}
	var members []string
	for _, o := range e.All(types.LoginMember) {
		if o.Inputs.Str("role") != "roles/iap.httpsResourceAccessor" {
			continue
		}
		host, alone := strings.CutPrefix(o.Inputs.Str("condition.expression"), "request.host == ")
		host = strings.Trim(host, `"`)
		if !alone || !matches(e.host, host) {
			e.report("%s may log in to every application of the project, not to %s alone", o.Inputs.Str("member"), e.host)
		}
		member := o.Inputs.Str("member")
		if host != e.host {
			member += " at " + host
		}
		members = append(members, member)
	}
	if len(members) == 0 {
		e.report("nobody may log in")
	}
	e.hop("login", "Identity-Aware Proxy: %s", strings.Join(members, ", "))
}

// matches says whether a host is the one of a pattern, or one level below it where that begins with a star.
func matches(pattern, host string) bool {
	below, star := strings.CutPrefix(pattern, "*.")
	if !star {
		return host == pattern
	}
	_, domain, _ := strings.Cut(host, ".")
	return domain == below
}
