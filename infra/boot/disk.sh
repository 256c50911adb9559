# Makes a file system on the data disk, once: never over anything that is there already. Then repairs what a power loss left, and makes it as large as the
# disk, which may have grown.
set -euo pipefail
export LC_ALL=C
device=$1

found=0
blkid --probe "$device" >/dev/null || found=$?
if [ "$found" = 2 ]; then
	# blkid knows nothing that begins like this disk: an empty one, or one whose beginning is damaged.
	written=$(head --bytes=1048576 "$device" | tr --delete '\0' | wc --bytes)
	if [ "$written" != 0 ]; then
		echo "$device is not empty, and has no file system that is known: nothing was formatted. Restore a snapshot" >&2
		exit 1
	fi
	mkfs.ext4 -m 0 "$device"
elif [ "$found" != 0 ]; then
	echo "blkid cannot say what is on $device (status $found): nothing was formatted" >&2
	exit 1
fi
check() {
	local status=0
	e2fsck -p "$@" "$device" || status=$?
	if [ "$status" -gt 1 ]; then # 1: repaired
		echo "$device has errors that need a person (e2fsck says $status): take a snapshot of the disk first, then run e2fsck -y $device" >&2
		return 1
	fi
}
check
if ! resize2fs "$device"; then
	check -f # which resize2fs may ask for
	resize2fs "$device"
fi
