// Package boot writes what a machine with Container-Optimized OS does when it boots: a cloud-init document with systemd units that mount the data disk,
// close the containers' network, and run one container. The operating system keeps nothing in /etc, and applies the document at every boot.
package boot

import (
	"bytes"
	_ "embed" // for the scripts
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Config is what the machine runs.
type Config struct {
	Name        string   // of the container, and of all that is made for it: lower case letters and digits
	Image       string   // with its registry
	Port        int      // on which the container serves, and the machine with it
	UserID      int      // of the container's process, and of its files
	Home        string   // of that user in the container, all of which is writable
	Kept        []string // directories below Home that are on the data disk
	Environment map[string]string
	Keys        []string // variables with keys that the machine generates, once
	AlivePath   string   // answers 200 while the container is well
	MemoryMiB   int      // that the container may take
	StopSeconds int      // until it is killed

	// Closed are the ranges to which the container may open no connection.
	Closed []netip.Prefix
}

// DiskName is that of the data disk, as the machine sees it.
const DiskName = "data"

const (
	device = "/dev/disk/by-id/google-" + DiskName

	// metadataServer tells a machine's identity, and is its name server too.
	metadataServer = "169.254.169.254"
)

// Places on the machine.
func (c Config) directory() string   { return "/etc/" + c.Name + "/" }
func (c Config) mountPoint() string  { return "/mnt/disks/" + c.Name }
func (c Config) keys() string        { return c.mountPoint() + "/keys" }
func (c Config) environment() string { return c.directory() + "environment" }
func (c Config) docker() string      { return c.directory() + "docker" }
func (c Config) rulesFile() string   { return c.directory() + "firewall.rules" }

// unit is the name of one of the units; of the container's own where the role is empty.
func (c Config) unit(role string) string { return c.Name + role + ".service" }

// chain is the name of the containers' firewall.
func (c Config) chain() string { return strings.ToUpper(c.Name) }

//go:embed disk.sh
var diskScript string

//go:embed data.sh
var dataScript string

//go:embed firewall.sh
var firewallScript string

//go:embed alive.sh
var aliveScript string

// UserData is the cloud-init document.
func (c Config) UserData() (string, error) {
	for name, value := range c.Environment {
		if strings.ContainsAny(name+value, "\n\r") {
			return "", fmt.Errorf("variable %s has a line break, which Docker's file of variables cannot hold", name)
		}
	}
	directory := c.directory()
	files := []file{
		{directory + "disk.sh", diskScript}, {directory + "data.sh", dataScript}, {directory + "firewall.sh", firewallScript},
		{directory + "alive.sh", aliveScript}, {c.rulesFile(), c.rules()}, {c.environment(), c.variables()}, {c.docker() + "/config.json", c.credentials()},
	}
	units := c.units()
	for _, name := range slices.Sorted(maps.Keys(units)) {
		files = append(files, file{"/etc/systemd/system/" + name, units[name]})
	}
	document := map[string]any{
		"write_files": files,
		// A unit may wait for what comes after cloud-init: cloud-init must not wait for the unit.
		"runcmd": [][]string{{"systemctl", "daemon-reload"}, {"systemctl", "start", "--no-block", c.unit("")}},
	}
	var b bytes.Buffer
	b.WriteString("#cloud-config\n")
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(document); err != nil {
		return "", fmt.Errorf("cloud-init document: %w", err)
	}
	return b.String(), encoder.Close()
}

// file is one that cloud-init writes, readable for everyone: it holds no secret.
type file struct {
	Path    string `yaml:"path"`
	Content string `yaml:"content"`
}

// rules is the firewall of the containers, as iptables-restore reads it: as a whole or not at all. The metadata server has the machine's identity, but is the
// containers' name server too. To everything else that is closed they open no connection; they answer those of others, which the VPC's firewall lets in.
func (c Config) rules() string {
	var b strings.Builder
	chain := c.chain()
	fmt.Fprintf(&b, "*mangle\n:%s - [0:0]\n", chain)
	for _, protocol := range []string{"udp", "tcp"} {
		fmt.Fprintf(&b, "-A %s -d %s/32 -p %s -m %[3]s --dport 53 -j RETURN\n", chain, metadataServer, protocol)
	}
	fmt.Fprintf(&b, "-A %s -d %s/32 -j DROP\n", chain, metadataServer)
	for _, closed := range c.Closed {
		fmt.Fprintf(&b, "-A %s -d %s -m conntrack --ctstate NEW -j DROP\n", chain, closed)
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// variables is Docker's file of variables.
func (c Config) variables() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.Environment)) {
		fmt.Fprintf(&b, "%s=%s\n", name, c.Environment[name])
	}
	return b.String()
}

// credentials has Docker ask the machine's own service account for access to the registry of the image, where that is Google's.
func (c Config) credentials() string {
	registry, _, _ := strings.Cut(c.Image, "/")
	if !strings.HasSuffix(registry, ".pkg.dev") {
		return "{}\n"
	}
	return fmt.Sprintf("{\"credHelpers\": {%q: \"gcr\"}}\n", registry)
}
