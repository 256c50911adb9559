package cloud

import (
	"fmt"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/values"
)

// regions are those of November 2026. https://cloud.google.com/compute/docs/regions-zones
var regions = []string{
	"africa-south1", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3", "asia-south1", "asia-south2", "asia-southeast1",
	"asia-southeast2", "australia-southeast1", "australia-southeast2", "europe-central2", "europe-north1", "europe-north2", "europe-southwest1", "europe-west1",
	"europe-west10", "europe-west12", "europe-west2", "europe-west3", "europe-west4", "europe-west6", "europe-west8", "europe-west9", "me-central1",
	"me-central2",
	"me-west1", "northamerica-northeast1", "northamerica-northeast2", "northamerica-south1", "southamerica-east1", "southamerica-west1", "us-central1",
	"us-east1",
	"us-east4", "us-east5", "us-south1", "us-west1", "us-west2", "us-west3", "us-west4",
}

// zones are the letters of a region's zones, where they are not a, b and c.
var zones = map[string]string{"us-central1": "abcf", "us-east1": "bcd", "europe-west1": "bcd"}

// CheckRegion returns what is wrong with the name of a region.
func CheckRegion(name string) error {
	if !slices.Contains(regions, name) {
		return fmt.Errorf("there is no region %q, as far as the simulated cloud knows: %s", name, strings.Join(regions, ", "))
	}
	return nil
}

// checkLocation returns what is wrong with the name of a region or a zone.
func checkLocation(name string) error {
	if !IsZone(name) {
		return CheckRegion(name)
	}
	region, letter := name[:len(name)-2], name[len(name)-1:]
	if err := CheckRegion(region); err != nil {
		return err
	}
	letters := zones[region]
	if letters == "" {
		letters = "abc"
	}
	if !strings.Contains(letters, letter) {
		return fmt.Errorf("there is no zone %s: those of region %s end with %s", name, region, strings.Join(strings.Split(letters, ""), ", "))
	}
	return nil
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
