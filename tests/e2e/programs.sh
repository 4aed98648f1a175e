#!/usr/bin/env bash
# Checks the programs as users run them: layouts agree, runs resume bit for bit, and invalid input is
# named.
# usage: programs.sh BIN SOURCE CASE
set -euo pipefail
bin=$1 source=$2 case=$3
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

"$bin/retnet-data" build --out data --val-fraction 0.02 --include '*.c' "$source" >/dev/null
cat >run.yaml <<'EOF'
run: {dir: RUN}
model: {layers: 2, dim: 32, value_dim: 64, ffn_dim: 48, heads: 4}
data: {dir: data, sequence_length: 96, batch_sequences: 6}
optimizer: {lr: 2e-3, schedule: cosine, warmup_steps: 5, decay_steps: 40}
train: {steps: 20, eval_every: 0}
checkpoint: {every: 10}
EOF

# Checks that losses (or another number) of the first LINES steps of two runs agree to a relative
# tolerance.
agree() { # agree NAME LINES TOLERANCE A B
  numbers "$1" "$4/metrics.jsonl" | head -n "$2" >agree.a
  numbers "$1" "$5/metrics.jsonl" | head -n "$2" >agree.b
  close_to "$2" "$3" agree.a agree.b || fail "$1 of $4 and $5 differ"
}

case $case in
  layouts)
    must_train 1 one
    for grid in "2 1 2" "3 1 3" "4 1 4" "8 1 8" "2 2 1" "3 3 1" "4 4 1" "4 2 2" "6 3 2"; do
      read -r np data sequence <<<"$grid"
      dir=grid-$data-$sequence
      must_train "$np" "$dir" "parallel.data=$data" "parallel.sequence=$sequence"
      agree loss 1 1e-6 "$dir" one
      agree loss 20 1e-4 "$dir" one
      agree grad_norm 5 1e-4 "$dir" one
      grep -q "\"data\": $data, \"pipeline\": 1, \"sequence\": $sequence" "$dir/summary.json" ||
        fail "$dir: summary.json does not show the layout"
    done
    must_train 5 exscan parallel.sequence=5 parallel.data=1 parallel.scan=exscan
    for scan in chain doubling; do
      must_train 5 "$scan" parallel.sequence=5 parallel.data=1 "parallel.scan=$scan"
      agree loss 20 1e-5 "$scan" exscan
    done
    ;;
  weights)
    # Sharing weights within nodes and sending them between nodes must not change a bit, also after a
    # resume. The messages of Open MPI 5 need shared memory too; they use files elsewhere.
    export OMPI_MCA_btl_sm_backing_directory=$work
    keys=(parallel.data=3 parallel.sequence=2 train.eval_every=7)
    must_train 6 off "${keys[@]}" parallel.share_weights=off
    must_train 6 on "${keys[@]}" parallel.share_weights=on
    grep -q 'weights shared by up to 6 ranks' on.log || fail "nothing is shared: $(head -n 3 on.log)"
    same_run off on
    for ranks in 1 2 4; do
      RETNET_NODE_RANKS=$ranks must_train 6 "node$ranks" "${keys[@]}" train.steps=14
      RETNET_NODE_RANKS=$((5 - ranks)) must_train 6 "node$ranks" "${keys[@]}"
      same_run off "node$ranks"
    done
    refuse 2 parallel.share_weights "$bin/retnet-train" run.yaml -s run.dir=alone \
      -s parallel.share_weights=on
    ;;
  gradients)
    # The way in which gradients pass within and between nodes must not change a bit. Nor must a rank
    # whose memory cannot be shared, which one line reports, or a slow rank.
    export OMPI_MCA_btl_sm_backing_directory=$work
    short=(train.steps=6 checkpoint.every=6)
    keys=("${short[@]}" parallel.data=3 parallel.sequence=2)
    must_train 6 off "${keys[@]}" parallel.share_gradients=off
    must_train 6 on "${keys[@]}" parallel.share_gradients=on
    grep -q 'gradients shared by up to 6 ranks' on.log || fail "not shared: $(head -n 3 on.log)"
    same_run off on
    for ranks in 2 3 4; do
      RETNET_NODE_RANKS=$ranks must_train 6 "node$ranks" "${keys[@]}"
      same_run off "node$ranks"
    done
    # One of two ranks has a fault.
    must_train 2 two "${short[@]}"
    for fault in peer_memory.create:1 peer_memory.open:1 reduce_scatter.sum:1-:slow=3; do
      dir=${fault%%:*}
      command=("$bin/retnet-train" run.yaml -s "run.dir=$dir" "${short[@]/#/-s}")
      "${mpmd[@]}" env RETNET_FAULT="$fault" "${command[@]}" + "${command[@]}" >"$dir.log" 2>&1 ||
        fail "$fault: $(tail -n 3 "$dir.log")"
      same_run two "$dir"
    done
    for dir in peer_memory.create peer_memory.open; do
      [ "$(grep -c 'gradients are sent in messages' "$dir.log")" = 1 ] ||
        fail "$dir: not told once: $(head -n 5 "$dir.log")"
    done
    RETNET_FAULT=peer_memory.create:1 refuse 2 parallel.share_gradients mpirun -n 2 --oversubscribe \
      "$bin/retnet-train" run.yaml -s run.dir=none -s parallel.share_gradients=on
    refuse 2 parallel.share_gradients "$bin/retnet-train" run.yaml -s run.dir=alone \
      -s parallel.share_gradients=on
    mpirun -n 2 --oversubscribe "$bin/retnet-train" run.yaml -s run.dir=plan --plan \
      -s parallel.share_gradients=on -s parallel.share_weights=on >plan.log 2>&1 ||
      fail "--plan with shared gradients: $(tail -n 3 plan.log)"
    ;;
  weights_bf16)
    half=(parallel.data=3 parallel.sequence=2 train.eval_every=7 train.precision=bf16)
    must_train 6 half-off "${half[@]}" parallel.share_weights=off
    need_bf16 half-off
    RETNET_NODE_RANKS=4 must_train 6 half-on "${half[@]}"
    same_run half-off half-on
    ;;
  weights_small_shm)
    # Runs a command with a /dev/shm that is too small for weights.
    # shellcheck disable=SC2016
    small=(unshare --mount sh -c 'mount -t tmpfs -o size=8m tmpfs /dev/shm && "$@"' small)
    "${small[@]}" true 2>/dev/null || skip 'mounting a small /dev/shm needs root'
    # The messages of Open MPI 5 need shared memory too; they use files elsewhere.
    export OMPI_MCA_btl_sm_backing_directory=$work
    keys=(parallel.data=3 parallel.sequence=2 train.eval_every=7)
    must_train 6 off "${keys[@]}" parallel.share_weights=off
    "${small[@]}" mpirun -n 6 --oversubscribe "$bin/retnet-train" run.yaml -s run.dir=small \
      "${keys[@]/#/-s}" >small.log 2>&1 || fail "small /dev/shm: $(tail -n 3 small.log)"
    grep -q 'weights are not shared.*/dev/shm' small.log || fail "no word: $(head -n 3 small.log)"
    same_run off small
    refuse 2 parallel.share_weights "${small[@]}" mpirun -n 2 --oversubscribe \
      "$bin/retnet-train" run.yaml -s run.dir=none -s parallel.share_weights=on
    # A tmpfs without a limit reports a size of 0. Open MPI takes it for full, so it gets messages and
    # windows elsewhere.
    export OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_osc_sm_backing_directory=$work
    # shellcheck disable=SC2016
    unshare --mount sh -c 'mount -t tmpfs -o size=0 tmpfs /dev/shm && "$@"' large \
      mpirun -n 2 --oversubscribe "$bin/retnet-train" run.yaml -s run.dir=large \
      -s parallel.share_weights=on >large.log 2>&1 || fail "unlimited /dev/shm: $(tail -n 3 large.log)"
    ;;
  resume)
    sequence=(parallel.sequence=2)
    must_train 2 whole "${sequence[@]}" train.steps=40
    must_train 2 parts "${sequence[@]}"
    must_train 2 parts "${sequence[@]}" train.steps=40
    same_run whole parts
    # If saves are due faster than they can be written, training waits; none may be dropped.
    often=("${sequence[@]}" train.steps=12 checkpoint.every=1 checkpoint.keep_last=0)
    must_train 2 beside "${often[@]}"
    must_train 2 between "${often[@]}" checkpoint.async=false
    for step in $(seq -f 'step-%08.0f' 12); do
      same_content "beside/checkpoints/$step" "between/checkpoints/$step"
    done
    RETNET_FAULT=ckpt.write:2 must_train 2 missed "${often[@]}"
    grep -q 'is not saved' missed.log || fail "a save that failed is not told: $(cat missed.log)"
    same_content missed beside
    if RETNET_FAULT=ckpt.rename:3:kill train 2 killed "${sequence[@]}" train.steps=40; then
      fail 'the fault did not strike'
    fi
    must_train 2 killed "${sequence[@]}" train.steps=40
    same_run whole killed
    newest=whole/checkpoints/step-00000040
    printf x | dd of="$newest/part-00001.zst" bs=1 seek=100 conv=notrunc status=none
    refuse 1 part-00001.zst "$bin/retnet-ckpt" verify "$newest"
    must_train 3 whole parallel.sequence=3 parallel.data=1 train.steps=40
    grep -q 'from step 30' whole.log || fail "the run did not fall back: $(tail -n 3 whole.log)"
    grep -q 'step-00000040 is damaged.*rank [12] on .*part-00001.zst' whole.log ||
      fail "who met which damage is not told: $(cat whole.log)"
    "$bin/retnet-ckpt" verify whole >/dev/null || fail "the step was not saved again"
    ;;
  ranks64)
    long=(data.sequence_length=4096 data.batch_sequences=1 train.steps=5)
    must_train 1 one "${long[@]}"
    must_train 64 many "${long[@]}" parallel.sequence=64
    agree loss 5 1e-5 many one
    files=$(find many/checkpoints/step-00000005 -name 'part-*' | wc -l)
    [ "$files" = 4 ] || fail "64 ranks of a node wrote $files files"
    ;;
  use)
    must_train 2 run parallel.sequence=2 train.eval_every=10
    # A plan needs no ranks. Its estimate of memory must be near what runs use; small runs are the
    # hardest, since libraries dominate.
    OMPI_COMM_WORLD_SIZE=9 "$bin/retnet-train" run.yaml --plan --ranks 64 -s parallel.sequence=32 >plan
    grep -q 'data 2 x pipeline 1 x sequence 32' plan || fail "the plan's grid: $(cat plan)"
    big=(model.dim=256 model.value_dim=512 model.ffn_dim=512 train.steps=2)
    for keys in "1 segments=1" "2 sequence=2" "2 pipeline=2" "2 data=2"; do
      must_train "${keys%% *}" planned "${big[@]}" "parallel.${keys#* }" train.eval_every=1
      sed -E 's/.*"max": ([0-9]+).*/max \1/; s/.*"(predicted_|)peak_(node_|)bytes": ([0-9]+).*/\1\2 \3/' \
        planned/summary.json | awk '{is[$1] = $2}
          function near(a, b) {return a > 0.85 * b && a < 1.15 * b}
          END {if (!near(is["predicted_"], is["max"]) || !near(is["predicted_node_"], is["node_"])) {
                 print is["predicted_"], is["max"], is["predicted_node_"], is["node_"]; exit 1}}' >said ||
        fail "$keys: memory foretold and taken: $(cat said)"
      rm -r planned
    done
    eval_loss() { sed -nE 's/.*"loss": ([^,]*), "perp.*/\1/p'; }
    for form in chunkwise parallel recurrent; do
      "$bin/retnet-eval" --checkpoint run --data data --form "$form" --json >"$form.json"
      eval_loss <"$form.json"
    done >losses
    mpirun -n 3 --oversubscribe "$bin/retnet-eval" --checkpoint run --data data --json |
      eval_loss >>losses
    for keys in "2 data=2" "4 data=2" "64 sequence=32"; do
      mpirun -n "${keys%% *}" --oversubscribe "$bin/retnet-eval" --checkpoint run --data data --json \
        -s "parallel.${keys#* }" | eval_loss >>losses
    done
    refuse 2 parallel.sequence "$bin/retnet-eval" --checkpoint run --data data -s parallel.sequence=2
    refuse 2 model.dim "$bin/retnet-eval" --checkpoint run --data data -s model.dim=2
    for _ in $(seq 7); do head -n 1 losses; done >first
    close_to 7 1e-5 losses first || fail "forms differ: $(tr '\n' ' ' <losses)"
    ;;
  text)
    must_train 2 run parallel.sequence=2
    [ "$("$bin/retnet-generate" --checkpoint run --prompt 'int ' --tokens 50 --ignore-end |
      wc -c)" -ge 40 ] || fail "no text"
    # The greedy continuation of a text must not depend on where the prompt ends.
    greedy() {
      "$bin/retnet-generate" --checkpoint run --prompt-file "$1" --tokens "$2" --temperature 0 \
        --ignore-end "${@:3}"
    }
    for length in 1 63 64 65 200; do
      head -c "$length" "$source/stage/stage.c" >prompt
      greedy prompt 30 >whole
      head -c $((length + 11)) whole >longer
      greedy longer 19 | cmp -s - whole || fail "after $length bytes, text depends on the prefill"
    done
    # The same must hold with weights in bf16, in prefill and in decoding.
    greedy prompt 30 --precision bf16 >whole
    head -c 211 whole >longer
    greedy longer 19 --precision bf16 | cmp -s - whole || fail "in bf16, text depends on the prefill"
    # Prompts that are continued together must give the same text as single ones, for any number of
    # threads.
    printf 'static void\n\n#include <\r\nint n = \377\n' >lines
    printf 'int n = \377' >last.line
    alone=("--prompt=" "--prompt=return " "--prompt-file=prompt" "--prompt=static void"
      "--prompt=#include <" "--prompt-file=last.line")
    generate() { "$bin/retnet-generate" --checkpoint run --tokens 40 --seed 5 "$@"; }
    given=("${alone[@]:0:3}" --prompt-lines lines)
    OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive generate "${given[@]}" >together
    for i in "${!alone[@]}"; do
      if [ "$i" -gt 0 ]; then printf '\n\n'; fi
      printf '==> %d <==\n' $((i + 1))
      generate "${alone[$i]}"
    done >apart
    echo >>apart
    cmp together apart || fail "a prompt's text depends on those beside it"
    generate --json "${given[@]}" >together.json
    printf '{"results":[%s,' "$(generate --json "${alone[0]}")" >first
    head -c "$(wc -c <first)" together.json | cmp -s - first || fail "results: $(cat together.json)"
    # JSON must be text: invalid bytes are replaced, and also given in hex.
    grep -qF '"prompt":"int n = �","prompt_hex":"696e74206e203d20ff"' together.json ||
      fail "bytes in JSON: $(cat together.json)"
    grep -q '"prompt":"return ","text":' together.json || fail "$(cat together.json)"
    refuse 1 nowhere "$bin/retnet-generate" --checkpoint run --prompt-lines nowhere
    : >empty.lines
    refuse 2 empty "$bin/retnet-generate" --checkpoint run --prompt-lines empty.lines
    peak() { # peak N: prints the memory in KiB for N tokens
      "$bin/retnet-generate" --checkpoint run --prompt x --tokens "$1" --ignore-end --seed 3 \
        >/dev/null 2>&1 &
      local most=0 now
      while now=$(awk '/VmHWM/ {print $2}' "/proc/$!/status" 2>/dev/null) && [ -n "$now" ]; do
        most=$now
        sleep 0.02
      done
      wait $! || true
      echo "$most"
    }
    few=$(peak 1000) many=$(peak 30000)
    [ "$few" -gt 0 ] || fail 'the memory of a short run was not seen'
    [ "$many" -lt $((few + 1024)) ] || fail "memory grows with tokens: $few and $many KiB"
    "$bin/retnet-ckpt" export run --format torchscale --out model.safetensors >/dev/null
    [ -s model.safetensors ] || fail "no export"
    ;;
  refused)
    must_train 1 run
    here=("$bin/retnet-train" run.yaml -s run.dir=new)
    refuse 2 nowhere.yaml "$bin/retnet-train" nowhere.yaml
    refuse 2 model.dimm "${here[@]}" -s model.dimm=3
    refuse 2 model.heads "${here[@]}" -s model.heads=5
    refuse 2 model.dim "${here[@]}" -s model.dim=36 -s model.heads=12 -s model.value_dim=60
    refuse 2 model.value_dim "${here[@]}" -s model.value_dim=66
    refuse 2 data.sequence_length "${here[@]}" -s data.sequence_length=100000000
    # The advice must count nodes, since ranks that share a node share its memory.
    refuse 2 ' ranks, 1 on each node, with parallel.data' "${here[@]}" -s model.layers=200 \
      -s model.dim=8192 -s model.value_dim=8192 -s model.ffn_dim=8192
    refuse 2 parallel.sequence mpirun -n 3 --oversubscribe "${here[@]}" -s parallel.sequence=2 \
      -s parallel.data=1
    refuse 2 parallel.pipeline "${here[@]}" -s parallel.pipeline=2
    refuse 2 model.dim "$bin/retnet-train" run.yaml -s run.dir=run -s model.dim=64 -s train.steps=30
    refuse 1 nowhere "${here[@]}" -s data.dir=nowhere
    : >file
    refuse 1 file "$bin/retnet-train" run.yaml -s run.dir=file/run
    cp -r data cut
    truncate -s -10 cut/train/00000.rtd
    refuse 1 recover "${here[@]}" -s data.dir=cut
    refuse 1 cut/train/00000.rtd "$bin/retnet-data" verify cut
    refuse 1 empty "$bin/retnet-data" build --out x file
    printf '{"text": "a"}\n{"text"\n' >bad.jsonl
    refuse 1 bad.jsonl:2 "$bin/retnet-data" build --out x bad.jsonl
    printf '{"text": "\xff\xfe"}\n' >bytes.jsonl
    refuse 1 bytes.jsonl:1 "$bin/retnet-data" build --out x bytes.jsonl
    ;;
  bench)
    mpirun -n 3 --oversubscribe "$bin/retnet-bench" scan --json >scan.json
    for name in chain doubling exscan; do
      [ "$(grep -o "\"${name}_s\"" scan.json | wc -l)" = 24 ] || fail "scan.json: $name is not 8 x 3"
    done
    small=(-s model.layers=2 -s model.dim=32 -s model.value_dim=64 -s model.ffn_dim=32)
    mpirun -n 2 --oversubscribe "$bin/retnet-bench" step --json --scan none "${small[@]}" \
      -s parallel.sequence=2 -s parallel.segments=2 >step.json
    grep -q '"scan": "chain".*"pairs": 10.*"scan_cost": ' step.json || fail "$(cat step.json)"
    "$bin/retnet-bench" step --json --steps 3 "${small[@]}" >step.json
    for name in precision threads tokens_per_s step_s products_s model_flops_per_s \
      gemm_flops_per_s peak_bytes; do
      grep -qE "\"$name\": (\"fp32\"|[1-9][0-9.e+-]*|0\.[0-9e-]*[1-9])[,}]" step.json ||
        fail "no $name: $(cat step.json)"
    done
    "$bin/retnet-bench" decode --json --rounds 2 "${small[@]}" >decode.json
    for place in 1 1000 100000 1000000; do
      grep -qE "\"position\": $place, \"token_s\": [0-9.e-]+, \"resident_bytes\": [1-9]" decode.json ||
        fail "decode.json: nothing at $place: $(cat decode.json)"
    done
    [ "$(grep -oE '"sequences": (1|4|16), "step_s": [0-9.e-]+, "tokens_per_s": [1-9]' decode.json |
      wc -l)" = 3 ] || fail "$(cat decode.json)"
    "$bin/retnet-bench" decode --json --rounds 1 --precision bf16 "${small[@]}" >half.json
    grep -q '"precision": "bf16"' half.json || fail "$(cat half.json)"
    bytes() { sed -E 's/.*"sequences": 1,[^}]*"weight_bytes": ([0-9]+).*/\1/' "$1"; }
    [ "$(bytes half.json)" -lt $(($(bytes decode.json) * 51 / 100)) ] || fail "bf16 weights are not half"
    # A preset must be measured, not the reference model under its name.
    "$bin/retnet-bench" decode --json --rounds 1 -s model.preset=retnet_medium -s model.layers=1 \
      >preset.json
    "$bin/retnet-bench" decode --json --rounds 1 -s model.layers=1 >reference.json
    [ "$(bytes preset.json)" -gt "$(($(bytes reference.json) * 2))" ] ||
      fail "the preset is not measured: $(cat preset.json)"
    refuse 2 --precision "$bin/retnet-bench" decode --precision fp8 "${small[@]}"
    refuse 2 'not both' "$bin/retnet-bench" decode --precision bf16 -s train.precision=fp32
    refuse 2 parallel.sequence "$bin/retnet-bench" step --scan none "${small[@]}"
    refuse 2 --scan "$bin/retnet-bench" step --scan chain "${small[@]}"
    ;;
  bench_parts)
    small=(-s model.layers=2 -s model.dim=32 -s model.value_dim=64 -s model.ffn_dim=32)
    "$bin/retnet-bench" gemm --json --rounds 1 -s parallel.threads=2 >gemm.json
    for shape in 64 128 256 512; do
      for threads in 1 2; do
        grep -q "\"m\": $shape, \"n\": $shape, \"k\": $shape, \"threads\": $threads, \"way\": \"each\"" \
          gemm.json || fail "gemm.json: no $shape by $threads threads"
      done
    done
    "$bin/retnet-bench" kernels --json --rounds 1 "${small[@]}" >kernels.json
    [ "$(grep -o '"set": "ref"' kernels.json | wc -l)" = 22 ] || fail "$(cat kernels.json)"
    mkdir files
    mpirun -n 2 --oversubscribe "$bin/retnet-bench" io --json --dir files --rounds 1 "${small[@]}" \
      >io.json
    [ "$(grep -oE '"(write|read)_bytes_per_s": [1-9]' io.json | wc -l)" = 6 ] || fail "$(cat io.json)"
    [ -z "$(ls files)" ] || fail "retnet-bench io leaves files behind"
    refuse 1 nowhere "$bin/retnet-bench" io --dir nowhere "${small[@]}"
    refuse 2 mpirun "$bin/retnet-bench" scan
    refuse 2 scan "$bin/retnet-bench" scn
    ;;
  bench_tables)
    small=(-s model.layers=1 -s model.dim=32 -s model.value_dim=64 -s model.ffn_dim=32
      -s data.sequence_length=64)
    table() { # table ROWS PATTERN COMMAND...: requires a table with this number of rows
      "${@:3}" >table.txt 2>table.log || fail "${*:3}: $(tail -n 1 table.log)"
      [ "$(grep -cE "$2" table.txt)" = "$1" ] || fail "${*:3}: not $1 rows: $(cat table.txt)"
    }
    pair=(mpirun -n 2 --oversubscribe "$bin/retnet-bench")
    table 8 '^ +[0-9]+( +[0-9.]+){9}$' "${pair[@]}" scan
    table 5 '^(all ranks|separate|ratio|wait for).* [0-9.]+ ' "${pair[@]}" ranks --steps 1 \
      "${small[@]}"
    table 3 '^(plain file|shard|checkpoint file)( +[0-9.]+){5}$' "$bin/retnet-bench" io --rounds 1 \
      "${small[@]}"
    table 4 '^ +[12] +(64|512)( +[0-9.]+){3}$' "$bin/retnet-bench" decode --rounds 1 \
      --positions 64,512 --sequences 2,1 "${small[@]}"
    table 6 '^(step|CPU time|GEMMs alone|model FLOPs|best GEMM|scan) +[0-9.]+ (ms|GFLOP/s)' \
      "$bin/retnet-bench" step --steps 1 "${small[@]}"
    table 2 '^ +[12] +[0-9]+ +[0-9.]+( +[0-9.]+%){4}( +[0-9.]+)( +[0-9.]+%){2}$' \
      "$bin/retnet-bench" step --steps 1 --threads 1,2 "${small[@]}"
    ;;
  *)
    fail "no such case: $case"
    ;;
esac
finish
