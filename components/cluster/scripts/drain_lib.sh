# shellcheck shell=bash
# What member.sh, upgrade-drain.sh and roll-away.sh, all on the control plane, know of draining.
DRAIN_LIMIT=$((420 * PATIENCE))

# drain NODE: it takes no pods any more, and those that it has go, as far as budgets let them in that many seconds.
drain() {
  command kubectl drain "$1" --ignore-daemonsets --delete-emptydir-data --force --timeout "${DRAIN_LIMIT}s"
}

# kubelet_answers NODE: where none does, nothing on the node would move.
kubelet_answers() {
  local path="/api/v1/nodes/$1/proxy/healthz"
  command kubectl get --raw "$path" --request-timeout 10s >/dev/null 2>&1 ||
    command kubectl get --raw "$path" --request-timeout 10s >/dev/null 2>&1
}
