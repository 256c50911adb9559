package permissions

import "strings"

// call is one method of an API that the provider calls for a resource, and the permissions that Google asks for it, with a space between.
type call struct{ method, takes string }

// table has the calls for each type of resource that the program and bootstrap have. Which permission a method takes is from the pages of each API's methods,
// as the catalogue iann0036/iam-dataset had them on 22 August 2026; rows whose method ends in (memory) are not in it.
//
// A refresh and a preview make those calls whose permissions only read; see reads.
var table = map[string][]call{
	"gcp:artifactregistry/repository:Repository": {
		{"artifactregistry.repositories.create", "artifactregistry.repositories.create"},
		{"artifactregistry.repositories.get", "artifactregistry.repositories.get"},
		{"artifactregistry.repositories.patch", "artifactregistry.repositories.update"},
		{"artifactregistry.repositories.delete", "artifactregistry.repositories.delete"},
	},
	"gcp:artifactregistry/repositoryIamMember:RepositoryIamMember": policy("artifactregistry.repositories"),
	"gcp:certificatemanager/certificate:Certificate": append(crud("certificatemanager.certificates", "certificatemanager.certs"),
		call{"certificatemanager.certificates.create", "certificatemanager.dnsauthorizations.use"},
		call{"certificatemanager.operations.get", "certificatemanager.operations.get"}),
	"gcp:certificatemanager/certificateMap:CertificateMap": append(crud("certificatemanager.certificateMaps", "certificatemanager.certmaps"),
		call{"certificatemanager.operations.get", "certificatemanager.operations.get"}),
	"gcp:certificatemanager/certificateMapEntry:CertificateMapEntry": append(
		crud("certificatemanager.certificateMapEntries", "certificatemanager.certmapentries"),
		call{"certificatemanager.certificateMapEntries.create", "certificatemanager.certs.use"},
		call{"certificatemanager.operations.get", "certificatemanager.operations.get"}),
	"gcp:certificatemanager/dnsAuthorization:DnsAuthorization": append(crud("certificatemanager.dnsAuthorizations", "certificatemanager.dnsauthorizations"),
		call{"certificatemanager.operations.get", "certificatemanager.operations.get"}),
	"gcp:compute/disk:Disk": append(compute("disks", "zone"),
		call{"compute.disks.setLabels", "compute.disks.setLabels"},
		call{"compute.disks.resize", "compute.disks.resize"},
		call{"compute.disks.insert from a snapshot (memory)", "compute.snapshots.useReadOnly"}),
	"gcp:compute/diskResourcePolicyAttachment:DiskResourcePolicyAttachment": {
		{"compute.disks.addResourcePolicies", "compute.disks.addResourcePolicies compute.resourcePolicies.use"},
		{"compute.disks.get", "compute.disks.get"},
		{"compute.disks.removeResourcePolicies", "compute.disks.removeResourcePolicies"},
		{"compute.zoneOperations.get", "compute.zoneOperations.get"},
	},
	"gcp:compute/firewall:Firewall": append(compute("firewalls", "global"),
		call{"compute.firewalls.insert", "compute.networks.updatePolicy"}),
	"gcp:compute/globalAddress:GlobalAddress": {
		{"compute.globalAddresses.insert", "compute.globalAddresses.create compute.globalAddresses.createInternal compute.networks.use"},
		{"compute.globalAddresses.get", "compute.globalAddresses.get"},
		{"compute.globalAddresses.setLabels", "compute.globalAddresses.setLabels"},
		{"compute.globalAddresses.delete", "compute.globalAddresses.delete compute.globalAddresses.deleteInternal"},
		{"compute.globalOperations.get", "compute.globalOperations.get"},
	},
	"gcp:compute/instance:Instance": append(compute("instances", "zone"),
		call{"compute.instances.insert", "compute.disks.create compute.disks.use compute.images.useReadOnly compute.subnetworks.use"},
		call{"compute.instances.insert", "compute.instances.setLabels compute.instances.setMetadata compute.instances.setTags"},
		call{"compute.instances.insert", "compute.instances.setServiceAccount iam.serviceAccounts.actAs"},
		call{"compute.images.getFromFamily", "compute.images.getFromFamily"},
		call{"compute.instances.start", "compute.instances.start"},
		call{"compute.instances.stop", "compute.instances.stop"},
		call{"compute.instances.setMachineType", "compute.instances.setMachineType"},
		call{"compute.instances.setDeletionProtection", "compute.instances.setDeletionProtection"},
		call{"compute.instances.addResourcePolicies", "compute.instances.addResourcePolicies compute.resourcePolicies.use"},
		call{"compute.instances.removeResourcePolicies", "compute.instances.removeResourcePolicies"}),
	"gcp:compute/instanceIAMMember:InstanceIAMMember": policy("compute.instances"),
	"gcp:compute/network:Network":                     compute("networks", "global"),
	"gcp:compute/resourcePolicy:ResourcePolicy":       compute("resourcePolicies", "region"),
	"gcp:compute/router:Router":                       append(compute("routers", "region"), call{"compute.routers.insert", "compute.networks.use"}),
	"gcp:compute/routerNat:RouterNat": {
		{"compute.routers.get", "compute.routers.get"},
		{"compute.routers.patch", "compute.routers.update compute.subnetworks.use"},
		{"compute.regionOperations.get", "compute.regionOperations.get"},
	},
	"gcp:compute/sSLPolicy:SSLPolicy": compute("sslPolicies", "global"),
	"gcp:compute/securityPolicy:SecurityPolicy": append(compute("securityPolicies", "global"),
		call{"compute.securityPolicies.setLabels", "compute.securityPolicies.setLabels"}),
	"gcp:compute/subnetwork:Subnetwork": append(compute("subnetworks", "region"),
		call{"compute.subnetworks.insert", "compute.networks.use"},
		call{"compute.subnetworks.expandIpCidrRange", "compute.subnetworks.expandIpCidrRange"},
		call{"compute.subnetworks.setPrivateIpGoogleAccess", "compute.subnetworks.setPrivateIpGoogleAccess"}),
	"gcp:container/cluster:Cluster": {
		{"container.clusters.create", "container.clusters.create iam.serviceAccounts.actAs"},
		{"container.clusters.create (memory)", "compute.networks.get compute.subnetworks.get"},
		{"container.clusters.get", "container.clusters.get"},
		{"container.clusters.update", "container.clusters.update"},
		{"container.clusters.delete", "container.clusters.delete"},
		{"container.operations.get", "container.operations.get"},
		{"container.getServerConfig (memory)", "container.clusters.list"},
		{"cloudresourcemanager.projects.get", "resourcemanager.projects.get"}, // the number that the Connect gateway's address has
	},
	"gcp:container/nodePool:NodePool": {
		{"container.nodePools.create", "container.clusters.update iam.serviceAccounts.actAs"},
		{"container.nodePools.get", "container.clusters.get"},
		{"container.operations.get", "container.operations.get"},
		{"compute.instanceGroupManagers.get", "compute.instanceGroupManagers.get"},
	},
	"gcp:dns/recordSet:RecordSet": {
		{"dns.changes.create", "dns.changes.create dns.resourceRecordSets.create dns.resourceRecordSets.update dns.resourceRecordSets.delete"},
		{"dns.resourceRecordSets.list", "dns.resourceRecordSets.list"},
		{"dns.changes.get", "dns.changes.get"},
		{"dns.managedZones.get", "dns.managedZones.get"},
	},
	"gcp:gkehub/membership:Membership": append(crud("gkehub.memberships", "gkehub.memberships"),
		call{"gkehub.operations.get", "gkehub.operations.get"}),
	"gcp:iam/workloadIdentityPool:WorkloadIdentityPool": {
		{"iam.workloadIdentityPools.create", "iam.googleapis.com/workloadIdentityPools.create"},
		{"iam.workloadIdentityPools.get", "iam.googleapis.com/workloadIdentityPools.get"},
		{"iam.workloadIdentityPools.patch", "iam.googleapis.com/workloadIdentityPools.update"},
		{"iam.workloadIdentityPools.delete", "iam.googleapis.com/workloadIdentityPools.delete"},
	},
	"gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider": {
		{"iam.workloadIdentityPools.providers.create", "iam.googleapis.com/workloadIdentityPoolProviders.create"},
		{"iam.workloadIdentityPools.providers.get", "iam.googleapis.com/workloadIdentityPoolProviders.get"},
		{"iam.workloadIdentityPools.providers.patch", "iam.googleapis.com/workloadIdentityPoolProviders.update"},
		{"iam.workloadIdentityPools.providers.delete", "iam.googleapis.com/workloadIdentityPoolProviders.delete"},
	},
	"gcp:iap/tunnelInstanceIAMMember:TunnelInstanceIAMMember": policy("iap.tunnelInstances"),
	"gcp:iap/webIamMember:WebIamMember":                       policy("iap.web"),
	"gcp:kms/cryptoKey:CryptoKey": { // never deleted
		{"cloudkms.cryptoKeys.create", "cloudkms.cryptoKeys.create"},
		{"cloudkms.cryptoKeys.get", "cloudkms.cryptoKeys.get"},
		{"cloudkms.cryptoKeys.list", "cloudkms.cryptoKeys.list"},
		{"cloudkms.cryptoKeys.patch", "cloudkms.cryptoKeys.update"},
	},
	"gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember": policy("cloudkms.cryptoKeys"),
	"gcp:kms/keyRing:KeyRing": { // never deleted
		{"cloudkms.keyRings.create", "cloudkms.keyRings.create"},
		{"cloudkms.keyRings.get", "cloudkms.keyRings.get"},
		{"cloudkms.keyRings.list", "cloudkms.keyRings.list"},
	},
	"gcp:monitoring/alertPolicy:AlertPolicy":                 crud("monitoring.alertPolicies", "monitoring.alertPolicies"),
	"gcp:monitoring/dashboard:Dashboard":                     crud("monitoring.dashboards", "monitoring.dashboards"),
	"gcp:monitoring/notificationChannel:NotificationChannel": crud("monitoring.notificationChannels", "monitoring.notificationChannels"),
	"gcp:projects/iAMCustomRole:IAMCustomRole":               append(crud("iam.roles", "iam.roles"), call{"iam.roles.undelete", "iam.roles.undelete"}),
	"gcp:projects/iAMMember:IAMMember": {
		{"cloudresourcemanager.projects.getIamPolicy", "resourcemanager.projects.getIamPolicy"},
		{"cloudresourcemanager.projects.setIamPolicy", "resourcemanager.projects.setIamPolicy"},
	},
	"gcp:projects/service:Service": {
		{"serviceusage.services.enable", "serviceusage.services.enable"},
		{"serviceusage.services.list", "serviceusage.services.list"},
		{"serviceusage.operations.get", "serviceusage.operations.get"},
	},
	"gcp:serviceaccount/account:Account":     crud("iam.serviceAccounts", "iam.serviceAccounts"),
	"gcp:serviceaccount/iAMMember:IAMMember": policy("iam.serviceAccounts"),
	"gcp:servicenetworking/connection:Connection": { // its deletion is abandoned
		{"servicenetworking.services.connections.create (memory)", "servicenetworking.services.addPeering compute.networks.addPeering"},
		{"servicenetworking.services.connections.list", "servicenetworking.services.get"},
		{"cloudresourcemanager.projects.get", "resourcemanager.projects.get"},
	},
	"gcp:sql/database:Database": crud("sql.databases", "cloudsql.databases"),
	"gcp:sql/databaseInstance:DatabaseInstance": append(crud("sql.instances", "cloudsql.instances"),
		call{"sql.instances.list of a replica (memory)", "cloudsql.instances.list"},
		call{"sql.users.list", "cloudsql.users.list"}),
	"gcp:sql/user:User": {
		{"sql.users.insert", "cloudsql.users.create"},
		{"sql.users.list", "cloudsql.users.list"},
		{"sql.users.update", "cloudsql.users.update"},
		{"sql.users.delete", "cloudsql.users.delete"},
	},
	"gcp:storage/bucket:Bucket": {
		{"storage.buckets.insert", "storage.buckets.create"},
		{"storage.buckets.get", "storage.buckets.get"},
		{"storage.buckets.patch", "storage.buckets.update"},
		{"storage.buckets.delete", "storage.buckets.delete"},
		{"storage.objects.list before a deletion", "storage.objects.list"},
		{"storage.objects.delete before a deletion", "storage.objects.delete"},
	},
	"gcp:storage/bucketIAMPolicy:BucketIAMPolicy": policy("storage.buckets"),

	// Kubernetes. The Connect gateway lets a method of HTTP through, and GKE asks for the permission of the kind. Dry runs of a preview are real calls to both.
	"kubernetes:apps/v1:Deployment": append(object("deployments"),
		call{portForward, "gkehub.gateway.stream container.pods.get container.pods.portForward"}),
	"kubernetes:apps/v1:StatefulSet":                                              object("statefulSets"),
	"kubernetes:batch/v1:CronJob":                                                 object("cronJobs"),
	"kubernetes:core/v1:ConfigMap":                                                object("configMaps"),
	"kubernetes:core/v1:LimitRange":                                               object("limitRanges"),
	"kubernetes:core/v1:Namespace":                                                object("namespaces"),
	"kubernetes:core/v1:PersistentVolumeClaimPatch":                               object("persistentVolumeClaims"),
	"kubernetes:core/v1:ResourceQuota":                                            object("resourceQuotas"),
	"kubernetes:core/v1:Secret":                                                   object("secrets"),
	"kubernetes:core/v1:Service":                                                  object("services"),
	"kubernetes:core/v1:ServiceAccount":                                           object("serviceAccounts"),
	"kubernetes:core/v1:ServiceAccountPatch":                                      object("serviceAccounts"),
	"kubernetes:networking.k8s.io/v1:NetworkPolicy":                               object("networkPolicies"),
	"kubernetes:policy/v1:PodDisruptionBudget":                                    object("podDisruptionBudgets"),
	"kubernetes:rbac.authorization.k8s.io/v1:Role":                                append(object("roles"), call{"escalate roles", "container.roles.escalate"}),
	"kubernetes:rbac.authorization.k8s.io/v1:RoleBinding":                         append(object("roleBindings"), call{"bind roles", "container.roles.bind"}),
	"kubernetes:scheduling.k8s.io/v1:PriorityClass":                               object("priorityClasses"),
	"kubernetes:networking.k8s.io/v1:IngressClass":                                object(others),
	"kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicy":          object(others),
	"kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicyBinding":   object(others),
	"kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy":        object(others),
	"kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicyBinding": object(others),
	"kubernetes:gateway.networking.k8s.io/v1:Gateway":                             object(others),
	"kubernetes:gateway.networking.k8s.io/v1:HTTPRoute":                           object(others),
	"kubernetes:networking.gke.io/v1:GCPBackendPolicy":                            object(others),
	"kubernetes:networking.gke.io/v1:GCPGatewayPolicy":                            object(others),
	"kubernetes:networking.gke.io/v1:HealthCheckPolicy":                           object(others),
	"kubernetes:networking.gke.io/v1alpha1:FQDNNetworkPolicy":                     object(others),

	// Nothing of Google's.
	"random:index/randomPassword:RandomPassword": {},
	"random:index/randomString:RandomString":     {},
}

// portForward is what lets through the door by port-forward: the output openCommand, and make check.
const portForward = "port-forward through the Connect gateway"

// others is what GKE's permissions call the kinds that have no name of their own there (memory).
const others = "thirdPartyObjects"

// crud are the calls for a resource whose permissions have the same names as its methods.
func crud(methods, permissions string) []call {
	return []call{
		{methods + ".create", permissions + ".create"},
		{methods + ".get", permissions + ".get"},
		{methods + ".patch", permissions + ".update"},
		{methods + ".delete", permissions + ".delete"},
	}
}

// compute are the calls for a resource of Compute Engine; where says which of its operations are waited for. What has no update is made anew.
func compute(kind, where string) []call {
	methods := "compute." + kind
	calls := []call{
		{methods + ".insert", methods + ".create"},
		{methods + ".get", methods + ".get"},
		{methods + ".delete", methods + ".delete"},
		{"compute." + where + "Operations.get", "compute." + where + "Operations.get"},
	}
	if kind != "disks" {
		calls = append(calls, call{methods + ".patch", methods + ".update"})
	}
	return calls
}

// policy are the calls for a grant on something that has a policy.
func policy(on string) []call {
	return []call{{on + ".getIamPolicy", on + ".getIamPolicy"}, {on + ".setIamPolicy", on + ".setIamPolicy"}}
}

// object are the calls for an object of Kubernetes, through the Connect gateway.
func object(kind string) []call {
	kind = "container." + kind
	return []call{
		{"GET through the Connect gateway", "gkehub.gateway.get " + kind + ".get"},
		{"POST through the Connect gateway", "gkehub.gateway.post " + kind + ".create"},
		{"PATCH through the Connect gateway", "gkehub.gateway.patch " + kind + ".update"},
		{"PUT through the Connect gateway", "gkehub.gateway.put " + kind + ".update"},
		{"DELETE through the Connect gateway", "gkehub.gateway.delete " + kind + ".delete"},
	}
}

// reads says whether a permission only reads.
func reads(permission string) bool {
	last := permission[strings.LastIndex(permission, ".")+1:]
	return last == "get" || last == "list" || last == "getIamPolicy" || last == "getFromFamily"
}
