package rehearsal

import (
	"fmt"
	"slices"
)

// CheckOutputs compares the stack's outputs with the objects in the cloud: a person, and the next stack, work with nothing else.
func (c *Cloud) CheckOutputs(export *Export) []string {
	outputs := map[string]any{}
	for _, r := range export.Deployment.Resources {
		if r.Type == stackType {
			outputs = r.Outputs
		}
	}
	var problems []string
	for _, name := range []string{"kubeconfig", "databasePassword"} {
		if !encrypted(outputs[name]) {
			problems = append(problems, fmt.Sprintf("output %s is not there as a secret", name))
		}
	}
	for name, want := range c.expectedOutputs() {
		if got := outputs[name]; fmt.Sprint(got) != fmt.Sprint(want) {
			problems = append(problems, fmt.Sprintf("output %s is %v, and the cloud has %v", name, got, want))
		}
	}
	slices.Sort(problems)
	return problems
}

// expectedOutputs are those that follow from the objects of the cloud.
func (c *Cloud) expectedOutputs() map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	want := map[string]any{}
	for _, o := range c.all(clusterType) {
		want["clusterName"], want["clusterLocation"] = o.outputs.str("name"), o.outputs.str("location")
		want["credentialsCommand"] = fmt.Sprintf("gcloud container clusters get-credentials %s --location=%s --project=%s", o.outputs.str("name"), o.outputs.str("location"), c.project)
	}
	for _, o := range c.all(membershipType) {
		want["credentialsCommand"] = fmt.Sprintf("gcloud container fleet memberships get-credentials %s --location=%s --project=%s", o.outputs.str("membershipId"), o.outputs.str("location"), c.project)
	}
	for _, o := range c.all(kubeServiceType) {
		namespace, name := o.inputs.str("metadata.namespace"), o.inputs.str("metadata.name")
		want["appNamespace"] = namespace
		for _, item := range o.inputs.list("spec.ports") {
			if port, ok := item.(map[string]any); ok {
				want["openCommand"] = fmt.Sprintf("kubectl --namespace=%s port-forward service/%s %v:%v", namespace, name, port["port"], port["port"])
			}
		}
	}
	if len(c.all(kubeServiceType)) > 0 {
		want["url"], want["dnsRecords"] = c.expectedWayIn()
	}
	for _, o := range c.all(sqlInstanceType) {
		want["databaseInstance"], want["databaseHost"] = o.outputs.str("name"), o.outputs.str("privateIpAddress")
	}
	for _, o := range c.all(sqlDatabaseType) {
		want["databaseName"] = o.outputs.str("name")
	}
	for _, o := range c.all(sqlUserType) {
		want["databaseUser"] = o.outputs.str("name")
	}
	for _, o := range c.all(bucketType) {
		want["bucketName"] = o.id
	}
	for _, o := range c.all(repositoryType) {
		name := "imagePrefix"
		if o.inputs.str("mode") == "REMOTE_REPOSITORY" {
			name = "ghcrPrefix"
		}
		want[name] = fmt.Sprintf("%s-docker.pkg.dev/%s/%s", o.outputs.str("location"), c.project, o.outputs.str("repositoryId"))
	}
	for _, o := range c.all(accountMemberType) { // who may act as the app's account
		if account := c.find(accountType, o.inputs.str("serviceAccountId")); account != nil {
			want["appServiceAccount"] = account.outputs.str("email")
		}
	}
	return want
}

// expectedWayIn is where browsers find the application, and the DNS records that lead them there.
func (c *Cloud) expectedWayIn() (url string, records []any) {
	url, records = "http://localhost:3000", []any{}
	for _, authorization := range c.all(authorizationType) {
		host := authorization.inputs.str("domain")
		url = "https://" + host
		for _, o := range c.all(addressType) {
			if o.inputs.str("addressType") == "EXTERNAL" {
				records = append(records, map[string]any{"name": host + ".", "type": "A", "data": o.outputs.str("address")})
			}
		}
		records = append(records, authorization.outputs.list("dnsResourceRecords")...)
	}
	return url, records
}
