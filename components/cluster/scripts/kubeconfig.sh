#!/usr/bin/env bash
# Prints the operator's kubeconfig for use from outside: an identity of its own, which has its rights by a binding in the
# cluster, so that they can be taken away. It lasts as long as the CA.
# ENDPOINT_NAME: the server in the file as it is    PUBLIC_IP: the server that the operator reaches
# OPERATOR: a number; with another one the identity is another, and the one before has no rights any more
set -euo pipefail

export KUBECONFIG=/etc/kubernetes/admin.conf
user=tinderbox:operator-$OPERATOR
credentials=/etc/kubernetes/operator.conf

if ! grep --quiet --line-regexp --fixed-strings -- "- name: $user" "$credentials" 2>/dev/null; then
  end=$(openssl x509 -noout -enddate -in /etc/kubernetes/pki/ca.crt)
  hours=$((($(date --date "${end#*=}" +%s) - $(date +%s)) / 3600))
  kubeadm kubeconfig user --client-name "$user" --config /etc/kubernetes/tinderbox.yaml \
    --validity-period "${hours}h" 2>/dev/null | put "$credentials" 0600
fi
kubectl apply --filename - >/dev/null <<END
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "tinderbox:operator"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "$user"}]
END
sed "s|https://$ENDPOINT_NAME:|https://$PUBLIC_IP:|" "$credentials"
