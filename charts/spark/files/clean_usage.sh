#!/usr/bin/env bash
# clean_usage FOLDER DAYS: each hour removes what is older below FOLDER, all but usage.json, and the
# folders that are empty then. Beside the history server, which removes event logs of that age.
clean_usage() {
  while true; do
    if [[ -d $1 ]]; then
      find "$1" -mindepth 2 -type f ! -name usage.json -mmin "+$(($2 * 1440))" -delete || true
      find "$1" -mindepth 1 -type d -empty -mmin +60 -delete || true
    fi
    sleep 3600
  done
}
