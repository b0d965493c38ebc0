#!/usr/bin/env bash
# Renews the control plane's certificates when a third of their time is left, and then restarts its parts one after the
# other; with the argument "now", at once. Prints until when they last.
set -euo pipefail

export KUBECONFIG=/etc/kubernetes/admin.conf
configuration=/etc/kubernetes/tinderbox.yaml

# times: of each certificate that kubeadm renews "FROM UNTIL", in seconds.
times() {
  local file
  for file in /etc/kubernetes/pki/{apiserver,apiserver-kubelet-client,apiserver-etcd-client,front-proxy-client}.crt \
    /etc/kubernetes/pki/etcd/{server,peer,healthcheck-client}.crt; do
    seconds <"$file"
  done
  for file in /etc/kubernetes/{admin,super-admin,controller-manager,scheduler}.conf; do
    [[ ! -e $file ]] || sed -n 's/^ *client-certificate-data: //p' "$file" | base64 --decode | seconds
  done
}

seconds() {
  local start end
  { read -r start && read -r end; } < <(openssl x509 -noout -startdate -enddate)
  echo "$(date --date "${start#*=}" +%s) $(date --date "${end#*=}" +%s)"
}

# due: one of them has less than a third of its time left.
due() {
  local from until now
  now=$(date +%s)
  while read -r from until; do
    (((until - now) * 3 >= until - from)) || return 0
  done < <(times)
  return 1
}

# restart PART: the kubelet starts it again at once.
restart() {
  local before
  before=$(crictl ps --quiet --name "^$1\$")
  [[ -z $before ]] || crictl stop "$before" >/dev/null
  wait_for 120 "another $1" runs_anew "$1" "$before"
  wait_for 120 "the API to answer" kubectl get --raw /readyz
}

runs_anew() {
  local now
  now=$(crictl ps --quiet --state running --name "^$1\$")
  [[ -n $now && $now != "$2" ]]
}

if [[ ${1:-} == now ]] || due; then
  # An interruption between the two is made good: it is there until all parts have restarted.
  install -D /dev/null /etc/tinderbox/certificates-renewed
  kubeadm certs renew all --config "$configuration" >/dev/null
fi
if [[ -e /etc/tinderbox/certificates-renewed ]]; then
  for part in etcd kube-apiserver kube-controller-manager kube-scheduler; do
    restart "$part"
  done
  rm -f /etc/tinderbox/certificates-renewed
  say "the control plane's certificates were renewed, and its parts restarted"
fi
end=$(times | cut -d " " -f 2 | sort --numeric-sort | head -n 1)
ca=$(seconds </etc/kubernetes/pki/ca.crt)
kubectl --namespace kube-system create configmap tinderbox-certificates --dry-run=client --output yaml \
  --from-literal "until=$(date --utc --date "@$end" +%FT%TZ)" \
  --from-literal "days=$(($(sed -n 's/^certificateValidityPeriod: \([0-9]*\)h.*/\1/p' "$configuration") / 24))" \
  --from-literal "ca=$(date --utc --date "@${ca#* }" +%FT%TZ)" | kubectl apply --filename - >/dev/null
say "the control plane's certificates last until $(date --utc --date "@$end" +%FT%TZ)"
