#!/usr/bin/env bash
# On the first control plane: another one has joined.
# PEER, PEER_IP: the node's name and address    INSTANCE: its machine
set -euo pipefail

export KUBECONFIG=/etc/kubernetes/admin.conf

is_member() {
  list_members 127.0.0.1 | grep --quiet " $PEER\$"
}

wait_for 120 "node $PEER to register" kubectl get node "$PEER"
kubectl label node "$PEER" "tinderbox.internal/instance-id=$INSTANCE" --overwrite >/dev/null
fetch_etcd_tools
wait_for 120 "$PEER to be a member of etcd" is_member
