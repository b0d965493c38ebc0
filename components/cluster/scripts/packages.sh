#!/usr/bin/env bash
# Installs containerd and the Kubernetes tools in the wanted release, and holds them there.
# KUBERNETES_VERSION: 1.36.4   CONTAINERD_VERSION: 2.4.2
# KUBERNETES_PACKAGES, DOCKER_PACKAGES: base URLs of the repositories
set -euo pipefail

# A node that is in a cluster stays as it is: there is no upgrade in place, and another containerd would
# restart under all that runs. Only what is missing is installed there.
only_missing=()
if compgen -G '/etc/kubernetes/.tinderbox-*' >/dev/null; then
  only_missing=(--no-upgrade)
  installed=$(kubeadm version --output short)
  [[ $installed == "v$KUBERNETES_VERSION" ]] || fail_fixed cluster.version "${installed#v}" "$KUBERNETES_VERSION"
fi

keys=/etc/apt/keyrings
minor=v${KUBERNETES_VERSION%.*}
codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
kubernetes_repository=$KUBERNETES_PACKAGES/core:/stable:/$minor/deb/
docker_repository=$DOCKER_PACKAGES/linux/debian

if ! command -v curl >/dev/null || ! command -v gpg >/dev/null; then
  apt_get update
  apt_get install -y ca-certificates curl gpg
fi
install -d -m 0755 "$keys"
fetch_key() {
  curl -fsSL --retry 5 --retry-all-errors --max-time 60 "$1" | gpg --batch --yes --dearmor -o "$2"
}
fetch_key "${kubernetes_repository}Release.key" "$keys/kubernetes.gpg"
fetch_key "$docker_repository/gpg" "$keys/docker.gpg"

put /etc/apt/sources.list.d/kubernetes.list <<END
deb [signed-by=$keys/kubernetes.gpg] $kubernetes_repository /
END
put /etc/apt/sources.list.d/docker.list <<END
deb [arch=$(dpkg --print-architecture) signed-by=$keys/docker.gpg] $docker_repository $codename stable
END
# All nodes are of one release, whenever they come: no upgrade by chance.
put /etc/apt/preferences.d/kubernetes <<END
Package: kubeadm kubelet kubectl
Pin: version $KUBERNETES_VERSION-*
Pin-Priority: 1001

Package: containerd.io
Pin: version $CONTAINERD_VERSION-*
Pin-Priority: 1001
END

# offers PACKAGE VERSION REPOSITORY: else apt would take another version without a word.
offers() {
  local versions
  versions=$(apt-cache madison "$1" | awk '{print $3}')
  versions=${versions:-none}
  grep -q "^${2//./\\.}-" <<<"$versions" ||
    fail "$3 has no $1 $2; the newest that it has is ${versions%%$'\n'*}"
}

say "installing containerd $CONTAINERD_VERSION and Kubernetes $KUBERNETES_VERSION"
apt_get update
if ((!${#only_missing[@]})); then
  for package in kubelet kubeadm kubectl; do
    offers "$package" "$KUBERNETES_VERSION" "$kubernetes_repository"
  done
  offers containerd.io "$CONTAINERD_VERSION" "$docker_repository"
fi
apt_get install -y --no-install-recommends --allow-change-held-packages --allow-downgrades "${only_missing[@]}" \
  containerd.io kubelet kubeadm kubectl cri-tools iptables ethtool socat conntrack
# With what the kubelet brings, and runc in containerd.io.
apt-mark hold containerd.io kubelet kubeadm kubectl cri-tools kubernetes-cni >/dev/null
