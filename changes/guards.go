package changes

import "strings"

// Types that only the table of guards names.
const (
	firewall      = "gcp:compute/firewall:Firewall"
	networkPolicy = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
	admission     = "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy"
	mutation      = "kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicy"
	backend       = "kubernetes:networking.gke.io/v1:GCPBackendPolicy"
	statefulSet   = "kubernetes:apps/v1:StatefulSet"
	configMap     = "kubernetes:core/v1:ConfigMap"
)

// guard is a row of the other table: what a type of resource has that keeps people, their data or the sandboxes safe. Every row that fits counts.
type guard struct {
	typ     string            // as in a meaning
	which   func(Change) bool // all where nil
	path    string            // in the inputs; the whole resource where empty, and then also one that is created or deleted
	compare func(was, is any) move
	weaker  string // what it means when more is allowed than before, or less kept safe
	tighter string // and the other way round; nothing is said where empty
}

// guards are what is compared by its old and new values. A type that has nothing of the kind is in the row that compares nothing.
var guards = []guard{
	// Who may log in, and who may do what.
	{login, everybody, "", grant, "everybody on the internet, or everybody with a Google account, may log in", ""},
	{login, wholeDomain, "", grant, "everybody of a whole domain may log in", ""},
	{login, nil, "", grant, "somebody more may log in", ""},
	{projectMember, nil, "", grant, "somebody gets a role in the project", ""},
	{"gcp:serviceaccount/iAMMember:IAMMember", nil, "", grant, "somebody may act as an account of the stack", ""},
	{"gcp:artifactregistry/repositoryIamMember:RepositoryIamMember", nil, "", grant, "somebody may reach the registry's images", ""},
	{"gcp:compute/instanceIAMMember:InstanceIAMMember", nil, "", grant, "somebody may see the machine, or log in to it", ""},
	{"gcp:iap/tunnelInstanceIAMMember:TunnelInstanceIAMMember", nil, "", grant, "somebody may open a tunnel to the machine", ""},
	{"gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember", nil, "", grant, "somebody may use the key of a stack's secrets", ""},
	{"gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider", nil, "", grant,
		"which jobs on GitHub may act as the identities of the stacks is rewritten: read it", ""},
	{"gcp:projects/iAMCustomRole:IAMCustomRole", nil, "permissions", more, "a role of the stack's own allows more", "a role of the stack's own allows less"},
	{"gcp:storage/bucketIAMPolicy:BucketIAMPolicy", nil, "policyData", bindings, "somebody more may reach the files", "somebody may not reach the files any more"},
	{"kubernetes:rbac.authorization.k8s.io/v1:Role", nil, "", rules, "a role in the cluster allows more", "a role in the cluster allows less"},
	{"kubernetes:rbac.authorization.k8s.io/v1:RoleBinding", nil, "", subjects, "somebody gets a role in the cluster", "somebody loses a role in the cluster"},

	// The way in.
	{backend, nil, "", fence, "nothing asks for Google's login, or for Cloud Armor, any more", "Google's login and Cloud Armor are asked first"},
	{backend, nil, "spec.default.iap.enabled", on, "nobody has to log in with Google any more", "people have to log in with Google first"},
	{backend, nil, "spec.default.securityPolicy", present, "Cloud Armor is not asked any more", "Cloud Armor is asked first"},
	{armor, nil, "", armored, "Cloud Armor lets through more than before", "Cloud Armor lets through less than before"},
	{"gcp:compute/sSLPolicy:SSLPolicy", nil, "minTlsVersion", least("TLS_1_0", "TLS_1_1", "TLS_1_2", "TLS_1_3"), "older versions of TLS are accepted", ""},
	{"gcp:compute/sSLPolicy:SSLPolicy", nil, "profile", least("COMPATIBLE", "MODERN", "RESTRICTED"), "weaker ciphers are accepted", ""},
	{"kubernetes:networking.gke.io/v1:GCPGatewayPolicy", nil, "spec.default.sslPolicy", present, "any version of TLS is accepted", ""},
	{"kubernetes:core/v1:Service", nil, "spec.type", least("LoadBalancer", "NodePort", "", "ClusterIP"),
		"a Service is reached from outside of the cluster, past the door", ""},
	{firewall, denying, "", firewalled(true), "the firewall denies less than before", "the firewall denies more than before"},
	{firewall, allowing, "", firewalled(false), "the firewall lets more through than before", "the firewall lets less through than before"},
	{"gcp:compute/firewall:Firewall", nil, "logConfig", present, "what the firewall does is not logged any more", ""},

	// The cluster and its nodes.
	{cluster, nil, "masterAuthorizedNetworksConfig", addresses, "the control plane is reached from more addresses",
		"the control plane is reached from fewer addresses"},
	{cluster, nil, "masterAuthorizedNetworksConfig.gcpPublicCidrsAccessEnabled", off, "the control plane is reached from all of Google Cloud", ""},
	{cluster, nil, "controlPlaneEndpointsConfig.dnsEndpointConfig.allowExternalTraffic", off, "the control plane is reached by its name from the internet", ""},
	{cluster, nil, "privateClusterConfig.enablePrivateNodes", on, "nodes get public addresses", ""},
	{cluster, nil, "privateClusterConfig.enablePrivateEndpoint", on, "the control plane gets a public address", ""},
	{cluster, nil, "enableShieldedNodes", on, "nodes start without being checked", ""},
	{cluster, nil, "workloadIdentityConfig.workloadPool", present, "pods act as the nodes' account", ""},
	{cluster, nil, "serviceExternalIpsConfig.enabled", off, "a Service may take over addresses outside of the cluster", ""},
	{cluster, nil, "datapathProvider", least("", "ADVANCED_DATAPATH"), "network policies are not enforced any more", ""},
	{cluster, nil, "loggingConfig.enableComponents", fewer, "the cluster logs less", ""},
	{cluster, nil, "deletionProtection", on, "Google does not refuse any more to delete the cluster", ""},
	{nodePool, nil, "nodeConfig.sandboxConfig", present, "what people's agents run is not kept in gVisor on these nodes any more", ""},
	{nodePool, nil, "nodeConfig.workloadMetadataConfig.mode", least("GCE_METADATA", "GKE_METADATA"), "pods reach the nodes' account", ""},
	{nodePool, nil, "nodeConfig.shieldedInstanceConfig.enableSecureBoot", on, "nodes start without being checked", ""},
	{nodePool, nil, "networkConfig.enablePrivateNodes", on, "nodes get public addresses", ""},

	// Sandboxes, and what pods may do.
	{networkPolicy, beginning, "", fence, "", "pods reach less, or are reached from less, than before"},
	{networkPolicy, nil, "", isolated, "pods reach more, or are reached from more, than before", "pods reach less, or are reached from less, than before"},
	{"kubernetes:networking.gke.io/v1alpha1:FQDNNetworkPolicy", nil, "", names,
		"pods reach names that they did not reach before", "pods reach fewer names than before"},
	{admission, nil, "", fence, "a rule of what is let in among the sandboxes is gone", "a rule more of what is let in among the sandboxes"},
	{admission, nil, "spec.validations", fewer,
		"a rule of what is let in among the sandboxes is gone or rewritten: read it", "a rule more of what is let in among the sandboxes"},
	{admission, nil, "spec.failurePolicy", least("Ignore", "Fail"), "what a rule cannot judge is let in among the sandboxes", ""},
	{admission, nil, "spec.matchConstraints", differs, "a rule of what is let in among the sandboxes is about other things: read it", ""},
	{admission, nil, "spec.matchConditions", more, "a rule of what is let in among the sandboxes is about less", ""},
	{admission + "Binding", nil, "", fence, "a rule of what is let in among the sandboxes holds nowhere", "a rule of what is let in among the sandboxes holds"},
	{admission + "Binding", nil, "spec.validationActions", denies, "a rule of what is let in among the sandboxes does not refuse any more", ""},
	{admission + "Binding", nil, "spec.matchResources", differs, "a rule of what is let in among the sandboxes holds elsewhere: read it", ""},
	{mutation, nil, "", fence, "sandboxes are not put into gVisor, or not limited, any more", "sandboxes are changed as they start"},
	{mutation, nil, "spec", differs, "how sandboxes are put into gVisor, or limited, is rewritten: read it", ""},
	{mutation + "Binding", nil, "", fence, "sandboxes are not put into gVisor, or not limited, any more", ""},
	{mutation + "Binding", nil, "spec.matchResources", differs, "how sandboxes are put into gVisor, or limited, holds elsewhere: read it", ""},
	{namespace, nil, "metadata.labels[\"pod-security.kubernetes.io/enforce\"]", least("", "privileged", "baseline", "restricted"),
		"pods of a namespace may have more of their node", "pods of a namespace may have less of their node"},
	{"kubernetes:core/v1:ResourceQuota", nil, "", fence, "nothing limits any more how many sandboxes there are", ""},
	{"kubernetes:core/v1:ResourceQuota", nil, "spec.hard", larger, "the namespace may have more at a time", "the namespace may have less at a time"},
	{"kubernetes:core/v1:LimitRange", nil, "", fence, "nothing limits any more what a sandbox takes", ""},
	{deployment, nil, "spec.template.spec", privileges, "pods may do more to their node, or to the cluster", "pods may do less to their node, or to the cluster"},
	{statefulSet, nil, "spec.template.spec", privileges,
		"an instance may do more to its node, or to the cluster", "an instance may do less to its node, or to the cluster"},
	{"kubernetes:batch/v1:CronJob", nil, "spec.jobTemplate.spec.template.spec", privileges, "pods may do more to their node, or to the cluster", ""},
	{"kubernetes:core/v1:ServiceAccount*", nil, "automountServiceAccountToken", declined, "pods get a token of the cluster", ""},
	{"kubernetes:core/v1:ServiceAccountPatch", nil, "", fence, "pods get a token of the cluster", ""},

	{configMap, rewritable, "data", rewritten, "what keeps people's keys, or the door, is rewritten: read it", ""},

	// A single machine.
	{machine, nil, "networkInterfaces", outside, "the machine gets a public address", "the machine has no public address any more"},
	{machine, nil, "shieldedInstanceConfig.enableSecureBoot", on, "the machine starts without being checked", ""},
	{machine, nil, "metadata[\"enable-oslogin\"]", on, "logging in to the machine does not ask Google's IAM any more", ""},
	{machine, nil, "metadata[\"block-project-ssh-keys\"]", on, "the project's SSH keys open the machine", ""},
	{machine, nil, "metadata[\"serial-port-enable\"]", off, "the machine's console is reached from the internet", ""},
	{"gcp:compute/diskResourcePolicyAttachment:DiskResourcePolicyAttachment", nil, "", fence, "no snapshots of the data disk are taken any more", ""},

	// Data.
	{database, nil, "deletionProtection", on, "the provider does not refuse any more to delete the database", ""},
	{database, nil, "settings.deletionProtectionEnabled", on, "Google does not refuse any more to delete the database", ""},
	{database, nil, "settings.ipConfiguration.ipv4Enabled", off, "the database gets a public address", ""},
	{database, nil, "settings.ipConfiguration.sslMode", least("ALLOW_UNENCRYPTED_AND_ENCRYPTED", "ENCRYPTED_ONLY", "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"),
		"the database is reached without TLS, or without a client's certificate", ""},
	{database, nil, "settings.ipConfiguration.authorizedNetworks", addresses, "the database is reached from more addresses", ""},
	{database, nil, "settings.backupConfiguration.enabled", on, "no backups of the database are made any more", ""},
	{database, nil, "settings.backupConfiguration.pointInTimeRecoveryEnabled", on, "the database cannot be brought back to any moment any more", ""},
	{database, nil, "settings.backupConfiguration.backupRetentionSettings.retainedBackups", smaller, "fewer backups of the database are kept", ""},
	{bucket, nil, "publicAccessPrevention", least("inherited", "enforced"), "the files may be made public", ""},
	{bucket, nil, "uniformBucketLevelAccess", on, "each file may have readers of its own", ""},
	{bucket, nil, "versioning.enabled", on, "a file that is overwritten or deleted is gone", ""},
	{bucket, nil, "forceDestroy", off, "deleting the bucket deletes its files", ""},
	{bucket, nil, "softDeletePolicy.retentionDurationSeconds", smaller, "a deleted file can be restored for less long", ""},
	{repository, nil, "dockerConfig.immutableTags", on, "a tag of own images may be moved to another image", ""},
}

// safe is what a new resource is compared with, by the type and the path of a guard. A guard with a path that is not here is not asked of a new one: it is
// about what was promised before, such as how many backups there are.
var safe = map[[2]string]any{
	{"gcp:storage/bucketIAMPolicy:BucketIAMPolicy", "policyData"}: "{}",
	{backend, "spec.default.iap.enabled"}:                         true,
	{"gcp:compute/sSLPolicy:SSLPolicy", "minTlsVersion"}:          "TLS_1_2",
	{"kubernetes:core/v1:Service", "spec.type"}:                   "",

	{cluster, "masterAuthorizedNetworksConfig.gcpPublicCidrsAccessEnabled"}:         false,
	{cluster, "controlPlaneEndpointsConfig.dnsEndpointConfig.allowExternalTraffic"}: false,
	{cluster, "privateClusterConfig.enablePrivateNodes"}:                            true,
	{cluster, "privateClusterConfig.enablePrivateEndpoint"}:                         true,
	{cluster, "enableShieldedNodes"}:                                                true,
	{cluster, "workloadIdentityConfig.workloadPool"}:                                true,
	{cluster, "serviceExternalIpsConfig.enabled"}:                                   false,
	{cluster, "datapathProvider"}:                                                   "ADVANCED_DATAPATH",
	{nodePool, "nodeConfig.workloadMetadataConfig.mode"}:                            "GKE_METADATA",
	{nodePool, "nodeConfig.shieldedInstanceConfig.enableSecureBoot"}:                true,

	{namespace, `metadata.labels["pod-security.kubernetes.io/enforce"]`}:   "baseline",
	{deployment, "spec.template.spec"}:                                     map[string]any{},
	{configMap, "data"}:                                                    map[string]any{},
	{statefulSet, "spec.template.spec"}:                                    inGvisor,
	{"kubernetes:batch/v1:CronJob", "spec.jobTemplate.spec.template.spec"}: map[string]any{},

	{machine, "networkInterfaces"}:                       []any{},
	{machine, "shieldedInstanceConfig.enableSecureBoot"}: true,
	{machine, "metadata[\"enable-oslogin\"]"}:            true,
	{machine, "metadata[\"block-project-ssh-keys\"]"}:    true,
	{machine, "metadata[\"serial-port-enable\"]"}:        false,
	{database, "settings.ipConfiguration.ipv4Enabled"}:   false,
	{database, "settings.ipConfiguration.sslMode"}:       "ENCRYPTED_ONLY",
	{bucket, "publicAccessPrevention"}:                   "enforced",
	{bucket, "uniformBucketLevelAccess"}:                 true,
}

// inGvisor is how a pod is where people's agents run.
var inGvisor = map[string]any{"runtimeClassName": "gvisor", "automountServiceAccountToken": false}

// guardless are the types in which nothing of the kind can be made weaker: a deletion of what they are has its meaning in the other table.
var guardless = []string{
	account, address, disk, schedule,
	"gcp:certificatemanager/*", "gcp:compute/network:Network", "gcp:compute/router*", "gcp:compute/subnetwork:Subnetwork", "gcp:dns/*", "gcp:gkehub/*",
	"gcp:iam/workloadIdentityPool:WorkloadIdentityPool", "gcp:kms/cryptoKey:CryptoKey", "gcp:kms/keyRing:KeyRing",
	"gcp:monitoring/*", "gcp:projects/service:Service", "gcp:servicenetworking/*", "gcp:sql/database:Database", "gcp:sql/user:User",
	"kubernetes:core/v1:PersistentVolumeClaimPatch", "kubernetes:core/v1:Secret",
	"kubernetes:gateway.networking.k8s.io/*", "kubernetes:networking.gke.io/v1:HealthCheckPolicy", "kubernetes:networking.k8s.io/v1:IngressClass",
	"kubernetes:policy/*", "kubernetes:scheduling.k8s.io/*", "pulumi:providers:*", "random:*",
}

func beginning(c Change) bool { return c.begins }

// rewritable is what has programs or rules that people's keys and requests go through: the server's guard, and what the door lets in.
func rewritable(c Change) bool {
	return !c.begins && (strings.HasSuffix(c.Name(), "-launcher") || strings.HasSuffix(c.Name(), "-door"))
}

func everybody(c Change) bool {
	return c.Op == Create && (c.New["member"] == "allUsers" || c.New["member"] == "allAuthenticatedUsers")
}

func wholeDomain(c Change) bool {
	member, _ := c.New["member"].(string)
	return c.Op == Create && hasPrefix(member, "domain:")
}

func denying(c Change) bool  { return c.inputs()["denies"] != nil }
func allowing(c Change) bool { return !denying(c) }
