#!/usr/bin/env bash
# Pulls what pods of this node will ask for, while the cluster is still being made.
# IMAGES: "IMAGE ..."
set -euo pipefail

limit=540 # a step ends after 600 s
for image in $IMAGES; do
  ((SECONDS < limit)) || break
  [[ -z $(crictl images --quiet "$image") ]] || continue
  say "pulling $image"
  # Not a fault: the kubelet goes on with it, with the login that the pod may have, and says why not.
  timeout "$((limit - SECONDS))" crictl pull "$image" >/dev/null || say "$image can't be pulled here yet"
done
