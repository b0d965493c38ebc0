#!/usr/bin/env bash
# Prints the summary: the line of JSON in the logs of the job's attempts, which only the one that
# succeeded has, with its folder, which is named after its pod, as "output"; then what that attempt
# used, which measured.py wrote there.
# KUBECONFIG_TEXT: of the cluster; NAMESPACE, JOB: whose logs; RUNS: the folder of all jobs' output
set -euo pipefail

# It is on no command line, and in no file that others can read or that stays; kubectl opens it more
# than once, so it can't come by a pipe.
config=$(mktemp)
trap 'rm -f "$config"' EXIT
printf %s "$KUBECONFIG_TEXT" >"$config"
export NAMESPACE JOB RUNS
kubectl --kubeconfig "$config" --namespace "$NAMESPACE" logs --container driver --tail -1 --prefix \
  --selector "batch.kubernetes.io/job-name=$JOB" | awk '
    { text = substr($0, length($1) + 2) }
    text ~ /^[{]/ { attempt = $1; summary = substr(text, 2) }
    text ~ /^usage: [{]/ { usage[$1] = substr(text, 8) }
    END {
      if (!attempt) exit 1
      split(attempt, name, "/")
      print "{\"output\": \"" ENVIRON["RUNS"] "/" ENVIRON["JOB"] "/" name[2] "\", " summary
      print usage[attempt]
    }'
