#!/usr/bin/env bash
# On the first of several control planes: waits until the load balancer leads to one that is ready.
# BALANCER: its name within the VPC    ENDPOINT_NAME: the API's, which its certificate is for
set -euo pipefail

leads() {
  curl --silent --fail --max-time 5 --noproxy '*' --output /dev/null --cacert /etc/kubernetes/pki/ca.crt \
    --connect-to "$ENDPOINT_NAME:6443:$BALANCER:6443" "https://$ENDPOINT_NAME:6443/readyz"
}
wait_for 300 "$BALANCER to lead to a control plane" leads
