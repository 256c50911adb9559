// Package delivery runs what the workflows run: the steps' own scripts, in the order of their jobs, in a copy of the repository, with the real Pulumi CLI on
// the simulated cloud and a real registry. GitHub and Google's command line are stand-ins that write down how they were called. `make test-delivery` builds it.
package delivery
