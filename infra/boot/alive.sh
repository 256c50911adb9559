# Restarts OpenHands when it does not answer for a minute: a container whose agent server is dead goes on running, and answers 502.
set -euo pipefail
for attempt in 1 2 3; do
	if curl --silent --fail --output /dev/null --max-time 10 "$1"; then
		exit 0
	fi
	sleep 20
done
echo "$1 did not answer three times: OpenHands is restarted" >&2
systemctl restart openhands.service
