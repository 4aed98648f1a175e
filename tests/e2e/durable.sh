#!/usr/bin/env bash
# Data that a program reports as saved survives a power failure: files and folders are synced before
# they get their final names, and the parent folder afterwards. A preloaded library logs the calls of
# the programs to the C library; it can also shorten transfers and simulate a full disk.
# usage: durable.sh BIN SOURCE PRELOADED_LIBRARY CASE
set -euo pipefail
bin=$1 source=$2 library=$3 case=$4
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
here=$(realpath .)

# behind VARIABLE=VALUE... -- COMMAND...: runs a command with the library, which logs and disturbs
# only operations on files below the current folder.
behind() {
  local given=()
  while [ "$1" != -- ]; do
    given+=("$1")
    shift
  done
  shift
  env "LD_PRELOAD=$library" "RETNET_IO_UNDER=$here" "${given[@]}" "$@"
}
# Runs the ranks of mpirun with the library, but not mpirun itself.
# shellcheck disable=SC2016
ranks() { # ranks NP VARIABLE=VALUE... -- COMMAND...
  local np=$1
  shift
  mpirun -n "$np" --oversubscribe --bind-to none bash -c 'export LD_PRELOAD="$1" RETNET_IO_UNDER="$2"
    shift 2
    while [ "$1" != -- ]; do export "$1"; shift; done
    shift
    exec "$@"' ranks "$library" "$here" "$@"
}

# ordered LOG NAME...: checks that each NAME was given by a rename after everything below it had been
# synced, and that its parent folder was synced next. A written file is unsynced until its fsync.
ordered() {
  local log=$1
  shift
  awk -v wanted="$*" '
    function bad(what) {print NR ": " what; failed = 1}
    function folder(path) {sub("/[^/]*$", "", path); return path}
    function below(path, top) {return path == top || index(path, top "/") == 1}
    function named(path) {sub(".*/", "", path); return path}
    function settle(next_name) {
      if (pending != "") bad(given ": its folder is not synced before " next_name)
      pending = ""
    }
    {count[$1]++}
    $1 == "write" {dirty[$2] = NR}
    $1 == "create" || $1 == "mkdir" {names[$2] = NR}
    $1 == "fsync" {
      delete dirty[$2]
      for (p in names) if (folder(p) == $2) delete names[p]
      if ($2 == pending) {
        for (p in names) if (below(given, p) && p !~ /\.tmp$|\.building-/) {
          bad(given ": the name of " p " is not synced")
        }
        pending = ""
      }
    }
    $1 == "rename" || $1 == "exchange" {
      settle($3)
      if ($3 ~ /shared-memory/) next # need not survive a crash
      if ($3 ~ /\.tmp$|\.bad$/ && $1 == "rename") next # renamed to be removed
      for (p in dirty) if (below(p, $2)) bad(p " is not synced before " $2 " becomes " $3)
      for (p in names) if (p != $2 && below(p, $2)) {
        bad("the name " p " is not synced before " $2 " becomes " $3)
      }
      delete names[$2]
      pending = folder($3)
      given = $3
      seen[named($3)] = 1
    }
    $1 == "unlink" {settle("the removal of " $2); delete names[$2]; delete dirty[$2]}
    END {
      settle("the end")
      n = split(wanted, want, " ")
      for (i = 1; i <= n; i++) if (!(want[i] in seen)) bad(want[i] " was never named")
      if (!count["write"] || !count["fsync"]) bad("nothing is recorded")
      exit failed
    }' "$log" >ordered.out || fail "$log: $(head -n 3 ordered.out)"
}

build=("$bin/retnet-data" build --val-fraction 0.02 --include '*.c' "$source")
"${build[@]}" --out data >/dev/null
cat >run.yaml <<'YAML'
run: {dir: run}
model: {layers: 2, dim: 32, value_dim: 64, ffn_dim: 48, heads: 4}
data: {dir: data, sequence_length: 96, batch_sequences: 6}
train: {steps: 12, eval_every: 4}
checkpoint: {every: 4, keep_last: 2}
YAML
trained=("$bin/retnet-train" run.yaml)

case $case in
  order)
    behind "RETNET_IO_LOG=$here/build.log" -- "${build[@]}" --out logged >/dev/null
    ordered build.log 00000.rtd logged
    grep -q '^write .*/val/' build.log || fail "no val shard in $(head -n 5 build.log)"
    ranks 2 "RETNET_IO_LOG=$here/train.log" -- "${trained[@]}" >out 2>&1 || fail "$(tail -n 3 out)"
    ordered train.log step-00000004 step-00000008 step-00000012 latest summary.json
    parts=$(grep -oE '^fsync .*/part-[0-9]+.zst' train.log | wc -l)
    [ "$parts" -ge 6 ] || fail "$parts parts were synced, by two ranks in three saves"
    grep -qE '^unlink .*step-00000004' train.log || fail 'the first checkpoint was not removed'
    # A damaged checkpoint is renamed, and the step is saved again.
    printf x | dd of=run/checkpoints/step-00000012/part-00000.zst bs=1 seek=50 conv=notrunc status=none
    ranks 2 "RETNET_IO_LOG=$here/again.log" -- "${trained[@]}" >out 2>&1 || fail "$(tail -n 3 out)"
    ordered again.log step-00000012 latest
    ;;
  short)
    behind RETNET_IO_SHORT=1 -- "${build[@]}" --out short >/dev/null
    cmp short/train/00000.rtd data/train/00000.rtd || fail 'short transfers change a shard'
    behind RETNET_IO_SHORT=1 -- "$bin/retnet-data" verify short >/dev/null || fail 'short reads'
    must_train 2 whole
    ranks 2 RETNET_IO_SHORT=1 -- "${trained[@]}" -s train.steps=8 >out 2>&1 || fail "$(tail -n 3 out)"
    ranks 2 RETNET_IO_SHORT=1 -- "${trained[@]}" >out 2>&1 || fail "$(tail -n 3 out)"
    same_run whole run
    ;;
  full)
    for bytes in 0 1 1500 40000; do
      code=0
      behind "RETNET_IO_FULL=$bytes" -- "${build[@]}" --out none >out 2>&1 || code=$?
      [ "$code" = 1 ] || fail "a disk of $bytes bytes: retnet-data ended with $code"
      grep -q 'No space left' out || fail "a disk of $bytes bytes is not named: $(cat out)"
      [ -z "$(find . -name 'none*')" ] || fail "a disk of $bytes bytes: $(find . -name 'none*')"
    done
    must_train 2 whole
    must_train 2 run train.steps=4
    cp -r run first
    for bytes in 3000 200000; do
      rm -rf run
      cp -r first run
      code=0
      ranks 2 "RETNET_IO_FULL=$bytes" -- "${trained[@]}" >out 2>&1 || code=$?
      [ "$code" = 1 ] || fail "a last save on a disk of $bytes bytes ended with $code: $(cat out)"
      grep -q 'No space left' out || fail "a disk of $bytes bytes is not named: $(tail -n 3 out)"
      "$bin/retnet-ckpt" verify run >/dev/null || fail "$bytes: what was saved is lost"
      ranks 2 -- "${trained[@]}" >out 2>&1 || fail "after $bytes bytes: $(tail -n 3 out)"
      same_run whole run
    done
    ;;
  rollback)
    # A spike in step 9 drops the save of step 8, and the run returns to step 4; the signal arrives
    # meanwhile. The stop must save step 4 again, because the bad batches are now skipped; the resumed
    # run must not read them again.
    guarded=(train.spike_action=rollback train.spike_window=4 train.spike_sigma=1000)
    ends 0 step.spike:9 whole "${guarded[@]}"
    key_options "${guarded[@]}" run.requeue_exit=true
    for exchange in '' RETNET_IO_NO_EXCHANGE=1; do
      rm -rf run
      code=0
      # shellcheck disable=SC2086
      behind RETNET_IO_USR1=step-00000008.tmp RETNET_FAULT=step.spike:9 $exchange -- \
        "${trained[@]}" "${keys[@]}" >run.log 2>&1 || code=$?
      [ "$code" = 75 ] || fail "a stop after a rollback ended with $code: $(tail -n 3 run.log)"
      says run 'stopped after step 4'
      "$bin/retnet-ckpt" show run >show.log
      grep -q '^next sequence  54$' show.log || fail "$exchange: $(grep '^next' show.log)"
      [ "$(ls run/checkpoints)" = "$(printf '%s\n' latest step-00000004)" ] ||
        fail "$exchange: $(ls run/checkpoints)"
      ends 0 none run "${guarded[@]}"
      same_content whole run
    done
    ;;
  *)
    fail "no such case: $case"
    ;;
esac
finish
