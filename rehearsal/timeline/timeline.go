// Package timeline simulates how long a deployment takes, and which chain of resources that depends on.
package timeline

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// durations are how long Google Cloud typically takes to create an object of a type, in seconds. They are experience, not promises: a real deployment
// differs by tens of percent. They show which chain is the longest, and whether a change makes it longer.
var durations = map[string]int{
	types.Service:             20,
	types.Network:             15,
	types.Subnetwork:          20,
	types.Router:              10,
	types.NAT:                 10,
	types.Firewall:            10,
	types.Address:             5,
	types.Connection:          90,
	types.Bucket:              2,
	types.BucketMember:        8,
	types.BucketPolicy:        8,
	types.Repository:          10,
	types.RepositoryMember:    8,
	types.Account:             20, // 10, and 10 more until it is visible everywhere
	types.AccountMember:       8,
	types.ProjectMember:       8,
	types.Membership:          15,
	types.SQLDatabase:         5,
	types.SQLUser:             5,
	types.NodePool:            100,
	types.Alert:               3,
	types.Channel:             3,
	types.Dashboard:           3,
	types.DNSAuthorization:    5,
	types.Certificate:         5,
	types.CertificateMap:      5,
	types.CertificateMapEntry: 5,
	types.SecurityPolicy:      10,
	types.SSLPolicy:           5,
	types.DNSRecord:           5,
	types.LoginMember:         8,
	types.Instance:            30,
	types.Disk:                10,
	types.ResourcePolicy:      3,
	types.DiskPolicy:          5,
	types.InstanceMember:      8,
	types.TunnelMember:        8,
	types.CustomRole:          5,
	types.KeyRing:             3,
	types.CryptoKey:           3,
	types.CryptoKeyMember:     8,
	types.IdentityPool:        10,
	types.IdentityProvider:    10,
}

// Durations that depend on more than the type, in seconds.
const (
	zonalCluster       = 330
	regionalCluster    = 480
	defaultPoolRemoval = 90
	zonalDatabase      = 420
	regionalDatabase   = 600
)

// Creation returns how long the creation of an object typically takes. ok is false for a type without a duration.
func Creation(typ string, inputs values.Map) (d time.Duration, ok bool) {
	seconds, ok := durations[typ]
	switch typ {
	case types.Cluster:
		seconds, ok = regionalCluster, true
		if cloud.IsZone(inputs.Str("location")) {
			seconds = zonalCluster
		}
		if inputs.Is("removeDefaultNodePool") {
			seconds += defaultPoolRemoval
		}
	case types.SQLInstance:
		seconds, ok = zonalDatabase, true
		if inputs.Str("settings.availabilityType") == "REGIONAL" {
			seconds = regionalDatabase
		}
	}
	if strings.HasPrefix(typ, "kubernetes:") {
		seconds, ok = 1, true
		switch typ {
		case types.Deployment:
			seconds = 60 // until it is ready
		case types.Gateway:
			seconds = 240 // until the load balancer serves
		case types.BackendPolicy:
			seconds = 30 // until it is in force
		}
	}
	if strings.HasPrefix(typ, "random:") {
		ok = true
	}
	return time.Duration(seconds) * time.Second, ok
}

// Step is one resource on the critical path.
type Step struct {
	Name string        // type and name of the resource
	Took time.Duration // for its own creation
}

// Timeline is the simulated course of a deployment in which everything runs as soon as what it waits for is done. Pulumi limits the number of
// operations at a time (--parallel), which the model leaves out.
type Timeline struct {
	Total    time.Duration
	Critical []Step
	// Shortest is the longest of the chains that no program can avoid: APIs, VPC, peering, database and user; or APIs, VPC, subnet, cluster and node
	// pool; and then the application until it is ready, or the load balancer until it serves.
	Shortest time.Duration

	// Begins is when the creation of each resource begins, by URN.
	Begins map[string]time.Duration

	Cluster time.Duration // until the cluster is there
	// Records is how long it takes until everything is known that the DNS records need, so that people can make them; 0 where there is no way in.
	Records time.Duration
}

// inRecords says whether a DNS record has a value of the resource: the address of the load balancer, or the proof that the domain is the owner's.
func inRecords(r state.Resource) bool {
	return r.Type == types.DNSAuthorization || (r.Type == types.Address && values.Map(r.Inputs).Str("addressType") == "EXTERNAL")
}

// New computes the course of a deployment from the graph.
func New(g *state.Graph) (*Timeline, error) {
	done := map[string]time.Duration{}
	last := map[string]string{} // what a resource waited for the longest
	longest := map[string]time.Duration{}
	begins := map[string]time.Duration{}
	end := ""
	for _, r := range g.Resources() {
		urn := r.URN
		var took time.Duration
		if r.Custom && !r.IsProvider() {
			var ok bool
			if took, ok = Creation(r.Type, values.Map(r.Inputs)); !ok {
				return nil, fmt.Errorf("the simulated clock has no duration for type %s", r.Type)
			}
		}
		start := time.Duration(0)
		for _, w := range g.Waits(urn) {
			if d, known := done[w]; known && d >= start {
				start, last[urn] = d, w
			}
		}
		begins[urn], done[urn] = start, start+took
		longest[r.Type] = max(longest[r.Type], took)
		if end == "" || done[urn] > done[end] {
			end = urn
		}
	}
	t := &Timeline{Total: done[end], Begins: begins}
	for _, r := range g.Resources() {
		switch {
		case r.Type == types.Cluster:
			t.Cluster = done[r.URN]
		case inRecords(r):
			t.Records = max(t.Records, done[r.URN])
		}
	}
	for urn := end; urn != ""; urn = last[urn] {
		r, _ := g.Resource(urn)
		if took, _ := Creation(r.Type, values.Map(r.Inputs)); r.Custom && took > 0 {
			t.Critical = append(t.Critical, Step{state.ShortName(urn), took})
		}
	}
	slices.Reverse(t.Critical)
	for _, chain := range [][]string{
		{types.Service, types.Network, types.Connection, types.SQLInstance, types.SQLUser, types.Deployment},
		{types.Service, types.Network, types.Subnetwork, types.Cluster, types.NodePool, types.Deployment},
		{types.Service, types.Network, types.Subnetwork, types.Cluster, types.NodePool, types.Gateway},
		{types.Service, types.Network, types.Router, types.NAT, types.Instance, types.TunnelMember},
	} {
		var sum time.Duration
		for _, typ := range chain {
			sum += longest[typ]
		}
		t.Shortest = max(t.Shortest, sum)
	}
	return t, nil
}
