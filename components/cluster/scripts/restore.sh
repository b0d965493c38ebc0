#!/usr/bin/env bash
# Brings the state of a snapshot back onto this control plane, which lives. Pods of today that the snapshot does not
# know end; machines stay the nodes that they are.
# The argument is the name of a snapshot; without it, their names are printed.
set -euo pipefail

export KUBECONFIG=/etc/kubernetes/admin.conf
name=${1:-}
if [[ -z $name ]]; then
  list_snapshots
  exit 0
fi
[[ $name == *[!A-Za-z0-9.-]* || ! -e $SNAPSHOTS/$name ]] && fail "there is no snapshot $name; there are: $(list_snapshots | tr '\n' ' ')"

manifests=/etc/kubernetes/manifests
stopped=/etc/kubernetes/stopped-for-restore
data=/var/lib/etcd
parts=(kube-scheduler kube-controller-manager kube-apiserver etcd)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/restore.XXXXXX")

# start: the parts of the control plane run, with the data of before where the other is not there whole.
start() {
  local part
  [[ -e $data/member ]] || mv "$data/before" "$data/member"
  for part in "${parts[@]}"; do
    [[ ! -e $stopped/$part.yaml ]] || mv "$stopped/$part.yaml" "$manifests/$part.yaml"
  done
}
trap 'start; rm -rf "$work"' EXIT

# What a call that was killed left is put right first.
start

none_runs() {
  local part
  for part in "${parts[@]}"; do
    [[ -z $(crictl ps --quiet --name "^$part\$") ]] || return 1
  done
}

# settle_nodes: the machines are what they are, whatever the snapshot says: those that joined later get their node back,
# those that left later don't.
settle_nodes() {
  local node
  for node in $(kubectl get nodes --output name); do
    [[ -e $work/$node ]] || kubectl delete "$node"
  done
  for node in "$work"/node/*; do
    [[ $node != *.labels ]] || continue
    kubectl get "node/${node##*/}" >/dev/null 2>&1 || kubectl create --filename "$node"
    # shellcheck disable=SC2046 # one argument for each label
    kubectl label --overwrite "node/${node##*/}" $(<"$node.labels") >/dev/null
  done
}

fetch_etcd_tools
wait_for 60 "etcd to answer" at_etcd 127.0.0.1 member list
members=$(list_members 127.0.0.1 | wc -l)
((members == 1)) || fail "this cluster has $members control planes, and a snapshot can be brought back to one only (docs/ha.md)"
open_snapshot "$name" "$work/snapshot" || exit 1
cmp --silent "$work/snapshot/pki/ca.crt" /etc/kubernetes/pki/ca.crt || fail "$name is of another cluster than this one"
tinderbox-snapshot "before $name was brought back"
mkdir "$work/node"
for node in $(kubectl get nodes --output name); do
  kubectl get "$node" --output yaml | grep -vE '^  (resourceVersion|uid|creationTimestamp):' >"$work/$node"
  # shellcheck disable=SC2016 # these are the template's
  kubectl get "$node" --output go-template='{{range $key, $value := .metadata.labels}}{{$key}}={{$value}} {{end}}' >"$work/$node.labels"
done
address=$(sed -n 's/^  advertiseAddress: //p' /etc/kubernetes/tinderbox.yaml)
restored=$(restore_etcd "$work/snapshot" "$(sed -n 's/^ *- --name=//p' "$manifests/etcd.yaml")" "$address") ||
  fail "etcd takes no data from $name"

say "the control plane stops"
install -d "$stopped"
for part in "${parts[@]}"; do
  [[ ! -e $manifests/$part.yaml ]] || mv "$manifests/$part.yaml" "$stopped/$part.yaml"
done
wait_for 120 "the control plane to stop" none_runs
rm -rf "$data/before"
mv "$data/member" "$data/before"
mv "$restored" "$data/member"
start
wait_for 240 "the API to answer" kubectl get --raw /readyz
rm -rf "$data/before" "${restored%/*}"
wait_for 60 "the nodes to be as they are" settle_nodes
say "the cluster is as it was at $(about "$work/snapshot" made), with the machines of today"
