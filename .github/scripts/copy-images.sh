#!/usr/bin/env bash
# Copies the images of a release, by digest, once each has passed the gate; writes the lines for the stack file. Wants RELEASE and IMAGES_REPOSITORY.
set -euo pipefail
scripts=$(dirname "$0")

echo "## Release $RELEASE, copied"
echo
copies=$(bin/images copies "$RELEASE")
lines=()
while read -r from name key; do
	digest=$(bin/crane digest "$from")
	image="${from%:*}@$digest" # what a tag names now may be another image when it is copied
	"$scripts/gate.sh" "$image" "$(basename "${name%:*}")"
	# A tag of the repository is never moved, so a second run finds the copy of the first.
	if there=$(bin/crane digest "$IMAGES_REPOSITORY/$name" 2>/dev/null); then
		if [ "$there" != "$digest" ]; then
			echo "copy-images.sh: $from was copied as $there and is $digest now: somebody has moved its tag. Find out why before you delete the copy" >&2
			exit 1
		fi
	else
		bin/crane copy "$image" "$IMAGES_REPOSITORY/$name"
	fi
	lines+=("$key: $IMAGES_REPOSITORY/${name%:*}@$digest")
done <<< "$copies"
# shellcheck disable=SC2016 # these are Markdown's
printf 'For the stack file, below config:\n\n```yaml\n  openhands:app:\n'
printf '    %s\n' "${lines[@]#openhands:app.}"
printf '```\n'
