#!/bin/sh
# Runs one machine, in a mount namespace of its own: its mounts go with its last process, whatever
# ends it. Called by machine.py as
#   unshare --mount --propagation slave launch.sh FOLDER ROOTFS CGROUP... -- COMMAND...
# Writes how the machine ended to FOLDER/exit; there is no such file if it was killed.
set -eu
folder=$1 rootfs=$2
shift 2
while [ "$1" != -- ]; do
  echo $$ >"$1/cgroup.procs"
  shift
done
shift
mount -t overlay overlay -o "lowerdir=$rootfs,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
code=0
"$@" || code=$?
echo "$code" >"$folder/exit.new"
mv "$folder/exit.new" "$folder/exit"
