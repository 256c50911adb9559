package checks

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
	"openhands-gcp/release"
)

// iapRange is where the tunnels of Identity-Aware Proxy come from. https://cloud.google.com/iap/docs/using-tcp-forwarding
const iapRange = "35.235.240.0/20"

const sshPort = "22"

// Machine says what is wrong with the machines of a stack: who reaches them, what they tell, and what the container on them may do.
func Machine(inventory *cloud.Inventory) []string {
	var problems []string
	for _, o := range inventory.All(types.Instance) {
		m := &machine{Inventory: inventory, Object: o, files: map[string]string{}}
		if err := m.read(); err != nil {
			m.report("its user-data: %v", err)
		} else {
			m.checkContainer()
			m.checkFirewallOfContainers()
			m.checkData()
		}
		m.checkMetadata()
		m.checkWayIn()
		m.checkIdentity()
		problems = append(problems, m.problems...)
	}
	slices.Sort(problems)
	return problems
}

type machine struct {
	*cloud.Inventory
	*cloud.Object
	files    map[string]string // that cloud-init writes
	unit     string            // of the container
	run      []string          // the arguments of docker run
	problems []string
}

func (m *machine) report(format string, args ...any) {
	m.problems = append(m.problems, "machine: "+fmt.Sprintf(format, args...))
}

// read parses what the machine does when it boots.
func (m *machine) read() error {
	var document struct {
		Files []struct{ Path, Content string } `yaml:"write_files"`
	}
	text := m.Inputs.Str("metadata.user-data")
	if !strings.HasPrefix(text, "#cloud-config\n") {
		return errors.New("does not begin with #cloud-config")
	}
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return err
	}
	for _, f := range document.Files {
		m.files[f.Path] = f.Content
	}
	for _, content := range m.files {
		content = strings.ReplaceAll(content, "\\\n", "")
		if command, _ := line(content, "ExecStart="); strings.HasPrefix(command, "/usr/bin/docker run ") {
			m.unit, m.run = content, strings.Fields(command)
		}
	}
	if m.unit == "" {
		return errors.New("no unit runs a container")
	}
	return nil
}

const unitFiles = "/etc/systemd/system/"

// line returns what follows a beginning in the first line that has it.
func line(text, beginning string) (rest string, found bool) {
	for l := range strings.Lines(text) {
		if rest, found = strings.CutPrefix(strings.TrimSpace(l), beginning); found {
			return rest, true
		}
	}
	return "", false
}

// flags returns the values of a flag of docker run.
func (m *machine) flags(name string) []string {
	var out []string
	for _, argument := range m.run {
		if value, ok := strings.CutPrefix(argument, "--"+name+"="); ok {
			out = append(out, value)
		}
	}
	return out
}

// port is the one that the container serves.
func (m *machine) port() string {
	for _, published := range m.flags("publish") {
		host, _, _ := strings.Cut(published, ":")
		return host
	}
	return ""
}

// checkContainer looks for what would let the container out, and for less time to stop than it needs.
func (m *machine) checkContainer() {
	for _, flag := range []string{"privileged", "network", "net", "pid", "ipc", "userns", "uts", "cap-add", "device", "volumes-from"} {
		for _, argument := range m.run {
			if name, _, _ := strings.Cut(argument, "="); name == "--"+flag {
				m.report("the container runs with %s, which lets it out", argument)
			}
		}
	}
	for _, wanted := range []string{"--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--rm"} {
		if !slices.Contains(m.run, wanted) {
			m.report("the container runs without %s", wanted)
		}
	}
	for _, name := range []string{"memory", "pids-limit", "user"} {
		if len(m.flags(name)) != 1 {
			m.report("the container runs without --%s", name)
		}
	}
	if published := m.flags("publish"); len(published) != 1 {
		m.report("the container publishes %v, and should publish the page alone", published)
	}
	for _, mount := range m.flags("mount") {
		if strings.HasPrefix(mount, "type=bind") && !strings.Contains(mount, ",source="+m.mountPoint()+"/") {
			m.report("the container has %s, which is not of the data disk", mount)
		}
	}
	stop, _ := line(m.unit, "ExecStop=")
	limit, _ := line(m.unit, "TimeoutStopSec=")
	_, given, _ := strings.Cut(stop, "--time ")
	given, _, _ = strings.Cut(given, " ")
	if a, b := number(given), number(limit); a < 60 || b <= a {
		m.report("the container has %q seconds to stop, and its unit %q: it needs 60, and the unit more", given, limit)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// waitsFor reports whether the container's unit starts only after one whose command has an argument, and not where that fails.
func (m *machine) waitsFor(argument string) bool {
	required, _ := line(m.unit, "Requires=")
	after, _ := line(m.unit, "After=")
	for _, unit := range strings.Fields(required) {
		command, _ := line(m.files[unitFiles+unit], "ExecStart=")
		if slices.Contains(strings.Fields(command), argument) && slices.Contains(strings.Fields(after), unit) {
			return true
		}
	}
	return false
}

// checkFirewallOfContainers plays packets of a container through the rules that are in force before the container runs.
func (m *machine) checkFirewallOfContainers() {
	rules := ""
	for path, content := range m.files {
		if strings.HasPrefix(content, "*mangle\n") {
			rules = path
		}
	}
	if !m.waitsFor(rules) {
		m.report("the container starts without %q in force", rules)
	}
	for _, packet := range []struct {
		to, protocol string
		port         int
		passes       bool
	}{
		{"169.254.169.254", "tcp", 80, false}, {"169.254.169.254", "tcp", 8080, false}, {"169.254.169.254", "udp", 80, false},
		{"169.254.169.254", "udp", 53, true}, {"169.254.169.254", "tcp", 53, true},
		{"172.17.0.1", "tcp", 22, false}, {"10.0.0.2", "tcp", 22, false}, {"192.168.1.1", "tcp", 443, false}, {"100.64.0.1", "tcp", 443, false},
		{"140.82.112.3", "tcp", 443, true}, {"8.8.8.8", "udp", 53, true},
	} {
		passes, err := passes(m.files[rules], netip.MustParseAddr(packet.to), packet.protocol, packet.port)
		if err != nil {
			m.report("%s: %v", rules, err)
			return
		}
		if passes != packet.passes {
			m.report("a container reaches %s by %s at port %d: %t, and should: %t", packet.to, packet.protocol, packet.port, passes, packet.passes)
		}
	}
}

// passes plays a new connection through the rules of iptables-restore. It knows the matches that are used, and no other.
func passes(rules string, to netip.Addr, protocol string, port int) (bool, error) {
	for l := range strings.Lines(rules) {
		fields := strings.Fields(l)
		if len(fields) == 0 || fields[0] != "-A" {
			continue
		}
		matches, verdict := true, ""
		for i := 2; i+1 < len(fields); i += 2 {
			switch value := fields[i+1]; fields[i] {
			case "-d":
				prefix, err := netip.ParsePrefix(value)
				if err != nil {
					return false, err
				}
				matches = matches && prefix.Contains(to)
			case "-p":
				matches = matches && value == protocol
			case "--dport":
				matches = matches && value == strconv.Itoa(port)
			case "--ctstate":
				matches = matches && value == "NEW"
			case "-m":
			case "-j":
				verdict = value
			default:
				return false, fmt.Errorf("%s is a match that this check does not know", fields[i])
			}
		}
		if matches {
			return verdict == "RETURN", nil
		}
	}
	return true, nil
}

// mountPoint is where the data disk is mounted.
func (m *machine) mountPoint() string {
	for path, content := range m.files {
		if where, found := line(content, "Where="); found && strings.HasSuffix(path, ".mount") {
			return where
		}
	}
	return ""
}

// checkData: what must stay is on a disk that no machine takes with it, and no other disk is mounted.
func (m *machine) checkData() {
	disks := m.Inputs.Maps("attachedDisks")
	if len(disks) != 1 || m.Find(types.Disk, disks[0].Str("source")) == nil {
		m.report("has no data disk of its own")
		return
	}
	device := "/dev/disk/by-id/google-" + disks[0].Str("deviceName")
	for path, content := range m.files {
		if what, found := line(content, "What="); found && what != device {
			m.report("%s mounts %s, and the data disk is %s", path, what, device)
		}
		if options, found := line(content, "Options="); found && options != "nodev,nosuid" {
			m.report("%s mounts with %s", path, options)
		}
	}
	bound := 0
	for _, mount := range m.flags("mount") {
		if strings.HasPrefix(mount, "type=bind,source="+m.mountPoint()+"/") {
			bound++
		}
	}
	if m.mountPoint() == "" || bound == 0 || !m.waitsFor(m.mountPoint()) {
		m.report("the container does not wait for its data disk, or has nothing on it")
	}
}

// checkMetadata: whoever views the project reads the metadata, and what is in there lets people in.
func (m *machine) checkMetadata() {
	metadata, _ := m.Inputs.At("metadata").(map[string]any)
	for key, wanted := range map[string]string{"enable-oslogin": "TRUE", "block-project-ssh-keys": "TRUE", "serial-port-enable": "FALSE"} {
		if metadata[key] != wanted {
			m.report("metadata %s is %v, and must be %s", key, metadata[key], wanted)
		}
	}
	for _, key := range []string{"ssh-keys", "startup-script", "sshKeys"} {
		if metadata[key] != nil {
			m.report("metadata has %s", key)
		}
	}
	for _, match := range assignment.FindAllStringSubmatch(m.Inputs.Str("metadata.user-data"), -1) {
		if release.NamesSecret(match[1]) {
			m.report("metadata has a value of %s, and whoever views the project reads it", match[1])
		}
	}
}

// assignment is a variable with a value, and not with the result of a command.
var assignment = regexp.MustCompile(`\b([A-Z][A-Z0-9_]{3,})=["']?[^\s"'$]`)

// checkWayIn: only tunnels reach the machine, each member's to the page alone, and an operator's who may log in too.
func (m *machine) checkWayIn() {
	port := m.port()
	var network string
	for _, nic := range m.Inputs.Maps("networkInterfaces") {
		if len(nic.Maps("accessConfigs"))+len(nic.Maps("ipv6AccessConfigs")) > 0 {
			m.report("has a public address")
		}
		if subnet := m.Find(types.Subnetwork, nic.Str("subnetwork")); subnet != nil {
			network = subnet.Inputs.Str("network")
		}
	}
	reached := map[string]bool{}
	for _, rule := range m.All(types.Firewall) {
		if rule.Inputs.Str("network") != network || rule.Inputs.At("allows") == nil {
			continue
		}
		if sources := rule.Inputs.Strs("sourceRanges"); !slices.Equal(sources, []string{iapRange}) {
			m.report("firewall %s lets in %v, and not tunnels alone", rule.ID, sources)
		}
		for _, allowed := range rule.Inputs.Maps("allows") {
			for _, p := range allowed.Strs("ports") {
				reached[p] = true
				if p != port && p != sshPort {
					m.report("firewall %s opens port %s", rule.ID, p)
				}
			}
			if len(allowed.Strs("ports")) == 0 {
				m.report("firewall %s opens every port", rule.ID)
			}
		}
	}
	if !reached[port] {
		m.report("no firewall rule lets a tunnel reach the page at port %s", port)
	}
	m.checkTunnels(port)
}

func (m *machine) checkTunnels(port string) {
	name := m.Outputs.Str("name")
	on := func(typ, field, role string) []values.Map {
		var out []values.Map
		for _, grant := range m.All(typ) {
			if grant.Inputs.Str(field) == name && (role == "" || grant.Inputs.Str("role") == role) {
				out = append(out, grant.Inputs)
			}
		}
		return out
	}
	logins := on(types.InstanceMember, "instanceName", "roles/compute.osAdminLogin")
	for _, tunnel := range on(types.TunnelMember, "instance", "") {
		member := tunnel.Str("member")
		operator := slices.ContainsFunc(logins, func(login values.Map) bool { return login.Str("member") == member })
		if condition := tunnel.Str("condition.expression"); condition != "destination.port == "+port && !operator {
			m.report("%s may open a tunnel where %q, and should to port %s alone", member, condition, port)
		}
		looks := slices.ContainsFunc(on(types.InstanceMember, "instanceName", ""), func(grant values.Map) bool { return grant.Str("member") == member })
		if !looks {
			m.report("%s may open a tunnel, and gcloud may not look the machine up for them", member)
		}
	}
}

// checkIdentity: what the machine's account may do is what it does.
func (m *machine) checkIdentity() {
	member := "serviceAccount:" + m.Inputs.Str("serviceAccount.email")
	var roles []string
	for _, grant := range m.All(types.ProjectMember) {
		if grant.Inputs.Str("member") == member {
			roles = append(roles, grant.Inputs.Str("role"))
		}
	}
	if slices.Sort(roles); !slices.Equal(roles, []string{"roles/logging.logWriter", "roles/monitoring.metricWriter"}) {
		m.report("its service account has %v in the project, and writes logs and metrics", roles)
	}
	if !m.Inputs.Is("shieldedInstanceConfig.enableSecureBoot") {
		m.report("boots what nobody has signed")
	}
}
