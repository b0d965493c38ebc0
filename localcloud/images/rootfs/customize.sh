#!/bin/sh
# Turns a fresh Debian tree ($1) into a machine image: as Debian's AMIs in what the program meets,
# and without what a machine of the local cloud would only wait for at boot.
set -eu
root=$1

# The machine reaches the mirror only: Debian's archive would be a time-out at each apt-get update.
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/*
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/debconf/*-old "$root"/var/log/*.log

# Each machine has its own identity: empty (not missing), so that systemd makes an id at boot
# without taking the boot for an installation.
: > "$root/etc/machine-id"
rm -f "$root"/var/lib/dbus/machine-id "$root"/etc/ssh/ssh_host_* "$root"/var/lib/systemd/random-seed
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"

cat > "$root/etc/cloud/cloud.cfg.d/90_tinderbox.cfg" <<'CFG'
# As Debian's AMIs: the login is `admin`, with sudo.
system_info:
  default_user:
    name: admin
    gecos: Debian
    shell: /bin/bash
    lock_passwd: true
    groups: [adm, audio, cdrom, dialout, dip, floppy, plugdev, sudo, video]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
# As there, too: /etc/hosts is written anew at each boot, from /etc/cloud/templates/hosts.debian.tmpl.
manage_etc_hosts: true
# What a machine of the local cloud has no use for: it gets its address from outside, its disk is a
# folder of the host, and Debian's archive is out of reach.
datasource_list: [NoCloud]
network: {config: disabled}
growpart: {mode: "off"}
resize_rootfs: false
apt: {preserve_sources_list: true}
# RSA host keys take a second of one core to make; clients of this decade ask for the others.
ssh_genkeytypes: [ed25519, ecdsa]
CFG

# A power cut costs a machine its whole life here, so syncing each unpacked file buys nothing.
echo force-unsafe-io > "$root/etc/dpkg/dpkg.cfg.d/unsafe-io"

# Consoles nobody sits at, housekeeping for machines that live long, and hardware that is the host's.
for unit in \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    man-db.timer motd-news.timer e2scrub_reap.service \
    console-getty.service getty.target getty@tty1.service serial-getty@.service container-getty@.service \
    systemd-networkd-wait-online.service systemd-firstboot.service systemd-hwdb-update.service \
    systemd-udevd.service systemd-udev-trigger.service systemd-udev-settle.service \
    systemd-udevd-control.socket systemd-udevd-kernel.socket \
    systemd-modules-load.service systemd-random-seed.service systemd-pstore.service \
    systemd-timesyncd.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# The tree as it is first written by dpkg holds backups of the user database; nobody goes back.
rm -f "$root"/etc/passwd- "$root"/etc/group- "$root"/etc/shadow- "$root"/etc/gshadow-

# The mount point of the shared volume (EFS on AWS).
mkdir -p "$root/srv/shared"
