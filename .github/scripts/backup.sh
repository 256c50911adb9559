#!/usr/bin/env bash
# Takes a backup of the database where a plan brings it another release of OpenHands, whose migrations nothing takes back: backup.sh <preview.json>. gcloud is
# logged in to the stack's project. Wants STACK. Agent Canvas and single machines have no database.
set -euo pipefail
plan=$1

changes=$(jq '
	def version: .inputs.metadata.labels["app.kubernetes.io/version"]?;
	[.steps[] | select((.oldState | version) != null and (.newState | version) != (.oldState | version))] | length' "$plan")
if [ "$changes" -eq 0 ]; then
	echo "The release stays."
	exit 0
fi
outputs=$(pulumi stack output --json --stack "$STACK")
instance=$(jq --raw-output '.databaseInstance // empty' <<< "$outputs")
if [ -z "$instance" ]; then
	echo "The release changes, and there is no database: docs/upgrading.md has how to take a snapshot of a volume."
	exit 0
fi
gcloud sql backups create --quiet --instance="$instance" --description="before another release of OpenHands"
