#!/usr/bin/env bash
# Approves the kubelets' requests for serving certificates, as they come and for as long as it runs.
#
# A request is approved if the node that asks is known (a file of its name in NODES holds its
# address), asks for itself, and for no other name and address than its own. What a node says of
# itself in its Node object does not count: a node can write there what it likes.
set -euo pipefail

NODES=${NODES:-/etc/kubernetes/nodes}

# request_is_sound USER SUBJECT NAMES ADDRESS: pure, so that it can be tested.
# SUBJECT as RFC 2253; NAMES as openssl prints subject alternative names; ADDRESS: the node's own.
request_is_sound() {
  local user=$1 subject=$2 names=$3 address=$4 node item
  node=${user#system:node:}
  [[ $user == "system:node:$node" && -n $node && -n $address ]] || return 1
  [[ $subject == "CN=$user,O=system:nodes" || $subject == "O=system:nodes,CN=$user" ]] || return 1
  [[ -n $names ]] || return 1
  while IFS= read -r item; do
    [[ $item == "DNS:$node" || $item == "IP Address:$address" ]] || return 1
  done <<<"${names//, /$'\n'}"
}

consider() {
  local request=$1 user encoded state text subject names node address
  IFS='|' read -r user encoded state < <(kubectl get csr "$request" -o \
    jsonpath='{.spec.username}|{.spec.request}|{.status.conditions[*].type}{"\n"}')
  [[ -z $state ]] || return 0
  node=${user#system:node:}
  # A node's name is a DNS name; anything else has no business in a path.
  [[ $node =~ ^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$ && -e $NODES/$node ]] || {
    echo "left alone: $request of $user, who is no known node"
    return 0
  }
  address=$(<"$NODES/$node")
  text=$(base64 -d <<<"$encoded" | openssl req -noout -text -nameopt RFC2253)
  subject=$(sed -n 's/^ *Subject: //p' <<<"$text")
  names=$(sed -n '/Subject Alternative Name/{n;s/^ *//p}' <<<"$text")
  if request_is_sound "$user" "$subject" "$names" "$address"; then
    kubectl certificate approve "$request"
  else
    echo "left alone: $request of $user for [$subject] [$names]"
  fi
}

main() {
  local request
  # The watch begins with what is there, such as a request that could not be looked at, and ends after
  # five minutes; systemd starts it again.
  timeout 300 kubectl get csr --field-selector spec.signerName=kubernetes.io/kubelet-serving \
    --watch --output jsonpath='{.metadata.name}{"\n"}' |
    while IFS= read -r request; do
      consider "$request" || echo "could not look at $request"
    done
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main
