package stacks

// Config is the whole configuration of a stack, after the profile's defaults were applied. The JSON names are the keys of the stack file; from
// this type come the check for unknown keys and wrong types, and the table of keys in docs/configuration.md.
type Config struct {
	// Project that everything is created in. Another one replaces the cluster, and all the rest.
	Project string `json:"gcp:project"`
	// Region of the network, the database and the registry, and of the cluster where the profile has a regional one. Another one replaces the cluster, and
	// all that lies in a region.
	Region string `json:"gcp:region"`
	// Zone of the cluster, where the profile has a zonal one (dev), or of the machine (single); prod has none. Another one replaces the cluster: see README,
	// Replacing the cluster. In single it replaces the data disk, which its protection refuses.
	Zone string `json:"gcp:zone"`

	// The set of defaults, and what there is: a cluster (dev, prod), or one machine (single). It is never guessed from the stack's name. Another one replaces
	// the cluster.
	Profile Profile `json:"openhands:profile" jsonschema:"enum=dev,enum=prod,enum=single"`
	// Labels for everything that can carry them, beside app, stack and managed-by.
	Labels map[string]string `json:"openhands:labels"`
	// Lifts all protection, for the way out: pulumi up with it, then pulumi destroy.
	Teardown bool `json:"openhands:teardown"`

	Network   Network   `json:"openhands:network"`
	Cluster   Cluster   `json:"openhands:cluster"`
	App       App       `json:"openhands:app"`
	Sandboxes Sandboxes `json:"openhands:sandboxes"`
	Database  Database  `json:"openhands:database"`
	Bucket    Bucket    `json:"openhands:bucket"`
	Registry  Registry  `json:"openhands:registry"`
	Exposure  Exposure  `json:"openhands:exposure"`
	Machine   Machine   `json:"openhands:machine"`

	// Instances of Agent Canvas, each for a person or a team: with line canvas. Whoever has an instance has all that is in it, and so has its agent.
	Instances []Instance `json:"openhands:instances"`

	Observability Observability `json:"openhands:observability"`

	// Secret. Key of the runtime API, where app.runtime is remote.
	SandboxAPIKey string `json:"openhands:sandboxApiKey"`
	// Secrets. More environment variables for the application whose values are secrets: pulumi config set --secret --path openhands:secretEnv.<name>.
	SecretEnv map[string]string `json:"openhands:secretEnv"`

	// Secret. Of the OAuth client in exposure.login.clientId.
	IAPClientSecret string `json:"openhands:iapClientSecret"`

	// Stack is the name of the stack, as Pulumi knows it.
	Stack string `json:"-"`
}

// Profile names a set of defaults.
type Profile string

// The profiles.
const (
	Dev    Profile = "dev"
	Prod   Profile = "prod"
	Single Profile = "single" // one machine in place of a cluster, a database and a bucket
)

// Network is the configuration of the VPC.
type Network struct {
	// Range of the nodes' addresses. Four of them are Google's. A larger range around it grows in place, any other replaces the cluster.
	NodesCIDR string `json:"nodesCidr"`
	// Range of the pods' addresses. Every node takes a /24 of it. Google refuses another one while the cluster exists: see README, Replacing the cluster.
	PodsCIDR string `json:"podsCidr"`
	// Range of the Kubernetes Services' addresses. Google refuses another one while the cluster exists: see README, Replacing the cluster.
	ServicesCIDR string `json:"servicesCidr"`
	// Range of the cluster's control plane, a /28. Another one replaces the cluster.
	ControlPlaneCIDR string `json:"controlPlaneCidr"`
	// Range in which Google places Cloud SQL, a /24 or larger.
	PeeringCIDR string `json:"peeringCidr"`
	// Share of the network flows that are logged. 0 turns flow logs off.
	FlowLogSampling float64 `json:"flowLogSampling" jsonschema:"minimum=0,maximum=1"`
}

// Cluster is the configuration of the GKE cluster.
type Cluster struct {
	// Lowest Kubernetes version of the control plane, e.g. 1.36. The release channel keeps it up to date.
	MinVersion string `json:"minVersion"`
	// How soon GKE brings new versions. It must have minVersion, which GKE is asked before the cluster is created: STABLE came to 1.35 in September 2026.
	ReleaseChannel string      `json:"releaseChannel" jsonschema:"enum=RAPID,enum=REGULAR,enum=STABLE"`
	Access         Access      `json:"access"`
	Maintenance    Maintenance `json:"maintenance"`
	AppPool        AppPool     `json:"appPool"`
	// Let the cluster enforce network policies by domain name, which the allow-lists app.egress and sandboxes.egress.allowedDomains need. On a cluster that
	// exists, turn it on by itself first, and then run kubectl --namespace=kube-system rollout restart daemonset/anetd. Turning it off again replaces the
	// cluster.
	FQDNNetworkPolicy bool `json:"fqdnNetworkPolicy"`
	// Refuse to delete the cluster. prod cannot turn it off.
	DeletionProtection bool `json:"deletionProtection"`
}

// Access says how people and programs reach the cluster's control plane.
type Access struct {
	ConnectGateway ConnectGateway  `json:"connectGateway"`
	PublicEndpoint *PublicEndpoint `json:"publicEndpoint,omitempty"`
	// Google group of the name gke-security-groups, e.g. gke-security-groups@example.com, in which the groups are that Kubernetes is to know. A group: among
	// the members of the Connect gateway needs it. It stays on when the key is removed.
	SecurityGroup string `json:"securityGroup,omitempty"`
}

// ConnectGateway is access through the fleet, authorized by IAM, from any address.
type ConnectGateway struct {
	// Register the cluster in the project's fleet and reach it through the Connect gateway.
	Enabled bool `json:"enabled"`
	// Operators, as IAM members: user:, serviceAccount: or group:. Through the gateway they see the application and its sandboxes without Secrets, read
	// logs, reach OpenHands by port-forward and delete pods. Project owners need no entry.
	Members []string `json:"members"`
}

// PublicEndpoint is access to a public address of the control plane from listed ranges.
type PublicEndpoint struct {
	// Address ranges that may connect, e.g. 203.0.113.7/32. Without the key publicEndpoint the control plane has no public address.
	AuthorizedRanges []string `json:"authorizedRanges"`
}

// Maintenance is the weekly window of the cluster's upgrades.
type Maintenance struct {
	// Days on which GKE may upgrade: MO, TU, WE, TH, FR, SA, SU.
	Days []string `json:"days"`
	// Hour at which the window opens, UTC.
	StartHour int `json:"startHour" jsonschema:"minimum=0,maximum=23"`
	// Length of the window. All windows of 32 days must add up to 48 hours.
	Hours int `json:"hours" jsonschema:"minimum=4,maximum=24"`
}

// AppPool is the size of the node pool of the application.
type AppPool struct {
	// Machine type of the nodes.
	MachineType string `json:"machineType"`
	// Fewest nodes, in the whole cluster.
	MinNodes int `json:"minNodes" jsonschema:"minimum=1,maximum=1000"`
	// Most nodes, in the whole cluster.
	MaxNodes int `json:"maxNodes" jsonschema:"minimum=1,maximum=1000"`
}

// Observability has the addresses that alerts are sent to.
type Observability struct {
	// Addresses that alerts are sent to. Without any, alerts are seen in the console only.
	NotificationEmails []string `json:"notificationEmails"`
}

// App is the configuration of OpenHands itself.
type App struct {
	// Which OpenHands. server: the Python server, one installation for everybody with a sandbox for each conversation, which upstream has ended. canvas: Agent
	// Canvas, which is maintained, as an instance for each person or team. Another one replaces what people work in.
	Line string `json:"line" jsonschema:"enum=server,enum=canvas"`
	// Release of the line. Of the server, it decides which runtimes there are.
	Release string `json:"release"`
	// Where conversations get their sandboxes: pods of this cluster, or a runtime API that you bring.
	Runtime string `json:"runtime" jsonschema:"enum=kubernetes,enum=remote"`
	// Image of the application. The release's, through the mirror of ghcr.io, unless set.
	Image string `json:"image,omitempty"`
	// Image of the sandboxes. The release's, through the mirror of ghcr.io, unless set.
	SandboxImage string `json:"sandboxImage,omitempty"`
	// Digest of the release's image of the application, sha256:..., which no moved tag changes.
	ImageDigest string `json:"imageDigest,omitempty"`
	// Digest of the release's image of the sandboxes.
	SandboxImageDigest string `json:"sandboxImageDigest,omitempty"`
	// Image of the door, which is Envoy. That of Envoy's own release, through the mirror of Docker Hub, unless set.
	DoorImage string `json:"doorImage,omitempty"`
	// Digest of Envoy's image of the door.
	DoorImageDigest string `json:"doorImageDigest,omitempty"`
	// Address of the runtime API, where runtime is remote.
	RemoteRuntimeURL string `json:"remoteRuntimeUrl,omitempty"`
	// vCPUs that the application is sure of.
	CPURequest float64 `json:"cpuRequest" jsonschema:"minimum=0.1,maximum=64"`
	// Memory of the application, in GiB.
	MemoryGiB float64 `json:"memoryGiB" jsonschema:"minimum=0.5,maximum=512"`
	Egress    Egress  `json:"egress"`
	// More environment variables for the application. Those of the program, and those known to break the application, are refused.
	ExtraEnv map[string]string `json:"extraEnv"`
}

// Instance is Agent Canvas for one person or team.
type Instance struct {
	// Name of the instance, and of its host: https://<name>.<exposure.host>, or http://<name>.localhost:3000 by port-forward. Under another name it is another
	// instance, with an empty volume.
	Name string `json:"name" jsonschema:"required"`
	// Who may log in, as IAM members: user:, group:, serviceAccount: or domain:. With exposure.mode none there is no login, and only operators reach it.
	Members []string `json:"members,omitempty"`
	// vCPUs that it is sure of.
	CPURequest float64 `json:"cpuRequest,omitempty" jsonschema:"minimum=0.1,maximum=64"`
	// vCPUs that it may use while others are idle.
	CPULimit float64 `json:"cpuLimit,omitempty" jsonschema:"minimum=0.1,maximum=64"`
	// Memory that it is sure of, in GiB. It takes 0.7 idle and 1 in a conversation, and gVisor's own processes up to 0.2 more.
	MemoryRequest float64 `json:"memoryRequestGiB,omitempty" jsonschema:"minimum=1,maximum=512"`
	// Memory that it is killed beyond, in GiB, with all that its agent has started.
	MemoryLimit float64 `json:"memoryLimitGiB,omitempty" jsonschema:"minimum=1,maximum=512"`
	// Size of its volume, in GiB. It can grow, and never shrinks.
	VolumeGiB int `json:"volumeGiB,omitempty" jsonschema:"minimum=1,maximum=1000"`
}

// Sandboxes is the number and size of the sandboxes, and the node pool that carries them.
type Sandboxes struct {
	// Most sandboxes at a time, in the whole installation.
	Max int `json:"max" jsonschema:"minimum=1,maximum=1000"`
	// vCPUs that a sandbox is sure of. Another size may give the nodes another disk, and then GKE makes each of them anew, with what runs there.
	CPURequest float64 `json:"cpuRequest" jsonschema:"minimum=0.1,maximum=64"`
	// Memory that a sandbox is sure of, in GiB, and that it is killed beyond. gVisor's own processes take 35 to 200 MiB of it. Another size may give the
	// nodes another disk, and then GKE makes each of them anew, with what runs there.
	MemoryRequest float64 `json:"memoryRequestGiB" jsonschema:"minimum=1,maximum=512"`
	// vCPUs that a sandbox may use while others are idle.
	CPULimit float64 `json:"cpuLimit" jsonschema:"minimum=0.1,maximum=64"`
	// Size of a sandbox's workspace, in GiB.
	VolumeGiB int         `json:"volumeGiB" jsonschema:"minimum=1,maximum=1000"`
	Pool      SandboxPool `json:"pool"`
	// Sandboxes for which a node with the image is kept ready. They are billed, and save the minutes of a cold start.
	Warm   int    `json:"warm" jsonschema:"minimum=0,maximum=100"`
	Egress Egress `json:"egress"`

	// Most workspaces at a time, those of closed conversations among them. Beyond it, no new conversation starts. 20 times max unless set.
	MaxVolumes int `json:"maxVolumes,omitempty" jsonschema:"minimum=1,maximum=100000"`
	// Days until the volume of a conversation that nobody continues is deleted, with its files, or that of an instance that was taken off the list. 0 keeps it
	// for ever.
	KeepUnusedVolumeDays int `json:"keepUnusedVolumeDays" jsonschema:"minimum=0,maximum=3650"`
}

// Egress is what the server, by TLS, or the sandboxes may reach outside of the cluster. Empty, that is the whole internet without the ranges in NotPublic.
type Egress struct {
	// Domain names, e.g. github.com, or *.githubusercontent.com for the names one level below. With any of these or of allowedRanges, nothing else is
	// reached. A name opens whatever addresses it resolves to, 50 at the most.
	AllowedDomains []string `json:"allowedDomains"`
	// Public address ranges, e.g. 140.82.112.0/20.
	AllowedRanges []string `json:"allowedRanges"`
}

// Exposure is how browsers reach the application.
type Exposure struct {
	// none: by port-forward only. gateway: at https://<host>, behind a load balancer with a login.
	Mode string `json:"mode" jsonschema:"enum=none,enum=gateway"`
	// Host name of the installation, e.g. openhands.example.com.
	Host string `json:"host,omitempty"`
	// Name of a Cloud DNS zone of the project, in which the records are created. Without it, create those of the output dnsRecords yourself.
	DNSZone string `json:"dnsZone,omitempty"`
	Login   Login  `json:"login"`
	Armor   Armor  `json:"armor"`

	// Put the installation on the internet without any login: whoever finds it owns it, with all keys and tokens in it.
	OpenToEveryoneWithoutLogin bool `json:"dangerouslyOpenToEveryoneWithoutLogin"`
}

// Login is Identity-Aware Proxy.
type Login struct {
	// Who may log in, as IAM members: user:, group:, serviceAccount: or domain:.
	Members []string `json:"members"`
	// OAuth client of your own, for members outside of the project's organization. Google's own client is used unless set.
	ClientID string `json:"clientId,omitempty"`
}

// Armor is the Cloud Armor policy in front of the application.
type Armor struct {
	// Requests of one client address in a minute, above which it gets 429.
	RequestsPerMinute int `json:"requestsPerMinute" jsonschema:"minimum=60,maximum=1000000"`
	// Address ranges that may connect. Without any, all may, and have to log in.
	AllowedRanges []string `json:"allowedRanges"`
	// Address ranges that may not connect.
	DeniedRanges []string `json:"deniedRanges"`
	// Let Cloud Armor learn what is normal and report attacks.
	AdaptiveProtection bool `json:"adaptiveProtection"`
	// Preconfigured rule sets, e.g. sqli-v33-stable. They log only, unless wafEnforce is set: people send code to this application.
	WAFRules []string `json:"wafRules"`
	// Refuse what a rule set finds.
	WAFEnforce bool `json:"wafEnforce"`
}

// SandboxPool is the node pool of the sandboxes. It shrinks to nothing while there are none.
type SandboxPool struct {
	// Machine type of the nodes.
	MachineType string `json:"machineType"`
	// Most nodes, in the whole cluster. Derived from max, warm and the size of a sandbox unless set, with a node of slack for each zone where the cluster
	// has several.
	MaxNodes int `json:"maxNodes,omitempty" jsonschema:"minimum=1,maximum=1000"`
	// Use spot nodes, which are cheaper and which Google may take back within seconds.
	Spot bool `json:"spot"`
}

// Database is the configuration of Cloud SQL.
type Database struct {
	// PostgreSQL version as Cloud SQL writes it, e.g. POSTGRES_15. A higher one upgrades the database in place, which is away meanwhile; Google refuses a
	// lower one.
	Version string `json:"version"`
	// Machine type: db-g1-small, or db-custom-<vCPUs>-<MiB>.
	Tier string `json:"tier"`
	// Keep a standby in a second zone.
	HighAvailability bool `json:"highAvailability"`
	// PostgreSQL's max_connections.
	MaxConnections int `json:"maxConnections" jsonschema:"minimum=14,maximum=262143"`
	// Disk size at creation. It grows by itself; a later change of this number does nothing.
	DiskSizeGiB int `json:"diskSizeGiB" jsonschema:"minimum=10,maximum=65536"`
	// Size at which the disk stops growing. 0 for none.
	DiskLimitGiB int                 `json:"diskLimitGiB" jsonschema:"minimum=0,maximum=65536"`
	Backups      Backups             `json:"backups"`
	Maintenance  DatabaseMaintenance `json:"maintenance"`
	// Refuse to delete the database, in Pulumi and in the API. prod cannot turn it off.
	DeletionProtection bool `json:"deletionProtection"`
}

// Backups says what of the database can be restored.
type Backups struct {
	// Daily backups that are kept.
	Retained int `json:"retained" jsonschema:"minimum=1,maximum=365"`
	// Start of the daily backup, HH:MM, UTC.
	StartTime string `json:"startTime"`
	// Days back to which any moment can be restored. 0 turns it off.
	PointInTimeDays int `json:"pointInTimeDays" jsonschema:"minimum=0,maximum=7"`
}

// DatabaseMaintenance is the weekly hour of the database's maintenance.
type DatabaseMaintenance struct {
	// 1 (Monday) to 7 (Sunday).
	Day int `json:"day" jsonschema:"minimum=1,maximum=7"`
	// Hour, UTC.
	Hour int `json:"hour" jsonschema:"minimum=0,maximum=23"`
}

// Bucket is the configuration of the file store.
type Bucket struct {
	// Region, multi-region (EU) or dual-region (EUR4). The stack's region unless set.
	Location string `json:"location,omitempty"`
	// Days in which a deleted object can be restored: 0 (off) or 7 to 90.
	SoftDeleteDays int `json:"softDeleteDays" jsonschema:"minimum=0,maximum=90"`
	// Days until an overwritten version of an object is removed.
	OldVersionDays int `json:"oldVersionDays" jsonschema:"minimum=1,maximum=3650"`
	// Refuse to delete the bucket. Off, deleting it deletes its objects. prod cannot turn it off.
	DeletionProtection bool `json:"deletionProtection"`
}

// Registry is the configuration of the repository of own images.
type Registry struct {
	// Versions of every image that clean-up never deletes.
	KeepNewest int `json:"keepNewest" jsonschema:"minimum=1,maximum=1000"`
	// Days until a version that no tag names is deleted.
	DeleteUntaggedAfterDays int `json:"deleteUntaggedAfterDays" jsonschema:"minimum=1,maximum=3650"`
	// A tag, once pushed, names the same image for ever.
	ImmutableTags bool `json:"immutableTags"`
	// Refuse to delete the repository of own images. prod cannot turn it off.
	DeletionProtection bool `json:"deletionProtection"`
}

// Machine is the one machine of profile single.
type Machine struct {
	// Who may open the page, as IAM members: user:, group:, serviceAccount: or domain:. Whoever does owns all that is in it. Project owners need no entry.
	Members []string `json:"members"`
	// Who may log in to the machine by SSH, and do everything there, as IAM members: user:, group: or serviceAccount:. Project owners need no entry.
	Operators []string `json:"operators"`
	// Machine type. Another one is another machine, with the same data disk.
	MachineType string `json:"machineType"`
	// Use a spot machine, which is cheaper, and which Google may take back: OpenHands then has 30 seconds in place of 60 to stop, and the machine stays
	// stopped until somebody, or nightStop, starts it.
	Spot      bool       `json:"spot"`
	DataDisk  DataDisk   `json:"dataDisk"`
	NightStop *NightStop `json:"nightStop,omitempty"`
}

// DataDisk is the disk with all that must stay: conversations, people's files, and the keys.
type DataDisk struct {
	// Size of the disk. A larger one grows in place, and the file system with it when the machine boots. A smaller one is a new, empty disk, which the
	// protection refuses.
	SizeGiB int `json:"sizeGiB" jsonschema:"minimum=10,maximum=65536"`
	// Name of a snapshot that the disk is made from. Another one, or none, makes another disk, which the protection refuses: docs/single.md says how to
	// restore one.
	FromSnapshot string    `json:"fromSnapshot,omitempty"`
	Snapshots    Snapshots `json:"snapshots"`
	// Refuse to delete or replace the disk.
	DeletionProtection bool `json:"deletionProtection"`
}

// Snapshots are taken of the data disk every day, and outlive it.
type Snapshots struct {
	// Hour in which the daily snapshot is begun, UTC.
	Hour int `json:"hour" jsonschema:"minimum=0,maximum=23"`
	// Days until a snapshot is deleted. When the disk is deleted, those that there are stay for ever.
	KeepDays int `json:"keepDays" jsonschema:"minimum=1,maximum=3650"`
}

// NightStop stops the machine by the clock, and starts it again.
type NightStop struct {
	// Time at which the machine stops on each of the days, HH:MM. Running conversations are stopped.
	Stop string `json:"stop"`
	// Time at which it starts on each of the days, HH:MM.
	Start string `json:"start"`
	// Days on which it starts and stops: MO, TU, WE, TH, FR, SA, SU. All of them unless set.
	Days []string `json:"days,omitempty"`
	// Time zone of both times, e.g. Europe/Berlin.
	TimeZone string `json:"timeZone"`
}
