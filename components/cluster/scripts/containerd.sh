#!/usr/bin/env bash
# Prepares the kernel, and containerd for the kubelet: CRI on, the host's cgroup driver, the mirror.
# MIRROR_REGISTRY: URL of a registry that has the images, or empty
set -euo pipefail

put /etc/modules-load.d/kubernetes.conf <<END
overlay
br_netfilter
nf_conntrack
END
for module in overlay br_netfilter nf_conntrack; do
  # In a container the host has loaded or built them in, and modprobe is not needed.
  modprobe "$module" 2>/dev/null || true
done
[[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]] || fail "the kernel module br_netfilter is missing"
put /etc/sysctl.d/90-kubernetes.conf <<END
net.ipv4.ip_forward = 1
net.bridge.bridge-nf-call-iptables = 1
END
sysctl -q -p /etc/sysctl.d/90-kubernetes.conf
swapoff -a

# The kubelet takes its driver from containerd, so this decides for both.
systemd_cgroup=false
[[ -e /sys/fs/cgroup/cgroup.controllers ]] && systemd_cgroup=true

# Where a process may not lower its own OOM score, runc must not try.
restrict_oom=false
score=$(cat /proc/self/oom_score_adj)
(echo $((score - 1)) >/proc/self/oom_score_adj) 2>/dev/null || restrict_oom=true

pause=$(kubeadm config images list --kubernetes-version "$(kubeadm version --output short)" | grep /pause:)

# The package's own file turns CRI off.
put /etc/containerd/config.toml 0644 containerd <<END
version = 3

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '$pause'

[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = '/etc/containerd/certs.d'

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = $restrict_oom
  # It asks every shim each second else, for a number of which nobody here asks (crictl stats has it).
  stats_collect_period = '30s'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = $systemd_cgroup
END
if [[ -n $MIRROR_REGISTRY ]]; then
  put /etc/containerd/certs.d/_default/hosts.toml <<END
[host.'$MIRROR_REGISTRY']
  capabilities = ['pull', 'resolve']
END
fi
put /etc/crictl.yaml <<END
runtime-endpoint: unix:///run/containerd/containerd.sock
END

start_service containerd
wait_for 60 "containerd to answer" ctr version
