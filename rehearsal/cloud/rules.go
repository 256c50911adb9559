package cloud

import (
	"openhands-gcp/rehearsal/types"
)

// Rules are the types of Google Cloud that the simulation knows, and how it treats them.
var Rules = map[string]Rule{
	types.Service: {Create: createService, Remove: removeService},

	types.Network:    {API: "compute", Check: (*Request).namedRFC1035, Create: computeGlobal("networks"), Remove: removeNetwork},
	types.Subnetwork: {API: "compute", Check: checkSubnetwork, Create: createSubnetwork, Update: updateSubnetwork, Remove: removeSubnetwork},
	types.Router:     {API: "compute", Check: checkRouter, Create: computeRegional("routers"), Remove: removeRouter},
	types.NAT:        {API: "compute", Check: checkNAT, Create: createNAT},
	types.Address:    {API: "compute", Check: checkAddress, Create: createAddress, Remove: removeAddress},
	types.Firewall:   {API: "compute", Check: checkFirewall, Create: computeGlobal("firewalls")},
	types.Connection: {API: "servicenetworking", Check: checkConnection, Create: createConnection, Remove: removeConnection},

	types.Cluster:    {API: "container", Check: checkCluster, Create: createCluster, Remove: removeCluster},
	types.NodePool:   {API: "container", Check: checkNodePool, Create: createNodePool, Update: updateNodePool},
	types.Membership: {API: "gkehub", Check: checkMembership, Create: createMembership},

	types.SQLInstance: {API: "sqladmin", Check: checkInstance, Create: createInstance, Update: updateInstance, Remove: removeInstance},
	types.SQLDatabase: {API: "sqladmin", Check: checkInInstance, Create: createDatabase, Remove: removeDatabase},
	types.SQLUser:     {API: "sqladmin", Check: checkInInstance, Create: createUser, Remove: removeUser},

	types.Account:          {API: "iam", Check: checkAccount, Create: createAccount},
	types.AccountMember:    member("iam", "serviceAccountId", types.Account),
	types.ProjectMember:    member("cloudresourcemanager", "project", ""),
	types.Repository:       {API: "artifactregistry", Check: checkRepository, Create: createRepository},
	types.RepositoryMember: member("artifactregistry", "repository", types.Repository),
	types.Bucket:           {API: "storage", Check: checkBucket, Create: createBucket, Remove: removeBucket},
	types.BucketMember:     member("storage", "bucket", types.Bucket),
	types.BucketPolicy:     {API: "storage", Check: checkBucketPolicy, Create: createBucketPolicy, Remove: removeBucketPolicy},

	types.Alert:     {API: "monitoring", Check: checkAlert, Create: monitored("alertPolicies")},
	types.Channel:   {API: "monitoring", Check: checkChannel, Create: monitored("notificationChannels")},
	types.Dashboard: {API: "monitoring", Check: checkDashboard, Create: createDashboard},

	types.DNSAuthorization: {
		API: "certificatemanager", Check: checkAuthorization, Create: createAuthorization, Remove: unusedBy(types.Certificate, "managed.dnsAuthorizations"),
	},
	types.Certificate: {
		API: "certificatemanager", Check: checkCertificate, Create: certified("certificates"), Remove: unusedBy(types.CertificateMapEntry, "certificates"),
	},
	types.CertificateMap:      {API: "certificatemanager", Check: (*Request).namedRFC1035, Create: certified("certificateMaps"), Remove: removeCertificateMap},
	types.CertificateMapEntry: {API: "certificatemanager", Check: checkMapEntry, Create: createMapEntry},
	types.SecurityPolicy:      {API: "compute", Check: checkArmor, Create: computeGlobal("securityPolicies"), Remove: servesNoGateway("security policy")},
	types.SSLPolicy:           {API: "compute", Check: checkTLSPolicy, Create: computeGlobal("sslPolicies"), Remove: servesNoGateway("SSL policy")},
	types.DNSRecord:           {API: "dns", Check: checkRecord, Create: createRecord},
	types.LoginMember:         {API: "iap", Check: checkLoginMember, Create: createLoginMember},

	types.Instance:       {API: "compute", Check: checkMachine, Create: createMachine, Update: updateMachine, Remove: removeMachine},
	types.Disk:           {API: "compute", Check: checkDisk, Create: computeZonal("disks"), Update: updateDisk, Remove: removeDisk},
	types.ResourcePolicy: {API: "compute", Check: checkResourcePolicy, Create: computeRegional("resourcePolicies"), Remove: removeResourcePolicy},
	types.DiskPolicy:     {API: "compute", Check: checkDiskPolicy, Create: createDiskPolicy},
	types.InstanceMember: member("compute", "instanceName", types.Instance),
	types.TunnelMember:   member("iap", "instance", types.Instance),
	types.CustomRole:     {API: "iam", Check: checkCustomRole, Create: createCustomRole},

	types.KeyRing:          {API: "cloudkms", Check: checkKeyRing, Create: createKeyRing, Remove: removeKeyRing},
	types.CryptoKey:        {API: "cloudkms", Check: checkCryptoKey, Create: createCryptoKey, Remove: removeCryptoKey},
	types.CryptoKeyMember:  member("cloudkms", "cryptoKeyId", types.CryptoKey),
	types.IdentityPool:     {API: "iam", Check: checkIdentityPool, Create: createIdentityPool, Remove: removeIdentityPool},
	types.IdentityProvider: {API: "iam", Check: checkIdentityProvider, Create: createIdentityProvider},
}
