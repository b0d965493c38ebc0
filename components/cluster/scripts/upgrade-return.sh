#!/usr/bin/env bash
# On the control plane: an upgraded worker takes pods again, once it is ready.
# WORKER, NODE_NAME: see upgrade_worker_lib.sh    RELEASE: "KUBERNETES CONTAINERD"
set -euo pipefail

is_well() {
  has_release && [[ $(of_node "$WORKER" '{.status.conditions[?(@.type=="Ready")].status}') == True ]]
}

if [[ -z $(marked) ]]; then
  exit 0
fi
wait_for 300 "$WORKER to be ready with Kubernetes ${RELEASE% *} and containerd ${RELEASE#* }" is_well
let_back
