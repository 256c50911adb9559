package cloud

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"openhands-gcp/rehearsal/types"
)

var tierName = regexp.MustCompile(`^db-(f1-micro|g1-small|custom-[0-9]+-[0-9]+)$`)

func checkInstance(r *Request) error {
	in := r.Inputs
	if err := named("name", in.Str("name"), rfc1035, 97-len(r.Project)); err != nil { // project:name may have 98 characters
		return err
	}
	if tier := in.Str("settings.tier"); !tierName.MatchString(tier) {
		return fmt.Errorf("settings.tier: %q is not a PostgreSQL tier", tier)
	}
	const ip = "settings.ipConfiguration."
	network := in.Str(ip + "privateNetwork")
	public := in.At(ip+"ipv4Enabled") == nil || in.Is(ip+"ipv4Enabled")
	if !public && network == "" {
		return errors.New(ip + "privateNetwork: at least one of public and private connectivity must be enabled")
	}
	if network != "" {
		if _, err := r.Need(types.Network, ip+"privateNetwork", network); err != nil {
			return err
		}
		connection := r.connection(network)
		if connection == nil {
			return fmt.Errorf("%sprivateNetwork: NETWORK_NOT_PEERED: %s has no private services connection", ip, network)
		}
		r.NeedObject(connection, "private services connection")
	}
	if in.Is(ip+"requireSsl") && in.Str(ip+"sslMode") == "ENCRYPTED_ONLY" {
		return errors.New(ip + "requireSsl: contradicts sslMode ENCRYPTED_ONLY")
	}
	backups := in.Is("settings.backupConfiguration.enabled")
	if in.Is("settings.backupConfiguration.pointInTimeRecoveryEnabled") && !backups {
		return errors.New("settings.backupConfiguration.pointInTimeRecoveryEnabled: needs backups")
	}
	if in.Str("settings.availabilityType") == "REGIONAL" && !backups {
		return errors.New("settings.availabilityType: REGIONAL needs backups")
	}
	// https://cloud.google.com/sql/docs/postgres/configure-ha
	if in.Str("settings.availabilityType") == "REGIONAL" && !in.Is("settings.backupConfiguration.pointInTimeRecoveryEnabled") {
		return errors.New("settings.availabilityType: REGIONAL needs point-in-time recovery")
	}
	return nil
}

// connection returns the private services connection of a network.
func (r *Request) connection(network string) *Object {
	for _, o := range r.All(types.Connection) {
		if o.Inputs.Str("network") == network && o.Left == "" {
			return o
		}
	}
	return nil
}

func createInstance(r *Request) error {
	r.ID = r.Inputs.Str("name")
	region := r.regionOf()
	r.Outputs["project"], r.Outputs["region"] = r.Project, region
	r.Outputs["connectionName"] = fmt.Sprintf("%s:%s:%s", r.Project, region, r.ID)
	r.Outputs["selfLink"] = fmt.Sprintf("https://sqladmin.googleapis.com/sql/v1beta4/projects/%s/instances/%s", r.Project, r.ID)
	if connection := r.connection(r.Inputs.Str("settings.ipConfiguration.privateNetwork")); connection != nil {
		address := r.Find(types.Address, connection.Inputs.Strs("reservedPeeringRanges")[0])
		private := netip.MustParseAddr(address.Inputs.Str("address")).Next().Next().Next()
		r.Outputs["privateIpAddress"], r.Outputs["firstIpAddress"] = private.String(), private.String()
	}
	if r.Inputs.At("settings.ipConfiguration.ipv4Enabled") == nil || r.Inputs.Is("settings.ipConfiguration.ipv4Enabled") {
		r.Outputs["publicIpAddress"] = "203.0.113.20"
	}
	return nil
}

func updateInstance(r *Request) error {
	if r.Inputs.Num("settings.diskSize") < r.Old.Outputs.Num("settings.diskSize") {
		return errors.New("settings.diskSize: a disk cannot shrink")
	}
	// https://cloud.google.com/sql/docs/postgres/upgrade-major-db-version-inplace
	if before, after := r.Old.Inputs.Str("databaseVersion"), r.Inputs.Str("databaseVersion"); postgresMajor(after) < postgresMajor(before) {
		return fmt.Errorf("databaseVersion: %s is below %s, and an instance never goes back", after, before)
	}
	return nil
}

// postgresMajor is the number in a version such as POSTGRES_15; 0 in another.
func postgresMajor(version string) int {
	major, err := strconv.Atoi(strings.TrimPrefix(version, "POSTGRES_"))
	if err != nil {
		return 0
	}
	return major
}

func removeInstance(r *Request) (string, error) {
	if r.Outputs.Is("deletionProtection") {
		return "", errors.New("cannot destroy instance: deletionProtection is set to true")
	}
	if r.Outputs.Is("settings.deletionProtectionEnabled") {
		return "", errors.New("the instance is protected in the API: settings.deletionProtectionEnabled")
	}
	for _, typ := range []string{types.SQLDatabase, types.SQLUser} {
		for _, o := range r.All(typ) {
			if o.Inputs.Str("instance") == r.ID {
				r.Drop(o)
			}
		}
	}
	// https://cloud.google.com/sql/docs/postgres/delete-instance
	r.cloud.reserved[key(types.SQLInstance, r.ID)] = "reserved for about a week after the deletion of the instance"
	return "", nil
}

// checkInInstance is the rule about databases and users.
func checkInInstance(r *Request) error {
	if policy := r.Inputs.Str("deletionPolicy"); !slices.Contains([]string{"", "ABANDON", "DELETE"}, policy) || (r.Type == types.SQLUser &&
		policy == "DELETE") {
		return fmt.Errorf("deletionPolicy: %q is not allowed", policy)
	}
	_, err := r.Need(types.SQLInstance, "instance", r.Inputs.Str("instance"))
	return err
}

func createDatabase(r *Request) error {
	r.ID = fmt.Sprintf("projects/%s/instances/%s/databases/%s", r.Project, r.Inputs.Str("instance"), r.Inputs.Str("name"))
	r.Outputs["project"] = r.Project
	return nil
}

func removeDatabase(r *Request) (string, error) { return abandonedWithInstance(r), nil }

func createUser(r *Request) error {
	r.ID = fmt.Sprintf("%s//%s", r.Inputs.Str("name"), r.Inputs.Str("instance"))
	r.Outputs["project"] = r.Project
	return nil
}

func removeUser(r *Request) (string, error) {
	left := abandonedWithInstance(r)
	if left == "" {
		// The role owns the tables that the application has created: https://github.com/hashicorp/terraform-provider-google/issues/4299
		return "", fmt.Errorf("role %q cannot be dropped because some objects depend on it", r.Inputs.Str("name"))
	}
	return left, nil
}

// abandonedWithInstance says why an object stays that is abandoned; empty where it is not.
func abandonedWithInstance(r *Request) string {
	if r.Inputs.Str("deletionPolicy") == "ABANDON" {
		return "abandoned: goes with the instance"
	}
	return ""
}
