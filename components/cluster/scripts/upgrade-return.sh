#!/usr/bin/env bash
# On the control plane: a worker that was upgraded, or became another type, takes pods again, once it is ready.
# WORKER, NODE_NAME: see away_lib.sh    RELEASE: "KUBERNETES CONTAINERD"    INSTANCE_TYPE: what it is now
set -euo pipefail

is_well() {
  has_release && [[ $(of_node "$WORKER" '{.status.conditions[?(@.type=="Ready")].status}') == True ]]
}

if [[ -z $(marked) ]]; then
  exit 0
fi
wait_for 300 "$WORKER ($INSTANCE_TYPE) to be ready with Kubernetes ${RELEASE% *} and containerd ${RELEASE#* }" is_well
let_back
