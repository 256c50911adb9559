// Package stacks rehearses good stacks: every region, and every key with a few values flipped, in every profile. A rehearsal that is wrong about one of them
// is worth nothing to whoever has it. `make test-stacks` rehearses all of them; without its flag, the test only says which there are, and that the program
// accepts them.
package stacks
