package stacks

// Config is the whole configuration of a stack, after the profile's defaults were applied. The JSON names are the keys of the stack file; from
// this type come the check for unknown keys and wrong types, and the table of keys in docs/configuration.md.
type Config struct {
	Project string `json:"gcp:project" jsonschema_description:"Project that everything is created in. Another one replaces the cluster, and all the rest."`
	Region  string `json:"gcp:region" jsonschema_description:"Region of the network, the database and the registry, and of the cluster where the profile has a regional one. Another one replaces the cluster, and all that lies in a region."`
	Zone    string `json:"gcp:zone" jsonschema_description:"Zone of the cluster, where the profile has a zonal one (dev); prod has none. Another one replaces the cluster: see README, Replacing the cluster."`

	Profile  Profile           `json:"openhands:profile" jsonschema:"enum=dev,enum=prod" jsonschema_description:"The set of defaults. It is never guessed from the stack's name. Another one replaces the cluster."`
	Labels   map[string]string `json:"openhands:labels" jsonschema_description:"Labels for everything that can carry them, beside app, stack and managed-by."`
	Teardown bool              `json:"openhands:teardown" jsonschema_description:"Lifts all protection, for the way out: pulumi up with it, then pulumi destroy."`

	Network   Network   `json:"openhands:network"`
	Cluster   Cluster   `json:"openhands:cluster"`
	App       App       `json:"openhands:app"`
	Sandboxes Sandboxes `json:"openhands:sandboxes"`
	Database  Database  `json:"openhands:database"`
	Bucket    Bucket    `json:"openhands:bucket"`
	Registry  Registry  `json:"openhands:registry"`
	Exposure  Exposure  `json:"openhands:exposure"`

	Observability Observability `json:"openhands:observability"`

	SandboxAPIKey string            `json:"openhands:sandboxApiKey" jsonschema_description:"Secret. Key of the runtime API, where app.runtime is remote."`
	SecretEnv     map[string]string `json:"openhands:secretEnv" jsonschema_description:"Secrets. More environment variables for the application whose values are secrets: pulumi config set --secret --path openhands:secretEnv.<name>."`

	IAPClientSecret string `json:"openhands:iapClientSecret" jsonschema_description:"Secret. Of the OAuth client in exposure.login.clientId."`

	// Stack is the name of the stack, as Pulumi knows it.
	Stack string `json:"-"`
}

// Profile names a set of defaults.
type Profile string

// The profiles.
const (
	Dev  Profile = "dev"
	Prod Profile = "prod"
)

// Network is the configuration of the VPC.
type Network struct {
	NodesCIDR        string  `json:"nodesCidr" jsonschema_description:"Range of the nodes' addresses. Four of them are Google's. A larger range around it grows in place, any other replaces the cluster."`
	PodsCIDR         string  `json:"podsCidr" jsonschema_description:"Range of the pods' addresses. Every node takes a /24 of it. Google refuses another one while the cluster exists: see README, Replacing the cluster."`
	ServicesCIDR     string  `json:"servicesCidr" jsonschema_description:"Range of the Kubernetes Services' addresses. Google refuses another one while the cluster exists: see README, Replacing the cluster."`
	ControlPlaneCIDR string  `json:"controlPlaneCidr" jsonschema_description:"Range of the cluster's control plane, a /28. Another one replaces the cluster."`
	PeeringCIDR      string  `json:"peeringCidr" jsonschema_description:"Range in which Google places Cloud SQL, a /24 or larger."`
	FlowLogSampling  float64 `json:"flowLogSampling" jsonschema:"minimum=0,maximum=1" jsonschema_description:"Share of the network flows that are logged. 0 turns flow logs off."`
}

// Cluster is the configuration of the GKE cluster.
type Cluster struct {
	MinVersion         string      `json:"minVersion" jsonschema_description:"Lowest Kubernetes version of the control plane, e.g. 1.36. The release channel keeps it up to date."`
	ReleaseChannel     string      `json:"releaseChannel" jsonschema:"enum=RAPID,enum=REGULAR,enum=STABLE" jsonschema_description:"How soon GKE brings new versions. It must have minVersion, which GKE is asked before the cluster is created: STABLE came to 1.35 in September 2026."`
	Access             Access      `json:"access"`
	Maintenance        Maintenance `json:"maintenance"`
	AppPool            AppPool     `json:"appPool"`
	FQDNNetworkPolicy  bool        `json:"fqdnNetworkPolicy" jsonschema_description:"Let the cluster enforce network policies by domain name, which the allow-lists app.egress and sandboxes.egress.allowedDomains need. On a cluster that exists, turn it on by itself first, and then run kubectl --namespace=kube-system rollout restart daemonset/anetd. Turning it off again replaces the cluster."`
	DeletionProtection bool        `json:"deletionProtection" jsonschema_description:"Refuse to delete the cluster. prod cannot turn it off."`
}

// Access says how people and programs reach the cluster's control plane.
type Access struct {
	ConnectGateway ConnectGateway  `json:"connectGateway"`
	PublicEndpoint *PublicEndpoint `json:"publicEndpoint,omitempty"`
	SecurityGroup  string          `json:"securityGroup,omitempty" jsonschema_description:"Google group of the name gke-security-groups, e.g. gke-security-groups@example.com, in which the groups are that Kubernetes is to know. A group: among the members of the Connect gateway needs it. It stays on when the key is removed."`
}

// ConnectGateway is access through the fleet, authorized by IAM, from any address.
type ConnectGateway struct {
	Enabled bool     `json:"enabled" jsonschema_description:"Register the cluster in the project's fleet and reach it through the Connect gateway."`
	Members []string `json:"members" jsonschema_description:"Operators, as IAM members: user:, serviceAccount: or group:. Through the gateway they see the application and its sandboxes without Secrets, read logs, reach OpenHands by port-forward and delete pods. Project owners need no entry."`
}

// PublicEndpoint is access to a public address of the control plane from listed ranges.
type PublicEndpoint struct {
	AuthorizedRanges []string `json:"authorizedRanges" jsonschema_description:"Address ranges that may connect, e.g. 203.0.113.7/32. Without the key publicEndpoint the control plane has no public address."`
}

// Maintenance is the weekly window of the cluster's upgrades.
type Maintenance struct {
	Days      []string `json:"days" jsonschema_description:"Days on which GKE may upgrade: MO, TU, WE, TH, FR, SA, SU."`
	StartHour int      `json:"startHour" jsonschema:"minimum=0,maximum=23" jsonschema_description:"Hour at which the window opens, UTC."`
	Hours     int      `json:"hours" jsonschema:"minimum=4,maximum=24" jsonschema_description:"Length of the window. All windows of 32 days must add up to 48 hours."`
}

// AppPool is the size of the node pool of the application.
type AppPool struct {
	MachineType string `json:"machineType" jsonschema_description:"Machine type of the nodes."`
	MinNodes    int    `json:"minNodes" jsonschema:"minimum=1,maximum=1000" jsonschema_description:"Fewest nodes, in the whole cluster."`
	MaxNodes    int    `json:"maxNodes" jsonschema:"minimum=1,maximum=1000" jsonschema_description:"Most nodes, in the whole cluster."`
}

// Observability has the addresses that alerts are sent to.
type Observability struct {
	NotificationEmails []string `json:"notificationEmails" jsonschema_description:"Addresses that alerts are sent to. Without any, alerts are seen in the console only."`
}

// App is the configuration of OpenHands itself.
type App struct {
	Release            string            `json:"release" jsonschema_description:"Release of OpenHands. It decides which runtimes there are."`
	Runtime            string            `json:"runtime" jsonschema:"enum=kubernetes,enum=remote" jsonschema_description:"Where conversations get their sandboxes: pods of this cluster, or a runtime API that you bring."`
	Image              string            `json:"image,omitempty" jsonschema_description:"Image of the application. The release's, through the mirror of ghcr.io, unless set."`
	SandboxImage       string            `json:"sandboxImage,omitempty" jsonschema_description:"Image of the sandboxes. The release's, through the mirror of ghcr.io, unless set."`
	ImageDigest        string            `json:"imageDigest,omitempty" jsonschema_description:"Digest of the release's image of the application, sha256:..., which no moved tag changes."`
	SandboxImageDigest string            `json:"sandboxImageDigest,omitempty" jsonschema_description:"Digest of the release's image of the sandboxes."`
	DoorImage          string            `json:"doorImage,omitempty" jsonschema_description:"Image of the door, which is Envoy. That of Envoy's own release, through the mirror of Docker Hub, unless set."`
	DoorImageDigest    string            `json:"doorImageDigest,omitempty" jsonschema_description:"Digest of Envoy's image of the door."`
	RemoteRuntimeURL   string            `json:"remoteRuntimeUrl,omitempty" jsonschema_description:"Address of the runtime API, where runtime is remote."`
	CPURequest         float64           `json:"cpuRequest" jsonschema:"minimum=0.1,maximum=64" jsonschema_description:"vCPUs that the application is sure of."`
	MemoryGiB          float64           `json:"memoryGiB" jsonschema:"minimum=0.5,maximum=512" jsonschema_description:"Memory of the application, in GiB."`
	Egress             Egress            `json:"egress"`
	ExtraEnv           map[string]string `json:"extraEnv" jsonschema_description:"More environment variables for the application. Those of the program, and those known to break the application, are refused."`
}

// Sandboxes is the number and size of the sandboxes, and the node pool that carries them.
type Sandboxes struct {
	Max           int         `json:"max" jsonschema:"minimum=1,maximum=1000" jsonschema_description:"Most sandboxes at a time, in the whole installation."`
	CPURequest    float64     `json:"cpuRequest" jsonschema:"minimum=0.1,maximum=64" jsonschema_description:"vCPUs that a sandbox is sure of. Another size may give the nodes another disk, and then GKE makes each of them anew, with what runs there."`
	MemoryRequest float64     `json:"memoryRequestGiB" jsonschema:"minimum=1,maximum=512" jsonschema_description:"Memory that a sandbox is sure of, in GiB, and that it is killed beyond. gVisor's own processes take 35 to 200 MiB of it. Another size may give the nodes another disk, and then GKE makes each of them anew, with what runs there."`
	CPULimit      float64     `json:"cpuLimit" jsonschema:"minimum=0.1,maximum=64" jsonschema_description:"vCPUs that a sandbox may use while others are idle."`
	VolumeGiB     int         `json:"volumeGiB" jsonschema:"minimum=1,maximum=1000" jsonschema_description:"Size of a sandbox's workspace, in GiB."`
	Pool          SandboxPool `json:"pool"`
	Warm          int         `json:"warm" jsonschema:"minimum=0,maximum=100" jsonschema_description:"Sandboxes for which a node with the image is kept ready. They are billed, and save the minutes of a cold start."`
	Egress        Egress      `json:"egress"`

	MaxVolumes           int `json:"maxVolumes,omitempty" jsonschema:"minimum=1,maximum=100000" jsonschema_description:"Most workspaces at a time, those of closed conversations among them. Beyond it, no new conversation starts. 20 times max unless set."`
	KeepUnusedVolumeDays int `json:"keepUnusedVolumeDays" jsonschema:"minimum=0,maximum=3650" jsonschema_description:"Days until the volume of a conversation that nobody continues is deleted, with its files. 0 keeps it for ever."`
}

// Egress is what the server, by TLS, or the sandboxes may reach outside of the cluster. Empty, that is the whole internet without the ranges in NotPublic.
type Egress struct {
	AllowedDomains []string `json:"allowedDomains" jsonschema_description:"Domain names, e.g. github.com, or *.githubusercontent.com for the names one level below. With any of these or of allowedRanges, nothing else is reached. A name opens whatever addresses it resolves to, 50 at the most."`
	AllowedRanges  []string `json:"allowedRanges" jsonschema_description:"Public address ranges, e.g. 140.82.112.0/20."`
}

// Exposure is how browsers reach the application.
type Exposure struct {
	Mode    string `json:"mode" jsonschema:"enum=none,enum=gateway" jsonschema_description:"none: by port-forward only. gateway: at https://<host>, behind a load balancer with a login."`
	Host    string `json:"host,omitempty" jsonschema_description:"Host name of the installation, e.g. openhands.example.com."`
	DNSZone string `json:"dnsZone,omitempty" jsonschema_description:"Name of a Cloud DNS zone of the project, in which the records are created. Without it, create those of the output dnsRecords yourself."`
	Login   Login  `json:"login"`
	Armor   Armor  `json:"armor"`

	OpenToEveryoneWithoutLogin bool `json:"dangerouslyOpenToEveryoneWithoutLogin" jsonschema_description:"Put the installation on the internet without any login: whoever finds it owns it, with all keys and tokens in it."`
}

// Login is Identity-Aware Proxy.
type Login struct {
	Members  []string `json:"members" jsonschema_description:"Who may log in, as IAM members: user:, group:, serviceAccount: or domain:."`
	ClientID string   `json:"clientId,omitempty" jsonschema_description:"OAuth client of your own, for members outside of the project's organization. Google's own client is used unless set."`
}

// Armor is the Cloud Armor policy in front of the application.
type Armor struct {
	RequestsPerMinute  int      `json:"requestsPerMinute" jsonschema:"minimum=60,maximum=1000000" jsonschema_description:"Requests of one client address in a minute, above which it gets 429."`
	AllowedRanges      []string `json:"allowedRanges" jsonschema_description:"Address ranges that may connect. Without any, all may, and have to log in."`
	DeniedRanges       []string `json:"deniedRanges" jsonschema_description:"Address ranges that may not connect."`
	AdaptiveProtection bool     `json:"adaptiveProtection" jsonschema_description:"Let Cloud Armor learn what is normal and report attacks."`
	WAFRules           []string `json:"wafRules" jsonschema_description:"Preconfigured rule sets, e.g. sqli-v33-stable. They log only, unless wafEnforce is set: people send code to this application."`
	WAFEnforce         bool     `json:"wafEnforce" jsonschema_description:"Refuse what a rule set finds."`
}

// SandboxPool is the node pool of the sandboxes. It shrinks to nothing while there are none.
type SandboxPool struct {
	MachineType string `json:"machineType" jsonschema_description:"Machine type of the nodes."`
	MaxNodes    int    `json:"maxNodes,omitempty" jsonschema:"minimum=1,maximum=1000" jsonschema_description:"Most nodes, in the whole cluster. Derived from max, warm and the size of a sandbox unless set, with a node of slack for each zone where the cluster has several."`
	Spot        bool   `json:"spot" jsonschema_description:"Use spot nodes, which are cheaper and which Google may take back within seconds."`
}

// Database is the configuration of Cloud SQL.
type Database struct {
	Version            string              `json:"version" jsonschema_description:"PostgreSQL version as Cloud SQL writes it, e.g. POSTGRES_15. A higher one upgrades the database in place, which is away meanwhile; Google refuses a lower one."`
	Tier               string              `json:"tier" jsonschema_description:"Machine type: db-g1-small, or db-custom-<vCPUs>-<MiB>."`
	HighAvailability   bool                `json:"highAvailability" jsonschema_description:"Keep a standby in a second zone."`
	MaxConnections     int                 `json:"maxConnections" jsonschema:"minimum=14,maximum=262143" jsonschema_description:"PostgreSQL's max_connections."`
	DiskSizeGiB        int                 `json:"diskSizeGiB" jsonschema:"minimum=10,maximum=65536" jsonschema_description:"Disk size at creation. It grows by itself; a later change of this number does nothing."`
	DiskLimitGiB       int                 `json:"diskLimitGiB" jsonschema:"minimum=0,maximum=65536" jsonschema_description:"Size at which the disk stops growing. 0 for none."`
	Backups            Backups             `json:"backups"`
	Maintenance        DatabaseMaintenance `json:"maintenance"`
	DeletionProtection bool                `json:"deletionProtection" jsonschema_description:"Refuse to delete the database, in Pulumi and in the API. prod cannot turn it off."`
}

// Backups says what of the database can be restored.
type Backups struct {
	Retained        int    `json:"retained" jsonschema:"minimum=1,maximum=365" jsonschema_description:"Daily backups that are kept."`
	StartTime       string `json:"startTime" jsonschema_description:"Start of the daily backup, HH:MM, UTC."`
	PointInTimeDays int    `json:"pointInTimeDays" jsonschema:"minimum=0,maximum=7" jsonschema_description:"Days back to which any moment can be restored. 0 turns it off."`
}

// DatabaseMaintenance is the weekly hour of the database's maintenance.
type DatabaseMaintenance struct {
	Day  int `json:"day" jsonschema:"minimum=1,maximum=7" jsonschema_description:"1 (Monday) to 7 (Sunday)."`
	Hour int `json:"hour" jsonschema:"minimum=0,maximum=23" jsonschema_description:"Hour, UTC."`
}

// Bucket is the configuration of the file store.
type Bucket struct {
	Location           string `json:"location,omitempty" jsonschema_description:"Region, multi-region (EU) or dual-region (EUR4). The stack's region unless set."`
	SoftDeleteDays     int    `json:"softDeleteDays" jsonschema:"minimum=0,maximum=90" jsonschema_description:"Days in which a deleted object can be restored: 0 (off) or 7 to 90."`
	OldVersionDays     int    `json:"oldVersionDays" jsonschema:"minimum=1,maximum=3650" jsonschema_description:"Days until an overwritten version of an object is removed."`
	DeletionProtection bool   `json:"deletionProtection" jsonschema_description:"Refuse to delete the bucket. Off, deleting it deletes its objects. prod cannot turn it off."`
}

// Registry is the configuration of the repository of own images.
type Registry struct {
	KeepNewest              int  `json:"keepNewest" jsonschema:"minimum=1,maximum=1000" jsonschema_description:"Versions of every image that clean-up never deletes."`
	DeleteUntaggedAfterDays int  `json:"deleteUntaggedAfterDays" jsonschema:"minimum=1,maximum=3650" jsonschema_description:"Days until a version that no tag names is deleted."`
	ImmutableTags           bool `json:"immutableTags" jsonschema_description:"A tag, once pushed, names the same image for ever."`
	DeletionProtection      bool `json:"deletionProtection" jsonschema_description:"Refuse to delete the repository of own images. prod cannot turn it off."`
}
