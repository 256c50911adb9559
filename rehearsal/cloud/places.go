package cloud

import (
	"openhands-gcp/rehearsal/values"
	"openhands-gcp/stacks/places"
)

// checkLocation returns what is wrong with the name of a region or a zone.
func checkLocation(name string) error {
	if IsZone(name) {
		return places.CheckZone(name[:len(name)-2], name)
	}
	return places.CheckRegion(name)
}

// channels are the latest versions of GKE's release channels, in September 2026. https://cloud.google.com/kubernetes-engine/docs/release-notes
var channels = map[string]any{"RAPID": "1.37.0-gke.1482000", "REGULAR": "1.36.2-gke.1109000", "STABLE": "1.35.6-gke.1027000"}

// engineVersions answers what versions GKE has in a location.
func engineVersions(r *Request, args values.Map) (values.Map, error) {
	if err := r.Enabled("container"); err != nil {
		return nil, err
	}
	if err := checkLocation(args.Str("location")); err != nil {
		return nil, err
	}
	return values.Map{
		"id": "2026-11-01 00:00:00 +0000 UTC", "location": args.Str("location"), "project": r.Project, "releaseChannelLatestVersion": channels,
	}, nil
}
