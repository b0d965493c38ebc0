#!/usr/bin/env bash
# Prints the administrator's kubeconfig for use from outside.
# ENDPOINT_NAME: the server in the file as it is    PUBLIC_IP: the server that the operator reaches
set -euo pipefail

sed "s|https://$ENDPOINT_NAME:|https://$PUBLIC_IP:|" /etc/kubernetes/admin.conf
