#!/usr/bin/env bash
# On a spot worker: runs spot-notice.sh as a service, which empties the node when EC2 takes it away.
# NOTICE: its text    NODE_NAME: this node's
set -euo pipefail

program=/usr/local/sbin/tinderbox-spot-notice
service=tinderbox-spot-notice.service

put "$program" 0755 "$service" <<<"$NOTICE"
put "/etc/systemd/system/$service" 0644 "$service" <<END
[Unit]
Description=Empties this node when EC2 says that it is taken away
After=network-online.target kubelet.service
# The API server may be away for long; systemd gives up after five tries else.
StartLimitIntervalSec=0

[Service]
Environment=KUBECONFIG=/etc/kubernetes/kubelet.conf PATIENCE=$PATIENCE
ExecStart=$program $NODE_NAME
Restart=on-failure
RestartSec=5
# The end of curl's patience, and of its token, is none of a failure, but a reason to ask anew.
SuccessExitStatus=22
RestartForceExitStatus=22

[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
start_service "$service"
