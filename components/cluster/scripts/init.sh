#!/usr/bin/env bash
# Makes this node the control plane.
# POD_CIDR, SERVICE_CIDR; its release is that of the kubeadm that is here
# ENDPOINT_NAME: the API's name within the cluster     NODE_NAME, NODE_IP: this node
# PUBLIC_IP: where the operator reaches the API        NODE_LABELS: "key=value ..."
# TAKES_WORK: true for a control plane that is the only node
set -euo pipefail

done_mark=/etc/kubernetes/.tinderbox-initialized
export KUBECONFIG=/etc/kubernetes/admin.conf
map_name "$ENDPOINT_NAME" "$NODE_IP"

# made_with KEY WANTED SETTING: the cluster was made with what is wanted now; kubeadm changes no range.
made_with() {
  local was
  was=$(sed -n "s/^  $1: //p" /etc/kubernetes/tinderbox.yaml)
  [[ $was == "$2" ]] || fail_fixed "$3" "$was" "$2"
}

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
nodeRegistration:
  name: $NODE_NAME
  criSocket: unix:///run/containerd/containerd.sock
  kubeletExtraArgs:
    - {name: node-ip, value: "$NODE_IP"}
  $(ignored_preflight_errors)
$(limits)
patches: {directory: /etc/kubernetes/patches}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $(kubeadm version --output short)
controlPlaneEndpoint: $ENDPOINT_NAME:6443
# Nothing renews them: they last as long as the CA. (Kubelets renew their own.)
certificateValidityPeriod: 87600h0m0s
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
  say "kubeadm init"
  kubeadm init --config /etc/kubernetes/tinderbox.yaml --skip-phases show-join-command
  touch "$done_mark"
else
  made_with podSubnet "$POD_CIDR" cluster.podCidr
  made_with serviceSubnet "$SERVICE_CIDR" cluster.serviceCidr
fi

wait_for 120 "the API to answer" kubectl get --raw /readyz
# shellcheck disable=SC2086 # one argument for each label
kubectl label node "$NODE_NAME" $NODE_LABELS --overwrite >/dev/null
taint=node-role.kubernetes.io/control-plane:NoSchedule
if [[ $TAKES_WORK == true ]]; then
  kubectl taint node "$NODE_NAME" "$taint-" 2>/dev/null || true
else
  kubectl taint node "$NODE_NAME" "$taint" --overwrite
fi
