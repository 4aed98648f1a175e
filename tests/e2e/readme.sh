#!/usr/bin/env bash
# Checks that every command in the code blocks of README.md works: they are run in the order of the
# page, with a smaller model, fewer steps and little text. Commands that need an installation, a
# cluster or minutes are not run here; the script or test that runs them must exist and name them.
# Commands within sentences must use existing programs, commands and options.
# usage: readme.sh BIN SOURCE
set -euo pipefail
bin=$1 source=$2
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

# Prints the commands of the code blocks, one per line, without prompts, comments and output. In a
# block with prompts, the other lines are output.
block_commands() {
  awk '
    function flush(i) {
      for (i = 1; i <= count; i++)
        if (!prompts || line[i] ~ /^\$ /) { sub(/^\$ /, "", line[i]); print line[i] }
      count = prompts = 0
    }
    /^```/ { if (inside) flush(); inside = !inside; skip = /yaml|json|text/; next }
    inside && !skip {
      if (open) line[count] = line[count] " " $0; else line[++count] = $0
      open = sub(/ *\\$/, "", line[count])
      if (line[count] ~ /^\$ /) prompts = 1
    }' "$1" | sed -E 's/(^|  +)#.*//; s/ +/ /g; /^ *$/d'
}

# elsewhere COMMAND: succeeds if the command is not run here; fails the test if nothing runs it.
elsewhere() {
  local by word
  case $1 in
    jobs/quickstart.sh | jobs/check.sh*) by=jobs/check_debian.sh word=${1%% *} ;;
    'cmake --preset'*) by=jobs/env word='cmake --preset' ;;
    'cd build && cpack'*) by=jobs/check_debian.sh word='dpkg -i' ;;
    sbatch*) by=tests/e2e/slurm.sh word=sbatch ;;
    tensorboard*) by=tests/e2e/watch.sh word=EventAccumulator ;;
    # Files of other programs.
    'retnet-data build --out DATA '*) by=tests/e2e/token_files.sh word=train.bin ;;
    jobs/compare.sh*) by=tests/e2e/compare.sh word=compare.sh ;;
    jobs/scaling.sh*) by=tests/e2e/scaling.sh word=scaling.sh ;;
    jobs/jitter.sh*) by=tests/e2e/jitter.sh word=jitter.sh ;;
    'retnet-bench step --threads'*) by=tests/e2e/scaling.sh word=--threads ;;
    *) return 1 ;;
  esac
  grep -qF -e "$word" "$source/$by" || fail "$by does not run: $1"
}

# Prints the commands and options within sentences: the code spans that begin with a program or with
# an option, one per line.
# shellcheck disable=SC2016
span_commands() {
  awk '/^```/ {inside = !inside; next} !inside' "$1" | tr '\n' ' ' | grep -oE '`[^`]+`' | tr -d '`' |
    sed -nE 's/^mpirun ([^ ]+ )*(retnet-)/\2/; /^(retnet-|--)/p'
}

# Prepare what the commands expect in the folder of the sources.
export PATH=$bin:$PATH
mkdir -p .quickstart/text jobs/configs
cp "$source"/jobs/configs/*.yaml jobs/configs
sed -E -i 's/dim: [0-9]+, value_dim: [0-9]+, ffn_dim: [0-9]+/dim: 16, value_dim: 32, ffn_dim: 16/
  s/layers: [0-9]+/layers: 1/' jobs/configs/quickstart.yaml jobs/configs/small.yaml
sed -E -i 's/sequence_length: [0-9]+/sequence_length: 32/; s/(eval_every|every): [0-9]+/\1: 2/' \
  jobs/configs/quickstart.yaml
split -b 300 -a 3 --additional-suffix=.txt "$source/README.md" .quickstart/text/
cp "$source/tests/golden/tokenizer/bpe1000_identity_bytes_digits.model" .quickstart/tokenizer.model
ln -s ../four .quickstart/run # a run of the tour

span_commands "$source/README.md" >spans
[ "$(wc -l <spans)" -ge 20 ] || fail "code spans: $(cat spans)"
block_commands "$source/README.md" >commands
[ "$(wc -l <commands)" -ge 12 ] || fail "commands: $(cat commands)"
while read -r command; do
  if elsewhere "$command"; then
    [[ $command != retnet-* ]] || echo "$command" >>spans # its options are checked below
    continue
  fi
  small=$(sed -E 's/(train\.steps=[0-9]+)00\b/\1/g; s/--tokens [0-9]+/--tokens 4/g' <<<"$command")
  bash -c "set -euo pipefail; $small" >log 2>&1 </dev/null || fail "$command: $(tail -n 3 log)"
done <commands

declare -A options # the options that each program, all programs (key "all") and jobs/*.sh have
find_options() { grep -ohE -e '--[a-z][a-z-]+' "$@" | sort -u | tr '\n' ' '; }
jobs_options=$(find_options "$source"/jobs/*.sh)
for program in "$bin"/retnet-*; do
  "$program" --help >help
  options[${program##*/}]=" $jobs_options$(find_options help)"
  options[all]+=${options[${program##*/}]}
done
while read -r program words; do
  [[ $program != --* ]] || words="$program $words" program=all
  [ -n "${options[$program]:-}" ] || fail "no program: $program"
  while [[ $words =~ --[a-z][a-z-]+ ]]; do
    option=${BASH_REMATCH[0]}
    [[ "${options[$program]:-}" == *" $option "* ]] || fail "$program has no $option: $words"
    words=${words#*"$option"}
  done
done <spans
finish
