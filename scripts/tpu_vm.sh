#!/usr/bin/env bash
# A run on a TPU slice of Google Cloud, from a machine that has `gcloud`.
#
#   scripts/tpu_vm.sh [--dry-run] create          waits for the slice
#   scripts/tpu_vm.sh [--dry-run] setup           the committed code, on all hosts
#   scripts/tpu_vm.sh [--dry-run] run TRAIN_ARGS  until the run is finished
#   scripts/tpu_vm.sh [--dry-run] logs            what host 0 says
#   scripts/tpu_vm.sh [--dry-run] stop            saves, and gives the slice back
#
# `run` creates and sets up what is not there: after a preemption the run goes
# on from its newest checkpoint. It may be interrupted and called again; the
# hosts go on training without it. --dry-run prints every command instead.
#
# The environment names the slice:
#   TPU_NAME, TPU_ZONE   as in TPU_NAME=dpo TPU_ZONE=us-west4-a
#   TPU_TYPE             v5litepod-16, v6e-16, v5p-32: chips, of v5p cores
#   TPU_BUCKET           gs://BUCKET[/FOLDER]: checkpoints, and host 0's logs
#   TPU_SPOT=yes         a spot slice, cheaper and preempted at any time
#   TPU_VERSION          the system's image, where the type's usual is not meant
set -euo pipefail
cd "$(dirname "$0")/.."
POLL_S=${TPU_POLL_S:-30}
EXTRAS=tpu,gcs

fail() { printf 'error: '; printf '%s\n' "$@"; exit 1; } >&2

usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; }

cloud() {
  if [ -n "$dry" ]; then
    printf '+ gcloud'; printf ' %q' "$@"; printf '\n'
  else
    gcloud "$@"
  fi
}

named() {
  local name
  for name in "$@"; do
    [ -n "${!name:-}" ] || fail "$name is not set." \
      "  $name=… scripts/tpu_vm.sh $verb; the head of the file tells them all."
  done
}

version() {
  case $TPU_TYPE in
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v6e-*) echo v2-alpha-tpuv6e ;;
    *) fail "TPU_TYPE=$TPU_TYPE: no image is known for it; set TPU_VERSION." ;;
  esac
}

queue() { cloud compute tpus queued-resources "$@" --zone "$TPU_ZONE"; }

# Runs a command on all hosts (or on one: on 0 …).
on() {
  cloud compute tpus tpu-vm ssh "$TPU_NAME" --zone "$TPU_ZONE" \
    --worker "$1" --command "$2"
}

# ACTIVE and so on; NONE where there is no such slice, UNKNOWN without network.
state() {
  local said
  [ -z "$dry" ] || { echo NONE; return; }
  if said=$(queue describe "$TPU_NAME" --format 'value(state.state)' 2>&1); then
    echo "${said##*$'\n'}"
  else
    case $said in *NOT_FOUND*) echo NONE ;; *) echo UNKNOWN ;; esac
  fi
}

create() {
  named TPU_TYPE
  local image=${TPU_VERSION:-} spot=() now
  [ -n "$image" ] || image=$(version)
  [ -z "${TPU_SPOT:-}" ] || spot=(--spot)
  queue create "$TPU_NAME" --node-id "$TPU_NAME" --accelerator-type "$TPU_TYPE" \
    --runtime-version "$image" "${spot[@]}"
  [ -z "$dry" ] || return 0
  while now=$(state); [ "$now" != ACTIVE ]; do
    case $now in
      FAILED | SUSPENDED)
        fail "$TPU_NAME was not given: $now." \
          "  gcloud compute tpus queued-resources describe $TPU_NAME" \
          "  --zone $TPU_ZONE tells why; \`stop\` removes the request."
        ;;
    esac
    echo "$TPU_NAME: $now" >&2
    sleep "$POLL_S"
  done
}

setup() {
  local archive
  archive=$(mktemp -d)/alignjax.tar.gz
  git archive --format tar.gz --prefix alignjax/ --output "$archive" HEAD
  cloud compute tpus tpu-vm scp "$archive" "$TPU_NAME:alignjax.tar.gz" \
    --zone "$TPU_ZONE" --worker all
  rm -r "$(dirname "$archive")"
  on all 'tar xzf alignjax.tar.gz && cd alignjax && . scripts/env.sh &&
    { find_python >/dev/null 2>&1 ||
      sudo apt-get install -qq python3.11-venv; } && prepare '$EXTRAS
}

remove() { queue delete "$TPU_NAME" --force --quiet; }

# The run on all hosts, until it ends there; host 0 is asked how.
run() {
  named TPU_BUCKET
  local status begin
  begin=$(printf ' %q' "TPU_NAME=$TPU_NAME" "TPU_BUCKET=$TPU_BUCKET" \
    scripts/tpu_vm.sh attach "$@")
  while true; do
    case $(state) in
      ACTIVE) on all "test -e alignjax/.venv/installed-$EXTRAS" || setup ;;
      NONE) create; setup ;;
      SUSPENDED | FAILED) remove; create; setup ;;
      *) sleep "$POLL_S"; continue ;;
    esac
    on all "cd alignjax && env$begin" || true
    [ -z "$dry" ] || return 0
    status=$(on 0 "cat alignjax/runs/$TPU_NAME.status" 2>/dev/null) ||
      status=none
    case $status in
      0) echo "$TPU_NAME: finished. \`stop\` gives the slice back." && return ;;
      75 | none) echo "$TPU_NAME: was interrupted, and goes on" >&2 ;;
      *)
        on 0 "tail -n 20 alignjax/runs/$TPU_NAME.log" >&2
        fail "$TPU_NAME ended with status $status."
        ;;
    esac
    sleep "$POLL_S"
  done
}

logs() { on 0 "tail -n 100 -F alignjax/runs/$TPU_NAME.log"; }

stop() {
  # The brackets: this command's own line is none of the run's. Then it waits
  # until the run has let go, its last copies too.
  [ "$(state)" != ACTIVE ] || on all "pkill -TERM -f '[a]lignjax train' &&
    flock alignjax/runs/$TPU_NAME.lock true" || true
  remove
}

# On a host: trains unless that is done already, and shows the log meanwhile.
attach() {
  local log=runs/$TPU_NAME.log lock=runs/$TPU_NAME.lock from
  mkdir -p runs && touch "$log"
  from=$(($(stat -c %s "$log") + 1))
  exec 9>>"$lock"
  # The run has the lock with the descriptor, until it ends.
  ! flock --nonblock 9 || setsid --fork "$PWD/scripts/tpu_vm.sh" train "$@" \
    >>"$log" 2>&1 </dev/null
  exec 9>&-
  flock "$lock" true &
  tail -c "+$from" -F --pid=$! "$log"
}

# Apart from whoever began it. Host 0 brings its logs into the bucket.
train() {
  local folder=runs/$TPU_NAME there=$TPU_BUCKET/$TPU_NAME status=0 copies=
  rm -f "$folder.status"
  mkdir -p "$folder"
  case $(hostname) in
    *-w-0)
      gcloud storage rsync -r "$there/run" "$folder" || true  # none at first
      while sleep 60; do
        gcloud storage rsync -r "$folder" "$there/run"
      done 9>&- &
      copies=$!
      ;;
  esac
  .venv/bin/alignjax train --hosts=auto --workdir "$folder" \
    --config.checkpoint.folder="$there/checkpoints" "$@" 9>&- || status=$?
  if [ -n "$copies" ]; then
    kill "$copies"
    gcloud storage rsync -r "$folder" "$there/run" || true
  fi
  echo "$status" >"$folder.status"
}

dry=
[ "${1:-}" != --dry-run ] || { dry=yes && shift; }
verb=${1:-}
[ $# -eq 0 ] || shift
case $verb in
  create | setup | run | logs | stop) named TPU_NAME TPU_ZONE ;;
  attach | train) ;;
  -h | --help) usage && exit ;;
  *) usage >&2 && exit 2 ;;
esac
"$verb" "$@"
