#!/usr/bin/env bash
# Makes this node the control plane; of several each, the first one first (peers_lib.sh).
# POD_CIDR, SERVICE_CIDR; its release is that of the kubeadm that is here
# ENDPOINT_NAME: the API's name within the cluster     NODE_NAME, NODE_IP: this node
# PUBLIC_IP: where the operator reaches the API        NODE_LABELS: "key=value ..."
# TAKES_WORK: true for a control plane that is the only node
# BACKUP_KEY: secret; opens the snapshots of this cluster that another control plane left on the shared volume
# CERTIFICATE_DAYS: how long certificates last
set -euo pipefail

done_mark=/etc/kubernetes/.tinderbox-initialized
export KUBECONFIG=/etc/kubernetes/admin.conf
map_name "$ENDPOINT_NAME" "$NODE_IP"

# made_as_wanted FILE: kubeadm's configuration of this cluster has the ranges that are wanted now; it changes none.
made_as_wanted() {
  local key setting wanted was
  while read -r key setting wanted; do
    was=$(sed -n "s/^  $key: //p" "$1")
    [[ $was == "$wanted" ]] || fail_fixed "$setting" "$was" "$wanted"
  done <<<"podSubnet cluster.podCidr $POD_CIDR"$'\n'"serviceSubnet cluster.serviceCidr $SERVICE_CIDR"
}

# bring_back: the newest snapshot that can be used becomes the cluster of this node. Says so in `brought_back`.
bring_back() {
  local name release here found=() work=/var/lib/etcd/snapshot
  here=$(kubeadm version --output short)
  here=${here#v}
  mapfile -t found < <(list_snapshots)
  ((${#found[@]})) || return 0
  put "$SNAPSHOT_KEY" 0600 <<<"$BACKUP_KEY"
  fetch_etcd_tools "$(kubeadm config images list --config /etc/kubernetes/tinderbox.yaml | grep /etcd:)"
  for name in "${found[@]}"; do
    open_snapshot "$name" "$work" || continue
    release=$(about "$work" kubernetes)
    if [[ $(printf '%s\n' "$release" "$here" | sort --version-sort | tail -n 1) != "$here" ]]; then
      say "$name can't be used: it is of Kubernetes $release, and this node has $here"
      continue
    fi
    made_as_wanted "$work/tinderbox.yaml"
    say "this cluster goes on as it was at $(about "$work" made); what came later is not in it"
    rm "$work/tinderbox.yaml"
    mv "$(restore_etcd "$work" "$NODE_NAME" "$NODE_IP")" /var/lib/etcd/member
    cp --archive "$work"/pki "$work"/*.conf /etc/kubernetes/
    rm -rf "$work" /var/lib/etcd/restored
    brought_back=(--ignore-preflight-errors DirAvailable--var-lib-etcd)
    return 0
  done
  fail "none of the ${#found[@]} snapshots in $SNAPSHOTS can be used; a new cluster is made when they are moved away"
}

# forget_predecessors: control planes that were, and are no more.
forget_predecessors() {
  local other
  for other in $(kubectl get nodes --selector node-role.kubernetes.io/control-plane --output name); do
    [[ $other == "node/$NODE_NAME" ]] || kubectl delete "$other"
  done
}

if [[ -e $done_mark ]] && is_left_behind; then
  say "the other control planes go on without this one"
  rm "$done_mark"
fi
if [[ ! -e $done_mark ]]; then
  start_over "an earlier attempt was interrupted"
  put /etc/kubernetes/tinderbox.yaml 0600 <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
# Nodes join with tokens minted for them (invite.sh); kubeadm insists on one of its own.
bootstrapTokens:
  - ttl: 1m0s
localAPIEndpoint:
  advertiseAddress: $NODE_IP
$(registration)
patches: {directory: /etc/kubernetes/patches}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $(kubeadm version --output short)
controlPlaneEndpoint: $ENDPOINT_NAME:6443
# certificates.sh renews them in time. (Kubelets renew their own.)
certificateValidityPeriod: $((CERTIFICATE_DAYS * 24))h0m0s
caCertificateValidityPeriod: 87600h0m0s
networking:
  podSubnet: $POD_CIDR
  serviceSubnet: $SERVICE_CIDR
apiServer:
  certSANs: ["$ENDPOINT_NAME", "$NODE_IP", "$PUBLIC_IP"]
$(component_limits)
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
# Serving certificates are signed by the cluster; approve-serving-certificates.sh approves them.
serverTLSBootstrap: true
rotateCertificates: true
# By default pods have to go when 15% of the disk are left: on a large one that is still a lot.
evictionHard:
  memory.available: 100Mi
  nodefs.available: 1Gi
  nodefs.inodesFree: 5%
  imagefs.available: 1Gi
  imagefs.inodesFree: 5%
$(cgroup_settings)
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
$(conntrack_settings)
END
  patch_probes
  keys=$(mktemp -d) living=''
  trap 'rm -rf "$keys"' EXIT
  ! take_keys "$keys" || living=$(find_living "$keys/pki/ca.crt") || true
  if [[ -n $living ]]; then
    join_living "$living" "$keys"
  elif is_first; then
    brought_back=()
    bring_back
    say "kubeadm init"
    kubeadm init --config /etc/kubernetes/tinderbox.yaml --skip-phases show-join-command "${brought_back[@]}"
    ((!${#brought_back[@]})) || forget_predecessors
  else
    fail "no other control plane of this cluster is ready: there is none to join"
  fi
  touch "$done_mark"
else
  made_as_wanted /etc/kubernetes/tinderbox.yaml
fi

wait_for 120 "the API to answer" kubectl get --raw /readyz
name_address
if [[ -n $CONTROL_PLANES ]]; then
  publish_keys
  fetch_etcd_tools
  forget_gone 127.0.0.1
fi
# shellcheck disable=SC2086 # one argument for each label
kubectl label node "$NODE_NAME" $NODE_LABELS --overwrite >/dev/null
taint=node-role.kubernetes.io/control-plane:NoSchedule
if [[ $TAKES_WORK == true ]]; then
  kubectl taint node "$NODE_NAME" "$taint-" 2>/dev/null || true
else
  kubectl taint node "$NODE_NAME" "$taint" --overwrite
fi
