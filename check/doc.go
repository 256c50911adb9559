// Package check walks a person's way through a deployment that stands: the name, the certificate, Google's login, the page, a conversation with a stub model,
// and what its sandbox may not reach. Whatever it makes for that, it removes.
package check
