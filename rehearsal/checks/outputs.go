package checks

import (
	"fmt"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
)

// Outputs compares the stack's outputs with the objects in the cloud: people, and other stacks, work with the outputs alone.
func Outputs(inventory *cloud.Inventory, export *state.Export) []string {
	var problems []string
	if len(inventory.All(types.Instance)) == 0 && !state.IsEncrypted(export.Output("kubeconfig")) {
		problems = append(problems, "output kubeconfig is missing, or not a secret")
	}
	for name, want := range expectedOutputs(inventory) {
		if got := export.Output(name); fmt.Sprint(got) != fmt.Sprint(want) {
			problems = append(problems, fmt.Sprintf("output %s is %v, and the cloud has %v", name, got, want))
		}
	}
	slices.Sort(problems)
	return problems
}

// expectedOutputs are those that follow from the objects of the cloud.
func expectedOutputs(i *cloud.Inventory) map[string]any {
	want := map[string]any{}
	for _, o := range i.All(types.Cluster) {
		want["clusterName"], want["clusterLocation"] = o.Outputs.Str("name"), o.Outputs.Str("location")
		want["credentialsCommand"] = fmt.Sprintf("gcloud container clusters get-credentials %s --location=%s --project=%s",
			o.Outputs.Str("name"), o.Outputs.Str("location"), i.Project)
	}
	for _, o := range i.All(types.Membership) {
		want["credentialsCommand"] = fmt.Sprintf("gcloud container fleet memberships get-credentials %s --location=%s --project=%s",
			o.Outputs.Str("membershipId"), o.Outputs.Str("location"), i.Project)
	}
	for _, d := range doors(i) {
		local, _ := d.listener("127.0.0.1")
		want["appNamespace"] = d.Namespace
		want["openCommand"] = fmt.Sprintf("kubectl --namespace=%s port-forward deployment/%s %d:%[3]d", d.Namespace, d.Name, local.port())
		host, records := expectedHost(i)
		want["dnsRecords"] = records
		urls := map[string]any{}
		for _, instance := range instances(i) {
			urls[instance.Name] = "https://" + strings.Replace(host, "*", instance.Name, 1)
			if host == "" {
				urls[instance.Name] = fmt.Sprintf("http://%s.localhost:%d", instance.Name, local.port())
			}
			want["urls"], want["instanceNamespace"] = urls, instance.Namespace
		}
		switch {
		case len(urls) > 0:
		case host == "":
			want["url"] = fmt.Sprintf("http://localhost:%d", local.port())
		default:
			want["url"] = "https://" + host
		}
	}
	for _, o := range i.All(types.SQLInstance) {
		want["databaseInstance"], want["databaseHost"] = o.Outputs.Str("name"), o.Outputs.Str("privateIpAddress")
	}
	for _, o := range i.All(types.SQLDatabase) {
		want["databaseName"] = o.Outputs.Str("name")
	}
	for _, o := range i.All(types.SQLUser) {
		want["databaseUser"] = o.Outputs.Str("name")
	}
	for _, o := range i.All(types.Disk) {
		want["dataDisk"] = o.Outputs.Str("name")
	}
	for _, o := range i.All(types.Bucket) {
		want["bucketName"] = o.ID
	}
	for _, o := range i.All(types.Repository) {
		name := "imagePrefix"
		switch {
		case o.Inputs.Str("remoteRepositoryConfig.dockerRepository.customRepository.uri") == "https://ghcr.io":
			name = "ghcrPrefix"
		case o.Inputs.Str("mode") == "REMOTE_REPOSITORY": // without an address, of Docker Hub
			name = "dockerHubPrefix"
		}
		want[name] = fmt.Sprintf("%s-docker.pkg.dev/%s/%s", o.Outputs.Str("location"), i.Project, o.Outputs.Str("repositoryId"))
	}
	for _, o := range i.All(types.Instance) {
		m := &machine{Object: o, files: map[string]string{}}
		if err := m.read(); err != nil {
			continue // Machine says it
		}
		machine := fmt.Sprintf("--zone=%s --project=%s", o.Outputs.Str("zone"), i.Project)
		want["instanceName"], want["instanceZone"] = o.Outputs.Str("name"), o.Outputs.Str("zone")
		want["url"] = "http://localhost:" + m.port()
		want["openCommand"] = fmt.Sprintf("gcloud compute start-iap-tunnel %s %s --local-host-port=localhost:%[2]s %s", o.Outputs.Str("name"), m.port(), machine)
		want["sshCommand"] = fmt.Sprintf("gcloud compute ssh %s --tunnel-through-iap %s", o.Outputs.Str("name"), machine)
		want["machineServiceAccount"] = o.Inputs.Str("serviceAccount.email")
		return want
	}
	for _, o := range i.All(types.AccountMember) { // who may act as the app's account
		if account := i.Find(types.Account, o.Inputs.Str("serviceAccountId")); account != nil {
			want["appServiceAccount"] = account.Outputs.Str("email")
		}
	}
	return want
}

// expectedHost is the host that there is a certificate for, empty where there is none, and the DNS records that lead there.
func expectedHost(i *cloud.Inventory) (host string, records []any) {
	records = []any{}
	for _, authorization := range i.All(types.DNSAuthorization) {
		host = authorization.Inputs.Str("domain")
		for _, entry := range i.All(types.CertificateMapEntry) {
			host = entry.Inputs.Str("hostname")
		}
		for _, o := range i.All(types.Address) {
			if o.Inputs.Str("addressType") == "EXTERNAL" {
				records = append(records, map[string]any{"name": host + ".", "type": "A", "data": o.Outputs.Str("address")})
			}
		}
		for _, record := range authorization.Outputs.Maps("dnsResourceRecords") {
			records = append(records, map[string]any(record))
		}
	}
	return host, records
}
