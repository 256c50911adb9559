// Package rehearsal runs the real Pulumi engine on the real program against a simulated cloud, with no account and no network.
//
// One process serves stand-ins for the providers (gcp, random) and for Go's language host on loopback; the Pulumi CLI attaches to them. The
// simulated cloud keeps the objects, refuses what Google Cloud would refuse, and knows how long operations take without waiting for them. What it
// does not know it refuses too: an unknown type is an error, never a silent success. Its rules about fields (type, required, default, replacement,
// outputs) are facts of the real providers, in the folder facts; the rules about objects are in the files cloud_*.go, each with its source.
package rehearsal
