#!/usr/bin/env bash
# retnet-generate as users call it: seeds, stop strings, penalties, saved states, interactive mode.
set -euo pipefail
bin=$1
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(realpath "$0")")/common.sh"

cat >run.yaml <<'YAML'
model: {layers: 2, dim: 16, value_dim: 24, ffn_dim: 20, heads: 2}
data: {dir: data, sequence_length: 64, batch_sequences: 4}
optimizer: {lr: 1e-2}
train: {steps: 60, eval_every: 0}
YAML
for i in $(seq 400); do echo "line $i of a text to learn"; done >text
"$bin/retnet-data" build --out data text >/dev/null 2>&1
"$bin/retnet-train" run.yaml -s run.dir=run >run.log 2>&1 || fail "$(tail -n 3 run.log)"
program=("$bin/retnet-generate" --checkpoint run --ignore-end)
generate() { "${program[@]}" "$@"; }
greedy() { generate --tokens 60 --temperature 0 "$@"; }

# Each prompt has its own seed, and the text that it has alone.
generate --prompt a --prompt b --seed 3 --seed 4 >two
{
  printf '==> 1 <==\n' && generate --prompt a --seed 3
  printf '\n\n==> 2 <==\n' && generate --prompt b --seed 4 && echo
} | cmp - two || fail 'a seed is not that of its prompt'
generate --prompt a --seed 3 >seed3
generate --prompt a --seed 4 >seed4
! cmp -s seed3 seed4 || fail 'one text for two seeds'
refuse 2 '3 times for 2 prompts' "${program[@]}" --prompt a --prompt b --seed 1 --seed 2 --seed 3
refuse 2 '--seed' "${program[@]}" --seed x

# A text ends before the first stop string, of which a token has one byte.
greedy --prompt 'line ' >whole
stop=$(tail -c +30 whole | head -c 6 | tr -d '\n')
greedy --prompt 'line ' --stop 'not there' --stop "$stop" >stopped
head -c "$(grep -obaF -- "$stop" whole | sed -n '/^[5-9]:\|^[1-9][0-9]/{s/:.*//p;q}')" whole |
  cmp - stopped || fail "stopped at '$stop': $(cat stopped)"
greedy --prompt 'line ' --stop "$stop" --json | grep -q '"stop":"string"' || fail 'no "stop"'
refuse 2 '--stop' "${program[@]}" --stop ''

# Filters that leave one token give the greedy text; so does none of them at temperature 0.
for filter in '--top-k 1' '--top-p 0' '--min-p 1'; do
  # shellcheck disable=SC2086
  generate --tokens 60 --prompt 'line ' --seed 9 $filter | cmp - whole || fail "$filter is not greedy"
done
greedy --prompt 'line ' --repetition-penalty 5 >penalized
! cmp -s penalized whole || fail 'no penalty'
greedy --prompt 'line ' --repetition-penalty 1 | cmp - whole || fail 'a penalty of 1'

# Options that change nothing are named, and others are not.
warned() { # warned WORDS OPTION...: these options must give one warning, with the words; '': none
  local want=$1 got
  shift
  got=$("${program[@]}" --tokens 2 "$@" 2>&1 >/dev/null)
  if [[ "${got:+said}" != "${want:+said}" || "$got" != *"$want"* || "$got" = *$'\n'* ]]; then
    fail "$*: $got"
  fi
}
warned '--top-k has no effect: --temperature 0' --temperature 0 --top-k 5
warned '--top-p has no effect: --temperature 0' --temperature 0 --top-p 0.5
warned '--min-p has no effect: --temperature 0' --temperature 0 --min-p 0.5
warned '--seed has no effect: --temperature 0' --temperature 0 --seed 3
warned '--repetition-window 9 has no effect without' --repetition-window 9
warned '' --temperature 0 --repetition-penalty 2 --repetition-window 9
warned '' --top-k 5 --top-p 0.5 --min-p 0.1 --seed 3
refuse 2 'has no special token' "${program[@]}" --special-tokens all --prompt a

# A saved state goes on with the bits of the uninterrupted text: after drawn tokens, after a prompt
# that is longer than a segment of the prefill, and after a longer prompt whose beginning was saved.
sampled() { generate --seed 3 --repetition-penalty 1.2 --repetition-window 50 "$@"; }
head -c 700 text >long
{ cat long && printf 'line 7'; } >longer
for prompt in long longer; do sampled --prompt-file $prompt --tokens 60 >$prompt.whole; done
sampled --prompt-file long --tokens 25 --save-state drawn >first
sampled --load-state drawn --tokens 35 >second
cat first second | cmp - long.whole || fail 'another text after drawn tokens'
sampled --prompt-file long --tokens 0 --save-state read >first
sampled --load-state read --tokens 60 >second
cat first second | cmp - long.whole || fail 'another text after a prompt'
sampled --load-state read --prompt 'line 7' --tokens 60 >second
cat first second | cmp - longer.whole || fail 'another text after more prompt'
# Every prompt continues the saved text by itself.
sampled --load-state read --prompt 'line 7' --prompt x --tokens 60 >two
{ printf '==> 1 <==\n' && cat second; } >first
head -c "$(wc -c <first)" two | cmp - first || fail 'prompts of a saved text depend on each other'
# So it is with an attention layer, whose keys and values are part of the state.
"$bin/retnet-train" run.yaml -s run.dir=hybrid -s 'model.attention_layers=[1]' -s train.steps=1 \
  >hybrid.log 2>&1 || fail "$(tail -n 3 hybrid.log)"
mixed() { "$bin/retnet-generate" --checkpoint hybrid --ignore-end --seed 3 "$@"; }
mixed --prompt-file long --tokens 50 >want
mixed --prompt-file long --tokens 20 --save-state half >first
mixed --load-state half --tokens 30 >second
cat first second | cmp - want || fail 'another text of a model with attention'
printf 'a\nb\n' | mixed --interactive --load-state half --tokens 300 --save-state talk >got
[ "$(wc -c <got)" -ge 500 ] || fail "two lines with attention: $(cat got)"
# With weights in bf16, the state is another one.
refuse 2 'fp32' "${program[@]}" --precision bf16 --load-state read
sampled --precision bf16 --prompt-file long --tokens 30 >want
sampled --precision bf16 --prompt-file long --tokens 0 --save-state read16 >first
sampled --precision bf16 --load-state read16 --tokens 30 >second
cat first second | cmp - want || fail 'another text in bf16'
refuse 2 '2 prompts' "${program[@]}" --prompt a --prompt b --save-state two
"$bin/retnet-train" run.yaml -s run.dir=run -s train.steps=61 >run.log 2>&1
refuse 2 'a model other than' "${program[@]}" --load-state read
head -c 500 read >torn
refuse 1 'torn' "${program[@]}" --load-state torn
refuse 1 'text' "${program[@]}" --load-state text
# A folder that does not exist is noticed before any text is generated. A file beside the state is
# kept.
for folder in nowhere text; do
  refuse 1 "directory $folder" "${program[@]}" --prompt a --tokens 1 --save-state $folder/state
  [ "$(wc -l <refused.log)" = 1 ] || fail "text before the error: $(cat refused.log)"
done
echo kept >state.tmp
generate --prompt a --tokens 1 --save-state state >/dev/null
[ "$(cat state.tmp)" = kept ] || fail 'saving a state overwrote state.tmp'

# Drawing the document token ends a saved text; more text removes it, and --ignore-end reads it.
hot() { "$bin/retnet-generate" --checkpoint run --temperature 1000000 --tokens 5000 "$@"; }
hot --save-state ended --json >first
grep -q '"stop":"document"' first || fail 'the text did not end'
hot --load-state ended --json | grep -q '"text":"","tokens":0,"stop":"document"' || fail 'no end'
hot --load-state ended --prompt x --json | grep -q '"tokens":[1-9]' || fail 'nothing after an end'
[ "$(hot --load-state ended --ignore-end --json | grep -o '"tokens":.*')" = '"tokens":5000,"stop":"length"}' ] ||
  fail 'the end is not ignored'

# Lines of a pipe: the text of the first is that of a prompt, and the second continues it. SIGINT
# ends a completion, the end of the input ends the program.
printf 'line 3\nline 4' | sampled --interactive --tokens 30 --save-state talk >got
{
  sampled --prompt 'line 3' --tokens 30 --save-state once | tail -c +7 && echo
  sampled --prompt $'\nline 4' --tokens 30 --load-state once --save-state twice | tail -c +8 && echo
} >want
cmp got want || fail 'interactive texts are others'
cmp talk twice || fail 'another state after two lines'
mkfifo lines
rm got # the program creates it when it starts
"${program[@]}" --interactive --tokens 900000000 --save-state interrupted <lines >got &
pid=$!
exec 5>lines
echo 'line 1' >&5
until [ -s got ] && [ "$(wc -c <got)" -gt 20 ]; do sleep 0.05; done
kill -INT "$pid"
exec 5>&-
ended 0 run 'interactive mode'
generate --load-state interrupted --tokens 1 >/dev/null || fail 'no state after SIGINT'
# At a prompt, every signal ends the program, and the state is that of the text so far.
sampled --prompt 'line 3' --tokens 30 | { tail -c +7 && echo; } >want
for signal in INT TERM HUP; do
  rm -f got talk
  env --default-signal "${program[@]}" --seed 3 --repetition-penalty 1.2 --repetition-window 50 \
    --interactive --tokens 30 --save-state talk <lines >got 2>run.log &
  pid=$!
  exec 5>lines
  echo 'line 3' >&5
  until cmp -s got want; do kill -0 "$pid"; sleep 0.05; done
  kill "-$signal" "$pid"
  ended 0 run "an idle prompt after SIG$signal"
  exec 5>&-
  cmp talk once || fail "another state after SIG$signal"
done
# SIGTERM ends a completion and the program, although the input has another line.
rm got
"${program[@]}" --interactive --tokens 900000000 --save-state talk <lines >got &
pid=$!
exec 5>lines
printf 'line 1\nline 2\n' >&5
until [ -s got ] && [ "$(wc -c <got)" -gt 20 ]; do sleep 0.05; done
kill -TERM "$pid"
ended 0 run 'a completion after SIGTERM'
exec 5>&-
generate --load-state talk --tokens 1 >/dev/null || fail 'no state after SIGTERM'
# Without --interactive too. The process must have left the shell, whose traps are handlers too.
# SigCgt has the signals with handlers: SIGHUP is 1, SIGINT 2, SIGTERM 4000.
for signal in INT TERM; do
  env --default-signal "${program[@]}" --prompt 'line 1' --tokens 900000000 --json \
    --save-state stopped.state >got 2>run.log &
  pid=$!
  until grep -q '^retnet-generate$' "/proc/$pid/comm" &&
    grep -q '^SigCgt:.*[4-7c-f]..[37bf]$' "/proc/$pid/status"; do
    kill -0 "$pid"
    sleep 0.05
  done
  kill "-$signal" "$pid"
  ended 0 run "a text after SIG$signal"
  grep -q '"stop":"signal"' got || fail "after SIG$signal: $(cat got)"
  generate --prompt 'line 1' --tokens "$(sed 's/.*"tokens":\([0-9]*\).*/\1/' got)" --save-state want >/dev/null
  cmp stopped.state want || fail "the state after SIG$signal is not that of the text"
done
refuse 2 '--json' "${program[@]}" --interactive --json
# Without any line, the state of the empty text is saved.
generate --interactive --save-state silent </dev/null >got || fail 'no line, no state'
generate --load-state silent --prompt 'line 3' | cmp - <(generate --prompt 'line 3') ||
  fail 'another text after the state of an empty text'
finish
