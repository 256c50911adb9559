package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"openhands-gcp/doctor"
	"openhands-gcp/stacks"
	"openhands-gcp/tests/golden"
)

// answer is what a server says to a request, of which body is what was sent.
type answer func(r *http.Request, body []byte) (status int, text string)

func says(status int, text string) answer {
	return func(*http.Request, []byte) (int, string) { return status, text }
}

// refuses is Google's answer to somebody who may not.
var refuses = says(http.StatusForbidden,
	`{"error": {"code": 403, "message": "Permission denied", "status": "PERMISSION_DENIED", "errors": [{"reason": "forbidden"}]}}`)

// isOff is Google's answer where an API is not enabled.
func isOff(api string) answer {
	return says(http.StatusForbidden, fmt.Sprintf(`{"error": {"code": 403, "message": "%s has not been used in project 123 before or it is disabled.",
		"status": "PERMISSION_DENIED", "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED",
		"domain": "googleapis.com", "metadata": {"consumer": "projects/123", "service": "%[1]s"}}]}}`, api))
}

// world is what the doctor asks. The answers are of the shapes that Google documents, by host and path.
type world struct {
	config   map[string]string
	answers  map[string]answer
	commands map[string]string // what a command writes, or an error after "error: "
	hosts    map[string][]string
	servers  map[string][]string

	noCredentials, oldCredentials bool
	patience                      time.Duration
}

const (
	userinfo       = "openidconnect.googleapis.com/v1/userinfo"
	resourceOf     = "cloudresourcemanager.googleapis.com/v3/projects/"
	billingOf      = "cloudbilling.googleapis.com/v1/projects/"
	servicesOf     = "serviceusage.googleapis.com/v1/projects/"
	computeOf      = "compute.googleapis.com/compute/v1/projects/"
	policiesOf     = "orgpolicy.googleapis.com/v2/projects/"
	clustersOf     = "container.googleapis.com/v1/projects/"
	zonesOf        = "dns.googleapis.com/dns/v1/projects/"
	accountsOf     = "iam.googleapis.com/v1/projects/"
	repositoriesOf = "artifactregistry.googleapis.com/v1/projects/"
)

// healthy is a project in which `pulumi up` of a stack passes.
func healthy(t *testing.T, stack string) *world {
	t.Helper()
	config := stackFile(t, stack)
	project, region := config["gcp:project"], config["gcp:region"]
	location := config["gcp:zone"]
	if location == "" {
		location = region
	}
	plenty := func(metrics ...string) string {
		var quotas []string
		for _, metric := range metrics {
			quotas = append(quotas, fmt.Sprintf(`{"metric": %q, "limit": 5000, "usage": 2}`, metric))
		}
		return fmt.Sprintf(`{"quotas": [%s]}`, strings.Join(quotas, ", "))
	}
	w := &world{
		config: config, patience: time.Minute,
		answers: map[string]answer{
			userinfo:             says(200, `{"sub": "1", "email": "ann@example.com"}`),
			resourceOf + project: says(200, `{"name": "projects/123", "projectId": "`+project+`", "state": "ACTIVE", "parent": "organizations/9"}`),
			resourceOf + project + ":testIamPermissions": func(_ *http.Request, body []byte) (int, string) { return 200, string(body) },
			billingOf + project + "/billingInfo":         says(200, `{"billingAccountName": "billingAccounts/0", "billingEnabled": true}`),
			servicesOf + project + "/services:batchGet": func(r *http.Request, _ []byte) (int, string) {
				var services []string
				for _, name := range r.URL.Query()["names"] {
					services = append(services, fmt.Sprintf(`{"name": %q, "state": "ENABLED"}`, strings.Replace(name, project, "123", 1)))
				}
				return 200, fmt.Sprintf(`{"services": [%s]}`, strings.Join(services, ", "))
			},
			computeOf + project + "/regions/" + region: says(200, plenty("CPUS", "N2_CPUS", "DISKS_TOTAL_GB", "INSTANCES", "IN_USE_ADDRESSES", "SSD_TOTAL_GB")),
			computeOf + project:                        says(200, plenty("CPUS_ALL_REGIONS", "NETWORKS")),
			clustersOf + project + "/locations/" + location + "/serverConfig": says(200, `{"channels": [
				{"channel": "RAPID", "validVersions": ["1.37.0-gke.1"]}, {"channel": "REGULAR", "validVersions": ["1.36.2-gke.1", "1.36.1-gke.4"]}]}`),
			"auth.docker.io/token": says(200, `{"token": "of-everybody"}`),
			"ghcr.io/token":        says(200, `{"token": "of-everybody"}`),
		},
		commands: map[string]string{
			"pulumi version": "v3.259.0", "gcloud version": "Google Cloud SDK 530.0.0", "kubectl version --client": "Client Version: v1.36.1",
			"gke-gcloud-auth-plugin --version": "Kubernetes v1.30.0-alpha", "pulumi stack export --stack " + stack + " --non-interactive": `{"deployment": {}}`,
		},
	}
	for image, realm := range map[string]string{
		"ghcr.io/v2/openhands/openhands/manifests/0.62.0": "https://ghcr.io/token", "ghcr.io/v2/openhands/runtime/manifests/0.62-nikolaik": "https://ghcr.io/token",
		"ghcr.io/v2/openhands/agent-canvas/manifests/1.20.0":                            "https://ghcr.io/token",
		"registry-1.docker.io/v2/envoyproxy/envoy/manifests/distroless-v1.40.0":         "https://auth.docker.io/token",
		"ghcr.io/v2/openhands/agent-canvas/manifests/sha256:" + strings.Repeat("4", 64): "https://ghcr.io/token",
	} {
		w.answers[image] = public(realm)
	}
	return w
}

// public is an image of a registry that gives everybody a token first.
func public(realm string) answer {
	return func(r *http.Request, _ []byte) (int, string) {
		if r.Header.Get("Authorization") != "Bearer of-everybody" {
			return http.StatusUnauthorized, `Bearer realm="` + realm + `",service="registry",scope="repository:some/image:pull"`
		}
		return http.StatusOK, ""
	}
}

// policy answers what is in force of a constraint.
func (w *world) policy(constraint, rules string) {
	w.answers[policiesOf+w.config["gcp:project"]+"/policies/"+constraint+":getEffectivePolicy"] = says(200, `{"spec": {"rules": [`+rules+`]}}`)
}

// everythingWrong is a project in which as much is wrong as can be at once.
func everythingWrong(t *testing.T) *world {
	t.Helper()
	w := healthy(t, "prod")
	const project = "my-openhands-prod"
	w.config["openhands:exposure"] = strings.Replace(w.config["openhands:exposure"], `"host"`, `"dnsZone": "example-com", "host"`, 1)
	maps.Copy(w.answers, map[string]answer{
		resourceOf + project: says(200, `{"projectId": "`+project+`", "state": "ACTIVE"}`),
		resourceOf + project + ":testIamPermissions": func(_ *http.Request, body []byte) (int, string) {
			return 200, without(body, "container.", "cloudsql.instances.create", "storage.buckets.delete")
		},
		billingOf + project + "/billingInfo": says(200, `{"billingEnabled": false}`),
		computeOf + project + "/regions/us-central1": says(200, `{"quotas": [{"metric": "CPUS", "limit": 24, "usage": 14},
			{"metric": "INSTANCES", "limit": 720}, {"metric": "DISKS_TOTAL_GB", "limit": 2048}, {"metric": "IN_USE_ADDRESSES", "limit": 4, "usage": 1},
			{"metric": "SSD_TOTAL_GB", "limit": 1000}]}`),
		computeOf + project: says(200, `{"quotas": [{"metric": "CPUS_ALL_REGIONS", "limit": 64, "usage": 0}]}`),
		clustersOf + project + "/locations/us-central1/serverConfig": says(200, `{"channels": [
			{"channel": "REGULAR", "validVersions": ["1.35.4-gke.7"]}]}`),
		"ghcr.io/v2/openhands/runtime/manifests/0.62-nikolaik": says(404, ""),
		zonesOf + project + "/managedZones/example-com": says(200, `{"name": "example-com", "dnsName": "example.com.", "visibility": "public",
			"nameServers": ["ns-cloud-a1.googledomains.com."]}`),
		zonesOf + project + "/managedZones/example-com/rrsets": says(200, `{"rrsets": [
			{"name": "openhands.example.com.", "type": "A"}]}`),
		accountsOf + project + "/serviceAccounts/openhands-prod-app@" + project + ".iam.gserviceaccount.com": says(200, `{"uniqueId": "1"}`),
		repositoriesOf + project + "/locations/us-central1/repositories/openhands-prod-ghcr":                 says(200, `{"format": "DOCKER"}`),
	})
	w.policy("compute.restrictVpcPeering", `{"denyAll": true}`)
	w.policy("gcp.resourceLocations", `{"values": {"allowedValues": ["in:eu-locations"]}}`)
	w.policy("iam.allowedPolicyMemberDomains", `{"values": {"allowedValues": ["C0abcdefg"]}}`)
	maps.Copy(w.commands, map[string]string{
		"pulumi version": "v3.100.0", "kubectl version --client": "Client Version: v1.30.2",
		"pulumi stack export --stack prod --non-interactive": "error: no stack named 'prod' found",
	})
	delete(w.commands, "gke-gcloud-auth-plugin --version")
	return w
}

// without is the answer to a list of permissions from somebody who lacks some, by how they begin.
func without(body []byte, lacking ...string) string {
	var list struct {
		Permissions []string `json:"permissions"`
	}
	_ = json.Unmarshal(body, &list)
	list.Permissions = slices.DeleteFunc(list.Permissions, func(p string) bool {
		return slices.ContainsFunc(lacking, func(begin string) bool { return strings.HasPrefix(p, begin) })
	})
	granted, _ := json.Marshal(list)
	return string(granted)
}

// server leads every request to a server that refuses what is no read.
func (w *world) server(t *testing.T) http.RoundTripper {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		at := r.Host + r.URL.Path
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead ||
			(r.Method == http.MethodPost && at == resourceOf+w.config["gcp:project"]+":testIamPermissions")
		if !assert.True(t, reads, "the doctor wrote: %s %s", r.Method, at) {
			return
		}
		body, _ := io.ReadAll(r.Body)
		given, known := w.answers[at]
		if !known {
			given = says(http.StatusNotFound, `{"error": {"code": 404, "message": "Not found", "status": "NOT_FOUND"}}`)
		}
		status, text := given(r, body)
		if status == http.StatusUnauthorized {
			out.Header().Set("Www-Authenticate", text)
		}
		out.Header().Set("Content-Type", "application/json")
		out.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(out, text)
		}
	}))
	t.Cleanup(server.Close)
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		to := r.Clone(r.Context())
		to.Host, to.URL.Scheme, to.URL.Host = r.URL.Host, "http", strings.TrimPrefix(server.URL, "http://")
		return http.DefaultTransport.RoundTrip(to)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// LookupHost and LookupNS are those of doctor.Resolver.
func (w *world) LookupHost(_ context.Context, host string) ([]string, error) {
	if addresses, known := w.hosts[host]; known {
		return addresses, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (w *world) LookupNS(_ context.Context, name string) ([]*net.NS, error) {
	var servers []*net.NS
	for _, host := range w.servers[name] {
		servers = append(servers, &net.NS{Host: host})
	}
	return servers, nil
}

func (w *world) run(_ context.Context, name string, arguments ...string) ([]byte, error) {
	written, known := w.commands[strings.Join(append([]string{name}, arguments...), " ")]
	switch text, fails := strings.CutPrefix(written, "error: "); {
	case !known:
		return nil, &exec.Error{Name: name, Err: exec.ErrNotFound}
	case fails:
		return nil, errors.New(text)
	}
	return []byte(written), nil
}

// plans are those of stacks that were recorded, by their configuration.
var plans sync.Map

// examine asks the world about a stack.
func (w *world) examine(t *testing.T, stack string) *doctor.Report {
	t.Helper()
	source := stacks.Source{Stack: stack, Values: w.config}
	config, err := stacks.Load(source)
	require.NoError(t, err)
	plan, known := plans.Load(fmt.Sprint(w.config))
	if !known {
		info := runInfo(t, "tests/golden/"+stack+".yaml")
		info.Project, info.Stack, info.Config = "openhands", stack, w.config
		plan, err = golden.Record(t.Context(), info, deploy(&source))
		require.NoError(t, err)
		plans.Store(fmt.Sprint(w.config), plan)
	}
	client := &http.Client{Transport: w.server(t)}
	google := client
	if w.oldCredentials {
		google = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, &oauth2.RetrieveError{ErrorCode: "invalid_grant"}
		})}
	}
	outside := doctor.Outside{
		Google: google, Public: client, Resolver: w, Run: w.run, PulumiVersion: "3.259.0", Patience: w.patience,
	}
	if w.noCredentials {
		outside.Google, outside.NoCredentials = nil, errors.New("there is no file")
	}
	report, err := doctor.Examine(t.Context(), config, plan.(*golden.Plan), outside)
	require.NoError(t, err)
	return report
}

// TestDoctor has a row for each finding.
func TestDoctor(t *testing.T) {
	const (
		prod    = "my-openhands-prod"
		region  = computeOf + prod + "/regions/us-central1"
		zone    = zonesOf + prod + "/managedZones/example-com"
		export  = "pulumi stack export --stack prod --non-interactive"
		service = `{"urn": "urn:pulumi:prod::openhands::%s::%s", "type": %[1]q, "custom": true, "inputs": {%[3]s}}`
	)
	set := func(at string, a answer) func(*world) { return func(w *world) { w.answers[at] = a } }
	command := func(name, written string) func(*world) { return func(w *world) { w.commands[name] = written } }
	gone := func(name string) func(*world) { return func(w *world) { delete(w.commands, name) } }
	rules := func(constraint, rules string) func(*world) { return func(w *world) { w.policy(constraint, rules) } }
	quota := func(metric string, limit, usage int) func(*world) {
		return func(w *world) {
			healthy := w.answers[region]
			w.answers[region] = func(r *http.Request, body []byte) (int, string) {
				_, text := healthy(r, body)
				return 200, strings.Replace(text, fmt.Sprintf(`{"metric": %q, "limit": 5000, "usage": 2}`, metric),
					fmt.Sprintf(`{"metric": %q, "limit": %d, "usage": %d}`, metric, limit, usage), 1)
			}
		}
	}
	// withZone is a stack whose records are made in a zone of the project.
	withZone := func(changes ...func(*world)) func(*world) {
		return func(w *world) {
			w.config["openhands:exposure"] = strings.Replace(w.config["openhands:exposure"], `"host"`, `"dnsZone": "example-com", "host"`, 1)
			w.answers[zone] = says(200, `{"name": "example-com", "dnsName": "example.com.", "visibility": "public", "nameServers": ["ns-a1.googledomains.com."]}`)
			w.answers[zone+"/rrsets"] = says(200, `{"rrsets": [{"name": "example.com.", "type": "NS"}]}`)
			w.servers = map[string][]string{"example.com": {"ns-a1.googledomains.com."}}
			for _, change := range changes {
				change(w)
			}
		}
	}
	lacks := func(begins ...string) func(*world) {
		return set(resourceOf+prod+":testIamPermissions", func(_ *http.Request, body []byte) (int, string) { return 200, without(body, begins...) })
	}
	account := accountsOf + prod + "/serviceAccounts/openhands-prod-nodes@" + prod + ".iam.gserviceaccount.com"
	role := accountsOf + "my-openhands-single/roles/openhands_single_member"
	ownAccount := fmt.Sprintf(service, "gcp:serviceaccount/account:Account", "openhands-nodes", `"accountId": "openhands-prod-nodes"`)
	ownCluster := fmt.Sprintf(service, "gcp:container/cluster:Cluster", "openhands-cluster", "")

	for _, row := range []struct {
		name, stack, station string
		change               func(*world)
		// want are the findings of the station: the result and its minutes, and what the finding and its command have in them.
		want [][]string
		exit int
	}{
		{
			"no credentials", "prod", "credentials", func(w *world) { w.noCredentials = true },
			[][]string{{"fails 0", "there is no file", "gcloud auth application-default login"}}, 1,
		},
		{
			"no credentials hide no image", "prod", "images", func(w *world) { w.noCredentials = true },
			[][]string{{"ok", "ghcr.io/openhands/openhands:0.62.0"}}, 1,
		},
		{
			"no credentials ask no names", "prod", "names", func(w *world) { w.noCredentials = true },
			[][]string{{"unknown", "there are no credentials"}}, 1,
		},
		{
			"old credentials", "prod", "credentials", func(w *world) { w.oldCredentials = true },
			[][]string{{"fails 0", "any more", "gcloud auth application-default login"}}, 1,
		},
		{"nobody's credentials", "prod", "credentials", set(userinfo, says(401, `{"error": {"code": 401}}`)),
			[][]string{{"ok", "whose owner Google does not name"}}, 0},
		{
			"old credentials ask nothing", "prod", "project", func(w *world) { w.oldCredentials = true },
			[][]string{{"unknown", "there are no credentials"}}, 1,
		},
		{
			"credentials of a program", "prod", "permissions", func(w *world) {
				w.answers[userinfo] = says(200, `{"email": "ci@p.iam.gserviceaccount.com"}`)
				lacks("cloudsql.instances.create")(w)
			},
			[][]string{{"fails 2", "cloudsql.instances.create", "--member=serviceAccount:ci@p.iam.gserviceaccount.com --role=roles/cloudsql.admin"}}, 1,
		},

		{"no CLI", "prod", "tools", gone("pulumi version"), [][]string{{"fails 0", "Pulumi CLI", "--version 3.259.0"}}, 1},
		{
			"no plugin", "prod", "tools", gone("gke-gcloud-auth-plugin --version"),
			[][]string{{"fails 12", "into the cluster", "gcloud components install gke-gcloud-auth-plugin"}}, 1,
		},
		{"no plugin is needed", "single", "tools", gone("gke-gcloud-auth-plugin --version"), [][]string{{"ok", "pulumi 3.259.0, gcloud 530.0.0"}}, 0},
		{"another CLI", "prod", "tools", command("pulumi version", "v3.100.0"), [][]string{{"later", "is 3.100.0", "tested with 3.259.0"}}, 0},
		{"a broken CLI", "prod", "tools", command("pulumi version", "error: exit status 126"), [][]string{{"unknown", "exit status 126"}}, 2},
		{"no kubectl", "prod", "tools", gone("kubectl version --client"), [][]string{{"later", "port-forward", "install kubectl"}}, 0},
		{
			"an old kubectl", "dev", "tools", command("kubectl version --client", "Client Version: v1.30.9"),
			[][]string{{"later", "kubectl is 1.30.9", "update kubectl"}}, 0,
		},
		{"no gcloud", "single", "tools", gone("gcloud version"), [][]string{{"later", "gcloud is not on PATH"}}, 0},

		{
			"no stack", "prod", "state", command(export, "error: error: no stack named 'prod' found"),
			[][]string{{"fails 0", "no stack prod yet", "pulumi stack init prod --secrets-provider="}}, 1,
		},
		{
			"no backend", "prod", "state", command(export, "error: error: PULUMI_ACCESS_TOKEN must be set\nmore"),
			[][]string{{"unknown", "PULUMI_ACCESS_TOKEN must be set", "pulumi login gs://"}}, 2,
		},
		{"another format", "prod", "state", command(export, "Warning"), [][]string{{"unknown", "not what `pulumi stack export` writes"}}, 2},
		{
			"a stack that is", "prod", "state", command(export, `{"deployment": {"resources": [`+ownAccount+`]}}`),
			[][]string{{"ok", "exists already, with 1 resource,"}}, 0,
		},

		{"no project", "prod", "project", set(resourceOf+prod, says(404, `{}`)), [][]string{{"fails 0", "there is no project " + prod, "projects create"}}, 1},
		{"somebody's project", "prod", "project", set(resourceOf+prod, refuses), [][]string{{"fails 0", "may not see or use it"}}, 1},
		{
			"a deleted project", "prod", "project", set(resourceOf+prod, says(200, `{"state": "DELETE_REQUESTED", "parent": "folders/1"}`)),
			[][]string{{"fails 0", "delete requested", "gcloud projects undelete " + prod}}, 1,
		},
		{
			"no organization", "prod", "project", set(resourceOf+prod, says(200, `{"state": "ACTIVE"}`)),
			[][]string{{"ok", "active"}, {"fails 16", "belongs to no organization", "openhands:exposure.login.clientId"}}, 1,
		},
		{
			"no organization, and no login", "dev", "project", set(resourceOf+"my-openhands-dev", says(200, `{"state": "ACTIVE"}`)),
			[][]string{{"ok", "active"}}, 0,
		},
		{
			"the project cannot be asked", "prod", "project", set(resourceOf+prod, isOff("cloudresourcemanager.googleapis.com")),
			[][]string{{"unknown", "cloudresourcemanager.googleapis.com is off", "gcloud services enable cloudresourcemanager.googleapis.com --project=" + prod}}, 2,
		},

		{
			"no billing", "prod", "billing", set(billingOf+prod+"/billingInfo", says(200, `{}`)),
			[][]string{{"fails 0", "billing is off", "gcloud billing projects link " + prod}}, 1,
		},
		{
			"billing cannot be asked", "prod", "billing", set(billingOf+prod+"/billingInfo", isOff("cloudbilling.googleapis.com")),
			[][]string{{"unknown", "cloudbilling.googleapis.com is off", "services enable cloudbilling.googleapis.com"}}, 2,
		},
		{
			"billing answers nonsense", "prod", "billing", set(billingOf+prod+"/billingInfo", says(400, `{"error": {"code": 400, "message": "Odd"}}`)),
			[][]string{{"unknown", "400, Odd"}}, 2,
		},

		{
			"APIs that `up` enables are off", "prod", "APIs", set(servicesOf+prod+"/services:batchGet", says(200, `{"services": [
				{"name": "projects/1/services/serviceusage.googleapis.com", "state": "ENABLED"},
				{"name": "projects/1/services/cloudresourcemanager.googleapis.com", "state": "ENABLED"}]}`)),
			[][]string{{"ok", "2 of 20 are on; `up` enables the others: artifactregistry.googleapis.com"}}, 0,
		},
		{
			"the API for APIs is off", "prod", "APIs", set(servicesOf+prod+"/services:batchGet", isOff("serviceusage.googleapis.com")),
			[][]string{{"fails 0", "serviceusage.googleapis.com is off", "gcloud services enable cloudresourcemanager.googleapis.com serviceusage.googleapis.com"}}, 1,
		},
		{
			"the API for projects is off", "prod", "APIs", set(servicesOf+prod+"/services:batchGet", says(200, `{"services": [
				{"name": "projects/1/services/serviceusage.googleapis.com", "state": "ENABLED"}]}`)),
			[][]string{{"fails 0", "cloudresourcemanager.googleapis.com is off", "gcloud services enable"}}, 1,
		},
		{
			"APIs may not be asked", "prod", "APIs", set(servicesOf+prod+"/services:batchGet", refuses),
			[][]string{{"unknown", "refuses it to user:ann@example.com", "--role=roles/serviceusage.serviceUsageViewer"}}, 2,
		},

		{
			"a permission is missing", "prod", "permissions", lacks("compute.networks.create"),
			[][]string{{"fails 1", "lacks compute.networks.create, for compute.Network", "--member=user:ann@example.com --role=roles/compute.networkAdmin"}}, 1,
		},
		{
			"nobody may enable APIs", "prod", "permissions", lacks("serviceusage.services.enable"),
			[][]string{{"fails 0", "lacks serviceusage.services.enable, for projects.Service", "roles/serviceusage.serviceUsageAdmin"}}, 1,
		},
		{
			"a permission of objects in the cluster", "team", "permissions",
			set(resourceOf+"my-openhands-team:testIamPermissions", func(_ *http.Request, body []byte) (int, string) {
				return 200, without(body, "container.statefulSets.create")
			}),
			[][]string{{"fails 12", "apps.StatefulSet", "roles/container.admin"}}, 1,
		},
		{
			"a permission to delete", "prod", "permissions", lacks("storage.buckets.delete"),
			[][]string{{"later", "`pulumi destroy` fails", "roles/storage.admin"}}, 0,
		},
		{
			"no permission is there", "single", "permissions", set(resourceOf+"my-openhands-single:testIamPermissions", says(200, `{}`)),
			[][]string{
				{"fails", "roles/artifactregistry.admin"}, {"fails", "roles/compute.instanceAdmin.v1"}, {"fails", "roles/compute.networkAdmin"},
				{"fails", "roles/compute.securityAdmin"}, {"fails", "roles/iam.roleAdmin"}, {"fails", "roles/iam.serviceAccountAdmin"},
				{"fails", "roles/iam.serviceAccountUser"}, {"fails", "roles/iap.admin"}, {"fails", "roles/resourcemanager.projectIamAdmin"},
				{"fails 0", "roles/serviceusage.serviceUsageAdmin"},
			}, 1,
		},
		{
			"a permission that is no project's", "prod", "permissions",
			set(resourceOf+prod+":testIamPermissions", func(_ *http.Request, body []byte) (int, string) {
				if strings.Contains(string(body), `"iap.web.setIamPolicy"`) || strings.Contains(string(body), `"compute.networks.use"`) {
					return 400, `{"error": {"code": 400, "message": "Permission is not valid for this resource."}}`
				}
				return 200, string(body)
			}),
			[][]string{{"unknown", "Google does not say of a project who has compute.networks.use, iap.web.setIamPolicy"}}, 2,
		},
		{
			"permissions may not be asked", "prod", "permissions", set(resourceOf+prod+":testIamPermissions", refuses),
			[][]string{{"unknown", "permissions could not be asked"}}, 2,
		},

		{
			"too little at the start", "prod", "quotas", quota("CPUS", 24, 14), [][]string{{
				"fails 1", "CPUS: 12 are needed at the start, and 10 of 24 are left",
				"--quota-id=CPUS-per-project-region --dimensions=region=us-central1 --preferred-value=86 --project=" + prod,
			}}, 1,
		},
		{
			"too little with all nodes", "prod", "quotas", quota("SSD_TOTAL_GB", 500, 0),
			[][]string{{"later", "SSD_TOTAL_GB: 1000 are needed with all nodes, and 500 of 500 are left", "--preferred-value=1120"}}, 0,
		},
		{
			"too little for an upgrade", "dev", "quotas",
			set(computeOf+"my-openhands-dev", says(200, `{"quotas": [{"metric": "CPUS_ALL_REGIONS", "limit": 12, "usage": 2}]}`)),
			[][]string{{"later", "CPUS_ALL_REGIONS: 14 are needed while GKE upgrades nodes, and 10 of 12 are left",
				"--quota-id=CPUS-ALL-REGIONS-per-project --pref"}}, 0,
		},
		{
			"too little for a machine", "single", "quotas",
			set(computeOf+"my-openhands-single/regions/us-central1", says(200, `{"quotas": [{"metric": "CPUS", "limit": 24}, {"metric": "SSD_TOTAL_GB", "limit": 20},
				{"metric": "INSTANCES", "limit": 24}, {"metric": "IN_USE_ADDRESSES", "limit": 8}]}`)),
			[][]string{{"fails", "SSD_TOTAL_GB", "and 20 of 20 are left"}}, 1,
		},
		{
			"what the stack has itself counts as left", "prod", "quotas", func(w *world) {
				w.commands[export] = `{"deployment": {"resources": [` + ownCluster + `]}}`
				quota("CPUS", 72, 30)(w)
			},
			[][]string{{"ok", "all 6 suffice"}}, 0,
		},
		{
			"a quota that Google does not name", "prod", "quotas", set(computeOf+prod, says(200, `{"quotas": []}`)),
			[][]string{{"unknown", "CPUS_ALL_REGIONS: Google names no such quota"}}, 2,
		},
		{"no region", "prod", "quotas", set(region, says(404, `{}`)), [][]string{{"fails 1", "there is no region us-central1", "regions list"}}, 1},
		{
			"quotas cannot be asked", "prod", "quotas", set(region, isOff("compute.googleapis.com")),
			[][]string{{"unknown", "compute.googleapis.com is off. Where `up` enables it, this is no mistake", "services enable compute.googleapis.com"}}, 2,
		},

		{
			"peering", "prod", "policies", rules("compute.restrictVpcPeering", `{"values": {"allowedValues": ["under:organizations/1"]}}`), [][]string{{
				"fails 1", "compute.restrictVpcPeering does not allow organizations/433637338589",
				"gcloud resource-manager org-policies allow compute.restrictVpcPeering under:organizations/433637338589 --project=" + prod,
			}}, 1,
		},
		{
			"peering with Google alone", "prod", "policies", rules("compute.restrictVpcPeering", `{"values": {"allowedValues": ["under:organizations/433637338589"]}}`),
			[][]string{{"ok", "none of the 8"}}, 0,
		},
		{"peering, without a database", "team", "policies", rules("compute.restrictVpcPeering", `{"denyAll": true}`), [][]string{{"ok", "none of the 7"}}, 0},
		{
			"load balancers", "prod", "policies", rules("compute.restrictLoadBalancerCreationForTypes", `{"values": {"allowedValues": ["in:INTERNAL"]}}`),
			[][]string{{"fails 12", "GLOBAL_EXTERNAL_MANAGED_HTTP_HTTPS", "org-policies allow"}}, 1,
		},
		{
			"load balancers of this kind", "prod", "policies",
			rules("compute.restrictLoadBalancerCreationForTypes", `{"values": {"allowedValues": ["in:EXTERNAL"]}}`), [][]string{{"ok"}}, 0,
		},
		{
			"images", "single", "policies", rules("compute.trustedImageProjects", `{"values": {"deniedValues": ["projects/cos-cloud"]}}`),
			[][]string{{"fails", "does not allow projects/cos-cloud"}}, 1,
		},
		{
			"accounts", "single", "policies", rules("iam.disableServiceAccountCreation", `{"enforce": true}`),
			[][]string{{"fails 1", "is enforced", "org-policies disable-enforce iam.disableServiceAccountCreation"}}, 1,
		},
		{"workload identity", "dev", "policies", rules("iam.disableWorkloadIdentityClusterCreation", `{"enforce": true}`), [][]string{{"fails 1", "is enforced"}}, 1},
		{
			"people of other organizations", "prod", "policies", rules("iam.allowedPolicyMemberDomains", `{"values": {"allowedValues": ["C01"]}}`),
			[][]string{{"unknown", "members of C01 alone", "example.com", "gcloud org-policies describe iam.allowedPolicyMemberDomains --effective"}}, 2,
		},
		{
			"places", "prod", "policies", rules("gcp.resourceLocations", `{"values": {"allowedValues": ["in:eu-locations", "us-east1"]}}`),
			[][]string{{"fails", "the stack is in us-central1"}}, 1,
		},
		{
			"places by a group that says nothing", "prod", "policies", rules("gcp.resourceLocations", `{"values": {"allowedValues": ["in:low-carbon-locations"]}}`),
			[][]string{{"unknown", "in:low-carbon-locations"}}, 2,
		},
		{"this place", "prod", "policies", rules("gcp.resourceLocations", `{"values": {"allowedValues": ["in:us-locations"]}}`), [][]string{{"ok"}}, 0},
		{
			"the bucket's place", "prod", "policies", func(w *world) {
				w.config["openhands:bucket"] = `{"location": "EU"}`
				w.policy("gcp.resourceLocations", `{"values": {"allowedValues": ["in:us-locations"]}}`)
			},
			[][]string{{"fails", "the stack is in eu"}}, 1,
		},
		{
			"services", "prod", "policies", rules("gcp.restrictServiceUsage", `{"values": {"deniedValues": ["gkehub.googleapis.com"]}}`),
			[][]string{{"fails 0", "does not allow gkehub.googleapis.com"}}, 1,
		},
		{
			"keys of one's own", "prod", "policies", rules("gcp.restrictNonCmekServices", `{"values": {"deniedValues": ["is:sqladmin.googleapis.com"]}}`),
			[][]string{{"fails", "of sqladmin.googleapis.com"}}, 1,
		},
		{
			"a rule for some tags", "prod", "policies",
			rules("compute.restrictVpcPeering", `{"denyAll": true, "condition": {"expression": "resource.matchTag('1/env', 'prod')"}}`),
			[][]string{{"unknown", "counts for some tags only"}}, 2,
		},
		{
			"policies cannot be asked", "prod", "policies",
			set(policiesOf+prod+"/policies/gcp.resourceLocations:getEffectivePolicy", refuses), [][]string{{"unknown", "roles/orgpolicy.policyViewer"}}, 2,
		},

		{
			"an older channel", "prod", "version", set(clustersOf+prod+"/locations/us-central1/serverConfig", says(200, `{"channels": [
				{"channel": "REGULAR", "validVersions": ["1.35.4-gke.7"]}, {"channel": "RAPID", "validVersions": ["1.37.0-gke.1"]}]}`)),
			[][]string{{"fails 1", "GKE has RAPID to 1.37.0-gke.1, REGULAR to 1.35.4-gke.7", "openhands:cluster.releaseChannel"}}, 1,
		},
		{
			"versions cannot be asked", "dev", "version",
			set(clustersOf+"my-openhands-dev/locations/us-central1-a/serverConfig", isOff("container.googleapis.com")),
			[][]string{{"unknown", "container.googleapis.com is off"}}, 2,
		},

		{
			"an image that is gone", "prod", "images", set("ghcr.io/v2/openhands/runtime/manifests/0.62-nikolaik", says(404, "")),
			[][]string{{"fails 12", "ghcr.io/openhands/runtime:0.62-nikolaik: ghcr.io does not have it", "openhands:app.sandboxImage"}}, 1,
		},
		{
			"an image that is for somebody", "team", "images", set("ghcr.io/v2/openhands/agent-canvas/manifests/1.20.0", says(403, "")),
			[][]string{{"fails 12", "agent-canvas", "openhands:app.image"}}, 1,
		},
		{
			"a registry without tokens", "prod", "images", set("auth.docker.io/token", says(503, "")),
			[][]string{{"unknown", "envoyproxy/envoy", "auth.docker.io answers 503"}}, 2,
		},
		{
			"an own image", "prod", "images", func(w *world) {
				w.config["openhands:app"] = `{"image": "europe-docker.pkg.dev/p/r/openhands:0.62.0"}`
				w.answers["europe-docker.pkg.dev/v2/p/r/openhands/manifests/0.62.0"] = says(200, "")
			},
			[][]string{{"ok", "europe-docker.pkg.dev/p/r/openhands:0.62.0, ghcr.io/openhands/runtime"}}, 0,
		},

		{"a zone", "prod", "DNS", withZone(), [][]string{{"ok", "zone example-com of example.com. is public"}}, 0},
		{"no zone", "prod", "DNS", withZone(set(zone, says(404, `{}`))), [][]string{{"fails 1", "no zone example-com", "managed-zones create example-com"}}, 1},
		{
			"a private zone", "prod", "DNS", withZone(set(zone, says(200, `{"dnsName": "example.com.", "visibility": "private"}`))),
			[][]string{{"fails 1", "zone example-com is private"}}, 1,
		},
		{
			"another domain's zone", "prod", "DNS", withZone(set(zone, says(200, `{"dnsName": "ample.com.", "visibility": "public"}`))),
			[][]string{{"fails 1", "is of ample.com., and openhands.example.com is not below it"}}, 1,
		},
		{
			"a zone that nobody asks", "prod", "DNS", withZone(func(w *world) { w.servers = nil }),
			[][]string{{"later", "no certificate is issued", "dig +short NS example.com."}}, 0,
		},
		{
			"records that are there", "prod", "DNS",
			withZone(set(zone+"/rrsets", says(200, `{"rrsets": [{"name": "_acme-challenge.openhands.example.com.", "type": "CNAME"}]}`))),
			[][]string{{"fails 1", "CNAME record _acme-challenge.openhands.example.com. is there already", "--zone=example-com --type=CNAME"}}, 1,
		},
		{"the zone cannot be asked", "prod", "DNS", withZone(set(zone, isOff("dns.googleapis.com"))), [][]string{{"unknown", "dns.googleapis.com is off"}}, 2},
		{"no record yet", "prod", "DNS", func(*world) {}, [][]string{{"ok", "leads nowhere yet"}}, 0},
		{
			"a record of before", "prod", "DNS", func(w *world) { w.hosts = map[string][]string{"openhands.example.com": {"203.0.113.9"}} },
			[][]string{{"later", "leads to 203.0.113.9 today", "pulumi stack output dnsRecords"}}, 0,
		},

		{
			"an account of before", "prod", "names", set(account, says(200, `{"uniqueId": "1"}`)),
			[][]string{{"fails 1", "service account openhands-prod-nodes is there already", "gcloud iam service-accounts delete openhands-prod-nodes@"}}, 1,
		},
		{
			"the stack's own account", "prod", "names", func(w *world) {
				w.answers[account] = says(200, `{"uniqueId": "1"}`)
				w.commands[export] = `{"deployment": {"resources": [` + ownAccount + `]}}`
			},
			[][]string{{"ok", "all 5"}}, 0,
		},
		{
			"an account of nobody knows whom", "prod", "names", func(w *world) {
				w.answers[account] = says(200, `{"uniqueId": "1"}`)
				w.commands[export] = "error: no login"
			},
			[][]string{{"unknown", "where it is not this stack's own, `up` fails"}}, 2,
		},
		{
			"a repository", "dev", "names",
			set(repositoriesOf+"my-openhands-dev/locations/us-central1/repositories/openhands-dev-ghcr", says(200, `{}`)),
			[][]string{{"fails 1", "repository openhands-dev-ghcr", "artifacts repositories delete openhands-dev-ghcr --location=us-central1"}}, 1,
		},
		{"a role", "single", "names", set(role, says(200, `{}`)), [][]string{{"fails", "role openhands_single_member is there", "iam roles delete"}}, 1},
		{
			"a role that was deleted", "single", "names", set(role, says(200, `{"deleted": true}`)),
			[][]string{{"unknown", "for 7 days `up` takes it back", "gcloud iam roles undelete openhands_single_member"}}, 2,
		},
		{"names where the API is off", "prod", "names", set(account, isOff("iam.googleapis.com")), [][]string{{"ok", "all 5"}}, 0},
		{"names may not be asked", "prod", "names", set(account, refuses),
			[][]string{{"unknown", "openhands-prod-nodes could not be asked", "roles/iam.serviceAccountViewer"}}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := healthy(t, row.stack)
			row.change(w)
			report := w.examine(t, row.stack)
			var found []string
			for _, f := range report.Findings {
				if f.Station != row.station {
					continue
				}
				line := string(f.Result)
				if f.AfterMinutes != nil {
					line += fmt.Sprintf(" %d", *f.AfterMinutes)
				}
				found = append(found, line+": "+f.What+" | "+f.Mend)
			}
			require.Len(t, found, len(row.want), strings.Join(found, "\n"))
			for i, want := range row.want {
				assert.True(t, strings.HasPrefix(found[i], want[0]), "%s is to be %s", found[i], want[0])
				for _, text := range want[1:] {
					assert.Contains(t, found[i], text)
				}
			}
			assert.Equal(t, row.exit, report.Exit())
		})
	}
}

// The marks around what TestDoctorsTables writes.
const (
	tablesBegin = "<!-- tables: written by `make docs` -->\n"
	tablesEnd   = "<!-- end of tables -->\n"
)

// TestDoctorsTables compares docs/doctor.md with what people see of a healthy project, and of one in which much is wrong at once. `make docs` writes it anew.
func TestDoctorsTables(t *testing.T) {
	var b strings.Builder
	for _, project := range []struct {
		title string
		world *world
	}{{"A project in which `pulumi up` passes:", healthy(t, "prod")}, {"And one in which much is wrong at once:", everythingWrong(t)}} {
		fmt.Fprintf(&b, "\n%s\n\n```\n", project.title)
		require.NoError(t, project.world.examine(t, "prod").Text(&b))
		b.WriteString("```\n")
	}
	b.WriteString("\n")
	assertWritten(t, "docs/doctor.md", tablesBegin, tablesEnd, b.String())
}

// TestDoctorForMachines: in JSON is what is in the table.
func TestDoctorForMachines(t *testing.T) {
	report := everythingWrong(t).examine(t, "prod")
	var b strings.Builder
	require.NoError(t, report.JSON(&b))
	assert.Contains(t, b.String(), `"mend": "gcloud billing projects link my-openhands-prod --billing-account=<one of`, "a command is to be copied")
	var read doctor.Report
	require.NoError(t, json.Unmarshal([]byte(b.String()), &read))
	assert.Equal(t, *report, read)
}

// TestDoctorWaitsForNobody: a station without an answer says so, and hides no other.
func TestDoctorWaitsForNobody(t *testing.T) {
	w := healthy(t, "prod")
	w.patience = 200 * time.Millisecond
	w.answers[billingOf+"my-openhands-prod/billingInfo"] = func(r *http.Request, _ []byte) (int, string) {
		<-r.Context().Done() // until the doctor hangs up
		return 200, `{}`
	}
	report := w.examine(t, "prod")
	var unknown []string
	for _, f := range report.Findings {
		if f.Result != doctor.OK {
			unknown = append(unknown, f.Station+": "+f.What)
		}
	}
	assert.Equal(t, []string{"billing: billing could not be asked: no answer within 200ms"}, unknown)
}

// TestStacksAreHealthy: of every profile and line, nothing is wrong where nothing is.
func TestStacksAreHealthy(t *testing.T) {
	for _, stack := range goldenStacks(t) {
		if stack == "everything" || stack == "remote" {
			continue // their images, zone and region are others than those of the healthy world
		}
		t.Run(stack, func(t *testing.T) {
			t.Parallel()
			report := healthy(t, stack).examine(t, stack)
			for _, f := range report.Findings {
				assert.Equal(t, doctor.OK, f.Result, "%s: %s", f.Station, f.What)
			}
		})
	}
}

// TestTheDoctorReadsNoSecret: of an encrypted value nothing but its key is read.
func TestTheDoctorReadsNoSecret(t *testing.T) {
	root := t.TempDir()
	file := "encryptionsalt: v1:salt\nconfig:\n  gcp:project: p\n  openhands:teardown: true\n  openhands:secretEnv:\n    TOKEN:\n      secure: v1:ciphertext\n" +
		"  openhands:iapClientSecret:\n    secure: v1:ciphertext\n"
	require.NoError(t, os.WriteFile(filepath.Join(root, "Pulumi.x.yaml"), []byte(file), 0o600))
	source, err := doctor.ReadStackFile(root, "x")
	require.NoError(t, err)
	slices.Sort(source.SecretKeys)
	assert.Equal(t, stacks.Source{
		Stack: "x", SecretKeys: []string{"openhands:iapClientSecret", "openhands:secretEnv"}, Values: map[string]string{
			"gcp:project": "p", "openhands:teardown": "true", "openhands:secretEnv": `{"TOKEN":"unread"}`, "openhands:iapClientSecret": "unread",
		},
	}, source)
	_, err = doctor.ReadStackFile(root, "y")
	assert.ErrorContains(t, err, "there is no stack file")
}

// TestPoliciesAreInTheDocumentation compares the doctor's organization policies with those of docs/quotas.md: which there are, and which of them may stop
// something.
func TestPoliciesAreInTheDocumentation(t *testing.T) {
	raw, err := os.ReadFile("docs/quotas.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(raw), "## Organization policies\n")
	require.True(t, ok)
	documented := map[string]bool{}
	for _, line := range strings.Split(section, "\n") {
		cells := strings.Split(line, " | ")
		if len(cells) != 3 {
			continue
		}
		for _, match := range regexp.MustCompile("`([a-z]+\\.[A-Za-z]+)`").FindAllStringSubmatch(cells[0], -1) {
			documented[match[1]] = !strings.HasPrefix(cells[1], "passes")
		}
	}
	known := map[string]bool{}
	for _, c := range doctor.Constraints {
		known[c.Name] = c.Stops()
	}
	assert.Equal(t, documented, known)
}

// TestTheImagesOfAStackAreInItsPlan: the doctor asks for what is run.
func TestTheImagesOfAStackAreInItsPlan(t *testing.T) {
	for _, stack := range goldenStacks(t) {
		config, err := stacks.Load(stacks.Source{Stack: stack, Values: stackFile(t, stack), SecretKeys: runInfo(t, "tests/golden/"+stack+".yaml").ConfigSecretKeys})
		require.NoError(t, err)
		var plan strings.Builder
		for _, r := range planOf(t, "tests/golden/"+stack+".yaml").Resources {
			fmt.Fprintln(&plan, r.Inputs)
		}
		images := config.Images()
		require.NotEmpty(t, images)
		for _, image := range images {
			_, name, _ := strings.Cut(image.Reference, "/") // its registry is the mirror's
			assert.Contains(t, plan.String(), name, "stack %s runs %s", stack, image.Reference)
		}
	}
}

// TestAPlanIsThatOfTheCompiledProgram: the doctor starts the program as the engine does.
func TestAPlanIsThatOfTheCompiledProgram(t *testing.T) {
	t.Setenv(actAsProgram, "1")
	info := runInfo(t, "tests/golden/dev.yaml")
	info.Project, info.Stack = "openhands", "dev"
	plan, err := golden.RecordProgram(t.Context(), info, os.Args[0])
	require.NoError(t, err)
	got, err := plan.Text("dev.yaml")
	require.NoError(t, err)
	want, err := planOf(t, "tests/golden/dev.yaml").Text("dev.yaml")
	require.NoError(t, err)
	assert.Equal(t, want, got)

	info.Config["openhands:profile"] = "nonsense"
	_, err = golden.RecordProgram(t.Context(), info, os.Args[0])
	assert.ErrorContains(t, err, "openhands:profile")
}

// actAsProgram has the tests' executable be the program.
const actAsProgram = "OPENHANDS_ACT_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(actAsProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}
