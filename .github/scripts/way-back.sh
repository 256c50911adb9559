#!/usr/bin/env bash
# Says what to do after a deployment that failed, for the summary of its run. Wants STACK, in a checkout of what was deployed.
set -euo pipefail
cat <<EOF
## The deployment of stack $STACK failed

What was created or changed before that is in the state: a second run goes on from there. If that does not help, go back:

1. Run the workflow \`deploy\` by hand, with stack \`$STACK\` and, as commit, the last one that was deployed well: \`$(git rev-parse HEAD^)\` is the one before this.
2. Revert the change on main, or the next push deploys it again.

Of a new release of OpenHands, docs/upgrading.md says which way back there is.
EOF
