// Package app runs the real OpenHands, from its package on PyPI, as the program deploys it: the Deployment, the ConfigMaps and the Secret are read back
// from a real Kubernetes API server, on which the stack was put, and the process is built from them. The database is PostgreSQL, the bucket an emulator
// of Cloud Storage, and the model a stub.
//
// What differs from a pod of a real cluster: the application comes from the package and not from the image (Python's place, a stub of the web page), a
// root file system is put together from directories of the machine, no kubelet runs (kwok reports pods as ready), NetworkPolicies are not enforced, and
// gVisor is not there. docs/proven.md says what that leaves open.
//
// Agent Canvas is run likewise, from its packages on npm and PyPI, and used in Chromium through the door: canvas.go, browser.go. A start script stands in for
// the entrypoint of its image.
//
// The tests need Linux, root, Python 3.12 or 3.13, PostgreSQL's server programs, Chromium, tmux and git.
package app
