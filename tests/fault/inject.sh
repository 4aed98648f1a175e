#!/usr/bin/env bash
# Injects faults into calls of the C library, of other libraries and of MPI
# (tests/support/inject.c). Checks that each fault is survived with the result of an undisturbed
# run, or ends all ranks within seconds with exit code 1 (2 if the user has no permission to read the
# configuration file) and one error message; and that the same command then succeeds without the fault,
# with the result of an undisturbed run: nothing is lost.
# No end of a program may leak descriptors, mappings or MPI objects (tests/support/held.h); nor
# memory, if the programs are built with a leak checker (cmake --preset debug). No temporary files may
# be left.
#
# usage: inject.sh BIN slice SEED COUNT            injects COUNT faults, drawn from SEED
#        inject.sh BIN sweep SCENARIO...           lets the first pass through each call fail
#        inject.sh BIN abort                       lets MPI fail while a file operation hangs
#        inject.sh BIN table FILE FIRST LAST [SITE...]
#            appends a line to FILE for each site (default: all) and each seed from FIRST to LAST,
#            unless FILE has that line; then prints the outcomes by site. By hand:
#            nice bash tests/fault/inject.sh build/bin table outcomes.tsv 1 20
#        inject.sh BIN print FILE                  prints the outcomes by site
# The output of faults that are not handled is kept in the folder RN_FAULT_KEEP.
set -euo pipefail
bin=$(realpath "$1") case=$2
faulty=$(realpath "$bin/../tests/fault/bin")
shift 2
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
[[ $case = @(slice|sweep|abort) ]] || { touch "$1" && set -- "$(realpath "$1")" "${@:2}"; }
# shellcheck source=tests/e2e/common.sh
source "$here/../e2e/common.sh"
# Reports of sanitizers stay in the output, where `try` finds them.
export ASAN_OPTIONS=${ASAN_OPTIONS%:log_path=*} UBSAN_OPTIONS=${UBSAN_OPTIONS%:log_path=*}
limit_s=${RN_FAULT_LIMIT_S:-60} # a run that takes longer counts as hanging
slow=                           # a fault of RETNET_FAULT that delays the disturbed run
end_at_once
export TMPDIR=$work/tmp
# For calls by hand; ctest sets these.
export ASAN_OPTIONS=${ASAN_OPTIONS:-fast_unwind_on_malloc=0:intercept_tls_get_addr=0}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$here/../support/lsan.supp:print_suppressions=0}

# ---- what is disturbed ----

# Each scenario starts from the folder from/SCENARIO, and is a command in its copy. The result that
# is compared is the output of result_SCENARIO.
scenarios=(build sequence data pipeline eval export verify show generate version help tokens hf
  import report)
launch=(mpirun -n 2 --oversubscribe --bind-to none)

run_build() { "$1/retnet-data" build --out data --val-fraction 0.2 text.txt; }
run_sequence() { "${launch[@]}" "$1/retnet-train" run.yaml -s parallel.sequence=2; }
run_data() {
  "${launch[@]}" "$1/retnet-train" run.yaml -s parallel.data=2 -s train.steps=4 \
    -s run.profile=true
}
run_pipeline() {
  "${launch[@]}" "$1/retnet-train" run.yaml -s parallel.pipeline=2 -s data.carry_state=true \
    -s parallel.segments=2
}
run_eval() { "${launch[@]}" "$1/retnet-eval" --checkpoint RUN --data data --json >eval.json; }
run_export() { "$1/retnet-ckpt" export RUN --format torchscale --out exported; }
run_verify() { "$1/retnet-ckpt" verify RUN >verified; }
run_show() { "$1/retnet-ckpt" show RUN >shown; }
run_generate() {
  "$1/retnet-generate" --checkpoint RUN --prompt 'The quick' --tokens 8 --temperature 0 --json \
    >generated
}
# Programs whose command line is read and not used. retnet-bench is not disturbed.
run_version() {
  "$1/retnet-train" run.yaml -s train.steps=1 --version >version &&
    "$bin/retnet-bench" step run.yaml --version >>version
}
run_help() { "$1/retnet-train" --help >help; }
run_report() { "$1/retnet-report" --out page.html RUN; }
run_tokens() {
  "$1/retnet-data" build --out data --tokenizer tiktoken:synthetic.tiktoken text.txt
}
run_hf() { "$1/retnet-ckpt" export RUN --format hf --shard-size 8KB --out exported; }
run_import() { "$1/retnet-ckpt" import --out imported exported >model.yaml; }

trained() {
  told RUN/metrics.jsonl
  "$bin/retnet-ckpt" verify RUN >/dev/null && echo whole
  "$bin/retnet-ckpt" diff RUN "$work/reference/$1/RUN"
}
# Without lock files of dead processes, which the next job removes, and without summary.json, which
# a finished run does not write again.
files() {
  find . -type f ! -name '*.log' ! -name 'events.*' ! -path './RUN/lock*' ! -name summary.json | sort
}
result_build() { (cd data && find train val -type f -exec cksum {} + | sort -k 3); }
result_sequence() { trained sequence; }
result_data() { trained data; }
result_pipeline() { trained pipeline; }
result_eval() { cat eval.json; }
result_export() { cksum exported/*; }
result_verify() { cat verified; }
result_show() { cat shown; }
result_generate() { cksum generated; }
result_version() { wc -l <version; } # the builds of the programs differ
result_help() { cat help; }
result_report() { cksum page.html; }
result_tokens() { result_build; }
result_hf() { result_export; }
result_import() {
  cat model.yaml
  "$bin/retnet-ckpt" verify imported &&
    "$bin/retnet-ckpt" export imported --format hf --out again && cksum again/*
}
result() { { "result_$1" && files; } 2>&1; }

# ---- preparation ----

# Prepares scenarios: writes the lines "SITE SCENARIO RANK FUNCTION@PLACE PASSES" to the file places.
prepare() { # prepare SCENARIO...
  local s file
  mkdir from reference passes "$TMPDIR"
  mkdir from/build
  for s in $(seq 60); do
    echo "line $s of a short text: the quick brown fox $((s * s)) jumps over the lazy dog"
  done >from/build/text.txt
  cat >from/build/run.yaml <<'YAML'
run: {dir: RUN, watchdog_s: 300}
model: {layers: 2, dim: 16, value_dim: 32, ffn_dim: 24, heads: 2}
data: {dir: data, sequence_length: 64, batch_sequences: 4}
optimizer: {lr: 2e-3, warmup_steps: 2}
train: {steps: 2, eval_every: 2, eval_sequences: 4}
checkpoint: {every: 1, keep_last: 2}
YAML
  count_passes build
  cp -r reference/build from/sequence
  count_passes sequence
  for s in "$@"; do
    case $s in
      build | sequence) continue ;;
      pipeline) cp -r reference/build "from/$s" ;;
      tokens)
        cp -r from/build from/tokens
        cp "$here"/../golden/tokenizer/synthetic.{tiktoken,json} from/tokens
        ;;
      hf) cp -r reference/tokens from/hf && train_hybrid ;;
      import) cp -r reference/hf from/import ;;
      report) cp -r reference/sequence from/report && echo previous >from/report/page.html ;;
      *) cp -r reference/sequence "from/$s" ;;
    esac
    count_passes "$s"
  done
  for s in "$@"; do
    for file in passes/"$s".*; do
      awk -v s="$s" -v rank="${file##*.}" '{print $1, s, rank, $2, $3}' "$file"
    done
  done | sort >places
}

# Trains a model in from/hf that has retention and attention, and that hf can compute.
train_hybrid() {
  (cd from/hf && "$bin/retnet-train" run.yaml -s train.eval_every=0 -s model.rotary=rope_half \
    -s model.retention_scale=raw -s 'model.attention_layers=[1]' -s model.attention_heads=2) \
    >hybrid.log 2>&1 || fail "hybrid: $(tail -n 3 hybrid.log)"
}

# Runs a scenario undisturbed; its result is the reference, and its passes are counted.
count_passes() {
  cp -r "from/$1" "reference/$1"
  (cd "reference/$1" && RETNET_PASSES="$work/passes/$1" "run_$1" "$faulty") >"$1.log" 2>&1 ||
    fail "$1: $(tail -n 3 "$1.log")"
  ! grep -aE "$leak" "$1.log" || fail "$1 leaks"
  (cd "reference/$1" && result "$1" >"$work/$1.result") || fail "$(tail -n 3 "$1.result")"
}

# ---- one fault ----

# Prints a number below LIMIT that is a hash of the other words.
draw() { # draw LIMIT WORD...
  local hash
  hash=$(printf '%s ' "${@:2}" | cksum)
  echo $((${hash%% *} % $1))
}

kinds_of() { # kinds_of SITE FUNCTION
  case $1 in
    memory | library) echo ENOMEM ENOMEM+ ;;
    thread | process | map) echo EAGAIN ENOMEM EPERM+ ;;
    read) echo EIO ESTALE+ EINTR short slow=40 ;;
    write) case $2 in
      write | pwrite) echo ENOSPC ENOSPC+ EDQUOT+ EIO EFBIG EINTR short slow=40 ;;
      *) echo ENOSPC EIO ENOSPC+ slow=40 ;;
    esac ;;
    open) echo EMFILE EMFILE+ EIO EACCES ESTALE+ slow=40 ;;
    lookup) echo EIO EACCES ESTALE+ slow=40 ;;
    sync) echo EIO ENOSPC EIO+ slow=100 ;;
    lock | rename | remove | folder | resize) echo EIO EPERM ENOSPC EROFS+ slow=40 ;;
    mpi.*) echo EIO EIO EIO+ slow=40 ;;
  esac
}

# Chooses the fault number SEED of a site: successive seeds choose different calls, until all were
# chosen. Sets scenario, rank, place, pass and kind; fails if the site has no calls.
choose() { # choose SITE SEED
  local lines kinds count
  mapfile -t lines < <(awk -v s="$1" '$1 == s' places | while read -r line; do
    echo "$(draw 1000000007 "${line% *}") $line"
  done | sort -n | cut -d' ' -f2-)
  [ "${#lines[@]}" -gt 0 ] || return 1
  read -r _ scenario rank place count <<<"${lines[$((($2 - 1) % ${#lines[@]}))]}"
  read -ra kinds <<<"$(kinds_of "$1" "${place%@*}")"
  kind=${kinds[$(draw "${#kinds[@]}" kind "$1" "$2")]}
  pass=1
  [ "$(draw 3 first "$1" "$2")" = 0 ] || pass=$((1 + $(draw "$count" pass "$1" "$2")))
  [ "${kind%+}" = "$kind" ] || pass=$pass+
  kind=${kind%+}
}

# Checks that a result is that of the reference. A warning may announce that a checkpoint or a line of
# metrics.jsonl is missing, or that files are left.
is_same() {
  local optional='^\./'
  cmp -s "$1" "../$scenario.result" && return
  grep -qa 'warning: ' ../trial.log || return
  ! grep -qa 'warning: .*metrics' ../trial.log || optional='^\./|^{'
  cmp -s <(grep -vE "$optional" "$1") <(grep -vE "$optional" "../$scenario.result")
}

leak='^leak: |ERROR: LeakSanitizer'
# What a program may print before it waits on purpose, for this many seconds.
announced='^warning: .* waiting up to ([0-9]+) s for the file system$'
crash='exited on signal|Segmentation|Sanitizer|runtime error|Assertion'

# True if the fault is an error of usage: the configuration file may not be read.
is_of_user() { [ "$kind" = EACCES ] && grep -qaF ': cannot read the file: ' ../trial.log; }

# True if MPI could not complete the last messages of an object: their buffers are then kept until the
# process ends (comm/world/last_wait.h).
holds_on_purpose() { [[ $pass = *+ && $(caller) = rn_last_wait ]]; }

# Injects one fault. Sets outcome, message and left. Good outcomes are survived, named, aborted and
# unreached. aborted: a fault of MPI is named, and MPI_Abort ends all ranks at once, so that the
# system frees what they hold. Other outcomes tell what is wrong. A run that still waits after the time
# limit, and has said for how long, is tried again with that time added.
try() { # try [SECONDS ADDED]
  local code=0 errors wait_s=''
  rm -rf trial injected "$TMPDIR"
  mkdir "$TMPDIR"
  cp -r "from/$scenario" trial
  cd trial
  RETNET_FAULT=$slow RETNET_INJECT="$rank $place $pass $kind" RETNET_INJECTED=$work/injected \
    timeout -k 2 $((limit_s + ${1:-0})) bash -c "$(declare -p launch bin; declare -f "run_$scenario")
      run_$scenario '$faulty'" >../trial.log 2>&1 || code=$?
  sed -i 's/\x00//g' ../trial.log # prterun ends a text with one, in the line of the next message
  message=$(grep -aE '^(error|retnet-[a-z]+): ' ../trial.log | head -n 1 || true)
  errors=$(grep -acE '^(error|retnet-[a-z]+): ' ../trial.log || true)
  if [ "$code" = 124 ] || [ "$code" = 137 ]; then
    outcome=hangs
    [ $# != 0 ] || wait_s=$(sed -nE "s/$announced/\\1/p" ../trial.log | tail -n 1)
  elif grep -qaE "$leak" ../trial.log; then
    outcome=leaks
    ! holds_on_purpose || outcome=survived
  elif grep -qaE "$crash" ../trial.log; then
    outcome=crashes
  elif [ "$code" = 0 ]; then
    outcome=survived
    [ -e ../injected ] || outcome=unreached
    result "$scenario" >../trial.result || true
    is_same ../trial.result || outcome=differs
  elif [ "$code" != 1 ] && ! { [ "$code" = 2 ] && is_of_user; }; then
    outcome=code-$code
  elif [ "$errors" != 1 ]; then
    outcome=errors-$errors
  elif grep -qa 'MPI_ABORT was invoked' ../trial.log; then
    outcome=aborted
  else
    outcome=named
  fi
  if [ -n "$wait_s" ]; then
    cd .. && try "$wait_s"
    return
  fi
  list_left
  [ "$code" = 0 ] || repeat
  cd ..
}

# Sets `left` to the files that an undisturbed run does not leave, in the folder of the run and in
# TMPDIR, with their numbers as N.
list_left() {
  left=$({
    comm -23 <(list_files .) <(list_files "$work/reference/$scenario")
    (cd "$TMPDIR" && find . -mindepth 1 ! -path './ompi.*' | sed 's/^./TMPDIR/')
  } | sed -E 's/[0-9]+/N/g' | sort -u | paste -sd' ')
}

# True if a temporary file is left; except the folder of an unfinished checkpoint, which the next job
# removes.
leaves_temporary() {
  local name
  for name in $left; do
    [[ $name != */step-N.tmp && $name =~ ^TMPDIR/|[.](tmp|new)$ ]] && return
  done
  return 1
}

list_files() { (cd "$1" && find . ! -name 'events.*' | sort); }

# After a failure, the scenario must succeed without a fault, with the result of the reference.
repeat() {
  local whole
  for whole in RUN/checkpoints/step-????????; do
    [ -d "$whole" ] || continue
    "$bin/retnet-ckpt" verify "$whole" >../verify.log 2>&1 || outcome=$outcome,damaged
  done
  # An output folder that was published before the failure must be whole.
  if [ -e imported ]; then
    "$bin/retnet-ckpt" verify imported >../verify.log 2>&1 || outcome=$outcome,damaged
    rm -r imported
  fi
  # The previous page must stay until a whole page replaces it.
  [ ! -e page.html ] || cmp -s page.html "$work/from/report/page.html" ||
    cmp -s page.html "$work/reference/report/page.html" || outcome=$outcome,damaged
  if { [ "$scenario" = build ] || [ "$scenario" = tokens ]; } && [ -e data ]; then
    touch ../repeat.log
  elif ! "run_$scenario" "$bin" >../repeat.log 2>&1; then
    outcome=$outcome,blocked
    return
  fi
  result "$scenario" >../repeat.result || true
  is_same ../repeat.result || outcome=$outcome,lost
}

is_good() { [[ " survived named aborted unreached " = *" $1 "* ]]; }

# The function of the program that makes the call.
caller() {
  local program=retnet-train
  case $scenario in
    build | tokens) program=retnet-data ;;
    eval | generate | report) program=retnet-$scenario ;;
    export | verify | show | hf | import) program=retnet-ckpt ;;
  esac
  addr2line -f -e "$faulty/$program" "$(printf '0x%x' $((0x${place#*@} - 1)))" | head -n 1
}

print_table() {
  awk -F '\t' '{n[$1]++; count[$1, $8]++; kinds[$8]}
    END {for (s in n) {printf "%-18s %4d ", s, n[s]
      for (k in kinds) if (count[s, k] > 0) printf " %s %d", k, count[s, k]
      print ""}}' "$1" | sort
}

# Sets `sites`. The last four have functions that are not in wrapped.def.
list_sites() {
  mapfile -t sites < <({
    sed -nE 's/^[DFHM]\(([a-z.]+),.*/\1/p' "$here/../support/wrapped.def"
    printf '%s\n' open read write lock
  } | sort -u)
}

# Keeps the output of a fault that was not handled, in the folder RN_FAULT_KEEP.
keep() { # keep NAME
  [ -n "${RN_FAULT_KEEP:-}" ] || return 0
  mkdir -p "$RN_FAULT_KEEP"
  cp trial.log "$RN_FAULT_KEEP/$1.log"
  [ ! -e repeat.log ] || cp repeat.log "$RN_FAULT_KEEP/$1.repeat.log"
  local file
  for file in trial.result repeat.result; do
    [ ! -e "$file" ] || diff "$file" "$scenario.result" >>"$RN_FAULT_KEEP/$1.diff" || true
  done
}

# Injects the fault SEED of a site, and sets `line`, its line in the table.
inject() { # inject SITE SEED
  local fields
  rm -f trial.result repeat.result repeat.log
  try
  [ "$outcome" = aborted ] || [ "$1" = remove ] || ! leaves_temporary || outcome=$outcome,leaves
  fields=("$1" "$2" "$scenario" "rank $rank" "$(caller):$place" "$pass" "$kind" "$outcome" "$message" "$left")
  line=$(IFS=$'\t' && echo "${fields[*]}")
  is_good "$outcome" || keep "$1.$2"
}

# Fails if a fault was not handled.
report() {
  is_good "$outcome" || fail "$line"$'\n'"$(tail -n 5 trial.log)"
  echo "$line"
}

list_sites
case $case in
  print) print_table "$1" ;;
  table)
    file=$1 first=$2 last=$3
    shift 3
    [ $# = 0 ] || sites=("$@")
    prepare "${scenarios[@]}"
    for seed in $(seq "$first" "$last"); do
      for site in "${sites[@]}"; do
        ! grep -q "^$site"$'\t'"$seed"$'\t' "$file" || continue
        choose "$site" "$seed" || continue
        inject "$site" "$seed"
        echo "$line" >>"$file"
        is_good "$outcome" || echo "$line"
      done
    done
    print_table "$file"
    ;;
  slice)
    prepare "${scenarios[@]}"
    for number in $(seq "$2"); do
      site=${sites[$(draw "${#sites[@]}" site "$1" "$number")]}
      seed=$((1 + $(draw 1000 seed "$1" "$number")))
      choose "$site" "$seed" || continue
      inject "$site" "$seed"
      report
    done
    finish
    ;;
  sweep)
    prepare "$@"
    while read -r site scenario rank place _ <&3; do # mpirun reads descriptor 0
      read -ra kinds <<<"$(kinds_of "$site" "${place%@*}")"
      kind=${kinds[0]%+} pass=1
      inject "$site" 1
      report
    done 3<places
    finish
    ;;
  abort)
    # A checkpoint writer or the removal of old checkpoints hangs, and meanwhile MPI fails on the rank
    # that waits for it: the job ends at once, not after the file operation. An undisturbed run does
    # not reach this pass.
    prepare data
    limit_s=30 kind=EIO
    while read -r _ scenario rank place pass <&3; do
      [ "$rank ${place%@*} $(caller)" = '0 MPI_Allreduce rn_world_sum' ] || continue
      pass=$((pass + 10))
      for slow in ckpt.write:1:slow=90000 ckpt.prune:1:slow=90000; do
        inject mpi.collective 1
        [ "$outcome" != unreached ] || fail "$slow: the fault did not strike"
        report
      done
    done 3<places
    [ -n "$slow" ] || fail 'no call to disturb'
    finish
    ;;
esac
