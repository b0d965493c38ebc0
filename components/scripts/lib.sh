# shellcheck shell=bash
# Put before every step's script by components/steps.py.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# How many times as long things may take here: more than once on an emulated machine.
: "${PATIENCE:=1}"

# say TEXT...: one line of progress.
say() {
  printf '%s\n' "$*"
}

# fail TEXT...: one line on stderr, and the step ends.
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# fail_fixed SETTING WAS WANTED: for what can't be changed in a cluster that is there.
fail_fixed() {
  fail "$1 is $2 in this cluster, and $3 is asked for: set it back, or make destroy and make up anew"
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds; past the limit it fails with WHAT.
wait_for() {
  local limit=$(($1 * PATIENCE)) what=$2 end
  shift 2
  end=$((SECONDS + limit))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || fail "gave up after ${limit} s waiting for ${what}"
    sleep 0.2
  done
}

# put FILE [MODE]: standard input becomes the file's content; PUT_CHANGED says whether that changed it.
# shellcheck disable=SC2034 # the scripts read PUT_CHANGED
put() {
  local file=$1 mode=${2:-0644} new
  new=$(mktemp)
  cat >"$new"
  PUT_CHANGED=no
  if ! cmp -s "$new" "$file"; then
    install -D -m "$mode" "$new" "$file"
    PUT_CHANGED=yes
  fi
  rm -f "$new"
}

# apt_get ARGUMENTS...: a fresh image may be updating itself and hold a lock, 5 minutes at most. For
# dpkg's apt waits by itself, for that of its lists it does not.
apt_get() {
  local errors end=$((SECONDS + 300 * PATIENCE))
  errors=$(mktemp)
  until apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@" 2>"$errors"; do
    if ((SECONDS >= end)) || ! grep -q /lists/lock "$errors"; then
      cat "$errors" >&2
      rm -f "$errors"
      return 100
    fi
    sleep 0.5
  done
  rm -f "$errors"
}
