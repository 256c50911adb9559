// Package cleanup is the script that removes what a crash or a restart of the server leaves, and what the script may do.
package cleanup

import (
	_ "embed" // for the script

	"openhands-gcp/release"
)

// Script is a program in Python that needs nothing but its standard library. Its first lines say by which rules it decides what goes.
//
//go:embed cleanup.py
var Script string

// Notes are the annotations that the script writes.
var Notes = []string{"openhands.dev/unused-since", "openhands.dev/unused-seen"}

// Rules are the calls that the script makes in the namespace of the sandboxes.
var Rules = []release.Rule{
	{Group: "", Resource: "pods", Verbs: []string{"get", "list", "patch", "delete"}},
	{Group: "", Resource: "services", Verbs: []string{"list", "patch", "delete"}},
	{Group: "", Resource: "persistentvolumeclaims", Verbs: []string{"list", "patch", "delete"}},
	{Group: "networking.k8s.io", Resource: "ingresses", Verbs: []string{"list", "patch", "delete"}},
}
