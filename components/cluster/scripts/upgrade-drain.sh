#!/usr/bin/env bash
# On the control plane: drains a worker whose release is not the control plane's, as far as budgets let it.
# WORKER, NODE_NAME: see away_lib.sh    RELEASE: "KUBERNETES CONTAINERD"
set -euo pipefail

has_release || drain_for "Kubernetes ${RELEASE% *} and containerd ${RELEASE#* }"
