#!/usr/bin/env bash
# Prints the summary of the attempt that succeeded, and its folder as "output", in one line.
# RUN: folder of the job's attempts on the shared volume
set -euo pipefail

for attempt in "$RUN"/*/; do
  if [[ -e ${attempt}_SUCCESS && -e ${attempt}summary.json ]]; then
    printf '{"output": "%s", ' "${attempt%/}"
    tr -d '\n' <"${attempt}summary.json" | sed 's/^{//'
    exit 0
  fi
done
fail "no attempt below $RUN has a result, though the job is complete"
