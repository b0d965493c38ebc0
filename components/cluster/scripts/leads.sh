#!/usr/bin/env bash
# True on the one of several control planes whose etcd leads: what the shared volume needs once is that one's to do.
set -euo pipefail

fetch_etcd_tools
ids=$(at_etcd 127.0.0.1 endpoint status --write-out fields | sed -n 's/^"\(MemberID\|Leader\)" : //p')
[[ $(sort --unique <<<"$ids" | wc -l) == 1 ]] || fail "another control plane's etcd leads"
