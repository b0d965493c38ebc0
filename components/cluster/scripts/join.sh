#!/usr/bin/env bash
# Makes this node a worker.
# ENDPOINT_NAME, ENDPOINT_IP: the API within the cluster    NODE_NAME, NODE_IP: this node
# JOIN: "TOKEN CA_HASH" from invite.sh
set -euo pipefail

done_mark=/etc/kubernetes/.tinderbox-joined # holds the hash of the cluster's CA
token=${JOIN%% *} ca_hash=${JOIN##* }
map_name "$ENDPOINT_NAME" "$ENDPOINT_IP"
if [[ -e $done_mark && $(<"$done_mark") == "$ca_hash" ]]; then
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
nodeRegistration:
  name: $NODE_NAME
  criSocket: unix:///run/containerd/containerd.sock
  kubeletExtraArgs:
    - {name: node-ip, value: "$NODE_IP"}
  $(ignored_preflight_errors)
$(limits)
END
say "kubeadm join"
kubeadm join --config "$configuration"
echo "$ca_hash" >"$done_mark"
