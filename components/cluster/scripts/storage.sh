#!/usr/bin/env bash
# Sees to it that the shared file system is at /srv/shared, and that its folders have their owners.
# FILE_SYSTEM: address of the NFS server (EFS)
set -euo pipefail

shared=/srv/shared
unit=srv-shared.mount
# Without the mount pods would write into the folder below it. So the kubelet comes after it and not
# without it; systemd starts a kubelet that ends again, and each time tries the mount as well. Before
# containerd it would end, too, and be away for ten seconds.
put /etc/systemd/system/kubelet.service.d/20-shared.conf <<END
[Unit]
Wants=$unit
After=$unit containerd.service

[Service]
ExecStartPre=/usr/bin/mountpoint -q $shared
END
is_mounted=true
mountpoint -q "$shared" || is_mounted=false
# A machine of the local cloud has it mounted from its start; else the unit is ours, and stays current.
if ! $is_mounted || [[ -e /etc/systemd/system/$unit ]]; then
  # nofail: logins don't wait for it after a start, and the next step may be there by then.
  put "/etc/systemd/system/$unit" <<END
[Unit]
Description=Shared file system of the cluster

[Mount]
What=$FILE_SYSTEM:/
Where=$shared
Type=nfs4
Options=nfsvers=4.1,hard,noresvport,rsize=1048576,wsize=1048576,timeo=600,retrans=2,_netdev,nofail

[Install]
WantedBy=multi-user.target
END
fi
systemctl daemon-reload
if ! $is_mounted; then
  say "mounting $FILE_SYSTEM"
  command -v mount.nfs4 >/dev/null || {
    apt_get update
    apt_get install -y nfs-common
  }
  systemctl enable --quiet "$unit"
  wait_for 300 "$FILE_SYSTEM to be mounted" systemctl start "$unit"
fi
mountpoint -q "$shared" || fail "$shared is not a mount point: what is written there would stay on one node"

# Spark runs as uid 185 in the official image and in ours; admin brings the input.
install -d -m 0755 "$shared" "$shared/wordcount"
install -d -m 2775 -o "$SUDO_UID" -g 185 "$shared/wordcount/inputs"
install -d -m 2775 -o 185 -g 185 "$shared/wordcount/runs" "$shared/spark" "$shared/spark/events" "$shared/spark/recovery"
# Both engines of the cost analytics run as uid 4583, that of kube-opex-analytics' image.
install -d -m 2775 -o 4583 -g 4583 "$shared/opex"
