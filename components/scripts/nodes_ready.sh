#!/usr/bin/env bash
# On the control plane: waits until every node is ready, so that work is spread over all of them.
set -euo pipefail

export KUBECONFIG=/etc/kubernetes/admin.conf
kubectl wait node --all --for=condition=Ready --timeout=300s
