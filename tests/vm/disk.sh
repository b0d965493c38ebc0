#!/usr/bin/env bash
# Makes a disk in which the quick start's cache is warm; called by __main__.py in a mount namespace.
# The Python environment is made here, in the tree, since emulation would take an hour for it.
#   disk.sh TREE CHECKOUT CACHE WORK GIBIBYTES       WORK has key.pub and environment
set -euo pipefail
tree=$1 checkout=$2 cache=$3 work=$4 size=$5
mount --make-rprivate /

# over LOWER PLACE: the folder at PLACE, whose changes go elsewhere.
over() {
  local upper
  upper=$(mktemp -d -p "$work/upper")
  mkdir -p "$upper/upper" "$upper/work" "$2"
  mount -t overlay overlay -o "lowerdir=$1,upperdir=$upper/upper,workdir=$upper/work" "$2"
}
root=$work/root
mkdir -p "$work/upper"
over "$tree" "$root"
warm=$root/root/.cache/tinderbox
over "$cache" "$warm"
rm -rf "$warm"/{locks,pulumi-home,unreachable.json}
for hidden in vm mirror/buildah; do
  mkdir -p "$warm/$hidden"
  mount -t tmpfs tmpfs "$warm/$hidden"
done
# The environment of the release's Python is kept beside the tree.
mkdir -p "$tree/../venv" "$warm/venv"
mount --bind "$tree/../venv" "$warm/venv"
mkdir -p "$root/usr/local/go" "$root/root/tinderbox" "$root/root/.ssh"
go=$(go env GOROOT 2>/dev/null || echo /usr/local/go)
mount --bind "$go" "$root/usr/local/go"
git -C "$checkout" ls-files -z --cached --others --exclude-standard |
  tar -C "$checkout" --null --ignore-failed-read -T - -c | tar -C "$root/root/tinderbox" --no-same-owner -x
cp "$work/key.pub" "$root/root/.ssh/authorized_keys"
cp "$work/environment" "$root/etc/environment"
: >"$root/etc/machine-id"

mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
install -D -m 0644 /etc/resolv.conf "$root/run/systemd/resolve/stub-resolv.conf"
xargs -a "$work/environment" chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  sh -c 'env "$@" make -C /root/tinderbox tools' sh
umount --recursive "$root/proc" "$root/dev" "$root/run"

truncate -s "${size}G" "$work/disk.img"
mkfs.ext4 -q -E lazy_itable_init=1 -d "$root" "$work/disk.img"
