#!/bin/sh
# Makes a fresh Debian tree ($1) a machine that boots: network by DHCP, root by SSH key, this host's
# certificates.
set -eu
root=$1
echo "tinderbox-vm" >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 tinderbox-vm\n' >"$root/etc/hosts"
echo "/dev/vda / ext4 defaults 0 1" >"$root/etc/fstab"
printf '[Match]\nName=en*\n\n[Network]\nDHCP=ipv4\n' >"$root/etc/systemd/network/80-wired.network"
mkdir -p "$root/usr/local/share/ca-certificates"
find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$root/usr/local/share/ca-certificates/" ';'
chroot "$root" update-ca-certificates
chroot "$root" systemctl enable systemd-networkd systemd-resolved ssh
# As the installer leaves it; in the tree the link would lead nowhere.
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
