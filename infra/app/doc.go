// Package app is OpenHands inside of a Kubernetes cluster: the server, the namespace in which its sandboxes run, and the Gateway through which browsers come.
// It uses the kubernetes and the random provider only, so that it runs on any GKE cluster, whoever has made that.
package app
