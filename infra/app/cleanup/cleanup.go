// Package cleanup has the scripts that remove what nobody uses any more, and what they may do: cleanup.py what a crash or a restart of the server leaves,
// volumes.py the volumes of instances that are gone.
package cleanup

import (
	_ "embed" // for the scripts

	"openhands-gcp/release"
)

// Script is a program in Python that needs nothing but its standard library. Its first lines say by which rules it decides what goes.
//
//go:embed cleanup.py
var Script string

// VolumesScript is another one, which takes a part of Script for its own.
//
//go:embed volumes.py
var VolumesScript string

// Notes are the annotations that the scripts write.
var Notes = []string{"openhands.dev/unused-since", "openhands.dev/unused-seen"}

// Rules are the calls that Script makes in the namespace of the sandboxes.
var Rules = []release.Rule{
	{Group: "", Resource: "pods", Verbs: []string{"get", "list", "patch", "delete"}},
	{Group: "", Resource: "services", Verbs: []string{"list", "patch", "delete"}},
	{Group: "", Resource: "persistentvolumeclaims", Verbs: []string{"list", "patch", "delete"}},
	{Group: "networking.k8s.io", Resource: "ingresses", Verbs: []string{"list", "patch", "delete"}},
}

// VolumeRules are the calls that VolumesScript makes in the namespace of the instances.
var VolumeRules = []release.Rule{
	{Group: "", Resource: "persistentvolumeclaims", Verbs: []string{"list", "patch", "delete"}},
	{Group: "apps", Resource: "statefulsets", Verbs: []string{"get"}},
}
