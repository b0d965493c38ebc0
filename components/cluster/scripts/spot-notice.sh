#!/usr/bin/env bash
# A service on spot workers (notice.sh): waits for EC2's notice that this machine is taken away, two minutes
# before that, then lets no more pods come and those that are here go, so that Spark's executors hand over what
# they hold. The node's own credentials do: it may cordon itself, and evict the pods that are on it.
#   spot-notice.sh NODE
set -euo pipefail
node=$1
metadata=http://169.254.169.254/latest

# ask WHAT: what the instance metadata service (version 2) tells; fails where it tells nothing.
ask() {
  local token
  token=$(curl -sf --max-time 2 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "$metadata/api/token") || return 1
  curl -sf --max-time 2 -H "X-aws-ec2-metadata-token: $token" "$metadata/meta-data/$1"
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

# As often as AWS says one should look.
until notice=$(ask spot/instance-action); do sleep 5; done
echo "EC2 takes this machine away: $notice"
kubectl cordon "$node"
end=$((SECONDS + 110 * ${PATIENCE:-1}))
while ((SECONDS < end)); do
  left=$(pods)
  [[ -n $left ]] || break
  while read -r namespace name; do
    evict "$namespace" "$name" || echo "$namespace/$name stays: its budget has no room yet"
  done <<<"$left"
  sleep 1
done
echo "all pods were told to go"
