#!/usr/bin/env bash
# RetNet and a Transformer of as many parameters, compared as in the paper: tables and figures.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"

help() {
  cat <<'END'
usage: jobs/compare.sh [OPTION]... [TEXT]...

Compares RetNet with a Transformer on this machine, as the paper does: perplexity of models with as
many parameters, trained on the same tokens; the paper's ablations; speed and memory of training by
sequence length; speed and memory of generation by position and by number of sequences. Writes
compare.md with tables, the commands that give them, and figures; the tables as .csv; the figures as
.svg and .png. The figures need gnuplot. Takes less than 20 minutes on two idle cores.

  TEXT           files and folders to train on (the C headers of this machine)
  --out DIR      folder of the results (.compare)
  --parts LIST   quality,training,decoding, or some of them (all)
  --steps N      steps of each of the trained models (200)
  --quick        tiny models, short texts: shows in seconds that all works, its numbers say nothing
  --help         print this help and exit

RN_BIN names the folder of the programs (build/bin, which is built if it does not exist).
END
}

refuse() {
  echo "jobs/compare.sh: $1; see --help" >&2
  exit 2
}

out=$RN_ROOT/.compare parts=quality,training,decoding steps=200 quick='' texts=()
while [ $# -gt 0 ]; do
  case $1 in
    --help) help && exit 0 ;;
    --quick) quick=1 ;;
    --out | --parts | --steps)
      [ $# -gt 1 ] || refuse "$1 needs a value"
      declare "${1#--}=$2"
      shift
      ;;
    -*) refuse "unknown option $1" ;;
    *) texts+=("$1") ;;
  esac
  shift
done
[[ $steps =~ ^[1-9][0-9]*$ ]] || refuse "--steps $steps: no number of at least 1"
for part in ${parts//,/ }; do
  case $part in quality | training | decoding) ;; *) refuse "--parts: there is no part $part" ;; esac
done
[ ${#texts[@]} -gt 0 ] || texts=(--include '*.h' /usr/include/linux /usr/include/asm-generic)

# Sizes: of the trained models; of the timed ones, whose heads have 64 channels of keys too.
layers=4 dim=128 length=256 sequences=8 warmup=20
timed_layers=2 timed_dim=128
lengths=(1024 2048 4096 8192 16384 32768)
positions=1024,2048,4096,8192,16384,32768,65536 batches=1,2,4,8,16 batch_position=8192
if [ -n "$quick" ]; then
  layers=1 dim=32 length=32 sequences=2 warmup=1 timed_layers=1 timed_dim=32 steps=2
  lengths=(64) positions=64,128 batches=1,2 batch_position=64
fi

bin=${RN_BIN:-$RN_ROOT/build/bin}
if [ -z "${RN_BIN:-}" ] && [ ! -x "$bin/retnet-train" ]; then
  rn_install build >&2
  rn_build release >&2
fi
[ -x "$bin/retnet-train" ] || refuse "there is no $bin/retnet-train"
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# quietly COMMAND...: stdout goes to $work/result; messages are printed only if it fails.
quietly() {
  "$@" >"$work/result" 2>"$work/errors" </dev/null || {
    echo "jobs/compare.sh: this failed: $*" >&2
    cat "$work/errors" >&2
    exit 1
  }
}

# keys MODEL DIM: keys of a model of that width. Its parameters are as many as those of RetNet: the
# Transformer's feed-forward block gets what retention has more (2 D^2 + 3 D V, attention 4 D^2).
keys() {
  local d=$2 v=$((2 * $2)) own
  case $1 in
    retnet) own="-s model.value_dim=$v -s model.ffn_dim=$v" ;;
    transformer) own="-s model.arch=transformer -s model.ffn_dim=$((2 * v - 2 * d / 3))" ;;
  esac
  echo "-s model.dim=$d -s model.heads=$((d >= 64 ? d / 64 : 1)) $own"
}

# value FIELD: of the JSON object in $work/result.
value() { rn_number "$1" <"$work/result" | head -n 1; }

# ---- perplexity and ablations ----

# train NAME OPTION...: trains a model, appends its row to quality.csv.
train() {
  local name=$1 parameters
  shift
  rn_say "Training: $name" >&2
  quietly "$bin/retnet-train" "$out/run.yaml" -s run.dir="$work/run" -s data.dir="$work/data" "$@"
  parameters=$(rn_number parameters <"$work/run/summary.json")
  quietly "$bin/retnet-eval" --checkpoint "$work/run" --data "$work/data" --json
  echo "$name,$parameters,$(value loss),$(value perplexity)" >>"$out/quality.csv"
  by_length "$name"
  rm -rf "$work/run"
}

# by_length NAME: perplexity with shorter and longer contexts than in training.
by_length() {
  local t
  case $1 in RetNet | Transformer) ;; *) return 0 ;; esac
  for t in $((length / 2)) "$length" $((2 * length)) $((4 * length)); do
    quietly "$bin/retnet-eval" --checkpoint "$work/run" --data "$work/data" --json \
      --sequence-length "$t"
    echo "$t,$(value perplexity)" >>"$work/context.$1"
  done
}

quality() {
  local retnet
  quietly "$bin/retnet-data" build --out "$work/data" --val-fraction 0.05 "${texts[@]}"
  cat >"$out/run.yaml" <<END
run: {dir: RUN}
model: {layers: $layers}
data: {dir: DATA, sequence_length: $length, batch_sequences: $sequences}
optimizer: {lr: 2e-3, schedule: cosine, warmup_steps: $warmup}
train: {steps: $steps, eval_every: 0, log_every: 100}
checkpoint: {every: 0}
END
  read -ra retnet <<<"$(keys retnet "$dim")"
  echo model,parameters,loss,perplexity >"$out/quality.csv"
  train RetNet "${retnet[@]}"
  # shellcheck disable=SC2046
  train Transformer $(keys transformer "$dim")
  train 'without gate' "${retnet[@]}" -s model.gate=false
  train 'without head norm' "${retnet[@]}" -s model.head_norm=none
  train 'without decay' "${retnet[@]}" -s model.decay=none
  train 'one decay for all heads' "${retnet[@]}" -s model.decay=single
  train 'heads of a quarter' "${retnet[@]}" -s model.heads=$((dim / 16))
  {
    echo tokens,retnet,transformer
    paste -d, "$work/context.RetNet" <(cut -d, -f2 "$work/context.Transformer")
  } >"$out/context.csv"
}

# ---- speed and memory ----

# training: a row of lengths for both models.
training() {
  local t model row
  echo tokens,retnet_tokens_per_s,retnet_bytes,transformer_tokens_per_s,transformer_bytes \
    >"$out/training.csv"
  for t in "${lengths[@]}"; do
    row=$t
    for model in retnet transformer; do
      rn_say "Training steps: $model, $t tokens" >&2
      # shellcheck disable=SC2046
      quietly "$bin/retnet-bench" step --json --steps $((t > 4096 ? 1 : 3)) \
        -s model.layers="$timed_layers" $(keys "$model" "$timed_dim") -s data.sequence_length="$t"
      row+=,$(value tokens_per_s),$(value peak_bytes)
    done
    echo "$row" >>"$out/training.csv"
  done
}

# decoding: by position for one sequence, and by number of sequences at one position.
decoding() {
  generate positions "$positions" 1 position step_s
  generate sequences "$batch_position" "$batches" sequences tokens_per_s
}

# generate TABLE POSITIONS SEQUENCES KEY FIELD: TABLE.csv, with a row for each value of the key.
generate() {
  local model columns=("$work/$1.key")
  for model in retnet transformer; do
    rn_say "Generation, $1: $model" >&2
    # shellcheck disable=SC2046
    quietly "$bin/retnet-bench" decode --json --rounds 3 --positions "$2" --sequences "$3" \
      -s model.layers="$timed_layers" $(keys "$model" "$timed_dim")
    sed 's/.*"grid": \[\([^]]*\)\].*/\1/; s/}, /}\n/g' "$work/result" >"$work/grid"
    rn_number "$4" <"$work/grid" >"$work/$1.key"
    rn_number "$5" <"$work/grid" >"$work/$1.$model.$5"
    rn_number state_bytes <"$work/grid" >"$work/$1.$model.bytes"
    columns+=("$work/$1.$model.$5" "$work/$1.$model.bytes")
  done
  {
    echo "$4,retnet_$5,retnet_state_bytes,transformer_$5,transformer_state_bytes"
    paste -d, "${columns[@]}"
  } >"$out/$1.csv"
}

# ---- the report ----

# markdown FILE FORMAT...: a CSV file as a table. A format for each column: one of printf, MiB for
# bytes, or ms for seconds.
markdown() {
  local file=$1
  shift
  awk -F, -v formats="$(printf '%s\t' "$@")" '
    BEGIN { split(formats, format, "\t") }
    function cell(text, i) {
      if (NR == 1) {
        gsub("_", " ", text)
        sub("bytes$", "MiB", text)
        sub("step s$", "ms", text)
        return text
      }
      if (format[i] == "MiB") return sprintf("%.1f", text / 1048576)
      return format[i] == "ms" ? sprintf("%.3f", 1e3 * text) : sprintf(format[i], text)
    }
    { line = rule = "|"
      for (i = 1; i <= NF; i++) { line = line " " cell($i, i) " |"; rule = rule " --- |" }
      print line
      if (NR == 1) print rule }' "$out/$file"
}

# figure NAME TEXT: a link to a figure, if it was drawn.
figure() { [ ! -f "$out/$1.svg" ] || printf '\n![%s](%s.svg)\n' "$2" "$1"; }

# commands COMMAND...: how the table above them was made.
commands() { printf '\n' && printf '    %s\n' "$@"; }

report_quality() {
  printf '\n## Perplexity\n\nModels of %s layers, trained on the same %s tokens.\n\n' \
    "$layers" $((steps * sequences * length))
  markdown quality.csv %s %d %.4f %.3f
  printf '\nBy length of the context; in training it was %s tokens.\n\n' "$length"
  markdown context.csv %d %.3f %.3f
  figure quality 'Perplexity of the models'
  commands "retnet-train run.yaml $(keys retnet "$dim") -s model.gate=false" \
    "retnet-train run.yaml $(keys transformer "$dim")" \
    "retnet-eval --checkpoint RUN --data DATA --sequence-length $length"
}

report_training() {
  local model
  printf '\n## Training by length of the sequence\n\nSteps of one sequence, models of %s layers.\n\n' \
    "$timed_layers"
  markdown training.csv %d %.0f MiB %.0f MiB
  figure training 'Speed and memory of training by length'
  for model in retnet transformer; do
    commands "retnet-bench step -s data.sequence_length=${lengths[0]} \
-s model.layers=$timed_layers $(keys $model "$timed_dim")"
  done
}

report_decoding() {
  local model
  printf '\n## Generation\n\nOne sequence by position; models of %s layers, state of a sequence.\n\n' \
    "$timed_layers"
  markdown positions.csv %d ms MiB ms MiB
  printf '\nAt position %s by number of sequences: tokens/s of all, state of a sequence.\n\n' \
    "$batch_position"
  markdown sequences.csv %d %.0f MiB %.0f MiB
  figure decoding 'Speed and memory of generation'
  for model in retnet transformer; do
    commands "retnet-bench decode --positions $positions --sequences 1 \
-s model.layers=$timed_layers $(keys $model "$timed_dim")"
  done
}

# draw: figures of the parts that were measured.
draw() {
  local part kind
  for part in ${parts//,/ }; do
    for kind in svg png; do
      gnuplot -e "folder='$out'; part='$part'; kind='$kind'" "$RN_ROOT/jobs/compare.gp"
    done
  done
}

for part in ${parts//,/ }; do "$part"; done
if command -v gnuplot >/dev/null; then
  draw
else
  rn_say "There are no figures: gnuplot is not installed (on Debian: apt-get install gnuplot-nox)" >&2
fi
{
  printf '# RetNet and a Transformer of as many parameters\n\nMeasured on %s cores with %s.\n' \
    "$(nproc)" "$("$bin/retnet-bench" --version | head -n 1)"
  for part in ${parts//,/ }; do "report_$part"; done
} >"$out/compare.md"
cat "$out/compare.md"
rn_say "All files are in $out" >&2
