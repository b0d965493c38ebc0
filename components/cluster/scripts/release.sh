#!/usr/bin/env bash
# On the control plane: prints the release that all nodes are to have of a part.
# PART: kubernetes or containerd    WANTED: the setting, or its default    CHOSEN: true where it was set
# What was not chosen counts for a new cluster only: one that is there stays as it is.
set -euo pipefail

# refuse_leap WAS WANTED: Kubernetes goes up, and over no minor release. As components/cluster/upgrade.py says it.
refuse_leap() {
  local from=${1#1.} to=${2#1.} says="cluster.version is $1 in this cluster, and $2 is asked for"
  if ((${to%.*} < ${from%.*} || ${to%.*} == ${from%.*} && ${to#*.} < ${from#*.})); then
    fail "$says: Kubernetes does not go back; set $1 or a newer one"
  fi
  ((${to%.*} <= ${from%.*} + 1)) || fail "$says: one minor release after the other; first 1.$((${from%.*} + 1))"
}

kubernetes=$(api_version) was=
if [[ -n $kubernetes ]]; then
  case $PART in
    kubernetes) was=$kubernetes ;;
    containerd) was=$(installed containerd.io) ;;
  esac
fi
if [[ -z $was ]]; then
  echo "$WANTED"
elif [[ $CHOSEN != true ]]; then
  echo "$was"
else
  [[ $PART != kubernetes ]] || refuse_leap "$was" "$WANTED"
  echo "$WANTED"
fi
