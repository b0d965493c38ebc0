#!/usr/bin/env bash
# On the control plane: runs approve-serving-certificates.sh as a service, with no more rights than it needs.
# APPROVER: its text    NODE_NAME, NODE_IP: this node, which is a node to be approved too
# CONTROL_PLANES: "NAME=ADDRESS ..." of all, where there are several
set -euo pipefail

export KUBECONFIG=/etc/kubernetes/admin.conf
program=/usr/local/sbin/approve-serving-certificates
service=approve-serving-certificates.service
user=tinderbox:serving-certificate-approver
credentials=/etc/kubernetes/approver.conf

for node in ${CONTROL_PLANES:-"$NODE_NAME=$NODE_IP"}; do
  put "/etc/kubernetes/nodes/${node%%=*}" <<<"${node#*=}"
done
kubectl apply -f - >/dev/null <<END
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "$user"}
rules:
  - {apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests], verbs: [get, list, watch]}
  - {apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests/approval], verbs: [update]}
  - apiGroups: [certificates.k8s.io]
    resources: [signers]
    resourceNames: [kubernetes.io/kubelet-serving]
    verbs: [approve]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "$user"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "$user"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "$user"}]
END
if [[ ! -s $credentials ]]; then
  # As long as the cluster's own CA lasts.
  kubeadm kubeconfig user --client-name "$user" --config /etc/kubernetes/tinderbox.yaml \
    --validity-period 87600h 2>/dev/null >"$credentials.new"
  chmod 0600 "$credentials.new"
  mv "$credentials.new" "$credentials"
fi

put "$program" 0755 "$service" <<<"$APPROVER"
put "/etc/systemd/system/$service" 0644 "$service" <<END
[Unit]
Description=Approves the kubelets' serving certificates
After=network-online.target
# The API server may be away for long, as while this node starts; systemd gives up after five tries else.
StartLimitIntervalSec=0

[Service]
Environment=KUBECONFIG=$credentials
ExecStart=$program
Restart=always
RestartSec=1
# The end of its five minutes, which is none of a failure.
SuccessExitStatus=124

[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
start_service "$service"
