// Package bootstrap has the components of what stacks need before they exist: the bucket of their state, their keys, the identities by which a repository on
// GitHub acts without a key of its own, and the repository for copies of images.
package bootstrap
