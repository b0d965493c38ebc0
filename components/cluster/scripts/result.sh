#!/usr/bin/env bash
# Prints the summary of the attempt that succeeded with its folder as "output", and what it used, in
# a line each; the second is empty where that is not known.
# RUN: folder of the job's attempts on the shared volume
set -euo pipefail

for attempt in "$RUN"/*/; do
  if [[ -e ${attempt}_SUCCESS && -e ${attempt}summary.json ]]; then
    printf '{"output": "%s", ' "${attempt%/}"
    tr -d '\n' <"${attempt}summary.json" | sed 's/^{//'
    echo
    [[ ! -e ${attempt}usage.json ]] || cat "${attempt}usage.json"
    exit 0
  fi
done
fail "no attempt below $RUN has a result, though the job is complete"
