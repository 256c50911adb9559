package doctor

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/api/compute/v1"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/stacks"
)

// quotas compares what is left with what the stack takes: at the start, with all nodes, and while GKE upgrades them.
func (e *exam) quotas(ctx context.Context) []Finding {
	region, all, err := e.getQuotas(ctx)
	switch {
	case missing(err):
		return []Finding{e.fails("gcloud compute regions list --project="+e.config.Project, []string{types.Subnetwork},
			"there is no region %s", e.config.Region)}
	case err != nil:
		return []Finding{e.unasked("quotas", "roles/compute.viewer", err)}
	}
	var found []Finding
	wanted := e.config.Quotas()
	for _, q := range wanted {
		quota := find(region, q.Name)
		if quota == nil {
			quota = find(all, q.Name)
		}
		if quota == nil {
			found = append(found, unknown("", "%s: Google names no such quota", q.Name))
			continue
		}
		if f, short := e.compare(q, *quota); short {
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		return []Finding{ok("all %d suffice, at the start and later", len(wanted))}
	}
	return found
}

func find(quotas []*compute.Quota, metric string) *compute.Quota {
	for _, q := range quotas {
		if q.Metric == metric {
			return q
		}
	}
	return nil
}

// compare is the finding about a quota of which too little is left. What the stack has itself counts as left: it is in what it takes.
func (e *exam) compare(q stacks.Quota, quota compute.Quota) (Finding, bool) {
	used := int(quota.Usage)
	of := fmt.Sprintf("%d of %d are left", int(quota.Limit)-used, int(quota.Limit))
	if e.created {
		used, of = 0, fmt.Sprintf("the limit is %d", int(quota.Limit))
	}
	left := int(quota.Limit) - used
	most := max(q.Start, q.All, q.Upgrade)
	mend := e.gcloud("beta quotas preferences create --service=compute.googleapis.com --quota-id=%s-per-project --preferred-value=%d",
		strings.ReplaceAll(q.Name, "_", "-"), used+most)
	if q.Name != "CPUS_ALL_REGIONS" {
		mend = e.gcloud("beta quotas preferences create --service=compute.googleapis.com --quota-id=%s-per-project-region "+
			"--dimensions=region=%s --preferred-value=%d",
			strings.ReplaceAll(q.Name, "_", "-"), e.config.Region, used+most)
	}
	switch {
	case left < q.Start:
		return e.fails(mend, []string{types.Cluster, types.Instance}, "%s: %d are needed at the start, and %s", q.Name, q.Start, of), true
	case left < q.All:
		return later(mend, "%s: %d are needed with all nodes, and %s: then a node does not come, and who needs it waits", q.Name, q.All, of), true
	case left < q.Upgrade:
		return later(mend, "%s: %d are needed while GKE upgrades nodes, and %s: upgrades wait", q.Name, q.Upgrade, of), true
	}
	return Finding{}, false
}

// getQuotas returns the quotas of the region, and of the whole project.
func (e *exam) getQuotas(ctx context.Context) (region, all []*compute.Quota, err error) {
	if e.google == nil {
		return nil, nil, errNoCredentials
	}
	ctx, cancel := e.patient(ctx)
	defer cancel()
	service, err := compute.NewService(ctx, e.client())
	if err != nil {
		return nil, nil, err
	}
	r, err := service.Regions.Get(e.config.Project, e.config.Region).Context(ctx).Do()
	if err != nil {
		return nil, nil, err
	}
	p, err := service.Projects.Get(e.config.Project).Context(ctx).Do()
	if err != nil {
		return nil, nil, err
	}
	return r.Quotas, p.Quotas, nil
}
