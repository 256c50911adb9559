// Package types names the types of resources that the simulated clouds know, by their Pulumi tokens.
package types

import (
	"fmt"
	"strings"
)

// Types of Google Cloud.
const (
	Service = "gcp:projects/service:Service"

	Network    = "gcp:compute/network:Network"
	Subnetwork = "gcp:compute/subnetwork:Subnetwork"
	Router     = "gcp:compute/router:Router"
	NAT        = "gcp:compute/routerNat:RouterNat"
	Address    = "gcp:compute/globalAddress:GlobalAddress"
	Firewall   = "gcp:compute/firewall:Firewall"
	Connection = "gcp:servicenetworking/connection:Connection"

	Cluster    = "gcp:container/cluster:Cluster"
	NodePool   = "gcp:container/nodePool:NodePool"
	Membership = "gcp:gkehub/membership:Membership"

	SQLInstance = "gcp:sql/databaseInstance:DatabaseInstance"
	SQLDatabase = "gcp:sql/database:Database"
	SQLUser     = "gcp:sql/user:User"

	Account          = "gcp:serviceaccount/account:Account"
	AccountMember    = "gcp:serviceaccount/iAMMember:IAMMember"
	ProjectMember    = "gcp:projects/iAMMember:IAMMember"
	Repository       = "gcp:artifactregistry/repository:Repository"
	RepositoryMember = "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember"
	Bucket           = "gcp:storage/bucket:Bucket"
	BucketMember     = "gcp:storage/bucketIAMMember:BucketIAMMember"
	BucketPolicy     = "gcp:storage/bucketIAMPolicy:BucketIAMPolicy"

	Alert     = "gcp:monitoring/alertPolicy:AlertPolicy"
	Channel   = "gcp:monitoring/notificationChannel:NotificationChannel"
	Dashboard = "gcp:monitoring/dashboard:Dashboard"

	DNSAuthorization    = "gcp:certificatemanager/dnsAuthorization:DnsAuthorization"
	Certificate         = "gcp:certificatemanager/certificate:Certificate"
	CertificateMap      = "gcp:certificatemanager/certificateMap:CertificateMap"
	CertificateMapEntry = "gcp:certificatemanager/certificateMapEntry:CertificateMapEntry"
	SecurityPolicy      = "gcp:compute/securityPolicy:SecurityPolicy"
	SSLPolicy           = "gcp:compute/sSLPolicy:SSLPolicy"
	DNSRecord           = "gcp:dns/recordSet:RecordSet"
	LoginMember         = "gcp:iap/webIamMember:WebIamMember"

	Instance       = "gcp:compute/instance:Instance"
	Disk           = "gcp:compute/disk:Disk"
	ResourcePolicy = "gcp:compute/resourcePolicy:ResourcePolicy"
	DiskPolicy     = "gcp:compute/diskResourcePolicyAttachment:DiskResourcePolicyAttachment"
	InstanceMember = "gcp:compute/instanceIAMMember:InstanceIAMMember"
	TunnelMember   = "gcp:iap/tunnelInstanceIAMMember:TunnelInstanceIAMMember"
	CustomRole     = "gcp:projects/iAMCustomRole:IAMCustomRole"

	KeyRing          = "gcp:kms/keyRing:KeyRing"
	CryptoKey        = "gcp:kms/cryptoKey:CryptoKey"
	CryptoKeyMember  = "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember"
	IdentityPool     = "gcp:iam/workloadIdentityPool:WorkloadIdentityPool"
	IdentityProvider = "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider"
)

// Types of Kubernetes, and of GKE's own kinds.
const (
	Namespace              = "kubernetes:core/v1:Namespace"
	KubernetesAccount      = "kubernetes:core/v1:ServiceAccount"
	KubernetesAccountPatch = "kubernetes:core/v1:ServiceAccountPatch"
	ConfigMap              = "kubernetes:core/v1:ConfigMap"
	Secret                 = "kubernetes:core/v1:Secret"
	KubernetesService      = "kubernetes:core/v1:Service"
	ResourceQuota          = "kubernetes:core/v1:ResourceQuota"
	LimitRange             = "kubernetes:core/v1:LimitRange"

	Deployment       = "kubernetes:apps/v1:Deployment"
	StatefulSet      = "kubernetes:apps/v1:StatefulSet"
	VolumeClaimPatch = "kubernetes:core/v1:PersistentVolumeClaimPatch"
	CronJob          = "kubernetes:batch/v1:CronJob"
	PriorityClass    = "kubernetes:scheduling.k8s.io/v1:PriorityClass"

	DisruptionBudget = "kubernetes:policy/v1:PodDisruptionBudget"

	Role        = "kubernetes:rbac.authorization.k8s.io/v1:Role"
	RoleBinding = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"

	NetworkPolicy     = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
	IngressClass      = "kubernetes:networking.k8s.io/v1:IngressClass"
	FQDNNetworkPolicy = "kubernetes:networking.gke.io/v1alpha1:FQDNNetworkPolicy"

	MutatingPolicy          = "kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicy"
	MutatingPolicyBinding   = "kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicyBinding"
	ValidatingPolicy        = "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy"
	ValidatingPolicyBinding = "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicyBinding"

	Gateway           = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
	HTTPRoute         = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
	BackendPolicy     = "kubernetes:networking.gke.io/v1:GCPBackendPolicy"
	GatewayPolicy     = "kubernetes:networking.gke.io/v1:GCPGatewayPolicy"
	HealthCheckPolicy = "kubernetes:networking.gke.io/v1:HealthCheckPolicy"
)

// Types of the random provider.
const (
	RandomString   = "random:index/randomString:RandomString"
	RandomPassword = "random:index/randomPassword:RandomPassword"
)

// Short turns gcp:compute/network:Network into compute.Network. Anything else than a token stays as it is.
func Short(typ string) string {
	parts := strings.Split(typ, ":")
	if len(parts) != 3 {
		return typ
	}
	module, _, _ := strings.Cut(parts[1], "/")
	return module + "." + parts[2]
}

// Unknown is the error about a type of a provider that the rehearsal does not know, with what teaches it.
func Unknown(typ string) error {
	provider, _, _ := strings.Cut(typ, ":")
	return fmt.Errorf("the simulated cloud does not know type %s: run `make facts PROVIDER=%s ADD=%[1]s`, and add it to rehearsal/types/types.go, "+
		"rehearsal/cloud/rules.go, rehearsal/timeline/timeline.go and changes/table.go (docs/changing.md, How do I add a resource?)", typ, provider)
}
