#!/usr/bin/env bash
# Pulls what pods of this node will ask for, while the cluster is still being made.
# IMAGES: "IMAGE ..."
set -euo pipefail

for image in $IMAGES; do
  [[ -z $(crictl images --quiet "$image") ]] || continue
  say "pulling $image"
  # Not a fault: the kubelet tries it again, with the login that the pod may have, and says why not.
  timeout 600 crictl pull "$image" >/dev/null || say "$image can't be pulled here yet"
done
