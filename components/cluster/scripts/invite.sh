#!/usr/bin/env bash
# On the control plane: makes a worker known and mints the token with which just it joins.
# Prints what that node needs: "TOKEN CA_HASH".
# WORKER, WORKER_IP: the node's name and address
# The token has no end of its own, so that an interrupted update can be taken up whenever; member.sh
# revokes it once the node is in.
set -euo pipefail

export KUBECONFIG=/etc/kubernetes/admin.conf
put "/etc/kubernetes/nodes/$WORKER" <<<"$WORKER_IP"

# An id that follows from the name: a second invitation takes the place of the first.
id=$(sha256sum <<<"$WORKER")
id=${id:0:6}
secret=$(openssl rand -hex 8)
kubectl --namespace kube-system delete secret "bootstrap-token-$id" --ignore-not-found >/dev/null
# By standard input: `kubeadm token create` takes a token on its command line only.
kubectl apply --server-side --filename - >/dev/null <<END
apiVersion: v1
kind: Secret
metadata: {name: bootstrap-token-$id, namespace: kube-system}
type: bootstrap.kubernetes.io/token
stringData:
  description: for $WORKER
  token-id: "$id"
  token-secret: "$secret"
  usage-bootstrap-authentication: "true"
  usage-bootstrap-signing: "true"
  auth-extra-groups: system:bootstrappers:kubeadm:default-node-token
END
echo "$id.$secret $(cluster_ca)"
