#!/usr/bin/env bash
# What a node of the bare script needs before kubeadm; run as root on it.
# MIRROR: host of packages (:8080) and images (:5000)    KUBERNETES, CONTAINERD: releases
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
packages=http://$MIRROR:8080
apt=$packages/core:/stable:/v${KUBERNETES%.*}/deb/
curl -fsSL "${apt}Release.key" | gpg --dearmor -o /etc/apt/keyrings/kubernetes.gpg
curl -fsSL "$packages/linux/debian/gpg" | gpg --dearmor -o /etc/apt/keyrings/docker.gpg
echo "deb [signed-by=/etc/apt/keyrings/kubernetes.gpg] $apt /" >/etc/apt/sources.list.d/kubernetes.list
echo "deb [signed-by=/etc/apt/keyrings/docker.gpg] $packages/linux/debian trixie stable" >/etc/apt/sources.list.d/docker.list
apt-get -qq update
apt-get -qq install --yes --no-install-recommends "containerd.io=$CONTAINERD-*" "kubelet=$KUBERNETES-*" \
  "kubeadm=$KUBERNETES-*" "kubectl=$KUBERNETES-*" cri-tools iptables ethtool socat conntrack >/dev/null
sysctl -q -w net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
systemd=true
[[ -e /sys/fs/cgroup/cgroup.controllers ]] || systemd=false
mkdir -p /etc/containerd/certs.d/_default
cat >/etc/containerd/config.toml <<END
version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '$(kubeadm config images list --kubernetes-version "v$KUBERNETES" | grep /pause:)'
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = '/etc/containerd/certs.d'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = $systemd
END
cat >/etc/containerd/certs.d/_default/hosts.toml <<END
[host.'http://$MIRROR:5000']
  capabilities = ['pull', 'resolve']
END
systemctl restart containerd
install -d -m 2775 -g 185 /srv/shared/wordcount /srv/shared/wordcount/{inputs,runs} /srv/shared/spark/{,events,recovery}
chown -R 185 /srv/shared/spark /srv/shared/wordcount/runs
install -d -m 2775 -o 4583 -g 4583 /srv/shared/opex
