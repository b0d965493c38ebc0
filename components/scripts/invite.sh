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
kubeadm token delete "$id" >/dev/null 2>&1 || true
token=$(kubeadm token create "$id.$(openssl rand -hex 8)" --ttl 0 --description "for $WORKER")
hash=$(openssl x509 -in /etc/kubernetes/pki/ca.crt -pubkey -noout | openssl pkey -pubin -outform der | sha256sum)
echo "$token sha256:${hash%% *}"
