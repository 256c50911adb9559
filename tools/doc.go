// Package tools holds no code: its go.mod and go.sum pin the programs that the Makefile builds (the Pulumi CLI, staticcheck, actionlint), so that their
// hundreds of dependencies never mix with those of the product.
package tools
