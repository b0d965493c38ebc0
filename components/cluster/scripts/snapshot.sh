#!/usr/bin/env bash
# Writes a snapshot of this control plane to the shared volume, whole or not at all; prints its name and size.
# The argument, if any, says what for.
# /etc/tinderbox/snapshots.conf says how often, and what is kept: the newest SNAPSHOTS_KEPT, and the last one of
# each of the last SNAPSHOT_DAYS.
set -euo pipefail

why=${1:-by hand}
export KUBECONFIG=/etc/kubernetes/admin.conf
# shellcheck source=/dev/null
source /etc/tinderbox/snapshots.conf
# What has to stay free on the volume, for all others who write there.
reserve=$((1 << 30))

mountpoint -q /srv/shared || fail "/srv/shared is not mounted: no snapshot was written"
install -d -m 0700 /srv/shared/tinderbox "$SNAPSHOTS"
mkdir -p /run/tinderbox/
exec 9>/run/tinderbox/snapshot.lock
flock 9
# Not in memory, as /tmp may be.
work=$(mktemp -d "${TMPDIR:-/var/tmp}/snapshot.XXXXXX")
draft=$SNAPSHOTS/.draft-$(hostname)
trap 'rm -rf "$work" "$draft"' EXIT

# prune: removes what is kept no longer.
prune() {
  local name day number=0 oldest
  local -A has_one=()
  oldest=$(date --utc --date "-$SNAPSHOT_DAYS days" +%F)
  while IFS= read -r name; do
    day=${name%%T*}
    number=$((number + 1))
    if ((number > SNAPSHOTS_KEPT)) && [[ -n ${has_one[$day]:-} || $day < $oldest ]]; then
      rm -f "$SNAPSHOTS/$name"
    fi
    has_one[$day]=yes
  done < <(list_snapshots)
}

# report: for `make status`, where the cluster keeps it.
report() {
  kubectl --namespace kube-system create configmap tinderbox-backup --dry-run=client --output yaml \
    --from-literal "newest=$name" --from-literal "bytes=$bytes" --from-literal "kept=$(list_snapshots | wc -l)" \
    --from-literal "minutes=$SNAPSHOT_MINUTES" |
    kubectl apply --filename - >/dev/null
}

fetch_etcd_tools
pki=/etc/kubernetes/pki/etcd
"$ETCD_TOOLS/etcdctl" --endpoints https://127.0.0.1:2379 --cacert "$pki/ca.crt" --cert "$pki/healthcheck-client.crt" \
  --key "$pki/healthcheck-client.key" snapshot save "$work/etcd.db" >/dev/null 2>"$work/said" ||
  fail "etcd gave no snapshot: $(tail -n 1 "$work/said")"
is_sound "$work/etcd.db" || fail "etcd's snapshot is not sound"
version=$(kubeadm version --output short)
printf '%s\n' "made=$(date --utc +%FT%TZ)" "why=$why" "kubernetes=${version#v}" "node=$(hostname)" >"$work/about"
here=()
for file in "${IDENTITY[@]}"; do
  [[ ! -e /etc/kubernetes/$file ]] || here+=("$file")
done
tar --create --file "$work/tar" --directory "$work" about etcd.db --directory /etc/kubernetes "${here[@]}"

prune
needed=$(($(stat --format %s "$work/tar") + reserve))
free=$(df --output=avail --block-size=1 "$SNAPSHOTS" | tail -n 1)
((free >= needed)) || fail "$((free >> 20)) MiB are free on /srv/shared, and $((needed >> 20)) are needed: no snapshot was written"
rm -f "$draft"
(umask 077 && sealed --symmetric <"$work/tar" >"$draft")
sync "$draft"
# As it will be read one day.
sealed --decrypt <"$draft" | cmp --silent - "$work/tar" || fail "what was written to $SNAPSHOTS is not what is read there"
name=$(date --utc +%Y-%m-%dT%H-%M-%SZ).snapshot
bytes=$(stat --format %s "$draft")
mv -f "$draft" "$SNAPSHOTS/$name"
sync "$SNAPSHOTS"
prune
say "$name, $((bytes >> 10)) KiB"
report || say "the cluster was not told of it"
