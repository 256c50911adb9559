// Package images pins, in its go.mod, the tools that copy and examine images: crane and trivy. They have a module of their own, because trivy needs hundreds of
// others.
package images
