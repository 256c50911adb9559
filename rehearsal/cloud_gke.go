package rehearsal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// The types of the cluster.
const (
	clusterType    = "gcp:container/cluster:Cluster"
	nodePoolType   = "gcp:container/nodePool:NodePool"
	membershipType = "gcp:gkehub/membership:Membership"
)

// clusterNameLimit is GKE's, for clusters and node pools.
const clusterNameLimit = 40

// gvisorLabel is the label and the taint of GKE Sandbox, which GKE sets by itself.
const gvisorLabel = "sandbox.gke.io/runtime"

var (
	zoneName    = regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+-[a-z]$`)
	regionName  = regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+$`)
	versionName = regexp.MustCompile(`^1\.[0-9]+(\.[0-9]+(-gke\.[0-9]+)?)?$`)
)

func init() {
	kinds[clusterType] = &kind{api: "container", check: checkCluster, create: createCluster, remove: func(r *request) (string, error) {
		if r.outputs.is("deletionProtection") {
			return "", errors.New("cannot destroy cluster because deletionProtection is set to true")
		}
		for _, o := range r.cloud.all(nodePoolType) {
			if o.inputs.str("cluster") == r.outputs.str("name") {
				r.cloud.drop(o)
			}
		}
		return "", nil
	}}
	kinds[nodePoolType] = &kind{api: "container", check: checkNodePool, create: createNodePool, update: func(r *request) error {
		// The cloud's own labels cannot be taken away; the program must leave the field alone.
		for _, path := range []string{"nodeConfig.resourceLabels", "nodeConfig.kubeletConfig"} {
			if canonicalOf(r.inputs.at(path)) != canonicalOf(r.old.inputs.at(path)) {
				return fmt.Errorf("googleapi: Error 400: %s of a node pool cannot be changed", path)
			}
		}
		return nil
	}}
	kinds[membershipType] = &kind{api: "gkehub", check: func(r *request) error {
		link := r.inputs.str("endpoint.gkeCluster.resourceLink")
		id, ok := strings.CutPrefix(link, "//container.googleapis.com/")
		if !ok {
			return fmt.Errorf("endpoint.gkeCluster.resourceLink: %q does not begin with //container.googleapis.com/", link)
		}
		if _, err := r.need(clusterType, "endpoint.gkeCluster.resourceLink", id); err != nil {
			return err
		}
		// What makes the membership of use: the Connect gateway.
		for _, api := range []string{"gkeconnect", "connectgateway"} {
			if err := r.enabled(api); err != nil {
				return err
			}
		}
		if issuer := r.inputs.str("authority.issuer"); issuer != "" && issuer != "https://container.googleapis.com/v1/"+id {
			return fmt.Errorf("authority.issuer: %q is not that of the cluster", issuer)
		}
		return named("membershipId", r.inputs.str("membershipId"), rfc1035, 63)
	}, create: func(r *request) error {
		r.id = fmt.Sprintf("projects/%s/locations/%s/memberships/%s", r.cloud.project, r.inputs.str("location"), r.inputs.str("membershipId"))
		r.outputs["name"], r.outputs["project"] = r.id, r.cloud.project
		return nil
	}}
}

func canonicalOf(v any) string { return fmt.Sprint(v) }

func checkCluster(r *request) error {
	in := r.inputs
	if err := named("name", in.str("name"), rfc1035, clusterNameLimit); err != nil {
		return err
	}
	if in.num("initialNodeCount") < 1 {
		return errors.New("initialNodeCount: must be at least 1, also where the default pool is removed")
	}
	network, err := r.need(networkType, "network", in.str("network"))
	if err != nil {
		return err
	}
	subnet, err := r.need(subnetworkType, "subnetwork", in.str("subnetwork"))
	if err != nil {
		return err
	}
	if subnet.inputs.str("network") != network.id {
		return fmt.Errorf("subnetwork: %s is not in network %s", subnet.id, network.id)
	}
	location := in.str("location")
	if !zoneName.MatchString(location) && !regionName.MatchString(location) {
		return fmt.Errorf("location: %q is not a zone or region", location)
	}
	if region := subnet.outputs.str("region"); location != region && !strings.HasPrefix(location, region+"-") {
		return fmt.Errorf("location: %s is not in the subnet's region %s", location, region)
	}
	for _, path := range []string{"ipAllocationPolicy.clusterSecondaryRangeName", "ipAllocationPolicy.servicesSecondaryRangeName"} {
		if !hasSecondaryRange(subnet.inputs, in.str(path)) {
			return fmt.Errorf("%s: subnet %s has no secondary range %q", path, subnet.id, in.str(path))
		}
	}
	if err := r.checkPrivateCluster(network); err != nil {
		return err
	}
	for path, api := range map[string]string{
		"loggingConfig": "logging", "monitoringConfig": "monitoring", "securityPostureConfig": "containersecurity", "workloadIdentityConfig": "iamcredentials",
	} {
		if in.at(path) != nil {
			if err := r.enabled(api); err != nil {
				return err
			}
		}
	}
	if in.str("datapathProvider") == "ADVANCED_DATAPATH" && in.is("networkPolicy.enabled") {
		return errors.New("networkPolicy: must not be enabled with datapathProvider ADVANCED_DATAPATH")
	}
	if version := in.str("minMasterVersion"); version != "" && !versionName.MatchString(version) {
		return fmt.Errorf("minMasterVersion: %q is not a version", version)
	}
	if pool := in.str("workloadIdentityConfig.workloadPool"); pool != "" && pool != r.cloud.project+".svc.id.goog" {
		return fmt.Errorf("workloadIdentityConfig.workloadPool: %q is not the project's", pool)
	}
	return r.checkNodeAccount("nodeConfig.serviceAccount")
}

// checkPrivateCluster holds what the API says about a private cluster at its creation, which no preview sees.
func (r *request) checkPrivateCluster(network *object) error {
	const block = "privateClusterConfig.masterIpv4CidrBlock"
	if !r.inputs.is("privateClusterConfig.enablePrivateNodes") {
		return nil
	}
	cidr := r.inputs.str(block)
	if cidr == "" {
		if r.inputs.str("privateClusterConfig.privateEndpointSubnetwork") != "" {
			return nil
		}
		return fmt.Errorf("%s: must be set with enablePrivateNodes", block)
	}
	if prefix, err := netip.ParsePrefix(cidr); err != nil || prefix.Bits() != 28 {
		return fmt.Errorf("%s: %q is not a /28", block, cidr)
	}
	if r.old == nil {
		if err := r.allocate(block, network.id, cidr); err != nil {
			return err
		}
	}
	if r.inputs.is("privateClusterConfig.enablePrivateEndpoint") && r.inputs.at("masterAuthorizedNetworksConfig") == nil {
		return errors.New("masterAuthorizedNetworksConfig: must be set with enablePrivateEndpoint")
	}
	return nil
}

func hasSecondaryRange(subnet values, name string) bool {
	for _, item := range subnet.list("secondaryIpRanges") {
		if m, ok := item.(map[string]any); ok && name != "" && values(m).str("rangeName") == name {
			return true
		}
	}
	return false
}

func (r *request) checkNodeAccount(path string) error {
	email := r.inputs.str(path)
	if email == "" || email == "default" {
		return nil
	}
	_, err := r.need(accountType, path, email)
	return err
}

func createCluster(r *request) error {
	name, location := r.inputs.str("name"), r.inputs.str("location")
	r.id = fmt.Sprintf("projects/%s/locations/%s/clusters/%s", r.cloud.project, location, name)
	private := ""
	if prefix, err := netip.ParsePrefix(r.inputs.str("privateClusterConfig.masterIpv4CidrBlock")); err == nil {
		private = prefix.Addr().Next().Next().String()
	}
	endpoint := "203.0.113.10"
	if r.inputs.is("privateClusterConfig.enablePrivateEndpoint") {
		endpoint = private
	} else {
		r.outputs.set("privateClusterConfig.publicEndpoint", endpoint)
	}
	r.outputs.set("privateClusterConfig.privateEndpoint", private)
	r.outputs["endpoint"], r.outputs["project"] = endpoint, r.cloud.project
	r.outputs["selfLink"] = "https://container.googleapis.com/v1/" + r.id
	r.outputs["masterVersion"] = r.inputs.str("minMasterVersion") + ".3-gke.1000"
	r.outputs.set("masterAuth.clusterCaCertificate", base64.StdEncoding.EncodeToString([]byte("simulated certificate of "+name)))
	return nil
}

func checkNodePool(r *request) error {
	in := r.inputs
	if err := named("name", in.str("name"), rfc1035, clusterNameLimit); err != nil {
		return err
	}
	cluster, err := r.need(clusterType, "cluster", in.str("cluster"))
	if err != nil {
		return err
	}
	if in.str("location") != cluster.inputs.str("location") {
		return fmt.Errorf("location: %q is not the cluster's (%s)", in.str("location"), cluster.inputs.str("location"))
	}
	if err := r.checkNodeAccount("nodeConfig.serviceAccount"); err != nil {
		return err
	}
	if in.is("nodeConfig.gcfsConfig.enabled") {
		if err := r.enabled("containerfilesystem"); err != nil {
			return err
		}
	}
	if in.at("autoscaling") != nil {
		perZone := in.num("autoscaling.minNodeCount") + in.num("autoscaling.maxNodeCount")
		total := in.num("autoscaling.totalMaxNodeCount")
		switch {
		case in.at("nodeCount") != nil:
			return errors.New("nodeCount: must not be set with autoscaling")
		case perZone > 0 && total > 0:
			return errors.New("autoscaling: set counts for a zone or in total, not both")
		case in.num("autoscaling.totalMinNodeCount") > total:
			return errors.New("autoscaling: totalMinNodeCount is above totalMaxNodeCount")
		}
	}
	if in.at("nodeConfig.kubeletConfig") != nil && in.str("nodeConfig.kubeletConfig.cpuManagerPolicy") == "" {
		return errors.New("nodeConfig.kubeletConfig.cpuManagerPolicy: is required")
	}
	if in.str("nodeConfig.sandboxConfig.sandboxType") != "" && in.str("nodeConfig.imageType") != "COS_CONTAINERD" {
		return errors.New("nodeConfig.imageType: GKE Sandbox needs COS_CONTAINERD")
	}
	for _, item := range in.list("nodeConfig.taints") {
		if taint, _ := item.(map[string]any); taint["key"] == gvisorLabel {
			return fmt.Errorf("nodeConfig.taints: %s is GKE's own", gvisorLabel)
		}
	}
	if in.at("nodeConfig.labels."+gvisorLabel) != nil {
		return fmt.Errorf("nodeConfig.labels: %s is GKE's own", gvisorLabel)
	}
	return nil
}

func createNodePool(r *request) error {
	cluster := r.cloud.find(clusterType, r.inputs.str("cluster"))
	r.id = cluster.id + "/nodePools/" + r.inputs.str("name")
	r.outputs["project"] = r.cloud.project
	r.outputs["version"] = cluster.outputs.str("masterVersion")
	// What GKE adds by itself. Neither field is computed in the provider's schema, so a program that does not ignore them sees a change for ever
	// (seen with the real provider 7.38.0).
	model := "on-demand"
	if r.inputs.is("nodeConfig.spot") {
		model = "spot"
	}
	if r.inputs.at("nodeConfig.resourceLabels") == nil {
		r.outputs.set("nodeConfig.resourceLabels", map[string]any{"goog-gke-node-pool-provisioning-model": model})
	}
	if r.inputs.at("nodeConfig.kubeletConfig") == nil {
		r.outputs.set("nodeConfig.kubeletConfig", map[string]any{"cpuManagerPolicy": "", "cpuCfsQuota": false, "cpuCfsQuotaPeriod": "", "podPidsLimit": 0.0})
	}
	return nil
}
