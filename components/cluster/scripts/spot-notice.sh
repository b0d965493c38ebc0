#!/usr/bin/env bash
# A service on spot workers (notice.sh): waits for EC2's notice that this machine is taken away, two minutes
# before that, then lets no more pods come and those that are here go, so that Spark's executors hand over what
# they hold. The node's own credentials do: it may cordon itself, and evict the pods that are on it.
#   spot-notice.sh NODE
set -euo pipefail
node=$1
metadata=http://169.254.169.254/latest

# ask_until_told: EC2's notice, once there is one. It looks every 5 seconds, as AWS says one should, and fails
# before its token ends after six hours; systemd starts it again.
ask_until_told() {
  local token
  token=$(curl -sf --max-time 5 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 21600" "$metadata/api/token")
  curl -sf --retry 5000 --retry-all-errors --retry-delay 5 --retry-max-time 21000 --max-time 5 \
    -H "X-aws-ec2-metadata-token: $token" "$metadata/meta-data/spot/instance-action"
}

# pods: "NAMESPACE NAME" of each pod here that another node can take and that is not on its way already.
pods() {
  # shellcheck disable=SC2016 # these are the template's
  local each='{{range .items}}{{$kind := ""}}{{range .metadata.ownerReferences}}{{$kind = .kind}}{{end}}'
  # shellcheck disable=SC2016
  each+='{{if not (or .metadata.deletionTimestamp (eq $kind "DaemonSet" "Node"))}}'
  each+='{{.metadata.namespace}} {{.metadata.name}}{{"\n"}}{{end}}{{end}}'
  kubectl get pods --all-namespaces --field-selector "spec.nodeName=$node" --output "go-template=$each"
}

# evict NAMESPACE NAME: as a drain does it; fails as long as a budget says no.
evict() {
  printf '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"namespace": "%s", "name": "%s"}}' "$1" "$2" |
    kubectl create --raw "/api/v1/namespaces/$1/pods/$2/eviction" -f - >/dev/null 2>&1
}

# all_are_gone: whether no pod is left here; asks those that are to go. What a budget keeps is asked again.
all_are_gone() {
  local left namespace name
  left=$(pods) || return 1
  [[ -n $left ]] || return 0
  while read -r namespace name; do
    evict "$namespace" "$name" || true
  done <<<"$left"
  return 1
}

notice=$(ask_until_told)
say "EC2 takes this machine away: $notice"
kubectl cordon "$node"
wait_for 110 "budgets to let all pods go" all_are_gone
say "all pods were told to go"
