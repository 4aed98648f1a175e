#!/usr/bin/env bash
# Checks that lost output gives exit code 1 and a message in every program. No standard stream is
# needed, and none that was closed may become a data file. A size limit (ulimit -f) is an error like a
# full disk.
# usage: streams.sh BIN
set -euo pipefail
bin=$1
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

seq -f 'line %g of some plain text' 1 300 >text.txt
"$bin/retnet-data" build --out data --val-fraction 0.1 text.txt >/dev/null
cat >run.yaml <<'EOC'
run: {dir: RUN}
model: {layers: 1, dim: 32, value_dim: 64, ffn_dim: 48, heads: 2}
data: {dir: data, sequence_length: 64, batch_sequences: 2}
train: {steps: 4, eval_every: 2}
checkpoint: {every: 2}
parallel: {threads: 1}
EOC
must_train 1 RUN
small=(-s model.layers=1 -s model.dim=32 -s model.value_dim=64 -s model.ffn_dim=32)

# File descriptor 4 is a pipe without a reader.
mkfifo fifo
exec 3<>fifo
exec 4>fifo 3<&-

lost() { # lost COMMAND...: must end with 1 and a message, wherever the output is lost
  local got where
  for where in '/dev/full' '&4' '&-'; do
    got=0
    eval 'timeout 60 "$@" >'"$where"' 2>lost.log 4>&-' || got=$?
    [ "$got" = 1 ] || fail "$* >$where: exit $got: $(tail -n 2 lost.log)"
    [ "$(grep -c 'cannot write to standard output' lost.log)" = 1 ] ||
      fail "$* >$where: not told once: $(tail -n 2 lost.log)"
  done
}

for program in data train eval generate ckpt bench; do
  lost "$bin/retnet-$program" --help
  lost "$bin/retnet-$program" --version
done
lost "$bin/retnet-data" cat --help
lost "$bin/retnet-data" cat data
lost "$bin/retnet-data" cat --text data
lost "$bin/retnet-data" stat data
lost "$bin/retnet-data" verify data
lost "$bin/retnet-data" recover data/val/00000.rtd
lost "$bin/retnet-ckpt" list RUN
lost "$bin/retnet-ckpt" show RUN
lost "$bin/retnet-ckpt" verify RUN
lost "$bin/retnet-ckpt" diff RUN RUN
for json in '' --json; do
  lost "$bin/retnet-eval" --checkpoint RUN --data data ${json:+"$json"}
  lost "$bin/retnet-generate" --checkpoint RUN --prompt line --tokens 30 ${json:+"$json"}
  lost "$bin/retnet-bench" decode --rounds 1 "${small[@]}" ${json:+"$json"}
done
lost "$bin/retnet-generate" --checkpoint RUN --prompt a --prompt b --tokens 3
lost "$bin/retnet-train" run.yaml --plan
lost "$bin/retnet-train" run.yaml # has already reached its last step

# If nobody reads its output, training must continue to the end.
for where in full pipe closed; do
  got=0
  train_alone=("$bin/retnet-train" run.yaml -s "run.dir=$where")
  case $where in
    full) "${train_alone[@]}" >/dev/full 2>lost.log || got=$? ;;
    pipe) "${train_alone[@]}" >&4 2>lost.log || got=$? ;;
    closed) "${train_alone[@]}" >&- 2>lost.log || got=$? ;;
  esac
  [ "$got" = 1 ] || fail "training into $where: exit $got"
  same_run RUN "$where"
done

# Without any standard stream, the files must be the same and contain no messages.
"$bin/retnet-data" build --out closed-data --val-fraction 0.1 text.txt <&- >&- 2>&- || true
cmp data/train/00000.rtd closed-data/train/00000.rtd || fail 'closed streams: another shard'
cmp data/val/00000.rtd closed-data/val/00000.rtd || fail 'closed streams: another shard of val'
"$bin/retnet-train" run.yaml -s run.dir=none <&- >&- 2>&- || true
same_run RUN none
got=0
"$bin/retnet-data" build --out x - <&- >build.log 2>&1 || got=$?
[ "$got" = 1 ] || fail "standard input is closed: exit $got"
grep -q 'standard input' build.log || fail "standard input is closed: $(cat build.log)"
[ ! -e x ] || fail 'standard input is closed: something was built'

# A size limit is a failed write that must name its file; incomplete files must be removed.
head -c 300000 /dev/urandom >random
got=0
(ulimit -f 100 && "$bin/retnet-data" build --out limited --val-fraction 0 random >build.log 2>&1) ||
  got=$?
[ "$got" = 1 ] || fail "build under ulimit -f: exit $got"
grep -q 'cannot write limited.*File too large' build.log || fail "ulimit -f: $(cat build.log)"
[ -z "$(echo limited*)" ] || [ "$(echo limited*)" = 'limited*' ] || fail "left: $(echo limited*)"
got=0
big=(-s model.vocab=16384 -s model.dim=256 -s data.sequence_length=16 -s train.eval_every=0)
# Open MPI itself needs some megabytes of files.
(ulimit -f 16384 && "$bin/retnet-train" run.yaml -s run.dir=limited "${big[@]}" -s train.steps=1 \
  >limited.log 2>&1) || got=$?
[ "$got" -lt 128 ] || fail "training under ulimit -f died of signal $((got - 128))"
grep -q 'File too large' limited.log || fail "ulimit -f is not named: $(tail -n 3 limited.log)"
finish
