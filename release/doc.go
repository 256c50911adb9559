// Package release is what the program knows about the releases of OpenHands: what each of them can do, the environment that it reads, and which settings
// lose data or crash it. It knows no cloud, no Pulumi and no keys of a stack's configuration.
//
// Facts are read from the source of OpenHands (https://github.com/OpenHands/OpenHands) at the tag of each release; paths in comments are in that
// repository. Reading has been wrong twice about whether the server starts at all: what docs/proven.md lists was run.
package release
