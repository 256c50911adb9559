package infra

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/sql"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const cloudSqlPostgresType = "openhands:gcp:CloudSqlPostgres"

// CloudSqlPostgresArgs are the arguments of NewCloudSqlPostgres.
type CloudSqlPostgresArgs struct {
	Region   string
	Version  string // as Cloud SQL writes it, e.g. POSTGRES_15
	Tier     string // machine type, e.g. db-custom-2-7680
	Database string // name of the one database
	User     string // name of the one user, whose password is generated

	HighAvailability bool // a standby in a second zone
	MaxConnections   int  // the max_connections flag
	DiskSizeGiB      int  // size at creation, at least 10; it grows by itself
	DiskLimitGiB     int  // size at which it stops growing, 0 for none

	RetainedBackups int    // daily backups that are kept, at least 1
	BackupStartTime string // start of the daily backup, HH:MM in UTC
	PointInTimeDays int    // days back to which any moment can be restored: 0 (off) to 7
	MaintenanceDay  int    // 1 (Monday) to 7 (Sunday)
	MaintenanceHour int    // 0 to 23, UTC
	Protect         bool   // refuse to delete the instance, here and in the API
	Labels          pulumi.StringMapInput

	// PrivateNetwork is the id of the VPC, known once private services access works: Network.PrivateServicesNetworkID.
	PrivateNetwork pulumi.StringInput
}

// CloudSqlPostgres is a PostgreSQL instance with a private address only, one database and one user.
type CloudSqlPostgres struct {
	pulumi.ResourceState

	InstanceName pulumi.StringOutput `pulumi:"instanceName"`
	Host         pulumi.StringOutput `pulumi:"host"` // private IP address
	Database     pulumi.StringOutput `pulumi:"database"`
	User         pulumi.StringOutput `pulumi:"user"`
	Password     pulumi.StringOutput `pulumi:"password"` // secret

	// MonitoringID is how Cloud Monitoring names the instance, in the label database_id: <project>:<instance>.
	MonitoringID pulumi.StringOutput `pulumi:"monitoringId"`
}

func (args *CloudSqlPostgresArgs) validate(check *component.Check) {
	check.Strings(map[string]string{
		"region": args.Region, "version": args.Version, "tier": args.Tier, "database": args.Database, "user": args.User,
		"backupStartTime": args.BackupStartTime,
	})
	check.Inputs(map[string]pulumi.StringInput{"privateNetwork": args.PrivateNetwork})
	check.Require(args.MaxConnections > 0, "maxConnections is required")
	check.Require(args.DiskSizeGiB >= 10, "diskSizeGiB is %d: at least 10", args.DiskSizeGiB)
	check.Require(args.DiskLimitGiB == 0 || args.DiskLimitGiB >= args.DiskSizeGiB,
		"diskLimitGiB is %d: 0 for no limit, or at least diskSizeGiB (%d)", args.DiskLimitGiB, args.DiskSizeGiB)
	check.Require(args.RetainedBackups >= 1, "retainedBackups is %d: at least 1", args.RetainedBackups)
	check.Require(args.PointInTimeDays >= 0 && args.PointInTimeDays <= 7, "pointInTimeDays is %d: 0 to 7", args.PointInTimeDays)
	check.Require(args.MaintenanceDay >= 1 && args.MaintenanceDay <= 7, "maintenanceDay is %d: 1 (Monday) to 7 (Sunday)", args.MaintenanceDay)
	check.Require(args.MaintenanceHour >= 0 && args.MaintenanceHour <= 23, "maintenanceHour is %d: 0 to 23", args.MaintenanceHour)
}

// NewCloudSqlPostgres creates the instance, the database, and the user with a generated password. Clients must use TLS.
func NewCloudSqlPostgres(ctx *pulumi.Context, name string, args *CloudSqlPostgresArgs, opts ...pulumi.ResourceOption) (_ *CloudSqlPostgres, err error) {
	defer component.Explain(&err, cloudSqlPostgresType, name)
	c := &CloudSqlPostgres{}
	if err := component.Register(ctx, cloudSqlPostgresType, name, c, args, (*CloudSqlPostgresArgs).validate, opts...); err != nil {
		return nil, err
	}
	instance, err := c.newInstance(ctx, name, args)
	if err != nil {
		return nil, fmt.Errorf("create the instance: %w", err)
	}
	// PostgreSQL refuses to drop a user that owns objects, and a database in use: both are left to go with the instance.
	const abandon = "ABANDON"
	database, err := sql.NewDatabase(ctx, name+"-database", &sql.DatabaseArgs{
		Instance:       instance.Name,
		Name:           pulumi.String(args.Database),
		DeletionPolicy: pulumi.String(abandon),
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the database: %w", err)
	}
	// RandomPassword, not RandomString: the latter's result is also its id, in clear in the state.
	password, err := random.NewRandomPassword(ctx, name+"-password", &random.RandomPasswordArgs{
		Length:  pulumi.Int(32),
		Special: pulumi.Bool(false), // it travels in URLs
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("generate the password: %w", err)
	}
	user, err := sql.NewUser(ctx, name+"-user", &sql.UserArgs{
		Instance:       instance.Name,
		Name:           pulumi.String(args.User),
		Password:       password.Result,
		DeletionPolicy: pulumi.String(abandon),
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("create the user: %w", err)
	}

	c.InstanceName, c.Host = instance.Name, instance.PrivateIpAddress
	c.Database, c.User = database.Name, user.Name
	c.Password = pulumi.ToSecret(password.Result).(pulumi.StringOutput)
	c.MonitoringID = pulumi.Sprintf("%s:%s", instance.Project, instance.Name)
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"instanceName": c.InstanceName, "host": c.Host, "database": c.Database, "user": c.User, "password": c.Password,
		"monitoringId": c.MonitoringID,
	})
}

func (c *CloudSqlPostgres) newInstance(ctx *pulumi.Context, name string, args *CloudSqlPostgresArgs) (*sql.DatabaseInstance, error) {
	availability := "ZONAL"
	if args.HighAvailability {
		availability = "REGIONAL"
	}
	backup := &sql.DatabaseInstanceSettingsBackupConfigurationArgs{
		Enabled:                    pulumi.Bool(true),
		StartTime:                  pulumi.String(args.BackupStartTime),
		PointInTimeRecoveryEnabled: pulumi.Bool(args.PointInTimeDays > 0),
		BackupRetentionSettings: &sql.DatabaseInstanceSettingsBackupConfigurationBackupRetentionSettingsArgs{
			RetainedBackups: pulumi.Int(args.RetainedBackups),
			RetentionUnit:   pulumi.String("COUNT"),
		},
	}
	if args.PointInTimeDays > 0 {
		backup.TransactionLogRetentionDays = pulumi.Int(args.PointInTimeDays)
	}
	// The name is generated: the name of a deleted instance stays reserved for about a week.
	return sql.NewDatabaseInstance(ctx, name+"-postgres", &sql.DatabaseInstanceArgs{
		Region:             pulumi.String(args.Region),
		DatabaseVersion:    pulumi.String(args.Version),
		DeletionProtection: pulumi.Bool(args.Protect), // the provider's own, default true
		Settings: &sql.DatabaseInstanceSettingsArgs{
			Tier:                      pulumi.String(args.Tier),
			Edition:                   pulumi.String("ENTERPRISE"),
			AvailabilityType:          pulumi.String(availability),
			DeletionProtectionEnabled: pulumi.Bool(args.Protect), // the API's, which holds for the console too
			UserLabels:                args.Labels,
			DiskType:                  pulumi.String("PD_SSD"),
			DiskSize:                  pulumi.Int(args.DiskSizeGiB),
			DiskAutoresize:            pulumi.Bool(true),
			DiskAutoresizeLimit:       pulumi.Int(args.DiskLimitGiB),
			DatabaseFlags: sql.DatabaseInstanceSettingsDatabaseFlagArray{
				&sql.DatabaseInstanceSettingsDatabaseFlagArgs{Name: pulumi.String("max_connections"), Value: pulumi.Sprintf("%d", args.MaxConnections)},
			},
			IpConfiguration: &sql.DatabaseInstanceSettingsIpConfigurationArgs{
				Ipv4Enabled:    pulumi.Bool(false), // no public address; the provider's default is true
				PrivateNetwork: args.PrivateNetwork,
				SslMode:        pulumi.String("ENCRYPTED_ONLY"),
			},
			BackupConfiguration: backup,
			MaintenanceWindow: &sql.DatabaseInstanceSettingsMaintenanceWindowArgs{
				Day: pulumi.Int(args.MaintenanceDay), Hour: pulumi.Int(args.MaintenanceHour), UpdateTrack: pulumi.String("stable"),
			},
			InsightsConfig: &sql.DatabaseInstanceSettingsInsightsConfigArgs{QueryInsightsEnabled: pulumi.Bool(true)},
		},
		// A disk that has grown by itself is larger than diskSize, and a smaller diskSize would replace the database.
	}, component.Child(c, append(component.ProtectIf(args.Protect), pulumi.IgnoreChanges([]string{"settings.diskSize"}))...)...)
}
