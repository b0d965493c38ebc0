#!/usr/bin/env bash
# Of the run $2, else of the latest one, prints what $3 names: "why": its folder's name and why.json,
# in a line each, and the end of the driver's log; "driver" or "executor-0": the log of that one.
# Nothing where there is none. $1 is the folder of all runs' usage; a run is named by its application,
# its pod, or its Job.
set -eu  # no pipefail: head ends ls early, and there may be nothing to list

cd "$1"
run=$2
if [[ -z $run ]]; then
  # shellcheck disable=SC2012
  run=$(ls -t -- */why.json */driver.log 2>/dev/null | head -n 1)
  run=${run%%/*}
elif [[ ! -d $run ]]; then
  named=("$run"-*/)
  run=$(grep -lsF -e "\"run\": \"$run\"" -e "\"run\": \"$run-" -- */why.json | xargs -r ls -t -- | head -n 1)
  [[ -n $run || ! -d ${named[0]} ]] || run=${named[0]}
  run=${run%%/*}
fi
[[ -n $run ]] || exit 0
cd -- "$run"
case "$3" in
  why)
    echo "$run"
    cat why.json 2>/dev/null || echo
    cat driver.log.1 driver.log 2>/dev/null | tail -c 65536
    ;;
  *) cat -- "$3.log.1" "$3.log" 2>/dev/null || true ;;
esac
