package permissions

import (
	"fmt"
	"slices"
	"strings"
)

// Role is a predefined role of Google's, which whoever deploys needs.
type Role struct {
	Name  string       // such as roles/compute.networkAdmin
	Holds []string     // of the permissions in the table
	For   []Permission // what it is needed for: no other role of the list has these
}

// Deploy returns the fewest roles by which somebody can create, change and delete resources of the types. Together they hold all permissions of Of.
func Deploy(types []string) ([]Role, error) {
	needed, err := Of(types)
	if err != nil {
		return nil, err
	}
	chosen := slices.Clone(predefined)
	holding := func(roles []Role, permission string) (n int) {
		for _, role := range roles {
			if slices.Contains(role.Holds, permission) {
				n++
			}
		}
		return n
	}
	for _, p := range needed {
		if holding(chosen, p.Name) == 0 {
			return nil, fmt.Errorf("no role in permissions/predefined.go holds %s (%s)", p.Name, p.Why())
		}
	}
	for _, role := range predefined {
		without := slices.DeleteFunc(slices.Clone(chosen), func(other Role) bool { return other.Name == role.Name })
		if !slices.ContainsFunc(needed, func(p Permission) bool { return holding(without, p.Name) == 0 }) {
			chosen = without
		}
	}
	for i, role := range chosen {
		for _, p := range needed {
			if slices.Contains(role.Holds, p.Name) && holding(chosen, p.Name) == 1 {
				chosen[i].For = append(chosen[i].For, p)
			}
		}
	}
	return chosen, nil
}

// Read returns the permissions by which somebody can refresh a stack with resources of the types, and with DryRun preview it. They are those of a custom role:
// Google's own roles for reading hold hundreds more, the objects of buckets among them. They read Secrets in the cluster, as a refresh does.
func Read(types []string) ([]string, error) {
	return some(types, func(p Permission) bool { return p.Reads })
}

// DryRun returns the permissions that a preview needs beside those of Read. The API server of Kubernetes says what an object will be by a dry run, for which it
// asks the permissions of the real call: whoever has these can write in the cluster.
func DryRun(types []string) ([]string, error) {
	return some(types, func(p Permission) bool {
		return p.InCluster() && !p.Reads && !strings.HasSuffix(p.Name, ".delete") && p.Method != portForward
	})
}

func some(types []string, wanted func(Permission) bool) ([]string, error) {
	all, err := Of(types)
	return Names(slices.DeleteFunc(all, func(p Permission) bool { return !wanted(p) })), err
}

// CustomRoles are the ids of the custom roles that the program makes for a machine, and grants in the project.
func CustomRoles(stack string) []string {
	stack = strings.ReplaceAll(stack, "-", "_")
	return []string{"openhands_" + stack + "_night_stop", "openhands_" + stack + "_operator"}
}

// Stack is what a stack has, as far as permissions go.
type Stack struct {
	Machine bool // one machine in place of a cluster
	Exposed bool // a way in from the internet, to a cluster
}

// Types are the types of resources that such a stack may have.
func (s Stack) Types() []string {
	var types []string
	for typ := range table {
		switch {
		case begins(typ, ofBootstrap...):
		case begins(typ, ofMachines...) && !s.Machine, begins(typ, ofClusters...) && s.Machine, begins(typ, ofEntrances...) && (s.Machine || !s.Exposed):
		default:
			types = append(types, typ)
		}
	}
	slices.Sort(types)
	return types
}

// GrantsInProject are the predefined roles that the program grants in the project, to the accounts of nodes, or of a machine, and to operators: whoever deploys
// has to be able to grant these, and no others. Custom roles of a machine have names of their own: see CustomRoles.
func (s Stack) GrantsInProject() []string {
	if s.Machine {
		return []string{"roles/logging.logWriter", "roles/monitoring.metricWriter"}
	}
	return []string{"roles/container.defaultNodeServiceAccount", "roles/gkehub.gatewayAdmin", "roles/gkehub.viewer"}
}

// What only some have, by the beginnings of types.
var (
	ofBootstrap = []string{"gcp:iam/", "gcp:kms/", "random:index/randomString"}
	ofMachines  = []string{
		"gcp:compute/disk", "gcp:compute/instance", "gcp:compute/resourcePolicy", "gcp:iap/tunnelInstance", "gcp:projects/iAMCustomRole",
	}
	ofClusters = []string{
		"gcp:compute/globalAddress", "gcp:container/", "gcp:gkehub/", "gcp:monitoring/", "gcp:servicenetworking/", "gcp:sql/", "gcp:storage/", "kubernetes:",
		"random:",
	}
	ofEntrances = []string{
		"gcp:certificatemanager/", "gcp:compute/sSLPolicy", "gcp:compute/securityPolicy", "gcp:dns/", "gcp:iap/webIamMember",
		"kubernetes:gateway.networking.k8s.io/", "kubernetes:networking.gke.io/v1:",
	}
)

func begins(typ string, with ...string) bool {
	return slices.ContainsFunc(with, func(beginning string) bool { return strings.HasPrefix(typ, beginning) })
}
