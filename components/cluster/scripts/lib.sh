# shellcheck shell=bash
# Put before every step's script by components/cluster/steps.py.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# How many times as long things may take here: more than once on an emulated machine.
: "${PATIENCE:=1}"

# run_step SECONDS ARGUMENTS...: runs `step` for that long at most, and only as long as somebody reads what it
# prints: a closed connection (Ctrl-C, the network) ends it too. All that it started ends with it.
run_step() {
  local limit=$(($1 * PATIENCE)) code=0 running watching
  shift
  trap 'kill -TERM -- "-${running:-$!}"' TERM HUP INT
  set -m # a process group for each of the two
  step "$@" &
  running=$!
  watch_step "$limit" "$running" &
  watching=$!
  set +m
  wait "$running" 2>/dev/null || code=$?
  end_group "$running"
  kill -KILL -- "-$watching" 2>/dev/null || true
  exit "$code"
}

watch_step() {
  local limit=$1 running=$2 code=0
  # `tail -f` ends when nobody reads its output any more; it has nothing to print.
  timeout --foreground "$limit" tail -f /dev/null || code=$?
  ((code != 124)) || printf 'not done within %s s: ended\n' "$limit" >&2
  end_group "$running"
}

# end_group ID: ends the processes of a group; those that don't listen after 5 seconds by force.
end_group() {
  local signal tries
  for signal in TERM KILL; do
    kill "-$signal" -- "-$1" 2>/dev/null || return 0
    for ((tries = 50; tries; tries--)); do
      kill -0 -- "-$1" 2>/dev/null || return 0
      sleep 0.1
    done
  done
}

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
  local limit=$(($1 * PATIENCE)) what=$2 end is_waiting=1
  shift 2
  end=$((SECONDS + limit))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || fail "gave up after ${limit} s waiting for ${what}"
    sleep 0.2
  done
}

# patiently COMMAND...: again as long as the API server is too busy to answer it in time, for two minutes; what else
# fails, fails at once. Within wait_for, which asks again by itself, once. What it is to read from "-" is read once.
patiently() {
  local argument input='' errors code=0 end=$((SECONDS + 120 * PATIENCE))
  for argument; do
    [[ $argument != - ]] || input=$(cat)
  done
  errors=$(mktemp)
  until command "$@" <<<"$input" 2>"$errors"; do
    code=$?
    if [[ ${is_waiting:-} ]] || ((SECONDS >= end)) || ! is_busy "$errors"; then break; fi
    say "the API server is busy; once more: $1 ${2:-}" >&2
    code=0
    sleep 1
  done
  cat "$errors" >&2
  rm -f "$errors"
  return "$code"
}

# is_busy FILE: whether what a command said is no more than that. Of kubeadm only the first phase leaves a node as it was.
is_busy() {
  ! grep -q 'error execution phase' "$1" || grep -q 'error execution phase preflight' "$1" || return 1
  grep -qE "etcdserver: (request timed out|leader changed|too many requests)|Client\.Timeout exceeded|\
context deadline exceeded|TLS handshake timeout|unable to return a response in the time allotted|\
currently unable to handle the request|received too many requests|did not complete within" "$1"
}

kubectl() {
  patiently kubectl "$@"
}

# put FILE [MODE] [SERVICE]: standard input becomes the file's content, in one rename. SERVICE: it reads the
# file only when it starts; a changed file leaves a note for start_service, which outlives an interruption.
put() {
  local file=$1 mode=${2:-0644} service=${3:-} new
  new=$(mktemp)
  cat >"$new"
  if ! cmp -s "$new" "$file"; then
    [[ -z $service ]] || install -D /dev/null "/run/tinderbox/restart/$service"
    install -D -m "$mode" "$new" "$file.new"
    mv -f "$file.new" "$file"
  fi
  rm -f "$new"
}

# start_service SERVICE: it runs, now and after a reboot, with what `put` gave it; restarted only for that.
start_service() {
  local note=/run/tinderbox/restart/$1
  systemctl enable --quiet "$1"
  if [[ -e $note ]] || ! systemctl is-active --quiet "$1"; then
    systemctl restart "$1"
    rm -f "$note"
  fi
}

# apt_get ARGUMENTS...: a fresh image may be updating itself and hold a lock, 5 minutes at most. For
# dpkg's apt waits by itself, for that of its lists it does not. What an interruption left is completed first.
apt_get() {
  local errors end=$((SECONDS + 300 * PATIENCE))
  errors=$(mktemp)
  until apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@" 2>"$errors"; do
    if ((SECONDS < end)) && grep -q /lists/lock "$errors"; then
      sleep 0.5
    elif ((SECONDS < end)) && grep -q "dpkg was interrupted" "$errors"; then
      dpkg --configure -a --force-confold >/dev/null
    else
      cat "$errors" >&2
      rm -f "$errors"
      return 100
    fi
  done
  rm -f "$errors"
}
