#!/usr/bin/env bash
# On the control plane: a node's machine will stop for a while. A worker is drained before, as far as budgets let it.
# The last line that is printed says which boot the node runs; nothing where that is not known.
# WORKER: the node's name    IS_WORKER: false for the control plane itself
set -euo pipefail

# What never became a cluster, or a node, has nothing to lose.
[[ -e $KUBECONFIG ]] || exit 0
if [[ $IS_WORKER == true ]]; then
  [[ -n $(kubectl get node "$WORKER" --ignore-not-found --output name) ]] || exit 0
  # It may be off, since an earlier attempt got no further.
  ! kubelet_answers "$WORKER" || drain_for "another instance type"
fi
boot_of "$WORKER" || true
