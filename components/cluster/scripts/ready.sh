#!/usr/bin/env bash
# Waits until the machine has finished its first boot.
set -euo pipefail

# 2 means done with warnings, which is done.
code=0
timeout $((300 * PATIENCE)) cloud-init status --wait || code=$?
((code == 0 || code == 2)) || fail "cloud-init did not finish (exit code $code); see /var/log/cloud-init-output.log"
