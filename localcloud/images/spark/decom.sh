#!/bin/bash
# What Kubernetes calls before it ends an executor's pod, with spark.decommission.enabled: tells the
# executor to hand its blocks over, and waits until it has ended: as long as the pod is given, or a
# minute.
set -euo pipefail

executor=$(pgrep --newest --full '^[^ ]*java .*ExecutorBackend')
kill -s PWR "$executor"
timeout 60 tail --pid="$executor" --follow /dev/null || true
