# shellcheck shell=bash
# What upgrade-control-plane.sh and upgrade-worker.sh both do to a node.

# is_at KUBERNETES CONTAINERD: the node has these releases, and its services run them.
is_at() {
  local package
  for package in kubelet kubeadm kubectl; do
    [[ $(installed "$package") == "$1" ]] || return 1
  done
  [[ $(installed containerd.io) == "$2" && ! -e /run/tinderbox/restart/containerd && ! -e /run/tinderbox/restart/kubelet ]]
}

# ignored: for `kubeadm upgrade`, which checks the system as `kubeadm init` does (kubelet_lib.sh).
ignored() {
  [[ -e /sys/fs/cgroup/cgroup.controllers ]] || echo --ignore-preflight-errors=SystemVerification
}

# renew_services KUBERNETES CONTAINERD: kubelet, kubectl and containerd of these releases run here.
renew_services() {
  local was pause
  was=$(installed containerd.io)
  [[ $was == "$2" ]] || install -D /dev/null /run/tinderbox/restart/containerd
  # The package's own script does not restart it; the note outlives an interruption.
  [[ $(installed kubelet) == "$1" ]] || install -D /dev/null /run/tinderbox/restart/kubelet
  install_held containerd.io kubelet kubectl
  pause=$(kubeadm config images list --kubernetes-version "v$1" | grep /pause:)
  sed "s|^  sandbox = .*|  sandbox = '$pause'|" /etc/containerd/config.toml | put /etc/containerd/config.toml 0644 containerd
  systemctl daemon-reload
  start_service containerd
  wait_for 60 "containerd to answer" ctr version
  start_service kubelet
}
