# Restarts the container when it does not answer for a minute: one whose inner server is dead goes on running, and answers 502. One that has just started gets
# five minutes to come up, and one that somebody has stopped stays so.
set -euo pipefail
address=$1
unit=$2
systemctl is-active --quiet "$unit" || exit 0
since=$(systemctl show --property=ActiveEnterTimestampMonotonic --value "$unit") # microseconds since the machine has booted
up=$(($(cut --delimiter=. --fields=1 /proc/uptime) - since / 1000000))
if [ "$up" -lt 300 ]; then
	exit 0
fi
for attempt in 1 2 3; do
	if curl --silent --fail --output /dev/null --max-time 10 "$address"; then
		exit 0
	fi
	sleep 20
done
echo "$address did not answer three times: $unit is restarted" >&2
systemctl try-restart "$unit"
