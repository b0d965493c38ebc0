#!/usr/bin/env bash
# On the control plane: what keeps it, by timers: snapshots and a list of the nodes on the shared volume, certificates that are renewed.
# SNAPSHOT, RESTORE, CERTIFICATES, NODES: the programs; LEADS: of several control planes only    BACKUP_KEY: secret, with which snapshots are encrypted
# SNAPSHOT_MINUTES, SNAPSHOTS_KEPT, SNAPSHOT_DAYS    CERTIFICATE_DAYS: how long new certificates last
set -euo pipefail

put /etc/tinderbox/backup.key 0600 <<<"$BACKUP_KEY"
put /usr/local/sbin/tinderbox-snapshot 0755 <<<"$SNAPSHOT"
put /usr/local/sbin/tinderbox-restore 0755 <<<"$RESTORE"
put /usr/local/sbin/tinderbox-certificates 0755 <<<"$CERTIFICATES"
put /usr/local/sbin/tinderbox-nodes 0755 <<<"$NODES"
# Several would write the same files of the shared volume.
once=''
if [[ -n ${LEADS:-} ]]; then
  put /usr/local/sbin/tinderbox-leads 0755 <<<"$LEADS"
  once="ExecCondition=/usr/local/sbin/tinderbox-leads"
fi
put /etc/tinderbox/snapshots.conf <<END
SNAPSHOT_MINUTES=$SNAPSHOT_MINUTES
SNAPSHOTS_KEPT=$SNAPSHOTS_KEPT
SNAPSHOT_DAYS=$SNAPSHOT_DAYS
END
# What kubeadm goes by when it renews them.
sed "s/^certificateValidityPeriod: .*/certificateValidityPeriod: $((CERTIFICATE_DAYS * 24))h0m0s/" \
  /etc/kubernetes/tinderbox.yaml | put /etc/kubernetes/tinderbox.yaml 0600

# timer NAME WHAT EVERY COMMAND [LINE]: a program that runs every so often, first soon after a boot.
timer() {
  put "/etc/systemd/system/$1.service" <<END
[Unit]
Description=$2

[Service]
Type=oneshot
${5:+$5
}ExecStart=$4
END
  put "/etc/systemd/system/$1.timer" 0644 "$1.timer" <<END
[Unit]
Description=$2

[Timer]
OnActiveSec=2min
OnUnitActiveSec=$3
AccuracySec=1s

[Install]
WantedBy=timers.target
END
}
timer tinderbox-snapshot "Snapshots of the control plane" "${SNAPSHOT_MINUTES}min" "/usr/local/sbin/tinderbox-snapshot timer" "$once"
timer tinderbox-certificates "Renews the control plane's certificates" 6h /usr/local/sbin/tinderbox-certificates
timer tinderbox-nodes "Notes which nodes there are" 5min /usr/local/sbin/tinderbox-nodes "$once"
systemctl daemon-reload
for name in snapshot certificates nodes; do
  start_service "tinderbox-$name.timer"
done
# For `make status`, from the start.
/usr/local/sbin/tinderbox-certificates
