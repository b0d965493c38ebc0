# shellcheck shell=bash
# What upgrade-drain.sh, upgrade-return.sh and roll-*.sh, all on the control plane, know of a worker that is away.
# WORKER: the node's name    NODE_NAME: the control plane's, whose release is the cluster's
export KUBECONFIG=/etc/kubernetes/admin.conf

# On a node that is away for a while: "cordoned" by us, or "kept", since it was cordoned before.
mark=tinderbox.internal/upgrade

# of_node NODE JSONPATH
of_node() {
  kubectl get node "$1" --output "jsonpath=$2"
}

# has_release: the worker tells of the same kubelet and container runtime as the control plane does.
has_release() {
  local info='{.status.nodeInfo.kubeletVersion} {.status.nodeInfo.containerRuntimeVersion}'
  [[ $(of_node "$WORKER" "$info") == "$(of_node "$NODE_NAME" "$info")" ]]
}

# boot_of NODE: another one after each start of its machine.
boot_of() {
  of_node "$1" '{.status.nodeInfo.bootID}'
}

marked() {
  of_node "$WORKER" "{.metadata.annotations.${mark//./\\.}}"
}

# drain_for WHAT: the worker is drained (drain_lib.sh), or else let back.
drain_for() {
  local state=cordoned
  if [[ -z $(marked) ]]; then
    [[ $(of_node "$WORKER" '{.spec.unschedulable}') != true ]] || state=kept
    kubectl annotate node "$WORKER" "$mark=$state" >/dev/null
  fi
  say "draining $WORKER for $1"
  if ! drain "$WORKER"; then
    let_back
    fail "$WORKER could not be drained within $DRAIN_LIMIT s (see above): it takes pods again and stays as it is"
  fi
}

# let_back: its mark goes, and it takes pods again where it did before.
let_back() {
  [[ $(marked) != cordoned ]] || kubectl uncordon "$WORKER"
  kubectl annotate node "$WORKER" "$mark-" >/dev/null
}
