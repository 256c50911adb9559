package rehearsal

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
)

// The types of the database.
const (
	sqlInstanceType = "gcp:sql/databaseInstance:DatabaseInstance"
	sqlDatabaseType = "gcp:sql/database:Database"
	sqlUserType     = "gcp:sql/user:User"
)

var tierName = regexp.MustCompile(`^db-(f1-micro|g1-small|custom-[0-9]+-[0-9]+)$`)

func init() {
	kinds[sqlInstanceType] = &kind{api: "sqladmin", check: checkInstance, create: createInstance, update: func(r *request) error {
		if r.inputs.num("settings.diskSize") < r.old.outputs.num("settings.diskSize") {
			return errors.New("settings.diskSize: a disk cannot shrink")
		}
		return nil
	}, remove: func(r *request) (string, error) {
		if r.outputs.is("deletionProtection") {
			return "", errors.New("cannot destroy instance: deletionProtection is set to true")
		}
		if r.outputs.is("settings.deletionProtectionEnabled") {
			return "", errors.New("the instance is protected in the API: settings.deletionProtectionEnabled")
		}
		for _, typ := range []string{sqlDatabaseType, sqlUserType} {
			for _, o := range r.cloud.all(typ) {
				if o.inputs.str("instance") == r.id {
					r.cloud.drop(o)
				}
			}
		}
		// https://cloud.google.com/sql/docs/postgres/delete-instance
		r.cloud.reserved[key(sqlInstanceType, r.id)] = "reserved for about a week after the deletion of the instance"
		return "", nil
	}}
	kinds[sqlDatabaseType] = &kind{api: "sqladmin", check: checkInInstance, create: func(r *request) error {
		r.id = fmt.Sprintf("projects/%s/instances/%s/databases/%s", r.cloud.project, r.inputs.str("instance"), r.inputs.str("name"))
		r.outputs["project"] = r.cloud.project
		return nil
	}, remove: func(r *request) (string, error) { return abandonedWithInstance(r), nil }}
	kinds[sqlUserType] = &kind{api: "sqladmin", check: checkInInstance, create: func(r *request) error {
		r.id = fmt.Sprintf("%s//%s", r.inputs.str("name"), r.inputs.str("instance"))
		r.outputs["project"] = r.cloud.project
		return nil
	}, remove: func(r *request) (string, error) {
		left := abandonedWithInstance(r)
		if left == "" {
			// It owns what the application has created by then: https://github.com/hashicorp/terraform-provider-google/issues/4299
			return "", fmt.Errorf("role %q cannot be dropped because some objects depend on it", r.inputs.str("name"))
		}
		return left, nil
	}}
}

func abandonedWithInstance(r *request) string {
	if r.inputs.str("deletionPolicy") == "ABANDON" {
		return "abandoned: goes with the instance"
	}
	return ""
}

func checkInInstance(r *request) error {
	if policy := r.inputs.str("deletionPolicy"); !slices.Contains([]string{"", "ABANDON", "DELETE"}, policy) || (r.typ == sqlUserType && policy == "DELETE") {
		return fmt.Errorf("deletionPolicy: %q is not allowed", policy)
	}
	_, err := r.need(sqlInstanceType, "instance", r.inputs.str("instance"))
	return err
}

func checkInstance(r *request) error {
	in := r.inputs
	if err := named("name", in.str("name"), rfc1035, 97-len(r.cloud.project)); err != nil { // project:name has 98
		return err
	}
	if tier := in.str("settings.tier"); !tierName.MatchString(tier) {
		return fmt.Errorf("settings.tier: %q is not a PostgreSQL tier", tier)
	}
	const ip = "settings.ipConfiguration."
	network := in.str(ip + "privateNetwork")
	public := in.at(ip+"ipv4Enabled") == nil || in.is(ip+"ipv4Enabled")
	if !public && network == "" {
		return errors.New(ip + "privateNetwork: at least one of public and private connectivity must be enabled")
	}
	if network != "" {
		if _, err := r.need(networkType, ip+"privateNetwork", network); err != nil {
			return err
		}
		connection := r.connection(network)
		if connection == nil {
			return fmt.Errorf("%sprivateNetwork: NETWORK_NOT_PEERED: %s has no private services connection", ip, network)
		}
		r.needObject(connection, "private services connection")
	}
	if in.is(ip+"requireSsl") && in.str(ip+"sslMode") == "ENCRYPTED_ONLY" {
		return errors.New(ip + "requireSsl: contradicts sslMode ENCRYPTED_ONLY")
	}
	backups := in.is("settings.backupConfiguration.enabled")
	if in.is("settings.backupConfiguration.pointInTimeRecoveryEnabled") && !backups {
		return errors.New("settings.backupConfiguration.pointInTimeRecoveryEnabled: needs backups")
	}
	if in.str("settings.availabilityType") == "REGIONAL" && !backups {
		return errors.New("settings.availabilityType: REGIONAL needs backups")
	}
	// https://cloud.google.com/sql/docs/postgres/configure-ha
	if in.str("settings.availabilityType") == "REGIONAL" && !in.is("settings.backupConfiguration.pointInTimeRecoveryEnabled") {
		return errors.New("settings.availabilityType: REGIONAL needs point-in-time recovery")
	}
	return nil
}

// connection returns the private services connection of a network.
func (r *request) connection(network string) *object {
	for _, o := range r.cloud.all(connectionType) {
		if o.inputs.str("network") == network && o.left == "" {
			return o
		}
	}
	return nil
}

func createInstance(r *request) error {
	r.id = r.inputs.str("name")
	region := r.regionOf()
	r.outputs["project"], r.outputs["region"] = r.cloud.project, region
	r.outputs["connectionName"] = fmt.Sprintf("%s:%s:%s", r.cloud.project, region, r.id)
	r.outputs["selfLink"] = fmt.Sprintf("https://sqladmin.googleapis.com/sql/v1beta4/projects/%s/instances/%s", r.cloud.project, r.id)
	if connection := r.connection(r.inputs.str("settings.ipConfiguration.privateNetwork")); connection != nil {
		address := r.cloud.find(addressType, connection.inputs.strs("reservedPeeringRanges")[0])
		private := netip.MustParseAddr(address.inputs.str("address")).Next().Next().Next()
		r.outputs["privateIpAddress"], r.outputs["firstIpAddress"] = private.String(), private.String()
	}
	if r.inputs.at("settings.ipConfiguration.ipv4Enabled") == nil || r.inputs.is("settings.ipConfiguration.ipv4Enabled") {
		r.outputs["publicIpAddress"] = "203.0.113.20"
	}
	return nil
}
