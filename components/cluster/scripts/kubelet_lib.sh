# shellcheck shell=bash
# What init.sh and join.sh both need: what they write into kubeadm's configuration, and a clean start.

# map_name NAME ADDRESS: this node knows the name by /etc/hosts. ADDRESS may be a name itself, of a load balancer.
map_name() {
  local address=$2
  if [[ ! $address =~ ^[0-9.]+$ ]]; then
    wait_for 300 "$address to have an address" getent ahostsv4 "$address"
    address=$(getent ahostsv4 "$address" | sed -n '1s/ .*//p')
  fi
  { grep -v " $1\$" /etc/hosts || true; echo "$address $1"; } | put /etc/hosts
}

# start_over WHY: what an attempt or a reset that was interrupted, or another control plane, left would stop kubeadm.
start_over() {
  compgen -G '/etc/kubernetes/*.conf' >/dev/null || compgen -G '/etc/kubernetes/pki/*' >/dev/null ||
    compgen -G '/etc/kubernetes/manifests/*' >/dev/null || return 0
  say "$1: starting over"
  kubeadm reset --force >/dev/null
  wait_for 60 "containerd to answer after the reset" ctr version
}

# Kubernetes takes cgroup v1 only when told to.
on_cgroup_v1() {
  [[ ! -e /sys/fs/cgroup/cgroup.controllers ]]
}

cgroup_settings() {
  if on_cgroup_v1; then
    printf '%s\n' 'cgroupDriver: cgroupfs' 'failCgroupV1: false'
  else
    echo 'cgroupDriver: systemd'
  fi
}

# kubeadm's system check refuses cgroup v1 whatever the kubelet thinks of it.
ignored_preflight_errors() {
  if on_cgroup_v1; then
    echo 'ignorePreflightErrors: [SystemVerification]'
  else
    echo 'ignorePreflightErrors: []'
  fi
}

# registration [LINE...]: of kubeadm's configuration, how this node makes itself known, and how long it may take. The
# lines go below the kubelet's arguments.
registration() {
  cat <<END
nodeRegistration:
  name: $NODE_NAME
  criSocket: unix:///run/containerd/containerd.sock
  kubeletExtraArgs:
    - {name: node-ip, value: "$NODE_IP"}
END
  ((!$#)) || printf '%s\n' "$@"
  echo "  $(ignored_preflight_errors)"
  limits
}

# kubeadm's own limits, as they are without being said.
limits() {
  cat <<END
timeouts:
  controlPlaneComponentHealthCheck: $((240 * PATIENCE))s
  kubeletHealthCheck: $((240 * PATIENCE))s
  kubernetesAPICall: $((60 * PATIENCE))s
  etcdAPICall: $((120 * PATIENCE))s
  tlsBootstrap: $((300 * PATIENCE))s
  discovery: $((300 * PATIENCE))s
END
}

# Those of the control plane's parts, as they are by default, too; it follows `apiServer:`.
component_limits() {
  local part
  cat <<END
  extraArgs:
    - {name: etcd-healthcheck-timeout, value: $((2 * PATIENCE))s}
    - {name: etcd-readycheck-timeout, value: $((2 * PATIENCE))s}
END
  for part in controllerManager scheduler; do
    cat <<END
$part:
  extraArgs:
    - {name: leader-elect-lease-duration, value: $((15 * PATIENCE))s}
    - {name: leader-elect-renew-deadline, value: $((10 * PATIENCE))s}
END
  done
}

# How often in a row a part of the control plane may fail to say that it lives; kubeadm's own is 8. And that it is
# ready is asked every ten seconds, not every one: nobody is led by it, and the first time is when it has started.
patch_probes() {
  local part
  for part in etcd kube-apiserver kube-controller-manager kube-scheduler; do
    {
      cat <<END
spec:
  containers:
    - name: $part
      livenessProbe: {failureThreshold: $((8 * PATIENCE))}
END
      [[ $part == kube-controller-manager ]] || echo '      readinessProbe: {periodSeconds: 10}'
    } | put "/etc/kubernetes/patches/$part+strategic.yaml"
  done
}

# kube-proxy must leave the connection tables alone where they are not this machine's to change.
conntrack_settings() {
  if (echo "$(</proc/sys/net/netfilter/nf_conntrack_max)" >/proc/sys/net/netfilter/nf_conntrack_max) 2>/dev/null; then
    echo 'conntrack: {}'
  else
    echo 'conntrack: {maxPerCore: 0}'
  fi
}
