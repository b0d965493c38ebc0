#!/usr/bin/env bash
# On the control plane: waits until every node is ready, so that work is spread over all of them.
# NODES: "node/NAME ...": the stack's own; one that is lost stays in the cluster until its step goes.
set -euo pipefail

export KUBECONFIG=/etc/kubernetes/admin.conf
kubectl --namespace kube-flannel get daemonsets --output name | grep --quiet . ||
  fail "this cluster is a new one: what Pulumi's state says of the one before is not in it; make up REFRESH=1"
# shellcheck disable=SC2086 # one argument for each node
kubectl wait $NODES --for=condition=Ready --timeout=$((300 * PATIENCE))s
