#!/usr/bin/env bash
# On the first control plane: another one has joined; with the argument "delete", lets it go, out of etcd's members, too.
# PEER, PEER_IP: the node's name and address    INSTANCE: its machine
set -euo pipefail

export KUBECONFIG=/etc/kubernetes/admin.conf
machine_label=tinderbox.internal/instance-id

is_member() {
  list_members 127.0.0.1 | grep --quiet " $PEER\$"
}

admit() {
  wait_for 120 "node $PEER to register" kubectl get node "$PEER"
  kubectl label node "$PEER" "$machine_label=$INSTANCE" --overwrite >/dev/null
  fetch_etcd_tools
  wait_for 120 "$PEER to be a member of etcd" is_member
}

# What was replaced is let go last, when another cluster or machine may be there, or a living one has dropped it already.
release() {
  local machine id
  machine=$(kubectl get node "$PEER" --output "jsonpath={.metadata.labels.${machine_label//./\\.}}" 2>/dev/null) || true
  if [[ $machine != "$INSTANCE" ]]; then
    say "$PEER is not $INSTANCE, or no more: nothing to do"
    return
  fi
  mkdir -p /run/tinderbox/
  exec 9>/run/tinderbox/leaving.lock
  flock --timeout $((300 * PATIENCE)) 9 || fail "$PEER is still waiting for those that leave before it"
  ! kubelet_answers "$PEER" || drain "$PEER" || true
  fetch_etcd_tools
  id=$(list_members 127.0.0.1 | sed -n "s/ .* $PEER\$//p")
  [[ -z $id ]] || drop_member 127.0.0.1 "$id" "$PEER"
  wait_for 120 "the API to answer" kubectl get --raw /readyz
  kubectl delete node "$PEER"
  kubectl delete pods --all-namespaces --field-selector "spec.nodeName=$PEER" --force --grace-period 0 --wait=false
  rm -f "/etc/kubernetes/nodes/$PEER"
}

case ${1:-create} in
  delete) release ;;
  *) admit ;;
esac
