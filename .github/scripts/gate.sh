#!/usr/bin/env bash
# Refuses an image with a critical vulnerability that has a fix, unless .trivyignore.yaml says until when and why it is let through; writes its bill of
# materials to sbom/<name>.cdx.json first: gate.sh <image> <name>.
set -euo pipefail
image=$1 name=$2
mkdir -p sbom
bin/trivy image --quiet --format cyclonedx --output "sbom/$name.cdx.json" "$image" >&2
bin/trivy image --quiet --scanners vuln --severity CRITICAL --ignore-unfixed --ignorefile .trivyignore.yaml --exit-code 1 "$image" >&2
