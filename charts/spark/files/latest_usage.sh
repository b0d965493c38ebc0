#!/usr/bin/env bash
# Prints usage.json of the run $2, else of the latest one, in a line, then its samples. $1 is the
# folder of all runs' usage.
set -eu  # no pipefail: head ends ls early, and there may be nothing to list

cd "$1"
# shellcheck disable=SC2012
run=${2:-$(ls -t -- */usage.json 2>/dev/null | head -n 1)}
run=${run%/usage.json}
[[ -n $run ]] || { echo "no application has told yet what it used" >&2; exit 1; }
[[ -e $run/usage.json ]] || { echo "there is no usage of $run; there is: $(echo */)" >&2; exit 1; }
cat -- "$run/usage.json" "$run"/*.jsonl
