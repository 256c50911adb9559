#!/usr/bin/env bash
# Writes what a pull request from a fork changes, for the summary of a run: summary.sh <report> <commit before>. A summary has 1 MiB at most.
set -euo pipefail
report=$1 before=$2

if [ -s "$report" ]; then
	cat "$report"
else
	echo "**No report**: the rehearsal ended before it had a plan. The log of its step says why."
fi
echo
echo "## The plans of the test stacks"
echo
if git diff --quiet "$before" HEAD -- tests/golden; then
	echo "They do not change."
else
	# Four backticks: a plan may hold three.
	printf '````diff\n'
	plans=$(mktemp)
	trap 'rm -f "$plans"' EXIT
	git diff "$before" HEAD -- tests/golden > "$plans"
	head -c 500000 "$plans"
	printf '\n````\n'
fi
