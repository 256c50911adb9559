package stacks

import "openhands-gcp/release"

// Defaults returns every default of a profile. A stack file overrides single values.
func Defaults(profile Profile) Config {
	switch profile {
	case Prod:
		return prodDefaults()
	case Single:
		return singleDefaults()
	}
	return devDefaults()
}

func devDefaults() Config {
	return Config{
		Profile: Dev,
		Network: Network{
			NodesCIDR:        "10.0.0.0/22",
			PodsCIDR:         "10.16.0.0/16",
			ServicesCIDR:     "10.32.0.0/20",
			ControlPlaneCIDR: "172.16.0.0/28",
			PeeringCIDR:      "10.64.0.0/20",
			FlowLogSampling:  0.1,
		},
		Cluster: Cluster{
			MinVersion:     minimumVersion,
			ReleaseChannel: "REGULAR",
			Access:         Access{ConnectGateway: ConnectGateway{Enabled: true}},
			Maintenance:    Maintenance{Days: []string{"SA", "SU"}, StartHour: 2, Hours: 6},
			AppPool:        AppPool{MachineType: "e2-standard-2", MinNodes: 1, MaxNodes: 2},
		},
		App: App{Line: string(release.Server), Release: release.DefaultRelease(release.Server), Runtime: string(release.Kubernetes), CPURequest: 0.5, MemoryGiB: 2},
		Sandboxes: Sandboxes{
			Max: 3, CPURequest: 1, MemoryRequest: 2, CPULimit: 2, VolumeGiB: 10, KeepUnusedVolumeDays: 30,
			Pool: SandboxPool{MachineType: "e2-standard-4", Spot: true},
		},
		Database: Database{
			Version:        "POSTGRES_15",
			Tier:           "db-g1-small",
			MaxConnections: 100,
			DiskSizeGiB:    10,
			DiskLimitGiB:   50,
			Backups:        Backups{Retained: 3, StartTime: "01:00"},
			Maintenance:    DatabaseMaintenance{Day: 7, Hour: 3},
		},
		Bucket:   Bucket{SoftDeleteDays: 7, OldVersionDays: 30},
		Registry: Registry{KeepNewest: 10, DeleteUntaggedAfterDays: 7},
		Exposure: Exposure{Mode: exposureNone, Armor: Armor{RequestsPerMinute: 1200, AdaptiveProtection: true}},
	}
}

func prodDefaults() Config {
	c := devDefaults()
	c.Profile = Prod
	c.Network.FlowLogSampling = 0.5
	c.Cluster.AppPool = AppPool{MachineType: "e2-standard-4", MinNodes: 1, MaxNodes: 3}
	c.Cluster.DeletionProtection = true
	c.App.CPURequest, c.App.MemoryGiB = 1, 4
	c.Sandboxes = Sandboxes{
		Max: 20, CPURequest: 1, MemoryRequest: 3, CPULimit: 4, VolumeGiB: 20, KeepUnusedVolumeDays: 90,
		Pool: SandboxPool{MachineType: "e2-standard-8"},
	}
	c.Database.Tier = "db-custom-2-7680"
	c.Database.HighAvailability = true
	c.Database.MaxConnections = 200
	c.Database.DiskSizeGiB = 20
	c.Database.DiskLimitGiB = 200
	c.Database.Backups = Backups{Retained: 14, StartTime: "01:00", PointInTimeDays: 7}
	c.Database.DeletionProtection = true
	c.Bucket = Bucket{SoftDeleteDays: 30, OldVersionDays: 90, DeletionProtection: true}
	c.Registry = Registry{KeepNewest: 30, DeleteUntaggedAfterDays: 30, ImmutableTags: true, DeletionProtection: true}
	c.Exposure.Mode = exposureGateway
	return c
}

// singleDefaults has no value of what there is not: a cluster, its server and sandboxes, a database, a bucket, a way in from the internet.
func singleDefaults() Config {
	dev := devDefaults()
	return Config{
		Profile:  Single,
		App:      App{Line: string(release.Canvas), Release: release.DefaultRelease(release.Canvas), Runtime: string(release.Itself)},
		Network:  Network{NodesCIDR: dev.Network.NodesCIDR, FlowLogSampling: dev.Network.FlowLogSampling},
		Registry: dev.Registry,
		Machine: Machine{
			MachineType: "e2-standard-2",
			DataDisk:    DataDisk{SizeGiB: 50, Snapshots: Snapshots{Hour: 3, KeepDays: 14}, DeletionProtection: true},
		},
	}
}

// ofCanvas returns the same defaults for line canvas: the doors are alone on the app pool, and what people work in does not run on machines that Google may
// take back.
func (c Config) ofCanvas() Config {
	c.App = App{Line: string(release.Canvas), Release: release.DefaultRelease(release.Canvas), Runtime: string(release.Itself)}
	c.Cluster.AppPool.MachineType = "e2-standard-2"
	c.Sandboxes = Sandboxes{
		KeepUnusedVolumeDays: c.Sandboxes.KeepUnusedVolumeDays, Pool: SandboxPool{MachineType: c.Sandboxes.Pool.MachineType}, Egress: c.Sandboxes.Egress,
	}
	return c
}

// instanceDefaults are the sizes of an instance that has none of its own. The real Agent Canvas has 640 MiB idle and 950 in a conversation.
var instanceDefaults = Instance{CPURequest: 0.5, CPULimit: 2, MemoryRequest: 1.5, MemoryLimit: 4, VolumeGiB: 20}
