package rehearsal

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// durations are how long Google Cloud typically takes to create an object of a type, in seconds. They are experience values: Google promises none.
// A deployment differs by tens of percent; what the figures are for is which chain is the longest, and whether a change makes it longer.
var durations = map[string]int{
	serviceType:          20,
	networkType:          15,
	subnetworkType:       20,
	routerType:           10,
	natType:              10,
	firewallType:         10,
	addressType:          5,
	connectionType:       90,
	bucketType:           2,
	bucketMemberType:     8,
	repositoryType:       10,
	repositoryMemberType: 8,
	accountType:          20, // 10, and 10 more until it is visible everywhere
	accountMemberType:    8,
	projectMemberType:    8,
	membershipType:       15,
	sqlDatabaseType:      5,
	sqlUserType:          5,
	nodePoolType:         100,
	alertType:            3,
	channelType:          3,
	dashboardType:        3,
	authorizationType:    5,
	certificateType:      5,
	certificateMapType:   5,
	mapEntryType:         5,
	armorType:            10,
	tlsPolicyType:        5,
	recordType:           5,
	loginMemberType:      8,
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
func Creation(typ string, inputs values) (d time.Duration, ok bool) {
	seconds, ok := durations[typ]
	switch typ {
	case clusterType:
		seconds, ok = regionalCluster, true
		if IsZone(inputs.Str("location")) {
			seconds = zonalCluster
		}
		if inputs.Is("removeDefaultNodePool") {
			seconds += defaultPoolRemoval
		}
	case sqlInstanceType:
		seconds, ok = zonalDatabase, true
		if inputs.Str("settings.availabilityType") == "REGIONAL" {
			seconds = regionalDatabase
		}
	}
	if strings.HasPrefix(typ, "kubernetes:") {
		seconds, ok = 1, true
		switch typ {
		case deploymentType:
			seconds = 60 // until it is ready
		case gatewayType:
			seconds = 240 // until the load balancer serves
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
	// Shortest is how long the chains take that no program can avoid, the longest of them: APIs, VPC, peering, database and user; or APIs, VPC, subnet,
	// cluster and node pool; and then the application until it is ready, or the load balancer until it serves.
	Shortest time.Duration
}

// NewTimeline computes the course of a deployment from the graph.
func NewTimeline(g *Graph) (*Timeline, error) {
	done := map[string]time.Duration{}
	last := map[string]string{} // what a resource waited for the longest
	longest := map[string]time.Duration{}
	end := ""
	for _, r := range g.Resources() {
		urn := r.URN
		var took time.Duration
		if r.Custom && !r.IsProvider() {
			var ok bool
			if took, ok = Creation(r.Type, values(r.Inputs)); !ok {
				return nil, fmt.Errorf("the simulated clock has no duration for type %s", r.Type)
			}
		}
		start := time.Duration(0)
		for _, w := range g.Waits(urn) {
			if d, known := done[w]; known && d >= start {
				start, last[urn] = d, w
			}
		}
		done[urn] = start + took
		longest[r.Type] = max(longest[r.Type], took)
		if end == "" || done[urn] > done[end] {
			end = urn
		}
	}
	t := &Timeline{Total: done[end]}
	for urn := end; urn != ""; urn = last[urn] {
		r, _ := g.Resource(urn)
		if took, _ := Creation(r.Type, values(r.Inputs)); r.Custom && took > 0 {
			t.Critical = append(t.Critical, Step{ShortName(urn), took})
		}
	}
	slices.Reverse(t.Critical)
	for _, chain := range [][]string{
		{serviceType, networkType, connectionType, sqlInstanceType, sqlUserType, deploymentType},
		{serviceType, networkType, subnetworkType, clusterType, nodePoolType, deploymentType},
		{serviceType, networkType, subnetworkType, clusterType, nodePoolType, gatewayType},
	} {
		var sum time.Duration
		for _, typ := range chain {
			sum += longest[typ]
		}
		t.Shortest = max(t.Shortest, sum)
	}
	return t, nil
}
