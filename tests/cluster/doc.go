// Package cluster starts a real Kubernetes control plane on loopback, with kwok in place of the kubelets and a stand-in for the CSI driver of
// Google's disks, so that tests can deploy to it and look at what the API server, the controllers and the scheduler make of it.
package cluster
