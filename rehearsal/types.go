// Package types names the types of resources that the simulated clouds know, by their Pulumi tokens.
package rehearsal

import "strings"

// Types of Google Cloud.
const (
	serviceType = "gcp:projects/service:Service"

	networkType    = "gcp:compute/network:Network"
	subnetworkType = "gcp:compute/subnetwork:Subnetwork"
	routerType     = "gcp:compute/router:Router"
	natType        = "gcp:compute/routerNat:RouterNat"
	addressType    = "gcp:compute/globalAddress:GlobalAddress"
	firewallType   = "gcp:compute/firewall:Firewall"
	connectionType = "gcp:servicenetworking/connection:Connection"

	clusterType    = "gcp:container/cluster:Cluster"
	nodePoolType   = "gcp:container/nodePool:NodePool"
	membershipType = "gcp:gkehub/membership:Membership"

	sqlInstanceType = "gcp:sql/databaseInstance:DatabaseInstance"
	sqlDatabaseType = "gcp:sql/database:Database"
	sqlUserType     = "gcp:sql/user:User"

	accountType          = "gcp:serviceaccount/account:Account"
	accountMemberType    = "gcp:serviceaccount/iAMMember:IAMMember"
	projectMemberType    = "gcp:projects/iAMMember:IAMMember"
	repositoryType       = "gcp:artifactregistry/repository:Repository"
	repositoryMemberType = "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember"
	bucketType           = "gcp:storage/bucket:Bucket"
	bucketMemberType     = "gcp:storage/bucketIAMMember:BucketIAMMember"

	alertType     = "gcp:monitoring/alertPolicy:AlertPolicy"
	channelType   = "gcp:monitoring/notificationChannel:NotificationChannel"
	dashboardType = "gcp:monitoring/dashboard:Dashboard"

	authorizationType  = "gcp:certificatemanager/dnsAuthorization:DnsAuthorization"
	certificateType    = "gcp:certificatemanager/certificate:Certificate"
	certificateMapType = "gcp:certificatemanager/certificateMap:CertificateMap"
	mapEntryType       = "gcp:certificatemanager/certificateMapEntry:CertificateMapEntry"
	armorType          = "gcp:compute/securityPolicy:SecurityPolicy"
	tlsPolicyType      = "gcp:compute/sSLPolicy:SSLPolicy"
	recordType         = "gcp:dns/recordSet:RecordSet"
	loginMemberType    = "gcp:iap/webIamMember:WebIamMember"
)

// Types of Kubernetes, and of GKE's own kinds.
const (
	namespaceType    = "kubernetes:core/v1:Namespace"
	kubeAccountType  = "kubernetes:core/v1:ServiceAccount"
	accountPatchType = "kubernetes:core/v1:ServiceAccountPatch"
	configMapType    = "kubernetes:core/v1:ConfigMap"
	secretType       = "kubernetes:core/v1:Secret"
	kubeServiceType  = "kubernetes:core/v1:Service"
	quotaType        = "kubernetes:core/v1:ResourceQuota"
	limitRangeType   = "kubernetes:core/v1:LimitRange"

	deploymentType = "kubernetes:apps/v1:Deployment"
	cronJobType    = "kubernetes:batch/v1:CronJob"
	priorityType   = "kubernetes:scheduling.k8s.io/v1:PriorityClass"

	roleType        = "kubernetes:rbac.authorization.k8s.io/v1:Role"
	roleBindingType = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"

	networkPolicyType = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
	ingressClassType  = "kubernetes:networking.k8s.io/v1:IngressClass"
	domainPolicyType  = "kubernetes:networking.gke.io/v1alpha1:FQDNNetworkPolicy"

	mutationType         = "kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicy"
	mutationTargetType   = "kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicyBinding"
	validationType       = "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy"
	validationTargetType = "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicyBinding"

	gatewayType       = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
	routeType         = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
	backendPolicyType = "kubernetes:networking.gke.io/v1:GCPBackendPolicy"
	gatewayPolicyType = "kubernetes:networking.gke.io/v1:GCPGatewayPolicy"
	healthPolicyType  = "kubernetes:networking.gke.io/v1:HealthCheckPolicy"
)

// Types of the random provider.
const (
	randomStringType   = "random:index/randomString:RandomString"
	randomPasswordType = "random:index/randomPassword:RandomPassword"
)

// shortType turns gcp:compute/network:Network into compute.Network. Anything else than a token stays as it is.
func shortType(typ string) string {
	parts := strings.Split(typ, ":")
	if len(parts) != 3 {
		return typ
	}
	module, _, _ := strings.Cut(parts[1], "/")
	return module + "." + parts[2]
}
