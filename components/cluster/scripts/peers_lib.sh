# shellcheck shell=bash
# What init.sh does where there are several control planes. After kubelet_lib.sh, snapshot_lib.sh and etcd_lib.sh.
# CONTROL_PLANES: "NAME=ADDRESS ..." of all, the first one first; not set where there is one.
: "${CONTROL_PLANES:=}"
# The keys that make the cluster this one, encrypted as snapshots are: with them a control plane joins one that lives.
KEYS=/srv/shared/tinderbox/keys

is_first() {
  [[ -z $CONTROL_PLANES || $CONTROL_PLANES == "$NODE_NAME="* ]]
}

# others: the addresses of the control planes but for this one.
others() {
  local one
  for one in $CONTROL_PLANES; do
    [[ ${one#*=} == "$NODE_IP" ]] || echo "${one#*=}"
  done
}

# publish_keys: whoever joins finds them.
publish_keys() {
  [[ -n $CONTROL_PLANES ]] || return 0
  put "$SNAPSHOT_KEY" 0600 <<<"$BACKUP_KEY"
  if [[ -e $KEYS ]] && sealed --decrypt <"$KEYS" 2>/dev/null | tar --extract --to-stdout pki/ca.crt | cmp --silent - /etc/kubernetes/pki/ca.crt; then
    return 0
  fi
  install -d -m 0700 "${KEYS%/*}"
  rm -f "$KEYS.new"
  tar --create --directory /etc/kubernetes "${KEYS_OF_CLUSTER[@]}" | (umask 077 && sealed --symmetric >"$KEYS.new")
  mv -f "$KEYS.new" "$KEYS"
}

# take_keys FOLDER: false where there are none.
take_keys() {
  [[ -n $CONTROL_PLANES && -e $KEYS ]] || return
  put "$SNAPSHOT_KEY" 0600 <<<"$BACKUP_KEY"
  sealed --decrypt <"$KEYS" 2>/dev/null | tar --extract --directory "$1" ||
    fail "$KEYS can't be opened: it is broken, or another stack's; a new cluster is made when it is moved away"
}

# asked ADDRESS CA: the API server there is ready; 22 where it answers and is not.
asked() {
  curl --silent --fail --max-time 5 --noproxy '*' --output /dev/null --cacert "$2" "https://$1:6443/readyz"
}

# lives CA: prints the address of another control plane that is ready; false where there is none.
lives() {
  local address
  for address in $(others); do
    if asked "$address" "$1"; then
      echo "$address"
      return
    fi
  done
  return 1
}

# is_unwell CA: another control plane answers, and is not ready.
is_unwell() {
  local address code
  for address in $(others); do
    code=0
    asked "$address" "$1" || code=$?
    ((code != 22)) || return 0
  done
  return 1
}

# find_living CA: as lives, after a while. One that answers and is not ready may be choosing another leader: a second
# cluster beside it would be the end of both.
find_living() {
  (wait_for 20 "another control plane" lives "$1") 2>/dev/null ||
    { is_unwell "$1" && (wait_for 180 "another control plane" lives "$1") 2>/dev/null; } || return 1
  lives "$1"
}

# is_left_behind: this node was a control plane, and is none of those that live: they go on from another state.
is_left_behind() {
  local ca=/etc/kubernetes/pki/ca.crt
  [[ -n $CONTROL_PLANES ]] || return
  ! (wait_for 120 "this control plane" asked "$NODE_IP" "$ca") 2>/dev/null || return
  find_living "$ca" >/dev/null || fail "etcd has lost most of its members, and the API of this one alone can't be ready: terminate the first control plane's instance, too, and make up REFRESH=1 brings the newest snapshot back"
}

# forget_gone ADDRESS [NAME]: asks etcd there to know no more those that are neither CONTROL_PLANES nor answer, nor the
# one of that name, with which a new machine comes; their nodes go, too.
forget_gone() {
  local id address name members
  wait_for 60 "etcd to answer at $1" at_etcd "$1" member list
  members=$(list_members "$1")
  while read -r id address name; do
    if [[ ${2:-} == "${name:-none}" || $address == "$NODE_IP" && -n ${2:-} ]]; then
      :
    elif [[ " $CONTROL_PLANES " == *"=$address "* ]] || timeout 3 bash -c "</dev/tcp/$address/2379" 2>/dev/null; then
      continue
    fi
    drop_member "$1" "$id" "$name"
    [[ -z $name ]] || kubectl delete node "$name" --ignore-not-found
  done <<<"$members"
}

# join_living ADDRESS KEYS: this node becomes a control plane of the cluster that the one at ADDRESS is of.
join_living() {
  local configuration=/etc/kubernetes/tinderbox.yaml
  say "the cluster lives at $1: joining it"
  cp --archive "$2/pki" /etc/kubernetes/
  map_name "$ENDPOINT_NAME" "$1"
  # For an hour, by the CA's key: no token has to be handed over.
  kubeadm kubeconfig user --client-name "tinderbox:joins:$NODE_NAME" --org kubeadm:cluster-admins \
    --config "$configuration" --validity-period 1h 2>/dev/null | put /etc/kubernetes/joins.conf 0600
  fetch_etcd_tools "$(kubeadm config images list --config "$configuration" | grep /etcd:)"
  kubeadm init phase certs etcd-healthcheck-client --config "$configuration" >/dev/null
  KUBECONFIG=/etc/kubernetes/joins.conf forget_gone "$1" "$NODE_NAME"
  KUBECONFIG=/etc/kubernetes/joins.conf kubectl delete node "$NODE_NAME" --ignore-not-found
  put /etc/kubernetes/joins.yaml 0600 <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  file: {kubeConfigPath: /etc/kubernetes/joins.conf}
controlPlane:
  localAPIEndpoint: {advertiseAddress: $NODE_IP}
$(registration)
patches: {directory: /etc/kubernetes/patches}
END
  patiently kubeadm join --config /etc/kubernetes/joins.yaml
  rm /etc/kubernetes/joins.{conf,yaml}
  map_name "$ENDPOINT_NAME" "$NODE_IP"
  # It has a copy of /etc/hosts from its own start.
  crictl ps --quiet --name '^kube-proxy$' | xargs --no-run-if-empty crictl stop >/dev/null
}

# name_address: the API server's certificate is good for where the operator reaches it, which may be elsewhere now.
name_address() {
  local configuration=/etc/kubernetes/tinderbox.yaml new
  if grep --quiet "^  certSANs:.*\"$PUBLIC_IP\"" "$configuration" && [[ -z $CONTROL_PLANES ]] || { has_name </etc/kubernetes/pki/apiserver.crt; } 2>/dev/null; then
    return 0
  fi
  say "the API server's certificate is made anew, for $PUBLIC_IP"
  # The file's release is that of the cluster's first day, which a later kubeadm may not know.
  new=$(mktemp)
  sed -e "s/^  certSANs: \[/&\"$PUBLIC_IP\", /" -e "s/^kubernetesVersion: .*/kubernetesVersion: $(kubeadm version --output short)/" \
    "$configuration" >"$new"
  rm -f /etc/kubernetes/pki/apiserver.{crt,key}
  kubeadm init phase certs apiserver --config "$new" >/dev/null
  # It reads the files again by itself, within a minute.
  wait_for 120 "the API server to show its certificate for $PUBLIC_IP" shows_name
  put "$configuration" 0600 <"$new"
  rm "$new"
}

# has_name: the certificate on standard input is good for it.
has_name() {
  openssl x509 -noout -checkip "$PUBLIC_IP" | grep --quiet 'does match'
}

# shows_name: so is the one that the API server shows.
shows_name() {
  openssl s_client -connect "$NODE_IP:6443" </dev/null | has_name
}
