# Restarts the container when it does not answer for a minute: one whose inner server is dead goes on running, and answers 502.
set -euo pipefail
address=$1
unit=$2
for attempt in 1 2 3; do
	if curl --silent --fail --output /dev/null --max-time 10 "$address"; then
		exit 0
	fi
	sleep 20
done
echo "$address did not answer three times: $unit is restarted" >&2
systemctl restart "$unit"
