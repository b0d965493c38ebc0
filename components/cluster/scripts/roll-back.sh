#!/usr/bin/env bash
# On the control plane: a node whose machine was stopped takes pods again, once it is ready.
# WORKER: the node's name    BOOT: the boot that it ran before
set -euo pipefail

[[ -e $KUBECONFIG ]] || exit 0
wait_for 300 "the API to answer" kubectl get --raw /readyz
[[ -n $(kubectl get node "$WORKER" --ignore-not-found --output name) ]] || exit 0

# Until it has said something since, it is called Ready as it was before.
is_back() {
  local now ready
  now=$(boot_of "$WORKER") || return
  ready=$(of_node "$WORKER" '{.status.conditions[?(@.type=="Ready")].status}') || return
  [[ $now != "$BOOT" && $ready == True ]]
}
wait_for 300 "$WORKER to be ready again" is_back
let_back
