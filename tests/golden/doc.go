// Package golden writes down the plan of a stack as a file that a reviewer reads: every resource at its place in the tree, all of its inputs, and the
// options that matter. A value that comes out of another resource shows as ${<type> <name>: <property>}, so that two swapped wires show; a secret shows
// as secret, with where it comes from, or with the beginning of its checksum. The files <stack>.yaml beside this package are stack files, and <stack>.plan
// are their plans; `make golden` writes the plans anew.
package golden
