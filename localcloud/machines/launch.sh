#!/bin/sh
# Runs one machine, in a mount namespace of its own: its mounts go with its last process, whatever
# ends it. Called by machine.py, from a leaf of the machine's cgroup, as
#   unshare --mount --propagation slave launch.sh FOLDER ROOTFS COMMAND...
# Writes how the machine ended to FOLDER/exit; there is no such file if it was killed.
set -eu
folder=$1 rootfs=$2
shift 2
mount -t overlay overlay -o "lowerdir=$rootfs,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
code=0
"$@" || code=$?
echo "$code" >"$folder/exit.new"
mv "$folder/exit.new" "$folder/exit"
