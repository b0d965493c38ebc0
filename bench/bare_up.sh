#!/usr/bin/env bash
# A cluster, Spark on it and a word count by ssh, kubeadm, helm and kubectl, with nothing of ours: what
# `make up` is measured beside. Machines that take SSH are there; it waits for what `make up` waits for.
#   KEY: of the login admin           CONTROL_PLANE, WORKERS: "PUBLIC/PRIVATE ..." addresses
#   WORK: a folder with objects.yaml, job.yaml, text (the input), its path on the volume in text.path, and of
#   each chart NAME.yaml (values) and NAME.chart (helm's arguments)
#   MIRROR, KUBERNETES, CONTAINERD: as bare_node.sh has them
set -euo pipefail
cd "$(dirname "$0")/.."
first=${CONTROL_PLANE%/*} private=${CONTROL_PLANE#*/}
export KUBECONFIG=$WORK/kubeconfig

on() { # on ADDRESS: runs what comes on stdin there, as root
  ssh -i "$KEY" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "admin@$1" sudo bash -s
}
all() { # waits for what runs in the background, and fails if one of it did
  local job
  for job in $(jobs -p); do wait "$job"; done
}
given() { declare -p MIRROR KUBERNETES CONTAINERD; }

for node in "$CONTROL_PLANE" $WORKERS; do
  { given && cat bench/bare_node.sh; } | on "${node%/*}" >"$WORK/node-${node%/*}.log" 2>&1 &
done
all

v1='' groups='cgroupDriver: systemd'
[[ -e /sys/fs/cgroup/cgroup.controllers ]] || v1='ignorePreflightErrors: [SystemVerification]' groups='cgroupDriver: cgroupfs
failCgroupV1: false'
on "$first" >"$WORK/init.log" <<END
set -euo pipefail
cat >/root/kubeadm.yaml <<YAML
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: $private}
nodeRegistration: {$v1}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v$KUBERNETES
controlPlaneEndpoint: $private:6443
networking: {podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/12}
apiServer: {certSANs: [$first, $private]}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
evictionHard: {memory.available: 100Mi, nodefs.available: 1Gi, imagefs.available: 1Gi}
$groups
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {maxPerCore: 0}
YAML
kubeadm init --config /root/kubeadm.yaml
END
on "$first" <<<'cat /etc/kubernetes/admin.conf' | sed "s|https://$private:|https://$first:|" >"$KUBECONFIG"
join=$(on "$first" <<<'kubeadm token create --print-join-command')
for node in $WORKERS; do
  on "${node%/*}" >"$WORK/join-${node%/*}.log" 2>&1 <<<"$join --ignore-preflight-errors SystemVerification" &
done

chart() { # chart NAME: installs it, and waits until it is ready
  local arguments
  read -ra arguments <"$WORK/$1.chart"
  helm install "$1" "${arguments[@]}" --values "$WORK/$1.yaml" --create-namespace --wait --timeout 10m >/dev/null
}
chart flannel
all
kubectl wait --for=condition=Ready nodes --all --timeout=5m >/dev/null
kubectl apply --server-side -f "$WORK/objects.yaml" >/dev/null
text=$(<"$WORK/text.path")
{
  echo "mkdir -p '${text%/*}' && base64 -d >'$text' <<'END'"
  base64 "$WORK/text"
  echo END
} | on "$first"
chart metrics-server &
chart opex &
chart spark
kubectl create -f "$WORK/job.yaml" >/dev/null
kubectl wait --namespace spark --for=condition=Complete --timeout=10m -f "$WORK/job.yaml" >/dev/null
all
kubectl logs --namespace spark --selector app=wordcount --tail=20
