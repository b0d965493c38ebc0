#!/usr/bin/env bash
# Makes this node a worker.
# ENDPOINT_NAME, ENDPOINT_IP: the API within the cluster, the latter perhaps a load balancer's name
# NODE_NAME, NODE_IP: this node
# JOIN: "TOKEN CA_HASH" from invite.sh                      CONTROL_PLANE: its machine, or the load balancer
# LABELS: "key=value,..." and TAINTS: a JSON list, with which it becomes known; later ones are member.sh's
set -euo pipefail

done_mark=/etc/kubernetes/.tinderbox-joined # holds the hash of the cluster's CA
behind_mark=/etc/kubernetes/.tinderbox-control-plane # holds its machine
token=${JOIN%% *} ca_hash=${JOIN##* }
map_name "$ENDPOINT_NAME" "$ENDPOINT_IP"
if [[ -e $done_mark && $(<"$done_mark") == "$ca_hash" ]]; then
  if [[ -e $behind_mark && $(<"$behind_mark") != "$CONTROL_PLANE" ]]; then
    say "the same cluster has another control plane"
    # At its start the kubelet makes its node known, which may be missing there; pods run on. kube-proxy has a copy of
    # /etc/hosts from its own start, and flannel waits for the control plane that was.
    systemctl restart kubelet
    crictl ps --quiet --name '^kube-(proxy|flannel)$' | xargs --no-run-if-empty crictl stop >/dev/null
  fi
  put "$behind_mark" <<<"$CONTROL_PLANE"
  exit 0
fi

start_over "joined to nothing that still is"
configuration=$(mktemp)
trap 'rm -f "$configuration"' EXIT
cat >"$configuration" <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    apiServerEndpoint: $ENDPOINT_NAME:6443
    token: $token
    caCertHashes: ["$ca_hash"]
$(registration "    - {name: node-labels, value: \"$LABELS\"}" "  taints: $TAINTS")
END
say "kubeadm join"
patiently kubeadm join --config "$configuration"
put "$behind_mark" <<<"$CONTROL_PLANE"
echo "$ca_hash" >"$done_mark"
