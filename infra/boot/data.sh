# Prepares what is on the data disk: directories and keys. The keys are made here, once, and nowhere else: no plan, no state and no metadata has them.
set -euo pipefail
root=$1
owner=$2
keys=$3
kept=$4

if [ ! -s "$root/keys" ]; then
	for directory in $kept; do
		if [ -n "$(ls --almost-all "$root/$directory" 2>/dev/null)" ]; then
			echo "$root/keys is missing, and $directory is not empty: with other keys the application would start, and overwrite every secret. \
Restore a snapshot" >&2
			exit 1
		fi
	done
	umask 077
	for key in $keys; do
		echo "$key=$(od --address-radix=n --format=x1 --read-bytes=32 /dev/urandom | tr --delete ' \n')"
	done >"$root/keys.new"
	sync "$root/keys.new"
	mv "$root/keys.new" "$root/keys"
	sync "$root"
fi
for directory in $kept; do
	install --directory --owner="$owner" --group="$owner" --mode=0700 "$root/$directory"
done
