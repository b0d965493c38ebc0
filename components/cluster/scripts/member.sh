#!/usr/bin/env bash
# On the control plane: admits a worker that has joined; with the argument "delete", lets it go.
# WORKER: the node's name    INSTANCE: its machine    JOIN: "TOKEN CA_HASH" from invite.sh
# NODE_LABELS, LABELS: "key=value ...", of the stack and of the settings    TAINTS: "key=value:effect ..."
set -euo pipefail

export KUBECONFIG=/etc/kubernetes/admin.conf
machine_label=tinderbox.internal/instance-id
# An annotation: what the settings put there before, "label ... key:effect ...".
settled=tinderbox.internal/settled

admit() {
  local token=${JOIN%% *}
  wait_for 120 "node $WORKER to register" kubectl get node "$WORKER"
  # shellcheck disable=SC2086 # one argument for each label
  kubectl label node "$WORKER" node-role.kubernetes.io/worker= "$machine_label=$INSTANCE" $NODE_LABELS --overwrite >/dev/null
  settle
  kubectl --namespace kube-system delete secret "bootstrap-token-${token%%.*}" --ignore-not-found >/dev/null
}

# settle: the node has the labels and taints of the settings, and none that were in them; others stay.
settle() {
  local one now=()
  for one in $LABELS; do now+=("${one%%=*}"); done
  for one in $TAINTS; do now+=("${one%%[=:]*}:${one##*:}"); done
  for one in $(kubectl get node "$WORKER" --output "jsonpath={.metadata.annotations.${settled//./\\.}}"); do
    [[ " ${now[*]} " != *" $one "* ]] || continue
    case $one in
      *:*) kubectl taint node "$WORKER" "$one-" || say "$one is not there any more" ;;
      *) kubectl label node "$WORKER" "$one-" ;;
    esac
  done
  # shellcheck disable=SC2086 # one argument for each
  kubectl label node "$WORKER" $LABELS --overwrite >/dev/null
  # shellcheck disable=SC2086
  [[ -z $TAINTS ]] || kubectl taint node "$WORKER" $TAINTS --overwrite
  kubectl annotate node "$WORKER" "$settled=${now[*]}" --overwrite >/dev/null
}

# What was replaced is let go last, when another control plane may answer at this address, or another
# machine have this name: those are not to be touched.
release() {
  local machine
  if [[ $(cluster_ca) != "${JOIN##* }" ]]; then
    say "$WORKER was in another cluster than the one that is here now: nothing to do"
    return
  fi
  if machine=$(kubectl get node "$WORKER" --output "jsonpath={.metadata.labels.${machine_label//./\\.}}" 2>/dev/null); then
    if [[ -n $machine && $machine != "$INSTANCE" ]]; then
      say "$WORKER is another machine than $INSTANCE by now: nothing to do"
      return
    fi
    evict
  fi
  rm -f "/etc/kubernetes/nodes/$WORKER"
}

evict() {
  if kubelet_answers "$WORKER"; then
    # Of several that are replaced, one goes after the other, and no pod moves from one to the next.
    kubectl cordon "$WORKER"
    mkdir -p /run/tinderbox/
    exec 9>/run/tinderbox/leaving.lock
    flock --timeout $((3000 * PATIENCE)) 9 || fail "$WORKER is still waiting for those that leave before it"
    # What does not move in time ends with the node.
    drain "$WORKER" || true
  fi
  kubectl delete node "$WORKER"
  # Kubernetes would keep what did not move for a minute, and make nothing in its place until then.
  kubectl delete pods --all-namespaces --field-selector "spec.nodeName=$WORKER" --force --grace-period 0 --wait=false
}

case ${1:-create} in
  delete) release ;;
  *) admit ;;
esac
