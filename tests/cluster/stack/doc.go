// Package stack puts the stacks of the program on a real Kubernetes API server: the rehearsal with that in place of its simulated Kubernetes, and the
// tests of what only a real one can show.
package stack
