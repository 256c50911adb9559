package cloud

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// clusterNameLimit is GKE's, for clusters and node pools, in characters.
const clusterNameLimit = 40

var (
	zoneName = regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+-[a-z]$`)
	// groupOfGroups is the one Google group that GKE reads groups from.
	// https://cloud.google.com/kubernetes-engine/docs/how-to/google-groups-rbac
	groupOfGroups = regexp.MustCompile(`^gke-security-groups@[^@\s]+\.[^@\s]+$`)
	versionName   = regexp.MustCompile(`^1\.[0-9]+(\.[0-9]+(-gke\.[0-9]+)?)?$`)
)

// IsZone reports whether a location is a zone, and not a region.
func IsZone(location string) bool { return zoneName.MatchString(location) }

func checkCluster(r *Request) error {
	in := r.Inputs
	if err := named("name", in.Str("name"), rfc1035, clusterNameLimit); err != nil {
		return err
	}
	if in.Num("initialNodeCount") < 1 {
		return errors.New("initialNodeCount: must be at least 1, also where the default pool is removed")
	}
	network, err := r.Need(types.Network, "network", in.Str("network"))
	if err != nil {
		return err
	}
	subnet, err := r.Need(types.Subnetwork, "subnetwork", in.Str("subnetwork"))
	if err != nil {
		return err
	}
	if subnet.Inputs.Str("network") != network.ID {
		return fmt.Errorf("subnetwork: %s is not in network %s", subnet.ID, network.ID)
	}
	if err := r.checkClusterPlace(subnet); err != nil {
		return err
	}
	if err := r.checkPrivateCluster(network); err != nil {
		return err
	}
	for path, api := range map[string]string{
		"loggingConfig": "logging", "monitoringConfig": "monitoring", "securityPostureConfig": "containersecurity", "workloadIdentityConfig": "iamcredentials",
	} {
		if in.At(path) != nil {
			if err := r.Enabled(api); err != nil {
				return err
			}
		}
	}
	if in.Str("datapathProvider") == "ADVANCED_DATAPATH" && in.Is("networkPolicy.enabled") {
		return errors.New("networkPolicy: must not be enabled with datapathProvider ADVANCED_DATAPATH")
	}
	if version := in.Str("minMasterVersion"); version != "" && !versionName.MatchString(version) {
		return fmt.Errorf("minMasterVersion: %q is not a version", version)
	}
	if pool := in.Str("workloadIdentityConfig.workloadPool"); pool != "" && pool != r.Project+".svc.id.goog" {
		return fmt.Errorf("workloadIdentityConfig.workloadPool: %q is not the project's", pool)
	}
	if group := in.Str("authenticatorGroupsConfig.securityGroup"); group != "" && !groupOfGroups.MatchString(group) {
		return fmt.Errorf("authenticatorGroupsConfig.securityGroup: %q is not gke-security-groups@<domain>", group)
	}
	return r.checkNodeAccount("nodeConfig.serviceAccount")
}

// checkClusterPlace checks the location, and the ranges for pods and Services, against the subnet.
func (r *Request) checkClusterPlace(subnet *Object) error {
	in := r.Inputs
	location := in.Str("location")
	if err := checkLocation(location); err != nil {
		return fmt.Errorf("location: %w", err)
	}
	if region := subnet.Outputs.Str("region"); location != region && !strings.HasPrefix(location, region+"-") {
		return fmt.Errorf("location: %s is not in the subnet's region %s", location, region)
	}
	for _, path := range []string{"ipAllocationPolicy.clusterSecondaryRangeName", "ipAllocationPolicy.servicesSecondaryRangeName"} {
		if !hasSecondaryRange(subnet.Inputs, in.Str(path)) {
			return fmt.Errorf("%s: subnet %s has no secondary range %q", path, subnet.ID, in.Str(path))
		}
	}
	return nil
}

// checkPrivateCluster checks what the API says about a private cluster at its creation, which no preview sees.
func (r *Request) checkPrivateCluster(network *Object) error {
	const block = "privateClusterConfig.masterIpv4CidrBlock"
	if !r.Inputs.Is("privateClusterConfig.enablePrivateNodes") {
		return nil
	}
	cidr := r.Inputs.Str(block)
	if cidr == "" {
		if r.Inputs.Str("privateClusterConfig.privateEndpointSubnetwork") != "" {
			return nil
		}
		return fmt.Errorf("%s: must be set with enablePrivateNodes", block)
	}
	if prefix, err := netip.ParsePrefix(cidr); err != nil || prefix.Bits() != 28 {
		return fmt.Errorf("%s: %q is not a /28", block, cidr)
	}
	if r.Old == nil {
		if err := r.allocate(block, network.ID, cidr); err != nil {
			return err
		}
	}
	if r.Inputs.Is("privateClusterConfig.enablePrivateEndpoint") && r.Inputs.At("masterAuthorizedNetworksConfig") == nil {
		return errors.New("masterAuthorizedNetworksConfig: must be set with enablePrivateEndpoint")
	}
	return nil
}

func hasSecondaryRange(subnet values.Map, name string) bool {
	return slices.ContainsFunc(subnet.Maps("secondaryIpRanges"), func(secondary values.Map) bool { return name != "" && secondary.Str("rangeName") == name })
}

// nodeRole is what the service account of nodes needs to write logs and metrics.
// https://cloud.google.com/kubernetes-engine/docs/how-to/service-accounts#default-gke-service-agent
const nodeRole = "roles/container.defaultNodeServiceAccount"

// checkNodeAccount checks the service account of nodes, which the input at a path names.
func (r *Request) checkNodeAccount(path string) error {
	email := r.Inputs.Str(path)
	if email == "" || email == "default" {
		return nil
	}
	if _, err := r.Need(types.Account, path, email); err != nil {
		return err
	}
	grant := r.granted(types.ProjectMember, nodeRole, "serviceAccount:"+email, nil)
	if grant == nil {
		return fmt.Errorf("%s: %s has no role %s: its nodes write no logs and no metrics", path, email, nodeRole)
	}
	r.NeedObject(grant, "the role of its nodes")
	return nil
}

func createCluster(r *Request) error {
	name, location := r.Inputs.Str("name"), r.Inputs.Str("location")
	r.ID = fmt.Sprintf("projects/%s/locations/%s/clusters/%s", r.Project, location, name)
	private := ""
	if prefix, err := netip.ParsePrefix(r.Inputs.Str("privateClusterConfig.masterIpv4CidrBlock")); err == nil {
		private = prefix.Addr().Next().Next().String()
	}
	endpoint := "34.90.1.10"
	if r.Inputs.Is("privateClusterConfig.enablePrivateEndpoint") {
		endpoint = private
	} else {
		r.Outputs.Set("privateClusterConfig.publicEndpoint", endpoint)
	}
	r.Outputs.Set("privateClusterConfig.privateEndpoint", private)
	r.Outputs["endpoint"], r.Outputs["project"] = endpoint, r.Project
	r.Outputs["selfLink"] = "https://container.googleapis.com/v1/" + r.ID
	r.Outputs["masterVersion"] = r.Inputs.Str("minMasterVersion") + ".3-gke.1000"
	r.Outputs.Set("masterAuth.clusterCaCertificate", base64.StdEncoding.EncodeToString([]byte("simulated certificate of "+name)))
	return nil
}

func removeCluster(r *Request) (string, error) {
	if r.Outputs.Is("deletionProtection") {
		return "", errors.New("cannot destroy cluster because deletionProtection is set to true")
	}
	for _, o := range r.Everything() {
		inside := strings.HasPrefix(o.Type, "kubernetes:") // the simulated Kubernetes has one cluster
		if inside || (o.Type == types.NodePool && o.Inputs.Str("cluster") == r.Outputs.Str("name")) {
			r.Drop(o)
		}
	}
	return "", nil
}

func checkMembership(r *Request) error {
	link := r.Inputs.Str("endpoint.gkeCluster.resourceLink")
	id, ok := strings.CutPrefix(link, "//container.googleapis.com/")
	if !ok {
		return fmt.Errorf("endpoint.gkeCluster.resourceLink: %q does not begin with //container.googleapis.com/", link)
	}
	if _, err := r.Need(types.Cluster, "endpoint.gkeCluster.resourceLink", id); err != nil {
		return err
	}
	// What makes the membership of use: the Connect gateway.
	for _, api := range []string{"gkeconnect", "connectgateway"} {
		if err := r.Enabled(api); err != nil {
			return err
		}
	}
	if issuer := r.Inputs.Str("authority.issuer"); issuer != "" && issuer != "https://container.googleapis.com/v1/"+id {
		return fmt.Errorf("authority.issuer: %q is not that of the cluster", issuer)
	}
	return named("membershipId", r.Inputs.Str("membershipId"), rfc1035, 63)
}

func createMembership(r *Request) error {
	r.ID = fmt.Sprintf("projects/%s/locations/%s/memberships/%s", r.Project, r.Inputs.Str("location"), r.Inputs.Str("membershipId"))
	r.Outputs["name"], r.Outputs["project"] = r.ID, r.Project
	return nil
}
