#!/usr/bin/env bash
# Writes a pull request's comment, or edits the one that is there: comment.sh <marker> <file>. The file's first line is `<!-- <marker> -->`. Wants GH_TOKEN,
# GITHUB_REPOSITORY, PULL_REQUEST and RUN_URL.
set -euo pipefail
marker="<!-- $1 -->" file=$2
comments="repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments"

# No report is news too: an old one must not stay below a plan that failed.
if [ ! -s "$file" ]; then
	printf '%s\n**No report**: the plan ended before it said anything. [The run](%s) says why.\n' "$marker" "$RUN_URL" > "$file"
fi
if [ "$(head -n 1 "$file")" != "$marker" ]; then
	echo "comment.sh: $file does not begin with $marker: the next run would not find its comment" >&2
	exit 1
fi

# Anybody may write a comment that begins so; only the workflow's own is edited.
id=$(gh api --paginate "$comments" --jq ".[] | select(.user.login == \"github-actions[bot]\" and (.body | startswith(\"$marker\"))) | .id" | sed -n 1p)
if [ -n "$id" ]; then
	gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" --field "body=@$file" --silent
else
	gh api --method POST "$comments" --field "body=@$file" --silent
fi
