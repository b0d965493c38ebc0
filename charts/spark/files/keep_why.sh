#!/usr/bin/env bash
# Writes $3 as why.json of the run whose folder is $2, below $1, the folder of all runs' usage.
set -euo pipefail

mkdir -p -- "$1/$2"
printf '%s\n' "$3" >"$1/$2/.why.json.part"
mv -- "$1/$2/.why.json.part" "$1/$2/why.json"
