#!/usr/bin/env bash
# Brings the root file system to the size of its disk, while it is used.
# DISK_GIB: what the disk has, as soon as the kernel hears of it
set -euo pipefail

device=$(findmnt --noheadings --output SOURCE /)
# A machine of the local cloud has no disk of its own: its files lie on the host's.
[[ $device == /dev/* ]] || exit 0
disk=/dev/$(lsblk --noheadings --nodeps --output PKNAME "$device")

# at_least GIB DEVICE
at_least() {
  (($(lsblk --noheadings --nodeps --bytes --output SIZE "$2") >= $1 * 1024 ** 3))
}

wait_for 120 "$disk to have $DISK_GIB GiB" at_least "$DISK_GIB" "$disk"
before=$(lsblk --noheadings --nodeps --bytes --output SIZE "$device")
# At the first boot cloud-init has done it; 1 says that there is nothing to do.
code=0
growpart "$disk" "$(lsblk --noheadings --nodeps --output PARTN "$device" | tr -d " ")" >/dev/null || code=$?
((code <= 1)) || fail "$device can't grow on $disk (growpart: exit code $code)"
resize2fs "$device" 2>/dev/null
if [[ $(lsblk --noheadings --nodeps --bytes --output SIZE "$device") != "$before" ]]; then
  say "$device has grown to its disk's $DISK_GIB GiB"
  # It looks at its disk when it starts; pods run on.
  systemctl try-restart kubelet
fi
