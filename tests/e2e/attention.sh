#!/usr/bin/env bash
# Checks models with attention layers. Evaluation gives the same loss on any number of ranks, options
# that attention does not support are refused with their key, retnet-ckpt diff compares the keys of
# attention, and --plan, retnet-bench and presets accept such models. A prompt gets the same
# continuation alone and beside a longer prompt.
set -euo pipefail
bin=$1
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(realpath "$0")")/common.sh"

cat >run.yaml <<'YAML'
model: {layers: 2, dim: 16, ffn_dim: 20, heads: 2}
data: {dir: data, sequence_length: 32, batch_sequences: 2}
train: {steps: 2, eval_every: 0}
YAML
for i in $(seq 400); do echo "line $i of a text to learn"; done >text
"$bin/retnet-data" build --out data text >/dev/null 2>&1

loss() { # loss RANKS DIR OPTION...: writes the loss that retnet-eval prints to loss.RANKS
  run_on "$1" "$bin/retnet-eval" --checkpoint "$2" --data data \
    --json "${@:3}" 2>/dev/null | grep -oE '"loss": [^,}]*' >"loss.$1"
}

must_train 2 hybrid 'model.attention_layers=[1]'
must_train 2 whole model.arch=transformer
for dir in hybrid whole; do
  loss 1 "$dir"
  loss 2 "$dir" -s parallel.sequence=2
  sed -i 's/.*: //' loss.1 loss.2
  close_to "$(wc -l <loss.1)" 1e-6 loss.1 loss.2 || fail "$dir: $(paste loss.1 loss.2)"
done

"$bin/retnet-eval" --checkpoint whole --data data --form recurrent >form.log 2>&1
grep -q 'form recurrent has no effect' form.log || fail "--form: $(cat form.log)"

# A run goes on with values that mean the same, and computes attention in bf16.
must_train 1 hybrid train.steps=3 'model.attention_layers=[1]' model.attention_heads=2 \
  model.kv_heads=2
must_train 1 bf16 'model.attention_layers=[1]' train.precision=bf16
must_train 1 turned 'model.attention_layers=[1]' model.rope_theta=500
refuse 1 model.rope_theta "$bin/retnet-ckpt" diff hybrid turned

one=("$bin/retnet-train" run.yaml -s run.dir=refused -s model.arch=transformer)
for key in attention_heads=4 kv_heads=1 attention_window=8 rope_theta=500; do
  refuse 2 "model.${key%=*}" "${one[@]}" -s model.arch=retnet -s "model.$key"
done
for keys in model.arch=transformer 'model.attention_layers=[1]'; do # the message names both keys
  refuse 2 data.carry_state "${one[@]}" -s model.arch=retnet -s "$keys" -s data.carry_state=true \
    -s model.attention_window=8
  grep -qF "${keys%%=*}" refused.log || fail "$keys: $(cat refused.log)"
done
refuse 2 run.leaf "${one[@]}" -s parallel.segments=2 -s run.reproducible=true -s run.leaf=8
refuse 2 model.value_dim "${one[@]}" -s model.value_dim=24
refuse 2 data.batch_sequences "${one[@]}" --plan --ranks 8

wide=(-s model.dim=512 -s model.heads=8 -s model.ffn_dim=1024 -s model.layers=6)
for keys in model.arch=transformer "model.attention_layers=[1,5]"; do
  "${one[@]}" "${wide[@]}" -s model.arch=retnet -s "$keys" --plan --ranks 2 >plan.log 2>&1 ||
    fail "--plan with $keys: $(tail -n 1 plan.log)"
done
"${one[@]}" -s model.preset=retnet_xl -s model.layers=2 --plan --ranks 2 >plan.log 2>&1 ||
  fail "--plan of a preset: $(tail -n 1 plan.log)"
"$bin/retnet-bench" step --steps 1 -s model.layers=1 -s model.dim=64 -s data.sequence_length=64 \
  -s model.arch=transformer >bench.log 2>&1 || fail "retnet-bench: $(tail -n 1 bench.log)"
"$bin/retnet-bench" attention --rounds 1 -s model.dim=64 -s model.heads=2 -s model.kv_heads=1 \
  -s data.sequence_length=300 >bench.log 2>&1 || fail "retnet-bench: $(tail -n 1 bench.log)"
grep -q '^backward ' bench.log || fail "retnet-bench attention: $(cat bench.log)"

# In reproducible mode, ranks and segments that share a sequence compute the bits of one rank.
exact=(run.yaml -s run.reproducible=true -s data.sequence_length=512 -s train.steps=2 -s model.kv_heads=1
  -s 'model.attention_layers=[1]' -s model.attention_window=150)
"$bin/retnet-train" "${exact[@]}" -s run.dir=exact1 >exact.log 2>&1 || fail "$(tail -n 1 exact.log)"
mpirun -n 2 --oversubscribe --bind-to none "$bin/retnet-train" "${exact[@]}" -s run.dir=exact2 \
  -s parallel.sequence=2 -s parallel.segments=2 >exact.log 2>&1 || fail "$(tail -n 1 exact.log)"
"$bin/retnet-ckpt" diff exact1 exact2 >diff.log 2>&1 || fail "$(cat diff.log)"
grep -q identical diff.log || fail "$(cat diff.log)"

# A prompt gets the same continuation alone and beside a longer prompt.
continue_text() { # continue_text DIR OPTION...
  "$bin/retnet-generate" --checkpoint "$1" --tokens 20 --temperature 0 --json "${@:2}" |
    grep -oE '"text":"([^"\\]|\\.)*"'
}
for dir in hybrid whole; do
  continue_text "$dir" --prompt 'line 7' >alone
  continue_text "$dir" --prompt 'line 7' --prompt 'line 100 of a text to' >both
  [ "$(wc -l <both)" = 2 ] || fail "$dir: not two texts"
  head -n 1 both | cmp -s - alone || fail "$dir: $(cat alone both)"
done
"$bin/retnet-bench" decode --json --rounds 1 -s model.layers=1 -s model.dim=64 \
  -s data.sequence_length=512 -s model.arch=transformer >decode.json 2>bench.log ||
  fail "retnet-bench decode: $(tail -n 1 bench.log)"
# The state holds a position (8 bytes), and for 512 tokens and 16 further steps the keys and values
# of 64 channels.
grep -q '"position": 512,.*"state_bytes": 270344}' decode.json || fail "$(cat decode.json)"
# Every pair of a position and a number of sequences, in the order of the lists.
grid() { # grid OPTION...: sequences, position and bytes of the state, one line for each pair
  "$bin/retnet-bench" decode --json --rounds 1 --positions 64,512 --sequences 2,1 -s model.layers=1 \
    -s model.dim=64 "$@" 2>bench.log |
    grep -oE '"(sequences|position|state_bytes)": [0-9]+' | grep -oE '[0-9]+' | paste -d ' ' - - -
}
[ "$(grid -s model.arch=transformer | tr '\n' ,)" = '2 64 32776,2 512 262152,1 64 32776,1 512 262152,' ] ||
  fail "grid: $(grid -s model.arch=transformer)"
[ "$(grid | cut -d ' ' -f 3 | sort -u | wc -l)" = 1 ] || fail "the state of retention grows: $(grid)"
refuse 2 --positions "$bin/retnet-bench" decode --positions 0
refuse 2 --sequences "$bin/retnet-bench" decode --sequences 1,1
finish
