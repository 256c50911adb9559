package rehearsal

// Rules are the types of Google Cloud that the simulation knows, and how it treats them.
var Rules = map[string]Rule{
	serviceType: {Create: createService, Remove: removeService},

	networkType:    {API: "compute", Check: (*Request).namedRFC1035, Create: computeGlobal("networks"), Remove: removeNetwork},
	subnetworkType: {API: "compute", Check: checkSubnetwork, Create: createSubnetwork, Remove: removeSubnetwork},
	routerType:     {API: "compute", Check: checkRouter, Create: computeRegional("routers"), Remove: removeRouter},
	natType:        {API: "compute", Check: checkNAT, Create: createNAT},
	addressType:    {API: "compute", Check: checkAddress, Create: createAddress, Remove: removeAddress},
	firewallType:   {API: "compute", Check: checkFirewall, Create: computeGlobal("firewalls")},
	connectionType: {API: "servicenetworking", Check: checkConnection, Create: createConnection, Remove: removeConnection},

	clusterType:    {API: "container", Check: checkCluster, Create: createCluster, Remove: removeCluster},
	nodePoolType:   {API: "container", Check: checkNodePool, Create: createNodePool, Update: updateNodePool},
	membershipType: {API: "gkehub", Check: checkMembership, Create: createMembership},

	sqlInstanceType: {API: "sqladmin", Check: checkInstance, Create: createInstance, Update: updateInstance, Remove: removeInstance},
	sqlDatabaseType: {API: "sqladmin", Check: checkInInstance, Create: createDatabase, Remove: removeDatabase},
	sqlUserType:     {API: "sqladmin", Check: checkInInstance, Create: createUser, Remove: removeUser},

	accountType:          {API: "iam", Check: checkAccount, Create: createAccount},
	accountMemberType:    member("iam", "serviceAccountId", accountType),
	projectMemberType:    member("cloudresourcemanager", "project", ""),
	repositoryType:       {API: "artifactregistry", Check: checkRepository, Create: createRepository},
	repositoryMemberType: member("artifactregistry", "repository", repositoryType),
	bucketType:           {API: "storage", Check: checkBucket, Create: createBucket, Remove: removeBucket},
	bucketMemberType:     member("storage", "bucket", bucketType),

	alertType:     {API: "monitoring", Check: checkAlert, Create: monitored("alertPolicies")},
	channelType:   {API: "monitoring", Check: checkChannel, Create: monitored("notificationChannels")},
	dashboardType: {API: "monitoring", Check: checkDashboard, Create: createDashboard},

	authorizationType: {
		API: "certificatemanager", Check: checkAuthorization, Create: createAuthorization, Remove: unusedBy(certificateType, "managed.dnsAuthorizations"),
	},
	certificateType: {
		API: "certificatemanager", Check: checkCertificate, Create: certified("certificates"), Remove: unusedBy(mapEntryType, "certificates"),
	},
	certificateMapType: {API: "certificatemanager", Check: (*Request).namedRFC1035, Create: certified("certificateMaps"), Remove: removeCertificateMap},
	mapEntryType:       {API: "certificatemanager", Check: checkMapEntry, Create: createMapEntry},
	armorType:          {API: "compute", Check: checkArmor, Create: computeGlobal("securityPolicies"), Remove: servesNoGateway("security policy")},
	tlsPolicyType:      {API: "compute", Check: checkTLSPolicy, Create: computeGlobal("sslPolicies"), Remove: servesNoGateway("SSL policy")},
	recordType:         {API: "dns", Check: checkRecord, Create: createRecord},
	loginMemberType:    {API: "iap", Check: checkLoginMember, Create: createLoginMember},
}
