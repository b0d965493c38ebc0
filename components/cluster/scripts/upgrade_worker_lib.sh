# shellcheck shell=bash
# What upgrade-drain.sh and upgrade-return.sh, both on the control plane, know of a worker.
# WORKER: the node's name    NODE_NAME: the control plane's, whose release is the cluster's
export KUBECONFIG=/etc/kubernetes/admin.conf

# On a node that is being upgraded: "cordoned" by us, or "kept", since it was cordoned before.
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

marked() {
  of_node "$WORKER" "{.metadata.annotations.${mark//./\\.}}"
}

# let_back: its mark goes, and it takes pods again where it did before.
let_back() {
  [[ $(marked) != cordoned ]] || kubectl uncordon "$WORKER"
  kubectl annotate node "$WORKER" "$mark-" >/dev/null
}
