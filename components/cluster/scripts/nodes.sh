#!/usr/bin/env bash
# Notes on the volume which nodes there are, for bills: a line for each span of time in which a node was there without
# a gap, of UID, from, until (Unix seconds), name, cores, type, region, spot (yes or nothing), role (control-plane,
# worker, or the name of its group).
set -euo pipefail

notes=/srv/shared/spark/nodes.tsv
# Seconds without a look that are a gap, as when the nodes are stopped; a timer looks every five minutes.
gap=900
export KUBECONFIG=/etc/kubernetes/admin.conf
mountpoint -q /srv/shared || fail "/srv/shared is not mounted: no nodes were noted"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
now=$(date +%s)

label() {
  printf '{"|"}{.metadata.labels.%s}' "${1//./\\.}"
}
columns='{.metadata.uid}{"|"}{.metadata.creationTimestamp}{"|"}{.metadata.name}{"|"}{.status.capacity.cpu}'
for name in node.kubernetes.io/instance-type topology.kubernetes.io/region \
  karpenter.sh/capacity-type eks.amazonaws.com/capacityType tinderbox.internal/capacity-type \
  tinderbox.internal/group; do
  columns+=$(label "$name")
done
columns+='{"|"}{.metadata.labels}'
kubectl get nodes --output "jsonpath={range .items[*]}$columns{\"\\n\"}{end}" >"$work/now"

while IFS='|' read -r uid created name cores type region karpenter eks own group labels; do
  spot='' role=${group:-worker}
  [[ ${karpenter,,}${eks,,}$own != *spot* ]] || spot=yes
  [[ $labels != *'"node-role.kubernetes.io/control-plane"'* ]] || role=control-plane
  printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$uid" "$(date --date "$created" +%s)" "$now" "$name" "$cores" \
    "$type" "$region" "$spot" "$role"
done <"$work/now" >"$work/seen"

[[ -e $notes ]] || : >"$notes"
awk -F '\t' -v OFS='\t' -v now="$now" -v most="$gap" '
  is_new {
    if (!($1 in last)) line[++n] = $0
    else {
      split(line[last[$1]], span, FS)
      if (now - span[3] <= most) { $2 = span[2]; line[last[$1]] = $0 }
      else { $2 = now; line[++n] = $0 }
    }
    next
  }
  { line[++n] = $0; last[$1] = n }
  END { for (i = 1; i <= n; i++) print line[i] }
' "$notes" is_new=1 "$work/seen" >"$notes.part"
mv "$notes.part" "$notes"
