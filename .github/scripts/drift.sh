#!/usr/bin/env bash
# Opens an issue about what differs from the state, brings the open one up to date, or closes it: drift.sh <file>. The
# file has what the refresh printed, and is empty where nothing differs. Wants STACK, GH_TOKEN, GITHUB_REPOSITORY and RUN_URL.
set -euo pipefail
found=$1
title="Stack $STACK is not what its state says"
issues="repos/$GITHUB_REPOSITORY/issues"

# Pull requests are issues too, for this API; anybody may open one of this title, only the workflow's own counts.
number=$(gh api --paginate "$issues?state=open&creator=github-actions%5Bbot%5D" --jq ".[] | select(.title == \"$title\" and .pull_request == null) | .number" | sed -n 1p)

if [ ! -s "$found" ]; then
	if [ -n "$number" ]; then
		gh api --method POST "$issues/$number/comments" --raw-field "body=Nothing differs any more: $RUN_URL" --silent
		gh api --method PATCH "$issues/$number" --field state=closed --silent
	fi
	exit 0
fi

body=$(mktemp)
trap 'rm -f "$body"' EXIT
{
	echo "\`pulumi refresh --preview-only\` found, or failed with ($RUN_URL):"
	echo
	printf '````\n'
	head -c 50000 "$found"
	printf '\n````\n\n'
	echo "Who changed it by hand takes it back, or writes it into the program or the stack file. \`pulumi up\` writes what the program says over it, for the fields that"
	echo "the program sets. This issue is brought up to date every day, and closes by itself."
} > "$body"
if [ -n "$number" ]; then
	gh api --method PATCH "$issues/$number" --field "body=@$body" --silent
else
	gh api --method POST "$issues" --raw-field "title=$title" --field "body=@$body" --silent
fi
