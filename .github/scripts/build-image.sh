#!/usr/bin/env bash
# Builds the application's image from a checkout of its source, pushes it once it has passed the gate, and writes the line for the stack file:
# build-image.sh <checkout>. Wants RELEASE, REF and IMAGES_REPOSITORY.
set -euo pipefail
source=$1
scripts=$(dirname "$0")

tag=$(bin/images tag "$RELEASE" "$REF" "$(git -C "$source" rev-parse HEAD)")
image="$IMAGES_REPOSITORY/openhands/openhands:$tag"
docker build --file "$source/containers/app/Dockerfile" --build-arg "OPENHANDS_BUILD_VERSION=$tag" --tag "$image" "$source" >&2
"$scripts/gate.sh" "$image" openhands
docker push "$image" >&2
# shellcheck disable=SC2016 # these are Markdown's
printf '## Release %s, built from %s\n\nFor the stack file, below config:\n\n```yaml\n  openhands:app:\n    image: %s@%s\n```\n' \
	"$RELEASE" "$REF" "${image%:*}" "$(bin/crane digest "$image")"
