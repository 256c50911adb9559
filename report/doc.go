// Package report says to a reviewer what a change of a stack would do: it reads what `pulumi preview --json` writes, asks package changes what that means, and
// compares it with the approvals of what destroys something. docs/preview-report.md is its page.
package report
