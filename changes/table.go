package changes

import "strings"

// The types that the table names, by Pulumi's tokens.
const (
	stack = "pulumi:pulumi:Stack"

	cluster       = "gcp:container/cluster:Cluster"
	database      = "gcp:sql/databaseInstance:DatabaseInstance"
	bucket        = "gcp:storage/bucket:Bucket"
	nodePool      = "gcp:container/nodePool:NodePool"
	repository    = "gcp:artifactregistry/repository:Repository"
	deployment    = "kubernetes:apps/v1:Deployment"
	address       = "gcp:compute/globalAddress:GlobalAddress"
	login         = "gcp:iap/webIamMember:WebIamMember"
	projectMember = "gcp:projects/iAMMember:IAMMember"
	account       = "gcp:serviceaccount/account:Account"
	namespace     = "kubernetes:core/v1:Namespace"
	armor         = "gcp:compute/securityPolicy:SecurityPolicy"
	machine       = "gcp:compute/instance:Instance"
	disk          = "gcp:compute/disk:Disk"
	schedule      = "gcp:compute/resourcePolicy:ResourcePolicy"
)

// meaning is a row of the table: what it means to people when something happens to a resource of a type.
type meaning struct {
	typ   string            // of the resource; one that ends in * is for all types that begin so
	ops   string            // what happens, by the first letters of the operations: c, u, r, d
	path  string            // of the property that an update is about, or what lies above it; any where empty
	which func(Change) bool // all where nil
	grade Grade
	text  string // where the grade is Lost, it begins with what is lost, and a colon
}

// matches says whether a row's type is a type, or begins it.
func matches(row, typ string) bool {
	begins, open := strings.CutSuffix(row, "*")
	return row == typ || open && strings.HasPrefix(typ, begins)
}

func (m *meaning) fits(c Change, path string) bool {
	switch {
	case !matches(m.typ, c.Type):
		return false
	case !strings.Contains(m.ops, string(c.Op)[:1]):
		return false
	case path != m.path && !within(path, m.path):
		return false
	}
	return m.which == nil || m.which(c)
}

// inputs are those of what there was, or of what there will be.
func (c Change) inputs() map[string]any {
	if c.Old != nil {
		return c.Old
	}
	return c.New
}

func named(part string) func(Change) bool {
	return func(c Change) bool { return strings.Contains(c.Name(), part) }
}

func mirror(c Change) bool      { return c.inputs()["mode"] == "REMOTE_REPOSITORY" }
func ofSandboxes(c Change) bool { return strings.Contains(c.Name(), "sandbox") }
func external(c Change) bool    { return c.inputs()["addressType"] == "EXTERNAL" }

// releaseLabel is the property by which a workload says of which release it is.
const (
	releaseLabel   = `metadata.labels["app.kubernetes.io/version"]`
	anotherRelease = "another release of OpenHands: an older one may not read any more what it has migrated, so take a backup before (docs/upgrading.md)"
)

// table is what changes mean, the most special first: the first row that fits counts. Where Google says how long something is away, that is what
// the text says; nobody has measured it here.
var table = []meaning{
	// The database. https://cloud.google.com/sql/docs/postgres/edit-instance
	{database, "rd", "", nil, Lost, "the database and its backups: all settings, keys and tokens, and the list of conversations"},
	{database, "u", "databaseVersion", nil, Away,
		"the database is upgraded in place: OpenHands is away for ten minutes or more, and there is no way back but a backup"},
	{database, "u", "settings.tier", nil, Away, "the database restarts on another machine: OpenHands has none for a minute or a few"},
	{database, "u", "settings.availabilityType", nil, Away,
		"the database restarts to get or to lose its standby: OpenHands has none for a minute or a few"},
	{database, "u", "settings.databaseFlags", nil, Away, "the database restarts with another setting: OpenHands has none for a minute"},
	{database, "u", "settings.backupConfiguration", nil, Note,
		"what of the database can be restored changes; turning point-in-time recovery on restarts it"},
	{database, "u", "settings.ipConfiguration", nil, Away, "how the database is reached changes: it may restart"},
	{database, "u", "settings.deletionProtectionEnabled", nil, Note, "whether it can be deleted changes"},
	{database, "u", "deletionProtection", nil, Note, "whether it can be deleted changes"},
	{"gcp:sql/database:Database", "rd", "", nil, Lost, "all that is in the database: settings, keys and tokens, and the list of conversations"},
	{"gcp:sql/user:User", "rd", "", nil, Away, "OpenHands cannot reach its database until it has started with the new user"},
	{"gcp:sql/user:User", "u", "", nil, Away, "the database's user gets another password: OpenHands starts anew with it"},
	{"gcp:sql/*", "cu", "", nil, Quiet, "the database changes while it runs"},

	// Files.
	{bucket, "rd", "", nil, Lost,
		"the files of all conversations: the bucket is deleted, and Google can restore it for as long as its soft delete lasts"},
	{bucket, "u", "lifecycleRules", nil, Note, "how long files, or older versions of them, are kept changes"},
	{bucket, "u", "softDeletePolicy", nil, Note, "how long a deleted file can be restored changes"},
	{"gcp:storage/bucketIAM*", "rdu", "", nil, Away, "OpenHands cannot reach its files for a moment"},
	{"gcp:storage/bucketIAMPolicy:BucketIAMPolicy", "rdu", "", nil, Away,
		"who may reach the files changes: OpenHands may be without them for a moment"},
	{"gcp:storage/*", "cu", "", nil, Quiet, "the bucket changes while it is used"},

	// The cluster and its nodes.
	{cluster, "rd", "", nil, Lost,
		"the workspaces of all conversations: the cluster is deleted with people's files in it, running conversations end, and OpenHands is away for " +
			"a quarter of an hour (README, Replacing the cluster, has the steps; a plain `pulumi up` fails)"},
	{cluster, "u", "minMasterVersion", nil, Note,
		"the control plane is upgraded: in a cluster of one zone no conversation begins for some minutes"},
	{cluster, "u", "deletionProtection", nil, Note, "whether it can be deleted changes"},
	{cluster, "u", "masterAuthorizedNetworksConfig", nil, Note, "from where the control plane can be reached changes"},
	{cluster, "u", "", nil, Note, "the cluster changes while it runs; GKE takes minutes for it"},
	{nodePool, "rd", "", ofSandboxes, Away,
		"the sandboxes' nodes are deleted: running conversations end, their workspaces stay, and they can be continued on the new ones"},
	{nodePool, "rd", "", nil, Away,
		"OpenHands' nodes are deleted: running conversations end, and OpenHands is away until it has started on the new ones, for about five " +
			"minutes"},
	{nodePool, "u", "autoscaling", ofSandboxes, Quiet, "the sandboxes get more or fewer nodes; nothing that runs is moved"},
	{nodePool, "u", "autoscaling", nil, Quiet, "OpenHands gets more or fewer nodes"},
	{nodePool, "u", "nodeConfig", ofSandboxes, Away, "GKE makes each of the sandboxes' nodes anew: running conversations end, their workspaces stay"},
	{nodePool, "u", "nodeConfig", nil, Away,
		"GKE makes each of OpenHands' nodes anew, one after the other: OpenHands moves once, running conversations end, and it is away for a " +
			"minute or two"},
	{nodePool, "u", "", nil, Note, "a pool of nodes changes"},
	{nodePool, "c", "", nil, Quiet, "a new pool of nodes"},
	{"gcp:gkehub/membership:Membership", "rd", "", nil, Note,
		"nobody reaches the cluster through the Connect gateway until it is registered anew"},

	// A single machine, and its data disk.
	{disk, "rd", "", nil, Lost,
		"what the data disk has since its last snapshot: conversations, people's files, settings and keys are deleted with it. Snapshots stay (docs/single.md)"},
	{disk, "u", "labels", nil, Note, anotherRelease},
	{disk, "u", "size", nil, Note, "the data disk grows: its file system follows when the machine boots"},
	{machine, "d", "", nil, Away, "the machine is deleted: nobody reaches OpenHands any more. Its data disk has a row of its own"},
	{machine, "r", "", nil, Away,
		"the machine is made anew, with the same data disk: running conversations end, it is away for some minutes, and has another name (output openCommand)"},
	{machine, "u", "resourcePolicies", nil, Note, "when the machine stops and starts changes"},
	{machine, "u", "", nil, Away, "the machine changes: it may stop and start again, which ends running conversations"},
	{schedule, "curd", "", named("night"), Note, "when the machine stops and starts changes"},
	{schedule, "curd", "", nil, Note, "when snapshots of the data disk are taken, or how long they are kept, changes"},
	{"gcp:compute/diskResourcePolicyAttachment:DiskResourcePolicyAttachment", "curd", "", nil, Note,
		"when snapshots of the data disk are taken, or how long they are kept, changes"},
	{"gcp:compute/instanceIAMMember:InstanceIAMMember", "curd", "", nil, Note, "who may see the machine, or log in to it, changes"},
	{"gcp:iap/tunnelInstanceIAMMember:TunnelInstanceIAMMember", "curd", "", nil, Note, "who may open a tunnel to the machine changes"},
	{"gcp:projects/iAMCustomRole:IAMCustomRole", "curd", "", nil, Note, "a role of the stack's own changes, for those who have it"},

	// Images.
	{repository, "rd", "", mirror, Quiet, "a mirror of public images is made anew, and fills by itself"},
	{repository, "rd", "", nil, Lost, "your own images: the repository is deleted with them, and nothing that uses one starts until they are pushed again"},
	{repository, "u", "cleanupPolicies", nil, Note, "which versions of own images are deleted changes"},
	{repository, "cu", "", nil, Quiet, "the registry changes; images stay"},
	{"gcp:artifactregistry/repositoryIamMember:RepositoryIamMember", "rd", "", nil, Note,
		"nodes cannot pull images for a moment: what is to start meanwhile tries again"},

	// Who may do what.
	{login, "c", "", nil, Note, "somebody more may log in"},
	{login, "d", "", nil, Note, "somebody may not log in any more"},
	{login, "r", "", nil, Note, "nobody of these may log in for a moment"},
	{projectMember, "c", "", nil, Note, "somebody gets a role in the project"},
	{projectMember, "rd", "", nil, Note, "somebody loses a role in the project"},
	{"gcp:kms/cryptoKey:CryptoKey", "rd", "", nil, Lost, "the secrets in a stack's state: nobody can decrypt them without this key"},
	{"gcp:kms/keyRing:KeyRing", "rd", "", nil, Lost, "the secrets in the stacks' states: their keys are in this ring"},
	{"gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember", "curd", "", nil, Note, "who may decrypt the secrets in a stack's state changes"},
	{"gcp:iam/*", "curd", "", nil, Note, "which jobs on GitHub may act as the identities of the stacks changes"},
	{account, "rd", "", named("nodes"), Away, "the nodes' account is deleted: no image is pulled and no log written until they have the new one"},
	{account, "rd", "", nil, Away, "OpenHands' account is deleted: it cannot reach its files until it has the new one"},
	{"gcp:serviceaccount/iAMMember:IAMMember", "curd", "", named("-ssh-"), Note, "who may log in to the machine changes"},
	{"gcp:serviceaccount/iAMMember:IAMMember", "rd", "", nil, Away, "OpenHands cannot act as its account for a moment, and so not reach its files"},
	{"kubernetes:rbac.authorization.k8s.io/*", "curd", "", nil, Note, "who may do what in the cluster changes"},

	// The way in.
	{address, "rd", "", external, Away, "the address changes: nobody reaches OpenHands until its DNS records have the new one"},
	{address, "rd", "", nil, Away, "the range of the private services goes, and what lies in it cannot be reached"},
	{"gcp:certificatemanager/dnsAuthorization:DnsAuthorization", "crd", "", nil, Note,
		"the certificate needs other DNS records than before (output dnsRecords)"},
	{"gcp:certificatemanager/*", "rd", "", nil, Away, "browsers are refused until the new certificate is there, which takes up to an hour"},
	{"gcp:dns/recordSet:RecordSet", "rd", "", nil, Away, "the host name leads nowhere until the new record is known"},
	{"gcp:compute/sSLPolicy:SSLPolicy", "urd", "", nil, Note, "which versions of TLS browsers may use changes"},
	{armor, "u", "", nil, Note, "what Cloud Armor lets through changes"},
	{armor, "rd", "", nil, Away, "the load balancer has no Cloud Armor for a moment"},
	{"kubernetes:gateway.networking.k8s.io/v1:Gateway", "rd", "", nil, Away,
		"the load balancer is deleted: browsers are refused until the new one serves, for about five minutes"},
	{"kubernetes:gateway.networking.k8s.io/*", "curd", "", nil, Note,
		"the way of browsers to OpenHands changes; the load balancer takes a minute or a few"},
	{"kubernetes:networking.gke.io/v1:*", "curd", "", nil, Note,
		"the way of browsers to OpenHands changes; the load balancer takes a minute or a few"},
	{"gcp:compute/firewall:Firewall", "curd", "", nil, Note, "what the firewall lets through changes"},

	// The network below it all.
	{"gcp:compute/network:Network", "rd", "", nil, Away, "the network is made anew, and with it all that lies in it"},
	{"gcp:compute/subnetwork:Subnetwork", "rd", "", nil, Away, "the network is made anew, and with it all that lies in it"},
	{"gcp:servicenetworking/connection:Connection", "rd", "", nil, Away, "the database cannot be reached until the network is connected again"},
	{"gcp:compute/router*", "rd", "", nil, Away, "server and sandboxes reach nothing on the internet until the way out is made anew"},

	// OpenHands itself.
	{namespace, "rd", "", named("instances"), Lost, "the volumes of all instances: their namespace is deleted with people's files, settings and keys"},
	{namespace, "rd", "", ofSandboxes, Lost,
		"the workspaces of all conversations: the sandboxes' namespace is deleted with people's files, and conversations end"},
	{namespace, "rd", "", nil, Away, "OpenHands is deleted and made anew: running conversations end"},
	{deployment, "u", releaseLabel, nil, Note, anotherRelease},
	{deployment, "u", "metadata", nil, Quiet, "labels and notes of a deployment change"},
	{deployment, "urd", "", named("door"), Quiet, "the door's two pods are made anew, one after the other: an open page connects again by itself"},
	{deployment, "urd", "", nil, Away, "OpenHands starts anew: it is away for a minute, and running conversations end (their files stay)"},
	{"kubernetes:apps/v1:StatefulSet", "u", releaseLabel, nil, Note, anotherRelease},
	{"kubernetes:apps/v1:StatefulSet", "u", "metadata", nil, Quiet, "labels and notes of an instance change"},
	{"kubernetes:apps/v1:StatefulSet", "ur", "", nil, Away, "an instance starts anew: it is away for a minute, and what its agent runs ends (its files stay)"},
	{"kubernetes:apps/v1:StatefulSet", "d", "", nil, Away, "an instance goes: nobody reaches it any more, and its volume stays with its files"},
	{"kubernetes:core/v1:PersistentVolumeClaim*", "curd", "", nil, Note, "the volume of an instance changes; its files stay"},
	{"kubernetes:core/v1:ResourceQuota", "urcd", "", nil, Note,
		"how many sandboxes there may be at a time, or what they may take together, changes"},
	{"kubernetes:core/v1:LimitRange", "urcd", "", nil, Note, "what a new sandbox gets changes; those that run keep what they have"},
	{"kubernetes:admissionregistration.k8s.io/*", "curd", "", nil, Note, "what is let in among the sandboxes changes"},
	{"kubernetes:networking.k8s.io/v1:NetworkPolicy", "curd", "", nil, Note, "what pods reach, and who reaches them, changes"},
	{"kubernetes:networking.gke.io/v1alpha1:FQDNNetworkPolicy", "curd", "", nil, Note, "what pods reach, and who reaches them, changes"},
	{"kubernetes:batch/v1:CronJob", "curd", "", nil, Quiet, "the clean-up of sandboxes changes, from its next run on"},
	{"kubernetes:core/v1:Service", "r", "", nil, Away, "a Service is made anew: connections through it break for a moment"},
	{"kubernetes:core/v1:Service", "d", "", nil, Note, "a Service goes: what it led to is not reached through it any more"},
	{"kubernetes:core/v1:Secret", "curd", "", nil, Quiet, "settings in the cluster change; what reads them starts anew where this list says so"},
	{"kubernetes:core/v1:ConfigMap", "u", "data", named("door"), Note, "what the door lets in, and where to, is written anew"},
	{"kubernetes:core/v1:ConfigMap", "curd", "", nil, Quiet, "settings in the cluster change; what reads them starts anew where this list says so"},
	{"kubernetes:core/v1:ServiceAccount*", "curd", "", nil, Quiet, "an account of pods changes"},
	{"kubernetes:networking.k8s.io/v1:IngressClass", "curd", "", nil, Quiet, "how addresses of sandboxes are written changes"},
	{"kubernetes:policy/v1:PodDisruptionBudget", "curd", "", nil, Quiet, "how many pods of the door may go at a time changes"},
	{"kubernetes:scheduling.k8s.io/v1:PriorityClass", "curd", "", nil, Quiet, "which pods give way to others changes"},
	{"random:index/*", "d", "", nil, Quiet, "a generated password or key is not kept any more"},
	{"random:index/*", "r", "", nil, Away, "a generated password or key is made anew: what uses it starts anew with it"},

	// Watching.
	{"gcp:monitoring/notificationChannel:NotificationChannel", "curd", "", nil, Note, "who is sent alerts changes"},
	{"gcp:monitoring/*", "curd", "", nil, Quiet, "alerts or the dashboard change"},
	{"gcp:projects/service:Service", "rd", "", nil, Quiet, "an API is not asked for any more; it stays enabled"},

	// The rest.
	{"pulumi:providers:*", "curd", "", nil, Quiet, "how Pulumi reaches the cloud changes; nothing in it does"},
	{"*", "c", "", nil, Quiet, "new resources"},
	{"*", "u", "", nil, Quiet, "resources change while they are used"},
	{"*", "r", "", nil, Note, "resources are deleted and made anew"},
	{"*", "d", "", nil, Note, "resources are deleted"},
}
