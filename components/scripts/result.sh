#!/usr/bin/env bash
# Prints the summary of the attempt that succeeded, in one line.
# RUN: folder of the job's attempts on the shared volume
set -euo pipefail

for attempt in "$RUN"/*/; do
  if [[ -e ${attempt}_SUCCESS && -e ${attempt}summary.json ]]; then
    tr -d '\n' <"${attempt}summary.json"
    exit 0
  fi
done
fail "no attempt below $RUN has a result, though the job is complete"
