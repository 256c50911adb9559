package rehearsal

import (
	"fmt"
	"slices"
)

// CheckOutputs compares the stack's outputs with the objects in the cloud: people, and other stacks, work with the outputs alone.
func CheckOutputs(inventory *Inventory, export *Export) []string {
	outputs := map[string]any{}
	for _, r := range export.Deployment.Resources {
		if r.Type == StackType {
			outputs = r.Outputs
		}
	}
	var problems []string
	for _, name := range []string{"kubeconfig", "databasePassword"} {
		if !IsEncrypted(outputs[name]) {
			problems = append(problems, fmt.Sprintf("output %s is not there as a secret", name))
		}
	}
	for name, want := range expectedOutputs(inventory) {
		if got := outputs[name]; fmt.Sprint(got) != fmt.Sprint(want) {
			problems = append(problems, fmt.Sprintf("output %s is %v, and the cloud has %v", name, got, want))
		}
	}
	slices.Sort(problems)
	return problems
}

// expectedOutputs are those that follow from the objects of the cloud.
func expectedOutputs(i *Inventory) map[string]any {
	want := map[string]any{}
	for _, o := range i.All(clusterType) {
		want["clusterName"], want["clusterLocation"] = o.Outputs.Str("name"), o.Outputs.Str("location")
		want["credentialsCommand"] = fmt.Sprintf("gcloud container clusters get-credentials %s --location=%s --project=%s",
			o.Outputs.Str("name"), o.Outputs.Str("location"), i.Project)
	}
	for _, o := range i.All(membershipType) {
		want["credentialsCommand"] = fmt.Sprintf("gcloud container fleet memberships get-credentials %s --location=%s --project=%s",
			o.Outputs.Str("membershipId"), o.Outputs.Str("location"), i.Project)
	}
	for _, o := range i.All(kubeServiceType) {
		namespace, name := o.Inputs.Str("metadata.namespace"), o.Inputs.Str("metadata.name")
		want["appNamespace"] = namespace
		for _, port := range o.Inputs.Maps("spec.ports") {
			want["openCommand"] = fmt.Sprintf("kubectl --namespace=%s port-forward service/%s %v:%v", namespace, name, port["port"], port["port"])
		}
	}
	if len(i.All(kubeServiceType)) > 0 {
		want["url"], want["dnsRecords"] = expectedWayIn(i)
	}
	for _, o := range i.All(sqlInstanceType) {
		want["databaseInstance"], want["databaseHost"] = o.Outputs.Str("name"), o.Outputs.Str("privateIpAddress")
	}
	for _, o := range i.All(sqlDatabaseType) {
		want["databaseName"] = o.Outputs.Str("name")
	}
	for _, o := range i.All(sqlUserType) {
		want["databaseUser"] = o.Outputs.Str("name")
	}
	for _, o := range i.All(bucketType) {
		want["bucketName"] = o.ID
	}
	for _, o := range i.All(repositoryType) {
		name := "imagePrefix"
		if o.Inputs.Str("mode") == "REMOTE_REPOSITORY" {
			name = "ghcrPrefix"
		}
		want[name] = fmt.Sprintf("%s-docker.pkg.dev/%s/%s", o.Outputs.Str("location"), i.Project, o.Outputs.Str("repositoryId"))
	}
	for _, o := range i.All(accountMemberType) { // who may act as the app's account
		if account := i.Find(accountType, o.Inputs.Str("serviceAccountId")); account != nil {
			want["appServiceAccount"] = account.Outputs.Str("email")
		}
	}
	return want
}

// expectedWayIn is where browsers find the application, and the DNS records that lead them there.
func expectedWayIn(i *Inventory) (url string, records []any) {
	url, records = "http://localhost:3000", []any{}
	for _, authorization := range i.All(authorizationType) {
		host := authorization.Inputs.Str("domain")
		url = "https://" + host
		for _, o := range i.All(addressType) {
			if o.Inputs.Str("addressType") == "EXTERNAL" {
				records = append(records, map[string]any{"name": host + ".", "type": "A", "data": o.Outputs.Str("address")})
			}
		}
		for _, record := range authorization.Outputs.Maps("dnsResourceRecords") {
			records = append(records, map[string]any(record))
		}
	}
	return url, records
}
