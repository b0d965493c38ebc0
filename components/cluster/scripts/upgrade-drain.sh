#!/usr/bin/env bash
# On the control plane: drains a worker whose release is not the control plane's, as far as budgets let it.
# WORKER, NODE_NAME: see upgrade_worker_lib.sh    RELEASE: "KUBERNETES CONTAINERD"
set -euo pipefail

if has_release; then
  exit 0
fi
if [[ -z $(marked) ]]; then
  unschedulable=$(of_node "$WORKER" '{.spec.unschedulable}')
  state=cordoned
  [[ $unschedulable != true ]] || state=kept
  kubectl annotate node "$WORKER" "tinderbox.internal/upgrade=$state" >/dev/null
fi
say "draining $WORKER for Kubernetes ${RELEASE% *} and containerd ${RELEASE#* }"
limit=$((420 * PATIENCE))
if ! kubectl drain "$WORKER" --ignore-daemonsets --delete-emptydir-data --force --timeout "${limit}s"; then
  let_back
  fail "$WORKER could not be drained within $limit s (see above): it takes pods again and keeps its release"
fi
