// Package places has the regions and zones of Google Cloud, for the check of a stack's configuration and for the simulated cloud.
package places

import (
	"fmt"
	"slices"
	"strings"
)

// file is where a person adds what Google has opened since.
const file = "stacks/places/places.go"

// Regions are those of November 2026. A new one needs a line here, and one below where its zones are not a, b and c.
// https://cloud.google.com/compute/docs/regions-zones
var Regions = []string{
	"africa-south1",
	"asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3", "asia-south1", "asia-south2",
	"asia-southeast1", "asia-southeast2", "asia-southeast3",
	"australia-southeast1", "australia-southeast2",
	"europe-central2", "europe-north1", "europe-north2", "europe-southwest1", "europe-west1", "europe-west2", "europe-west3", "europe-west4",
	"europe-west6", "europe-west8", "europe-west9", "europe-west10", "europe-west12",
	"me-central1", "me-central2", "me-west1",
	"northamerica-northeast1", "northamerica-northeast2", "northamerica-south1",
	"southamerica-east1", "southamerica-west1",
	"us-central1", "us-east1", "us-east4", "us-east5", "us-south1", "us-west1", "us-west2", "us-west3", "us-west4",
}

// letters are those of a region's zones, where they are not a, b and c.
var letters = map[string]string{"us-central1": "abcf", "us-east1": "bcd", "europe-west1": "bcd"}

// Zones are the zones of a region that exists.
func Zones(region string) []string {
	ends := letters[region]
	if ends == "" {
		ends = "abc"
	}
	var zones []string
	for _, letter := range ends {
		zones = append(zones, fmt.Sprintf("%s-%c", region, letter))
	}
	return zones
}

// CheckRegion returns what is wrong with the name of a region.
func CheckRegion(name string) error {
	if slices.Contains(Regions, name) {
		return nil
	}
	continent, _, _ := strings.Cut(name, "-")
	near := slices.DeleteFunc(slices.Clone(Regions), func(region string) bool { return !strings.HasPrefix(region, continent+"-") })
	if len(near) == 0 {
		near = Regions
	}
	return fmt.Errorf("%q is not a region that is known here: write one of %s. If `gcloud compute regions list` shows it, it is new: add it to %s",
		name, strings.Join(near, ", "), file)
}

// CheckZone returns what is wrong with the name of a zone, which has to be in a region.
func CheckZone(region, name string) error {
	if err := CheckRegion(region); err != nil {
		return err
	}
	zones := Zones(region)
	if slices.Contains(zones, name) {
		return nil
	}
	return fmt.Errorf("%q is not a zone of region %s that is known here: write one of %s. If `gcloud compute zones list` shows it, it is new: add it to %s",
		name, region, strings.Join(zones, ", "), file)
}
