// Package app is OpenHands inside of a Kubernetes cluster: the server, the namespace in which its sandboxes run, the
// door before the server, and the Gateway through which browsers come to it.
// It uses the kubernetes and the random provider only, so that it runs on any GKE cluster, whoever has made that.
package app
