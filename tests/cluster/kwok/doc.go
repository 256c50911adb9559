// Package kwok holds no code: its go.mod and go.sum pin kwok, which needs older Kubernetes modules than the control plane is built from.
package kwok
