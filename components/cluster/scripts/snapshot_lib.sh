# shellcheck shell=bash
# What a snapshot of the control plane is: one file on the shared volume, made by snapshot.sh, brought back by
# restore.sh, and by init.sh on another instance.
#
# In it are etcd's data and the keys that make the cluster this one. gpg encrypts it with a key of the stack's; it
# also tells what was changed since, or is another stack's (`openssl enc` does not).

SNAPSHOTS=/srv/shared/tinderbox/backups
SNAPSHOT_KEY=/etc/tinderbox/backup.key
ETCD_TOOLS=/usr/local/lib/tinderbox
# Below /etc/kubernetes. From the keys kubeadm makes all other certificates; the last three are ours.
KEYS_OF_CLUSTER=(pki/{ca,front-proxy-ca,etcd/ca}.{crt,key} pki/sa.{key,pub})
# shellcheck disable=SC2034 # for snapshot.sh
IDENTITY=("${KEYS_OF_CLUSTER[@]}" tinderbox.yaml approver.conf operator.conf)

# fetch_etcd_tools [IMAGE]: etcdctl and etcdutl, as that image of etcd's has them, or the one that runs here.
fetch_etcd_tools() {
  local image=${1:-} mounted
  [[ -n $image ]] || image=$(sed -n 's/^ *image: //p' /etc/kubernetes/manifests/etcd.yaml)
  [[ ! -e $ETCD_TOOLS/etcd-image || $(<"$ETCD_TOOLS/etcd-image") != "$image" ]] || return 0
  crictl inspecti "$image" >/dev/null 2>&1 || crictl pull "$image" >/dev/null
  mounted=$(mktemp -d)
  ctr --namespace k8s.io images mount "$image" "$mounted" >/dev/null
  install -D --target-directory "$ETCD_TOOLS" "$mounted"/usr/local/bin/etcd{ctl,utl}
  ctr --namespace k8s.io images unmount --rm "$mounted" >/dev/null
  rmdir "$mounted"
  put "$ETCD_TOOLS/etcd-image" <<<"$image"
}

# sealed MODE [ARGUMENTS...]: gpg with the stack's key; --symmetric encrypts and --decrypt decrypts its standard input.
sealed() {
  local home code=0
  home=$(mktemp -d)
  # The key is random: no need to stretch it. No agent: there is no person to ask.
  gpg --homedir "$home" --batch --quiet --no-autostart --no-symkey-cache --pinentry-mode loopback \
    --passphrase-file "$SNAPSHOT_KEY" --s2k-count 65536 --cipher-algo AES256 "$@" || code=$?
  rm -rf "$home"
  return "$code"
}

# list_snapshots: their names, the newest first.
list_snapshots() {
  local file
  for file in "$SNAPSHOTS"/*.snapshot; do
    [[ -e $file ]] && printf '%s\n' "${file##*/}"
  done | sort --reverse
}

# is_sound FILE: etcd's snapshot can be brought back; only a trial looks at its checksum (`snapshot status` does not).
is_sound() {
  local code=0
  "$ETCD_TOOLS/etcdutl" snapshot restore "$1" --data-dir "$1.trial" >/dev/null 2>&1 || code=$?
  rm -rf "$1.trial"
  return "$code"
}

# open_snapshot NAME FOLDER: what is in it; otherwise says what is wrong with it. FOLDER is root's own.
open_snapshot() {
  local name=$1 folder=$2 file
  rm -rf "$folder"
  install -d -m 0700 "$folder"
  # As a whole, before anything in it counts.
  if ! sealed --decrypt <"$SNAPSHOTS/$name" >"$folder/tar" 2>/dev/null; then
    say "$name can't be used: it is broken, or another stack's; this stack's key does not open it"
    return 1
  fi
  if tar --extract --file "$folder/tar" --directory "$folder" 2>/dev/null && rm "$folder/tar" &&
    is_sound "$folder/etcd.db"; then
    for file in about "${KEYS_OF_CLUSTER[@]}" tinderbox.yaml; do
      [[ -s $folder/$file ]] || break
    done
    [[ ! -s $folder/$file ]] || return 0
  fi
  say "$name can't be used: there is no sound control plane in it"
  return 1
}

# about FOLDER KEY: what an opened snapshot says of itself.
about() {
  sed -n "s/^$2=//p" "$1/about"
}

# restore_etcd FOLDER NODE ADDRESS: etcd's data from an opened snapshot, for the node of this name and address; prints
# where it is, on the file system of etcd's own.
restore_etcd() {
  local into=/var/lib/etcd/restored
  rm -rf "$into"
  # Whoever watches has seen later revisions: a number beyond them all makes them look anew.
  "$ETCD_TOOLS/etcdutl" snapshot restore "$1/etcd.db" --data-dir "$into" --name "$2" \
    --initial-cluster "$2=https://$3:2380" --initial-advertise-peer-urls "https://$3:2380" \
    --bump-revision 1000000000 --mark-compacted >/dev/null 2>&1 || return
  echo "$into/member"
}
