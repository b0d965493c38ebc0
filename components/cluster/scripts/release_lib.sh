# shellcheck shell=bash
# What packages.sh, release.sh and upgrade-*.sh know of releases: what is there, and where others come from.

# installed PACKAGE: its version without Debian's revision; nothing where it is not installed.
installed() {
  local version
  version=$(dpkg-query --show --showformat '${Version}' "$1" 2>/dev/null) || return 0
  echo "${version%%-*}"
}

# api_version: of the API server that this node runs; nothing where it runs none, or init did not end.
api_version() {
  [[ -e /etc/kubernetes/.tinderbox-initialized ]] || return 0
  sed -n 's/^ *image: .*kube-apiserver:v//p' /etc/kubernetes/manifests/kube-apiserver.yaml
}

# use_repositories KUBERNETES CONTAINERD: apt takes these releases and no others.
# KUBERNETES_PACKAGES, DOCKER_PACKAGES: base URLs of the repositories
use_repositories() {
  local keys=/etc/apt/keyrings codename
  kubernetes_repository=$KUBERNETES_PACKAGES/core:/stable:/v${1%.*}/deb/
  docker_repository=$DOCKER_PACKAGES/linux/debian
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  if ! command -v curl >/dev/null || ! command -v gpg >/dev/null; then
    apt_get update
    apt_get install -y ca-certificates curl gpg
  fi
  install -d -m 0755 "$keys"
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
Pin: version $1-*
Pin-Priority: 1001

Package: containerd.io
Pin: version $2-*
Pin-Priority: 1001
END
  apt_get update
}

fetch_key() {
  curl -fsSL --retry 5 --retry-all-errors --max-time 60 "$1" | gpg --batch --yes --dearmor -o "$2"
}

# offer KUBERNETES CONTAINERD: both repositories have them; else apt would take other versions without a word.
offer() {
  local package
  for package in kubelet kubeadm kubectl; do
    offers "$package" "$1" "$kubernetes_repository"
  done
  offers containerd.io "$2" "$docker_repository"
}

# offers PACKAGE VERSION REPOSITORY
offers() {
  local versions
  versions=$(apt-cache madison "$1" | awk '{print $3}')
  versions=${versions:-none}
  grep -q "^${2//./\\.}-" <<<"$versions" ||
    fail "$3 has no $1 $2; the newest that it has is ${versions%%$'\n'*}"
}

# install_held ARGUMENTS...: packages in the releases of use_repositories, which stay at them.
install_held() {
  apt_get install -y --no-install-recommends --allow-change-held-packages --allow-downgrades \
    -o Dpkg::Options::=--force-confold "$@" >&2
  # With what the kubelet brings, and runc in containerd.io.
  apt-mark hold containerd.io kubelet kubeadm kubectl cri-tools kubernetes-cni >/dev/null
}
