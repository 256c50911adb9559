#!/usr/bin/env bash
# Checks out the commit to deploy, if it is of main: what was not reviewed is not deployed, and none of it is run. Wants COMMIT, the newest where empty, in a
# checkout with main's history.
set -euo pipefail
wanted=${COMMIT:-HEAD}

if ! commit=$(git rev-parse --verify --quiet --end-of-options "$wanted^{commit}"); then
	echo "commit.sh: there is no commit $wanted: write one of main" >&2
	exit 1
fi
if ! git merge-base --is-ancestor "$commit" origin/main; then
	echo "commit.sh: $wanted is not of main: merge it, and it is deployed" >&2
	exit 1
fi
git checkout --quiet --detach "$commit"
