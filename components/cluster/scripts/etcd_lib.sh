# shellcheck shell=bash
# What init.sh, peer.sh, leads.sh and restore.sh know of etcd's members. After snapshot_lib.sh, which has its tools.

# at_etcd ADDRESS ARGUMENTS...: etcdctl, asking the member there.
at_etcd() {
  local address=$1 pki=/etc/kubernetes/pki/etcd
  shift
  "$ETCD_TOOLS/etcdctl" --endpoints "https://$address:2379" --cacert "$pki/ca.crt" --cert "$pki/healthcheck-client.crt" \
    --key "$pki/healthcheck-client.key" "$@"
}

# list_members ADDRESS: "ID ADDRESS NAME" of each; one that has not started yet has no name.
list_members() {
  local id peers name
  at_etcd "$1" member list | sed 's/, /|/g' | while IFS='|' read -r id _ name peers _; do
    peers=${peers#https://}
    echo "$id ${peers%%:*} $name"
  done
}

# drop_member ADDRESS ID NAME: asks the member at ADDRESS to know that one no more.
drop_member() {
  say "${3:-a control plane that never started} is taken out of etcd's members"
  wait_for 60 "etcd to let $2 go" at_etcd "$1" member remove "$2"
}
