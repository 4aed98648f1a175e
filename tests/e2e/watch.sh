#!/usr/bin/env bash
# Checks the progress line on a terminal and TensorBoard's event files.
# usage: watch.sh BIN CASE
set -euo pipefail
bin=$1 case=$2
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

for ((i = 0; i < 400; i++)); do echo "line $i: $((i * i % 97)) $((i * 7 % 13))"; done >text.txt
"$bin/retnet-data" build --out data --val-fraction 0.1 text.txt >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN}
model: {layers: 1, dim: 16, value_dim: 32, ffn_dim: 16, heads: 2}
data: {dir: data, sequence_length: 32, batch_sequences: 2}
optimizer: {lr: 2e-3, warmup_steps: 5}
train: {steps: 12, eval_every: 6, eval_sequences: 2}
checkpoint: {every: 6}
YAML

# on_terminal COLUMNS OUT COMMAND: runs it on a terminal of that width; OUT is the output.
on_terminal() { TERM=xterm script -qec "stty cols $1; $3" /dev/null </dev/null >"$2"; }

case $case in
  # One line that is rewritten and narrower than the terminal; absent if the output is not a terminal.
  terminal)
    command -v script >/dev/null || skip 'script (of util-linux) is not installed'
    on_terminal 50 seen "mpirun -n 2 --oversubscribe --bind-to none '$bin/retnet-train' run.yaml"
    live=$(tr '\r' '\n' <seen | sed -n 's/^\x1b\[K//; /^step [0-9]*\/12  .*ETA [0-9:]*  /p' | grep -v norm)
    [ "$(wc -l <<<"$live")" -ge 2 ] || fail "no progress line: $(head -c 500 seen)"
    [ "$(awk 'length > 49' <<<"$live")" = "" ] || fail "progress lines of 50 columns or more: $live"
    [ "$(grep -c 'norm' seen)" = 2 ] || fail 'other lines than those of the two evaluations'
    train 1 plain
    if grep -q $'\r\|\x1b' plain.log; then fail 'a batch log has control characters'; fi
    [ "$(grep -c '^step .* norm ' plain.log)" = 12 ] || fail 'a batch log does not have all steps'
    # An evaluation shows its progress too, and erases it; on stderr if stdout has JSON.
    evaluate="'$bin/retnet-eval' --checkpoint RUN"
    seq -f '{"text": "request %g of many, each as long as a sequence of the training"}' 500 >requests
    for how in '--data data' '--data data --json' '--requests requests' '--requests requests --json'; do
      eval "$evaluate $how" >plain.out 2>plain.err || fail "$how: $(cat plain.err)"
      if grep -q $'\r\|\x1b' plain.out plain.err; then fail "$how: control characters"; fi
      command="$evaluate $how >terminal.out" # without mpirun, which makes stderr a pipe
      [ "$how" != '--data data' ] || command="mpirun -n 2 --oversubscribe --bind-to none $evaluate $how"
      on_terminal 60 seen "$command"
      if [ "$how" = '--data data' ]; then sed 's/.*\r\x1b\[K//; s/\r$//' seen >terminal.out; fi
      cmp plain.out terminal.out || fail "$how: other results on a terminal"
      tr '\r' '\n' <seen | sed -n 's/^\x1b\[K//; /^[0-9]* of [0-9]* tokens, [0-9]* %, .* s left$/p' >live
      [ -s live ] || fail "$how: no progress line: $(head -c 500 seen)"
      [ "$(awk 'length > 59' live)" = "" ] || fail "progress lines of 60 columns or more: $(cat live)"
    done
    ;;
  # TensorBoard must read every number of metrics.jsonl, also after a resume from an earlier step.
  tensorboard)
    command -v python3 >/dev/null || skip 'python3 is not installed'
    python=python3
    if ! python3 -c 'import tensorboard' 2>/dev/null; then
      { timeout 60 python3 -m venv venv && timeout 100 venv/bin/pip install -q --retries 1 tensorboard; } \
        >venv.log 2>&1 || skip "TensorBoard cannot be installed: $(tail -n 1 venv.log)"
      python=venv/bin/python
    fi
    train 1 RUN
    rm -r RUN/checkpoints/step-00000012 # as if the run had been killed after step 12
    train 1 RUN train.steps=15
    [ "$(find RUN -name 'events.out.tfevents.*' | wc -l)" = 2 ] || fail 'not one event file per launch'
    "$python" - RUN >compared 2>errors <<'PYTHON' || fail "$(tail -n 3 errors)"
import json, math, struct, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
want = {}
for line in map(json.loads, open(sys.argv[1] + "/metrics.jsonl")):
    for name, value in line.items():
        if name != "step":
            want.setdefault(name, []).append((line["step"], struct.unpack("f", struct.pack("f", value))[0]))
assert set(events.Tags()["scalars"]) == set(want), events.Tags()["scalars"]
for name in want:
    got = [(event.step, event.value) for event in events.Scalars(name)]
    assert got == want[name], (name, got, want[name])
print(len(want), "metrics", sum(map(len, want.values())), "values")
PYTHON
    cat compared
    grep -q '9 metrics' compared || fail "compared: $(cat compared)"
    ;;
esac
finish
