#!/usr/bin/env bash
# On the first control plane: another one will join; with the argument "delete", lets it go, out of etcd's members, too,
# however far it came.
# PEER, PEER_IP: the node's name and address    INSTANCE: its machine
set -euo pipefail

export KUBECONFIG=/etc/kubernetes/admin.conf
machine_label=tinderbox.internal/instance-id # admit.sh puts it there
note=/etc/tinderbox/peers/$PEER              # until then, whose name that is

is_not_served() {
  local served
  served=$(kubectl get endpointslice kubernetes --output 'jsonpath={.endpoints[*].addresses[*]}') || return
  [[ " $served " != *" $PEER_IP "* ]]
}

# drop_dead: of three that become one, a dead one goes first: before that etcd would let no living one go.
drop_dead() {
  local id address name members
  members=$(list_members 127.0.0.1)
  (($(wc -l <<<"$members") == 3)) || return 0
  while read -r id address name; do
    [[ $address == "$PEER_IP" ]] || timeout 3 bash -c "</dev/tcp/$address/2379" 2>/dev/null ||
      drop_member 127.0.0.1 "$id" "$name"
  done <<<"$members"
}

# hand_over: where it leads etcd, this one does from now on; else nobody would for some seconds.
hand_over() {
  local own
  own=$(at_etcd 127.0.0.1 endpoint status --write-out fields | sed -n 's/^"MemberID" : //p')
  at_etcd "$PEER_IP" move-leader "$(printf %x "$own")" >/dev/null 2>&1 || true # it does not lead, or is dead
}

# What was replaced is let go last, when another cluster or machine may be there, or a living one has dropped it already.
release() {
  local machine id
  machine=$(kubectl get node "$PEER" --ignore-not-found --output "jsonpath={.metadata.labels.${machine_label//./\\.}}")
  [[ -n $machine || ! -e $note ]] || machine=$(<"$note")
  fetch_etcd_tools
  id=$(list_members 127.0.0.1 | sed -n "s/ $PEER_IP .*//p")
  if [[ -n $machine && $machine != "$INSTANCE" || -z $machine$id ]]; then
    say "$PEER is not $INSTANCE, or no more: nothing to do"
    return
  fi
  mkdir -p /run/tinderbox/
  exec 9>/run/tinderbox/leaving.lock
  flock --timeout $((300 * PATIENCE)) 9 || fail "$PEER is still waiting for those that leave before it"
  ! kubelet_answers "$PEER" || drain "$PEER" || true
  if [[ -n $id ]]; then
    drop_dead
    hand_over
    drop_member 127.0.0.1 "$id" "$PEER"
  fi
  wait_for 120 "the API to answer" kubectl get --raw /readyz
  # Pods ask the API by a service: it leaves out this one before the next one goes.
  wait_for 120 "pods to be led to $PEER no more" is_not_served
  kubectl delete node "$PEER" --ignore-not-found
  kubectl delete pods --all-namespaces --field-selector "spec.nodeName=$PEER" --force --grace-period 0 --wait=false
  rm -f "/etc/kubernetes/nodes/$PEER" "$note"
}

case ${1:-create} in
  delete) release ;;
  *) put "$note" <<<"$INSTANCE" ;;
esac
